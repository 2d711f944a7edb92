package softkey_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

func bioKey(t testing.TB, cfg softkey.Config) *manager {
	t.Helper()
	cfg.Profile = softkey.ProfileFIDO23Bio
	return manage(t, cfg, ctap2.PermissionBioEnrollment)
}

func TestFingerIsEnrolled(t *testing.T) {
	store := &flaky{left: -1}
	m := bioKey(t, softkey.Config{Store: store})
	if info := m.a.Info(); info.Options[ctap2.OptionBioEnroll] || info.Options[ctap2.OptionUV] {
		t.Errorf("a key that knows no finger says %v", info.Options)
	}
	if _, there := m.a.Info().Options[ctap2.OptionBioEnroll]; !there {
		t.Error("the option bioEnroll is not there")
	}
	// A sensor that knows no finger verifies nobody.
	_, err := m.c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, Permissions: ctap2.PermissionConfig})
	wantStatus(t, err, ctap2.ErrNotAllowed)

	got, err := m.fingers(ctap2.SubEnrollBegin, &ctap2.BioEnrollmentParams{TimeoutMilliseconds: 5000})
	if err != nil {
		t.Fatal(err)
	}
	id := got.TemplateID
	for want := uint(softkey.DefaultSamples - 1); ; want-- {
		if *got.LastEnrollSampleStatus != ctap2.SampleGood || *got.RemainingSamples != want {
			t.Fatalf("the sample is %v, %d left; want a good one, %d left", got.LastEnrollSampleStatus, *got.RemainingSamples, want)
		}
		if want == 0 {
			break
		}
		if m.a.Info().Options[ctap2.OptionBioEnroll] {
			t.Error("the finger is enrolled before its last sample")
		}
		if got, err = m.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: id}); err != nil {
			t.Fatal(err)
		}
		if got.TemplateID != nil {
			t.Error("the id came again")
		}
	}
	_, err = m.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: id})
	wantStatus(t, err, ctap2.ErrInvalidOption) // it is over
	if _, err := m.fingers(ctap2.SubSetFriendlyName, &ctap2.BioEnrollmentParams{TemplateID: id, TemplateName: ref("left thumb")}); err != nil {
		t.Fatal(err)
	}
	for _, load := range []bool{false, true} {
		if load {
			m.a, m.c = newKey(t, softkey.Config{Profile: softkey.ProfileFIDO23Bio, Store: store})
			m.allow(ctap2.PermissionBioEnrollment)
		}
		if info := m.a.Info(); !info.Options[ctap2.OptionBioEnroll] || !info.Options[ctap2.OptionUV] {
			t.Errorf("load %v: the options are %v", load, info.Options)
		}
		got, err := m.fingers(ctap2.SubEnumerateEnrollments, nil)
		if err != nil || len(got.Templates) != 1 || !bytes.Equal(got.Templates[0].ID, id) || got.Templates[0].Name != "left thumb" {
			t.Errorf("load %v: the fingers are %+v, %v", load, got, err)
		}
		if names := m.a.Fingers(); !slices.Equal(names, []string{"left thumb"}) {
			t.Errorf("load %v: the fingers are %q", load, names)
		}
	}
	// Now the finger verifies, also for the next finger.
	m.token, err = m.c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, Permissions: ctap2.PermissionBioEnrollment})
	if err != nil {
		t.Fatal(err)
	}
	second := m.enrol()
	if _, err := m.fingers(ctap2.SubRemoveEnrollment, &ctap2.BioEnrollmentParams{TemplateID: id}); err != nil {
		t.Error(err)
	}
	if !m.a.Info().Options[ctap2.OptionUV] {
		t.Error("the other finger is gone too")
	}
	if _, err := m.fingers(ctap2.SubRemoveEnrollment, &ctap2.BioEnrollmentParams{TemplateID: second}); err != nil {
		t.Error(err)
	}
	_, err = m.fingers(ctap2.SubEnumerateEnrollments, nil)
	wantStatus(t, err, ctap2.ErrInvalidOption)
	m.a, m.c = newKey(t, softkey.Config{Profile: softkey.ProfileFIDO23Bio, Store: store})
	if info := m.a.Info(); info.Options[ctap2.OptionBioEnroll] || info.Options[ctap2.OptionUV] {
		t.Errorf("the options are %v after all fingers went", info.Options)
	}
}

