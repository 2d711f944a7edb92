package softkey

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fobd/fobd/ctap2"
)

// Limits of the fingerprint sensor.
const (
	// DefaultSamples is how many good samples make a finger.
	DefaultSamples = 4
	// DefaultMaxFingers is how many fingers there is room for.
	DefaultMaxFingers = 5
	maxSamples        = 255
	templateIDSize    = 16
)

// enrolment is a finger that is being learnt (CTAP 2.3, section 6.7.4).
type enrolment struct {
	id   []byte // templateId
	left uint   // good samples that are wanted yet
}

// sensorConfig sets the defaults of the sensor, and checks what is asked for.
func (cfg *Config) sensorConfig() error {
	if cfg.SamplesPerFinger == 0 {
		cfg.SamplesPerFinger = DefaultSamples
	}
	if cfg.MaxFingers == 0 {
		cfg.MaxFingers = DefaultMaxFingers
	}
	if cfg.SamplesPerFinger > maxSamples {
		return fmt.Errorf("softkey: %d samples per finger are more than %d", cfg.SamplesPerFinger, maxSamples)
	}
	return nil
}

// Samples queues what the sensor says of the next samples of an enrolment (CTAP 2.3,
// section 6.7.4). When the queue is empty all are good. [ctap2.SampleNoUserActivity] is nobody
// touching the sensor: it waits for no touch. It has a meaning for keys whose sensor learns
// fingers only.
func (a *Authenticator) Samples(next ...ctap2.SampleStatus) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.samples = append(a.samples, next...)
}

// Fingers returns the names of the fingers that the sensor has learnt, the oldest first. A
// finger without a name has an empty one.
func (a *Authenticator) Fingers() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var names []string
	for _, t := range a.state.templates {
		names = append(names, t.Name)
	}
	return names
}

// fingersEnrolled says whether the sensor has learnt a finger.
func (a *Authenticator) fingersEnrolled() bool { return len(a.state.templates) > 0 }

// builtInUV says whether built-in user verification is there, whether it is configured, which
// with a sensor that learns fingers it is once there is one (CTAP 2.3, section 6.4, option uv), and
// whether it knows the person now.
func (a *Authenticator) builtInUV() (there, configured, knows bool) {
	there, knows = a.user.sensor()
	if !a.traits.sensor {
		return there, there, knows
	}
	_, _, v := a.Behaviour()
	return true, a.fingersEnrolled(), v != VerificationDeny
}

// sample waits for a finger on the sensor, for as long as the platform wants or the person has
// patience, and says what the sensor makes of it.
func (a *Authenticator) sample(c *command, timeout uint) (ctap2.SampleStatus, error) {
	if len(a.samples) > 0 && a.samples[0] == ctap2.SampleNoUserActivity {
		a.samples = a.samples[1:]
		return ctap2.SampleNoUserActivity, nil
	}
	limited := *c
	if timeout > 0 {
		ctx, cancel := a.user.clock.withTimeout(c.ctx, time.Duration(min(timeout, 1<<31))*time.Millisecond)
		defer cancel()
		limited.ctx = ctx
	}
	switch err := a.touch(&limited, &Prompt{Command: c.cmd}); {
	case errors.Is(err, ctap2.ErrUserActionTimeout):
		return ctap2.SampleNoUserActivity, nil
	case errors.Is(err, ctap2.ErrKeepaliveCancel) && c.ctx.Err() == nil && limited.ctx.Err() != nil:
		return ctap2.SampleNoUserActivity, nil // the platform's time is over
	case err != nil:
		return 0, err
	}
	if len(a.samples) == 0 {
		return ctap2.SampleGood, nil
	}
	s := a.samples[0]
	a.samples = a.samples[1:]
	return s, nil
}

// newTemplate begins to learn a finger.
func (a *Authenticator) newTemplate() (*enrolment, error) {
	e := &enrolment{id: make([]byte, templateIDSize), left: a.cfg.SamplesPerFinger}
	_, err := io.ReadFull(a.rand, e.id)
	return e, err
}
