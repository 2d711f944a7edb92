package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
)

// learnsFingers is what a wish for a key with a fingerprint sensor looks at.
func learnsFingers(_ context.Context, s *session) (bool, error) {
	if s.client != nil {
		_, final := s.info.Option(ctap2.OptionBioEnroll)
		_, preview := s.info.Option(ctap2.OptionBioPreview)
		if final || preview {
			return true, nil
		}
	}
	return false, s.lacks("has no fingerprint sensor that learns", "use a key that has one")
}

// fingers speaks to a key about its fingerprints (CTAP 2.3, section 6.7).
type fingers struct {
	*session
	enroller *ctap2.BioEnroller
}

// withFingers opens a key, has the person verified, and runs do.
func (c *call) withFingers(ctx context.Context, key string, allowLast bool, do func(f *fingers) error) error {
	s, err := c.choose(ctx, key, wish{serves: learnsFingers})
	if err != nil {
		return err
	}
	defer s.close()
	token, err := s.keptPermit(ctx, ctap2.PermissionBioEnrollment, "", allowLast, func(token *ctap2.Token) error {
		enroller, err := s.client.BioEnroller(s.info, token)
		if err != nil {
			return err
		}
		// A key without fingers gives an error of its own; then the person is asked again.
		_, err = enroller.List(ctx)
		return err
	})
	if err != nil {
		return err
	}
	defer token.Wipe()
	enroller, err := s.client.BioEnroller(s.info, token)
	if err != nil {
		return &keyError{s.key, err}
	}
	return do(&fingers{s, enroller})
}

// sensor asks what the sensor is.
func (f *fingers) sensor(ctx context.Context) (ctap2.SensorInfo, error) {
	return exchange(f.session, api.PromptTouch, func() (ctap2.SensorInfo, error) { return f.enroller.SensorInfo(ctx) })
}

// list gives the fingers that the key knows.
func (f *fingers) list(ctx context.Context) ([]ctap2.Template, error) {
	return exchange(f.session, api.PromptTouch, func() ([]ctap2.Template, error) { return f.enroller.List(ctx) })
}

// finger is one that a key knows.
type finger ctap2.Template

func (f finger) String() string {
	if f.Name == "" {
		return "id " + api.Bytes(f.ID).String()
	}
	return fmt.Sprintf("%s (id %s)", printable(f.Name), api.Bytes(f.ID))
}

func (f finger) describe() api.Fingerprint { return api.Fingerprint{ID: f.ID, Name: f.Name} }

// find gives the finger that a request names: by its ID or by its name.
func (f *fingers) find(ctx context.Context, name string) (finger, error) {
	list, err := f.list(ctx)
	if err != nil {
		return finger{}, err
	}
	var named []finger
	for _, t := range list {
		if api.Bytes(t.ID).String() == name {
			return finger(t), nil
		}
		if t.Name == name && name != "" {
			named = append(named, finger(t))
		}
	}
	switch len(named) {
	case 0:
		return finger{}, &api.Error{
			Code: api.CodeNotFound, Message: fmt.Sprintf("%s knows no finger %s", f.key.Name(), shorten(name)),
			Hint: "fingerprint-list shows those that it knows", Key: f.key.ID(),
		}
	case 1:
		return named[0], nil
	}
	return finger{}, ambiguous(f.session, "fingers", name, named)
}

// fingerprintList is the operation fingerprint-list (CTAP 2.3, sections 6.7.2 and 6.7.6).
func (c *call) fingerprintList(ctx context.Context, r *api.FingerprintListRequest) (result *api.FingerprintListResult, err error) {
	err = c.withFingers(ctx, r.Key, r.AllowLastRetry, func(f *fingers) error {
		sensor, err := f.sensor(ctx)
		if err != nil {
			return err
		}
		list, err := f.list(ctx)
		if err != nil {
			return err
		}
		result = &api.FingerprintListResult{
			Key: describe(f.key), Fingerprints: make([]api.Fingerprint, 0, len(list)),
			Sensor: "touch", MaxSamples: sensor.MaxSamples, MaxName: sensor.MaxNameLength,
		}
		if sensor.Kind == ctap2.FingerprintKindSwipe {
			result.Sensor = "swipe"
		}
		for _, t := range list {
			result.Fingerprints = append(result.Fingerprints, finger(t).describe())
		}
		return nil
	})
	return result, err
}

// checkName refuses a name that the key has no room for.
func (f *fingers) checkName(ctx context.Context, name string) (ctap2.SensorInfo, error) {
	sensor, err := f.sensor(ctx)
	if err != nil {
		return sensor, err
	}
	if most := sensor.MaxNameLength; uint(len(name)) > most {
		return sensor, &api.Error{
			Code: api.CodeInvalidRequest, Message: fmt.Sprintf("the name has %d bytes, %s takes %d", len(name), f.key.Name(), most),
			Hint: "choose a shorter name", Key: f.key.ID(),
		}
	}
	return sensor, nil
}

// fingerprintRename is the operation fingerprint-rename (CTAP 2.3, section 6.7.7).
func (c *call) fingerprintRename(ctx context.Context, r *api.FingerprintRenameRequest) (result *api.FingerprintResult, err error) {
	err = c.withFingers(ctx, r.Key, r.AllowLastRetry, func(f *fingers) error {
		if _, err := f.checkName(ctx, r.Name); err != nil {
			return err
		}
		one, err := f.find(ctx, r.Fingerprint)
		if err != nil {
			return err
		}
		if err := f.rename(ctx, one.ID, r.Name); err != nil {
			return err
		}
		one.Name = r.Name
		result = &api.FingerprintResult{Key: describe(f.key), Fingerprint: one.describe()}
		return nil
	})
	return result, err
}