func TestSamplesOfAScript(t *testing.T) {
	m := bioKey(t, softkey.Config{SamplesPerFinger: 2})
	script := []ctap2.SampleStatus{
		ctap2.SampleTooFast, ctap2.SamplePoorQuality, ctap2.SampleExists, ctap2.SampleGood, ctap2.SampleNoUserActivity,
		ctap2.SampleMergeFailure, ctap2.SampleNoUserPresenceTransition, ctap2.SampleGood,
	}
	m.a.Samples(script[:3]...)
	m.a.Samples(script[3:]...)
	left := uint(2)
	var id []byte
	for i, want := range script {
		sub, p := ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: id}
		if i == 0 {
			sub, p = ctap2.SubEnrollBegin, nil
		}
		got, err := m.fingers(sub, p)
		if err != nil {
			t.Fatal(err)
		}
		if want == ctap2.SampleGood {
			left--
		}
		if *got.LastEnrollSampleStatus != want || *got.RemainingSamples != left {
			t.Errorf("sample %d is %v, %d left; want %v, %d left", i, got.LastEnrollSampleStatus, *got.RemainingSamples, want, left)
		}
		if i == 0 {
			id = got.TemplateID
		}
	}
	if n := len(m.a.Fingers()); n != 1 {
		t.Errorf("%d fingers, want 1", n)
	}
}

func TestSensorTellsWhatItIs(t *testing.T) {
	for _, samples := range []uint{0, 1, 5} {
		m := bioKey(t, softkey.Config{SamplesPerFinger: samples})
		m.token = nil // neither needs one
		for _, cmd := range []ctap2.Cmd{ctap2.CmdBioEnrollment, ctap2.CmdBioEnrollmentPreview} {
			var got ctap2.BioEnrollmentResponse
			if err := exchange(t, m.a, cmd, &ctap2.BioEnrollmentRequest{GetModality: ref(true)}, &got); err != nil || got.Modality != ctap2.ModalityFingerprint {
				t.Errorf("the modality is %+v, %v", got, err)
			}
			got = ctap2.BioEnrollmentResponse{}
			r := &ctap2.BioEnrollmentRequest{Modality: 1, Subcommand: ctap2.SubGetFingerprintSensorInfo}
			want := samples
			if want == 0 {
				want = softkey.DefaultSamples
			}
			if err := exchange(t, m.a, cmd, r, &got); err != nil || got.FingerprintKind != ctap2.FingerprintKindTouch || got.MaxCaptureSamples != want || got.MaxTemplateNameLength != 64 {
				t.Errorf("the sensor is %+v, %v; want %d samples", got, err, want)
			}
		}
		wantStatus(t, exchange(t, m.a, ctap2.CmdBioEnrollment, &ctap2.BioEnrollmentRequest{GetModality: ref(false)}, nil), ctap2.ErrMissingParameter)
	}
	if _, err := softkey.New(softkey.Config{SamplesPerFinger: 256}); err == nil {
		t.Error("a finger of 256 samples")
	}
}

func TestSensorIsFull(t *testing.T) {
	for _, most := range []uint{0, 1, 2} {
		m := bioKey(t, softkey.Config{MaxFingers: most, SamplesPerFinger: 1})
		if most == 0 {
			most = softkey.DefaultMaxFingers
		}
		var last []byte
		for range most {
			last = m.enrol()
		}
		_, err := m.fingers(ctap2.SubEnrollBegin, nil)
		wantStatus(t, err, ctap2.ErrFPDatabaseFull)
		if _, err := m.fingers(ctap2.SubRemoveEnrollment, &ctap2.BioEnrollmentParams{TemplateID: last}); err != nil {
			t.Error(err)
		}
		m.enrol()
	}
}

