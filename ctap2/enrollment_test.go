package ctap2_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

func bioScript(t *testing.T, cmd byte, option string, answers ...string) (*script, *ctap2.BioEnroller) {
	t.Helper()
	s := &script{answers: map[byte][][]byte{}}
	for _, a := range answers {
		s.answers[cmd] = append(s.answers[cmd], unhex(t, a))
	}
	b, err := ctap2.NewClient(s, nil).BioEnroller(&ctap2.Info{Options: map[string]bool{option: false}}, ctap2.NewToken(pinuv.Two, repeat(5, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s, b
}

func TestEnrollment(t *testing.T) {
	for option, cmd := range map[string]byte{"bioEnroll": 9, "userVerificationMgmtPreview": 0x40} {
		s, b := bioScript(t, cmd, option,
			"00 a1 01 01",                       // modality
			"00 a3 02 01 03 05 08 0f",           // sensor
			"00 a3 04 42 aabb 05 00 06 02",      // first sample
			"00 a2 05 05 06 02",                 // too fast
			"00 a2 05 00 06 00",                 // good
			"00",                                // renamed
			"00 a1 07 81 a2 01 42 aabb 02 616e", // the list
			"00",                                // removed
			"2c",                                // nothing left
			"00",                                // cancelled
		)
		if m, err := b.Modality(t.Context()); m != ctap2.ModalityFingerprint || err != nil {
			t.Errorf("Modality = %d, %v", m, err)
		}
		if info, err := b.SensorInfo(t.Context()); err != nil || info != (ctap2.SensorInfo{Kind: ctap2.FingerprintKindTouch, MaxSamples: 5, MaxNameLength: 15}) {
			t.Errorf("SensorInfo = %+v, %v", info, err)
		}
		e, err := b.Begin(t.Context(), 10*time.Second)
		if err != nil || !cmp.Equal(*e, ctap2.Enrollment{TemplateID: []byte{0xAA, 0xBB}, Status: ctap2.SampleGood, Remaining: 2}) {
			t.Fatalf("Begin = %+v, %v", e, err)
		}
		if err := b.Next(t.Context(), e, 0); err != nil || e.Status != ctap2.SampleTooFast || e.Remaining != 2 {
			t.Errorf("Next = %+v, %v", e, err)
		}
		if err := b.Next(t.Context(), e, time.Microsecond); err != nil || e.Status != ctap2.SampleGood || e.Remaining != 0 {
			t.Errorf("Next = %+v, %v", e, err)
		}
		if err := b.Rename(t.Context(), e.TemplateID, ""); err != nil {
			t.Errorf("Rename: %v", err)
		}
		if list, err := b.List(t.Context()); err != nil || !cmp.Equal(list, []ctap2.Template{{ID: []byte{0xAA, 0xBB}, Name: "n"}}) {
			t.Errorf("List = %+v, %v", list, err)
		}
		if err := b.Remove(t.Context(), e.TemplateID); err != nil {
			t.Errorf("Remove: %v", err)
		}
		if list, err := b.List(t.Context()); err != nil || len(list) > 0 {
			t.Errorf("List without fingerprints = %+v, %v", list, err)
		}
		if err := b.Cancel(t.Context()); err != nil {
			t.Errorf("Cancel: %v", err)
		}
		want := []struct {
			sub           ctap2.BioEnrollmentSubcommand
			params        string
			authenticated bool
		}{
			{0, "", false},
			{7, "", false},
			{1, "a1 03 192710", true},
			{2, "a1 01 42 aabb", true},
			{2, "a2 01 42 aabb 03 01", true},
			{5, "a2 01 42 aabb 02 60", true},
			{4, "", true},
			{6, "a1 01 42 aabb", true},
			{4, "", true},
			{3, "", false},
		}
		for i, request := range s.requests {
			var r ctap2.BioEnrollmentRequest
			if err := ctap2.Unmarshal(request[1:], &r); err != nil {
				t.Fatal(err)
			}
			w := want[i]
			if request[0] != cmd || r.Subcommand != w.sub || !cmp.Equal([]byte(r.SubcommandParams), unhex(t, w.params), equateEmptyBytes) || w.authenticated != (r.PINUVAuthParam != nil) {
				t.Errorf("request %d: %x", i, request)
			}
			if w.authenticated && !pinuv.Two.Verify(repeat(5, 32), r.Authenticated(), r.PINUVAuthParam) {
				t.Errorf("request %d: wrong pinUvAuthParam", i)
			}
			if asksModality := r.GetModality != nil; asksModality != (i == 0) || r.Modality != 1 && i > 0 {
				t.Errorf("request %d: %+v", i, r)
			}
		}
	}
}

var equateEmptyBytes = cmp.Transformer("string", func(b []byte) string { return string(b) })

func TestFingerprintsNotThere(t *testing.T) {
	for _, options := range []map[string]bool{nil, {"uvBioEnroll": true}} {
		if b, err := play(nil).BioEnroller(&ctap2.Info{Options: options}, nil); !errors.Is(err, ctap2.ErrNotSupported) || b != nil {
			t.Errorf("%v: %v, %v", options, b, err)
		}
	}
	// With both the one that is no prototype is taken.
	s := &script{answers: map[byte][][]byte{9: {{0}}}}
	b, err := ctap2.NewClient(s, nil).BioEnroller(&ctap2.Info{Options: map[string]bool{"bioEnroll": true, "userVerificationMgmtPreview": true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Cancel(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStatusesOfBioEnrollment(t *testing.T) {
	for _, status := range []ctap2.Status{
		ctap2.ErrInvalidCommand, ctap2.ErrPUATRequired, ctap2.ErrPINAuthInvalid, ctap2.ErrUnauthorizedPermission, ctap2.ErrFPDatabaseFull,
		ctap2.ErrUserActionTimeout, ctap2.ErrKeepaliveCancel, ctap2.ErrInvalidSubcommand, ctap2.ErrInvalidLength, ctap2.ErrInvalidParameter,
		ctap2.ErrMissingParameter, ctap2.ErrNotAllowed, ctap2.ErrInvalidOption,
	} {
		b, err := play([]byte{byte(status)}).BioEnroller(&ctap2.Info{Options: map[string]bool{"bioEnroll": true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err1 := b.Modality(t.Context())
		_, err2 := b.SensorInfo(t.Context())
		_, err3 := b.Begin(t.Context(), 0)
		err4 := b.Next(t.Context(), &ctap2.Enrollment{}, 0)
		errs := []error{err1, err2, err3, err4, b.Cancel(t.Context()), b.Rename(t.Context(), nil, ""), b.Remove(t.Context(), nil)}
		if status != ctap2.ErrInvalidOption {
			_, err := b.List(t.Context())
			errs = append(errs, err)
		}
		for i, err := range errs {
			e, ok := errors.AsType[*ctap2.Error](err)
			if want := []uint{0, 7, 1, 2, 3, 5, 6, 4}[i]; !ok || e.Status != status || e.Cmd != ctap2.CmdBioEnrollment || e.Subcommand != want {
				t.Errorf("%s: %d: %v", status.Name(), i, err)
			}
		}
	}
}

func TestHostileBioEnrollment(t *testing.T) {
	for _, wire := range []string{"00", "00 a0", "00 a1 04 41 01", "00 a2 05 00 06 00", "00 a3 04 40 05 00 06 00", "00 a2 04 41 01 05 00", "00 a2 04 41 01 06 00", "00 a3 04 41 01 05 20 06 00", "00 a1 07 80 ff", "00 80"} {
		c := play(unhex(t, wire))
		b, err := c.BioEnroller(&ctap2.Info{Options: map[string]bool{"bioEnroll": true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if e, err := b.Begin(t.Context(), 0); !errors.Is(err, ctap2.ErrResponse) || e != nil {
			t.Errorf("%s: Begin = %+v, %v", wire, e, err)
		}
		if _, err := b.Modality(t.Context()); !errors.Is(err, ctap2.ErrResponse) {
			t.Errorf("%s: Modality: %v", wire, err)
		}
	}
	for wire, ok := range map[string]bool{
		"00": true, "00 a0": true, "00 a1 07 80": true, "00 a1 07 81 a1 01 40": false, "00 a1 07 81 a1 02 61 78": false, "00 a1 07 81 01": false, "00 a1 07 a0": false,
	} {
		b, err := play(unhex(t, wire)).BioEnroller(&ctap2.Info{Options: map[string]bool{"bioEnroll": true}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if list, err := b.List(t.Context()); ok != (err == nil) || !ok && !errors.Is(err, ctap2.ErrResponse) || len(list) > 0 {
			t.Errorf("%s: List = %v, %v", wire, list, err)
		}
	}
	// A sensor that does not say how long names may be, and one that says nothing.
	b, err := play([]byte{0}).BioEnroller(&ctap2.Info{Options: map[string]bool{"bioEnroll": true}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := b.SensorInfo(t.Context()); err != nil || info.MaxNameLength != 64 {
		t.Errorf("SensorInfo = %+v, %v", info, err)
	}
	e := &ctap2.Enrollment{TemplateID: []byte{1}, Remaining: 3}
	if err := b.Next(t.Context(), e, 0); !errors.Is(err, ctap2.ErrResponse) || e.Remaining != 3 {
		t.Errorf("Next = %+v, %v", e, err)
	}
}

func TestTimeoutsOfSamples(t *testing.T) {
	for timeout, want := range map[time.Duration]uint{
		0: 0, -time.Second: 0, 1: 1, time.Millisecond: 1, 1999 * time.Microsecond: 1, time.Minute: 60000, math.MaxInt64: math.MaxUint32,
	} {
		s, b := bioScript(t, 9, "bioEnroll", "27")
		if _, err := b.Begin(t.Context(), timeout); !errors.Is(err, ctap2.ErrOperationDenied) {
			t.Fatal(err)
		}
		var r ctap2.BioEnrollmentRequest
		var p ctap2.BioEnrollmentParams
		if err := ctap2.Unmarshal(s.requests[0][1:], &r); err != nil {
			t.Fatal(err)
		}
		if r.SubcommandParams != nil {
			if err := ctap2.Unmarshal(r.SubcommandParams, &p); err != nil {
				t.Fatal(err)
			}
		}
		if p.TimeoutMilliseconds != want || (r.SubcommandParams == nil) != (want == 0) {
			t.Errorf("%v: %d ms, want %d", timeout, p.TimeoutMilliseconds, want)
		}
	}
}