func (f *fingers) rename(ctx context.Context, id []byte, name string) error {
	_, err := exchange(f.session, api.PromptTouch, func() (struct{}, error) { return struct{}{}, f.enroller.Rename(ctx, id, name) })
	return err
}

// fingerprintDelete is the operation fingerprint-delete (CTAP 2.3, section 6.7.8).
func (c *call) fingerprintDelete(ctx context.Context, r *api.FingerprintRequest) (result *api.FingerprintResult, err error) {
	err = c.withFingers(ctx, r.Key, r.AllowLastRetry, func(f *fingers) error {
		one, err := f.find(ctx, r.Fingerprint)
		if err != nil {
			return err
		}
		if err := f.confirm(ctx, fmt.Sprintf("Make %s forget the finger %s?", f.key.Name(), one)); err != nil {
			return err
		}
		_, err = exchange(f.session, api.PromptTouch, func() (struct{}, error) { return struct{}{}, f.enroller.Remove(ctx, one.ID) })
		f.conn.Forget()
		if err != nil {
			return err
		}
		result = &api.FingerprintResult{Key: describe(f.key), Fingerprint: one.describe()}
		return nil
	})
	return result, err
}

// fingerprintAdd is the operation fingerprint-add (CTAP 2.3, section 6.7.4). A finger that is not
// learnt to the end is not left behind.
func (c *call) fingerprintAdd(ctx context.Context, r *api.FingerprintAddRequest) (result *api.FingerprintResult, err error) {
	err = c.withFingers(ctx, r.Key, r.AllowLastRetry, func(f *fingers) error {
		sensor, err := f.checkName(ctx, r.Name)
		if err != nil {
			return err
		}
		id, err := f.enroll(ctx, sensor)
		f.conn.Forget()
		if err != nil {
			return err
		}
		one := finger{ID: id}
		if r.Name != "" {
			if err := f.rename(ctx, id, r.Name); err != nil {
				told := *ErrorOf(err)
				told.Message = fmt.Sprintf("the finger was learnt as %s, but its name was not: %s", one, told.Message)
				told.Hint = "name it with fingerprint-rename"
				return &told
			}
			one.Name = r.Name
		}
		result = &api.FingerprintResult{Key: describe(f.key), Fingerprint: one.describe()}
		return nil
	})
	return result, err
}

// cancelTime is how long a key has to give an enrolment up.
const cancelTime = 2 * time.Second

// enroll takes samples until the key has enough of them.
func (f *fingers) enroll(ctx context.Context, sensor ctap2.SensorInfo) (id []byte, err error) {
	defer func() {
		if err == nil || errors.Is(err, hid.ErrGone) {
			return
		}
		// The operation may have ended because its context did.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cancelTime)
		defer cancel()
		_ = f.enroller.Cancel(ctx) // the first error counts
	}()
	p := f.c.prompt(api.PromptSample, f.key)
	p.Message = fmt.Sprintf("%s; %s at most", p.Message, plural(sensor.MaxSamples, "touch", "touches"))
	enrollment, err := f.sample(p, func() (*ctap2.Enrollment, error) { return f.enroller.Begin(ctx, 0) })
	if err != nil {
		return nil, err
	}
	for enrollment.Remaining > 0 {
		if err := context.Cause(ctx); err != nil {
			return nil, &keyError{f.key, err}
		}
		remaining := enrollment.Remaining
		p := f.c.prompt(api.PromptSample, f.key)
		p.Sample, p.Remaining = enrollment.Status.String(), &remaining
		p.Message = fmt.Sprintf("%s Touch the sensor of %s again; %d more.", sampleSentence(enrollment.Status), f.key.Name(), remaining)
		_, err := f.sample(p, func() (*ctap2.Enrollment, error) { return enrollment, f.enroller.Next(ctx, enrollment, 0) })
		if err != nil {
			return nil, err
		}
	}
	return enrollment.TemplateID, nil
}

// sample shows a prompt for as long as the key waits for a finger.
func (f *fingers) sample(p api.Prompt, take func() (*ctap2.Enrollment, error)) (*ctap2.Enrollment, error) {
	f.steady, f.withdraw = true, f.c.show(p)
	defer func() { f.steady = false }()
	return exchange(f.session, api.PromptSample, take)
}

// sampleSentences say what a sensor says of a sample (CTAP 2.3, section 6.7.4).
var sampleSentences = map[ctap2.SampleStatus]string{
	ctap2.SampleGood:                     "Good.",
	ctap2.SampleTooHigh:                  "Too high.",
	ctap2.SampleTooLow:                   "Too low.",
	ctap2.SampleTooLeft:                  "Too far left.",
	ctap2.SampleTooRight:                 "Too far right.",
	ctap2.SampleTooFast:                  "Too fast.",
	ctap2.SampleTooSlow:                  "Too slow.",
	ctap2.SamplePoorQuality:              "Not clear enough.",
	ctap2.SampleTooSkewed:                "Too much at an angle.",
	ctap2.SampleTooShort:                 "Too short.",
	ctap2.SampleMergeFailure:             "It does not fit the samples before.",
	ctap2.SampleExists:                   "The key knows this finger already.",
	ctap2.SampleNoUserActivity:           "Nothing touched the sensor.",
	ctap2.SampleNoUserPresenceTransition: "The finger did not leave the sensor.",
}

func sampleSentence(s ctap2.SampleStatus) string {
	if text, ok := sampleSentences[s]; ok {
		return text
	}
	return "The key did not take that."
}