func TestFingerNames(t *testing.T) {
	m := bioKey(t, softkey.Config{SamplesPerFinger: 1})
	id := m.enrol()
	for name, want := range map[string]ctap2.Status{
		"": 0, strings.Repeat("x", 63): 0, strings.Repeat("x", 64): 0, strings.Repeat("x", 65): ctap2.ErrInvalidLength,
		strings.Repeat("é", 32): 0, strings.Repeat("é", 32) + "x": ctap2.ErrInvalidLength, "e\u0301": 0,
	} {
		before := m.a.Fingers()
		_, err := m.fingers(ctap2.SubSetFriendlyName, &ctap2.BioEnrollmentParams{TemplateID: id, TemplateName: &name})
		if want == 0 {
			before = []string{name} // as it is
		}
		if want == 0 && err != nil || want != 0 && !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
		if after := m.a.Fingers(); !slices.Equal(after, before) {
			t.Errorf("the names are %q, want %q", after, before)
		}
	}
}

// TestOrderOfBioEnrollment is CTAP 2.3, sections 6.7.4 to 6.7.8. Each row has faults that a later step
// finds, too.
func TestOrderOfBioEnrollment(t *testing.T) {
	m := bioKey(t, softkey.Config{SamplesPerFinger: 1, MaxFingers: 1})
	id := m.enrol() // full, too
	m.allow(ctap2.PermissionConfig)
	wrong, long := make([]byte, 32), strings.Repeat("x", 65)
	whole := params(t, &ctap2.BioEnrollmentParams{TemplateID: id, TemplateName: ref("name")})
	for _, sub := range []ctap2.BioEnrollmentSubcommand{
		ctap2.SubEnrollBegin, ctap2.SubEnrollCaptureNextSample, ctap2.SubEnumerateEnrollments, ctap2.SubSetFriendlyName, ctap2.SubRemoveEnrollment,
	} {
		right, _ := m.sign([]byte{1, byte(sub)}, whole)
		rows := map[string]struct {
			r    ctap2.BioEnrollmentRequest
			want ctap2.Status
		}{
			"no param":         {ctap2.BioEnrollmentRequest{PINUVAuthProtocol: 9}, ctap2.ErrPUATRequired},
			"no modality":      {ctap2.BioEnrollmentRequest{PINUVAuthParam: wrong, PINUVAuthProtocol: 9, SubcommandParams: whole}, ctap2.ErrMissingParameter},
			"wrong modality":   {ctap2.BioEnrollmentRequest{Modality: 2, PINUVAuthParam: wrong, SubcommandParams: whole}, ctap2.ErrInvalidParameter},
			"no protocol":      {ctap2.BioEnrollmentRequest{Modality: 1, PINUVAuthParam: wrong, SubcommandParams: whole}, ctap2.ErrMissingParameter},
			"unknown protocol": {ctap2.BioEnrollmentRequest{Modality: 1, PINUVAuthParam: wrong, PINUVAuthProtocol: 9, SubcommandParams: whole}, ctap2.ErrInvalidParameter},
			"wrong param":      {ctap2.BioEnrollmentRequest{Modality: 1, PINUVAuthParam: wrong, PINUVAuthProtocol: 2, SubcommandParams: whole}, ctap2.ErrPINAuthInvalid},
			"no permission":    {ctap2.BioEnrollmentRequest{Modality: 1, PINUVAuthParam: right, PINUVAuthProtocol: 2, SubcommandParams: whole}, ctap2.ErrPINAuthInvalid},
		}
		if sub == ctap2.SubSetFriendlyName {
			rows["long name"] = struct {
				r    ctap2.BioEnrollmentRequest
				want ctap2.Status
			}{ctap2.BioEnrollmentRequest{Modality: 1, PINUVAuthParam: wrong, PINUVAuthProtocol: 2, SubcommandParams: params(t, &ctap2.BioEnrollmentParams{TemplateID: id, TemplateName: &long})}, ctap2.ErrInvalidLength}
			rows["no name"] = struct {
				r    ctap2.BioEnrollmentRequest
				want ctap2.Status
			}{ctap2.BioEnrollmentRequest{Modality: 1, PINUVAuthParam: wrong, PINUVAuthProtocol: 9, SubcommandParams: params(t, &ctap2.BioEnrollmentParams{TemplateID: id})}, ctap2.ErrMissingParameter}
		}
		if sub != ctap2.SubEnrollBegin && sub != ctap2.SubEnumerateEnrollments {
			rows["no id"] = struct {
				r    ctap2.BioEnrollmentRequest
				want ctap2.Status
			}{ctap2.BioEnrollmentRequest{Modality: 1, PINUVAuthParam: wrong, PINUVAuthProtocol: 9, SubcommandParams: params(t, &ctap2.BioEnrollmentParams{TemplateName: &long})}, ctap2.ErrMissingParameter}
		}
		for name, test := range rows {
			test.r.Subcommand = sub
			if err := exchange(t, m.a, ctap2.CmdBioEnrollment, &test.r, nil); !errors.Is(err, test.want) {
				t.Errorf("subcommand %d, %s: %v, want %v", sub, name, err, test.want)
			}
		}
	}
	m.allow(ctap2.PermissionBioEnrollment)
	nobody := &ctap2.BioEnrollmentParams{TemplateID: []byte("nobody's"), TemplateName: ref("name")}
	for _, sub := range []ctap2.BioEnrollmentSubcommand{ctap2.SubEnrollCaptureNextSample, ctap2.SubSetFriendlyName, ctap2.SubRemoveEnrollment} {
		_, err := m.fingers(sub, nobody)
		wantStatus(t, err, ctap2.ErrInvalidOption)
	}
	for _, sub := range []ctap2.BioEnrollmentSubcommand{8, 0x7F} {
		wantStatus(t, exchange(t, m.a, ctap2.CmdBioEnrollment, &ctap2.BioEnrollmentRequest{Modality: 1, Subcommand: sub}, nil), ctap2.ErrInvalidSubcommand)
	}
	wantStatus(t, exchange(t, m.a, ctap2.CmdBioEnrollment, map[int]int{}, nil), ctap2.ErrMissingParameter)
	if n := len(m.a.Fingers()); n != 1 {
		t.Errorf("%d fingers, want 1", n)
	}
}

func TestEnrolmentIsCancelled(t *testing.T) {
	m := bioKey(t, softkey.Config{})
	_, err := m.fingers(ctap2.SubCancelCurrentEnrollment, nil)
	if err != nil {
		t.Errorf("cancelling none: %v", err)
	}
	for name, end := range map[string]func(){
		"cancel":        func() { m.token = nil; _, _ = m.fingers(ctap2.SubCancelCurrentEnrollment, nil) },
		"another begin": func() { _, _ = m.fingers(ctap2.SubEnrollBegin, nil) },
		"power":         func() { m.a.PowerCycle() },
	} {
		m.allow(ctap2.PermissionBioEnrollment)
		got, err := m.fingers(ctap2.SubEnrollBegin, nil)
		if err != nil {
			t.Fatal(err)
		}
		end()
		m.allow(ctap2.PermissionBioEnrollment)
		if _, err := m.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: got.TemplateID}); !errors.Is(err, ctap2.ErrInvalidOption) {
			t.Errorf("after %s: %v, want INVALID_OPTION", name, err)
		}
	}
	// Other commands and another token do not end it.
	got, err := m.fingers(ctap2.SubEnrollBegin, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.c.GetInfo(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.allow(ctap2.PermissionBioEnrollment)
	if got, err = m.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: got.TemplateID}); err != nil || *got.RemainingSamples != 2 {
		t.Errorf("the next sample: %+v, %v", got, err)
	}
}

// TestFingerOfThePerson is how the person's script is the script of each sample.
func TestFingerOfThePerson(t *testing.T) {
	for name, test := range map[string]struct {
		presence softkey.Presence
		timeout  uint
		do       func(m *manager, cancel func())
		want     ctap2.Status
		sample   ctap2.SampleStatus
		took     time.Duration
	}{
		"grant":      {presence: softkey.PresenceGrant},
		"deny":       {presence: softkey.PresenceDeny, want: ctap2.ErrOperationDenied},
		"delay":      {presence: softkey.PresenceDelay, took: 3 * time.Second},
		"nobody":     {presence: softkey.PresenceManual, sample: ctap2.SampleNoUserActivity, took: softkey.DefaultTouchTimeout},
		"short time": {presence: softkey.PresenceManual, timeout: 2500, sample: ctap2.SampleNoUserActivity, took: 2500 * time.Millisecond},
		"longer":     {presence: softkey.PresenceManual, timeout: 60_000, sample: ctap2.SampleNoUserActivity, took: softkey.DefaultTouchTimeout},
		"much time":  {presence: softkey.PresenceDelay, timeout: 1 << 63, took: 3 * time.Second},
		"touched":    {presence: softkey.PresenceManual, do: func(m *manager, _ func()) { m.a.Touch() }, took: time.Second},
		"cancelled":  {presence: softkey.PresenceManual, do: func(_ *manager, cancel func()) { cancel() }, want: ctap2.ErrKeepaliveCancel, took: time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			var prompts []*softkey.Prompt
			m := bioKey(t, softkey.Config{OnPrompt: func(p *softkey.Prompt) { prompts = append(prompts, p) }})
			got, err := m.fingers(ctap2.SubEnrollBegin, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.a.SetPresence(test.presence, 3*time.Second); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if test.do != nil {
				go func() { time.Sleep(time.Second); test.do(m, cancel) }()
			}
			p := params(t, &ctap2.BioEnrollmentParams{TemplateID: got.TemplateID, TimeoutMilliseconds: test.timeout})
			r := &ctap2.BioEnrollmentRequest{Modality: 1, Subcommand: ctap2.SubEnrollCaptureNextSample, SubcommandParams: p}
			r.PINUVAuthParam, r.PINUVAuthProtocol = m.sign([]byte{1, 2}, p)
			request, err := ctap2.MarshalRequest(ctap2.CmdBioEnrollment, r)
			if err != nil {
				t.Fatal(err)
			}
			prompts = nil
			var keepalives []byte
			began := time.Now()
			answer, err := m.a.CBOR(ctx, request, func(status byte) { keepalives = append(keepalives, status) })
			if err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took != test.took {
				t.Errorf("%s: it took %v, want %v", name, took, test.took)
			}
			if len(keepalives) == 0 || keepalives[0] != ctap2.KeepaliveUPNeeded || keepalives[len(keepalives)-1] != ctap2.KeepaliveProcessing {
				t.Errorf("%s: the keepalives are %v", name, keepalives)
			}
			if test.presence != softkey.PresenceDeny && (len(prompts) != 2 || prompts[0].Command != ctap2.CmdBioEnrollment || prompts[1] != nil) {
				t.Errorf("%s: the prompts are %+v", name, prompts)
			}
			left := uint(3)
			if status := ctap2.Status(answer[0]); status != test.want {
				t.Errorf("%s: %v, want %v", name, status, test.want)
			} else if status == 0 {
				var sample ctap2.BioEnrollmentResponse
				if err := ctap2.UnmarshalLenient(answer[1:], &sample); err != nil {
					t.Fatal(err)
				}
				if *sample.LastEnrollSampleStatus != test.sample {
					t.Errorf("%s: the sample is %v, want %v", name, sample.LastEnrollSampleStatus, test.sample)
				}
				if test.sample == ctap2.SampleGood {
					left--
				}
			}
			// It goes on, whatever became of this sample.
			if err := m.a.SetPresence(softkey.PresenceGrant, 0); err != nil {
				t.Fatal(err)
			}
			m.allow(ctap2.PermissionBioEnrollment)
			next, err := m.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: got.TemplateID})
			if err != nil || *next.RemainingSamples != left-1 {
				t.Errorf("%s: the next sample: %+v, %v; want %d left", name, next, err, left-1)
			}
		})
	}
}

// TestPowerLostAtTheLastSample finds the finger enrolled or not, and never half.
func TestPowerLostAtTheLastSample(t *testing.T) {
	for _, torn := range []bool{false, true} {
		store := &flaky{left: -1}
		m := bioKey(t, softkey.Config{Store: store, SamplesPerFinger: 2})
		got, err := m.fingers(ctap2.SubEnrollBegin, nil)
		if err != nil {
			t.Fatal(err)
		}
		store.left, store.torn = 0, torn
		_, err = m.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: got.TemplateID})
		wantStatus(t, err, ctap2.ErrOther)
		if m.a.Info().Options[ctap2.OptionUV] {
			t.Error("the finger is enrolled though it was not stored")
		}
		store.left = -1
		a, _ := newKey(t, softkey.Config{Profile: softkey.ProfileFIDO23Bio, Store: store})
		if enrolled := a.Info().Options[ctap2.OptionUV]; enrolled != torn {
			t.Errorf("torn %v: enrolled %v after the load", torn, enrolled)
		}
		if torn {
			continue
		}
		// The same key can go on: the last sample was not counted.
		last, err := m.fingers(ctap2.SubEnrollCaptureNextSample, &ctap2.BioEnrollmentParams{TemplateID: got.TemplateID})
		if err != nil || *last.RemainingSamples != 0 || len(m.a.Fingers()) != 1 {
			t.Errorf("the last sample again: %+v, %v, %d fingers", last, err, len(m.a.Fingers()))
		}
	}
}

// TestPrototypeOfBioEnrollment is command 0x40 of before CTAP 2.1.
func TestPrototypeOfBioEnrollment(t *testing.T) {
	m := bioKey(t, softkey.Config{SamplesPerFinger: 2})
	m.cmds.fingers = ctap2.CmdBioEnrollmentPreview
	m.enrol()
	m.token = tokenFor(t, m.c, ctap2.TokenRequest{Legacy: true})
	m.enrol()
	if n := len(m.a.Fingers()); n != 2 {
		t.Errorf("%d fingers, want 2", n)
	}
	m.cmds.fingers = ctap2.CmdBioEnrollment
	_, err := m.fingers(ctap2.SubEnrollBegin, nil)
	wantStatus(t, err, ctap2.ErrPINAuthInvalid)
}

func TestKeysWithoutASensor(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileU2F, softkey.ProfileMinimal, softkey.ProfileFIDO20, softkey.ProfileFIDO21, softkey.ProfileFIDO23} {
		a, _ := newKey(t, softkey.Config{Profile: profile})
		for _, cmd := range []ctap2.Cmd{ctap2.CmdBioEnrollment, ctap2.CmdBioEnrollmentPreview} {
			if err := exchange(t, a, cmd, &ctap2.BioEnrollmentRequest{GetModality: ref(true)}, nil); !errors.Is(err, ctap2.ErrInvalidCommand) {
				t.Errorf("%s, %v: %v, want INVALID_COMMAND", profile, cmd, err)
			}
		}
	}
}

func TestResetForgetsTheFingers(t *testing.T) {
	m := bioKey(t, softkey.Config{SamplesPerFinger: 1})
	m.enrol()
	if err := m.c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(m.a.Fingers()) != 0 || m.a.Info().Options[ctap2.OptionUV] {
		t.Error("a finger is left after a reset")
	}
}

// TestTimeOfASampleIsTheKeysTime moves the key's clock while it waits for a finger.
func TestTimeOfASampleIsTheKeysTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := bioKey(t, softkey.Config{})
		if err := m.a.SetPresence(softkey.PresenceManual, 0); err != nil {
			t.Fatal(err)
		}
		m.a.Advance(time.Second) // off the wall clock
		var got *sampled
		go func() {
			response, err := m.fingers(ctap2.SubEnrollBegin, &ctap2.BioEnrollmentParams{TimeoutMilliseconds: 5000})
			got = &sampled{response, err}
		}()
		synctest.Wait()
		time.Sleep(time.Hour) // of the wall clock
		m.a.Advance(4 * time.Second)
		synctest.Wait()
		if got != nil {
			t.Fatalf("it did not wait for 5 seconds: %+v", got)
		}
		m.a.Advance(time.Second)
		synctest.Wait()
		if got == nil || got.err != nil || *got.response.LastEnrollSampleStatus != ctap2.SampleNoUserActivity {
			t.Fatalf("the sample is %+v", got)
		}
	})
}

type sampled struct {
	response *ctap2.BioEnrollmentResponse
	err      error
}
