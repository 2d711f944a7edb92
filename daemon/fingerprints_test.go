package daemon_test

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

func TestFingerprints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.protected(softkey.Config{Profile: softkey.ProfileFIDO23Bio, SamplesPerFinger: 3, MaxFingers: 2})
		p := always()
		list := must[api.FingerprintListResult](l, api.OpFingerprintList, api.FingerprintListRequest{}, p)
		if list.Fingerprints == nil || len(list.Fingerprints) != 0 || list.Sensor != "touch" || list.MaxSamples != 3 || list.MaxName == 0 {
			t.Errorf("got %+v", list)
		}

		a.Samples(ctap2.SampleGood, ctap2.SampleTooFast, ctap2.SampleNoUserActivity, ctap2.SampleGood, ctap2.SampleExists, ctap2.SampleGood)
		p.seen = nil
		added := must[api.FingerprintResult](l, api.OpFingerprintAdd, api.FingerprintAddRequest{Name: "left thumb"}, p).Fingerprint
		if added.Name != "left thumb" || len(added.ID) == 0 {
			t.Errorf("got %+v", added)
		}
		var told []string
		for _, prompt := range p.seen {
			if prompt.Kind == api.PromptSample {
				told = append(told, prompt.Sample)
				if n := len(told); n == 1 && prompt.Message != "Touch the sensor of Yubico Key k1 with the finger that it is to know: browser wants to look after its fingerprints; 3 touches at most" {
					t.Errorf("got %q", prompt.Message)
				}
				if n := len(told); n == 3 && (prompt.Message != "Too fast. Touch the sensor of Yubico Key k1 again; 2 more." || *prompt.Remaining != 2) {
					t.Errorf("got %+v", prompt)
				}
			}
		}
		if want := []string{"", "good", "too-fast", "no-user-activity", "good", "exists"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
		if len(p.open) != 0 {
			t.Errorf("%d prompts were not withdrawn", len(p.open))
		}

		// With a finger the key verifies the person itself, also for this.
		p.seen = nil
		must[api.FingerprintListResult](l, api.OpFingerprintList, api.FingerprintListRequest{}, p)
		if kinds := p.kinds(); slices.Contains(kinds, api.PromptPIN) {
			t.Errorf("asked %v, want a finger only", kinds)
		}

		got := must[api.FingerprintResult](l, api.OpFingerprintRename, api.FingerprintRenameRequest{Fingerprint: "left thumb", Name: "thumb"}, p).Fingerprint
		if got.Name != "thumb" || got.ID.String() != added.ID.String() {
			t.Errorf("got %+v", got)
		}
		l.fails(api.OpFingerprintRename, api.FingerprintRenameRequest{Fingerprint: "left thumb", Name: "x"}, p, api.CodeNotFound)
		l.fails(api.OpFingerprintRename, api.FingerprintRenameRequest{Fingerprint: "thumb", Name: strings.Repeat("x", 65)}, p, api.CodeInvalidRequest)
		must[api.FingerprintResult](l, api.OpFingerprintAdd, api.FingerprintAddRequest{Name: "thumb"}, p)
		e := l.fails(api.OpFingerprintRename, api.FingerprintRenameRequest{Fingerprint: "thumb", Name: "x"}, p, api.CodeInvalidRequest)
		if !strings.Contains(e.Message, added.ID.String()) {
			t.Errorf("the candidates are not named: %s", e.Message)
		}
		l.fails(api.OpFingerprintAdd, api.FingerprintAddRequest{Name: "index"}, p, api.CodeFingerprintsFull)

		p.refuses = true
		l.fails(api.OpFingerprintDelete, api.FingerprintRequest{Fingerprint: added.ID.String()}, p, api.CodeDenied)
		p.refuses = false
		must[api.FingerprintResult](l, api.OpFingerprintDelete, api.FingerprintRequest{Fingerprint: added.ID.String()}, p)
		if names := a.Fingers(); !slices.Equal(names, []string{"thumb"}) {
			t.Errorf("the key knows %q", names)
		}
	})
}

// Whoever gives up leaves no finger behind, and the next one begins afresh.
func TestFingerprintGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.protected(softkey.Config{Profile: softkey.ProfileFIDO23Bio, SamplesPerFinger: 2, Presence: softkey.PresenceManual})
		p := always()
		run := l.start(api.OpFingerprintAdd, api.FingerprintAddRequest{Name: "thumb"}, p)
		time.Sleep(time.Second)
		a.Touch()
		time.Sleep(time.Second)
		if open := p.now(api.PromptSample); len(open) != 1 || open[0].Sample != "good" || *open[0].Remaining != 1 {
			t.Errorf("got %+v", open)
		}
		run.cancel()
		_, err := run.wait()
		wantCode(t, err, api.CodeCancelled)
		if len(p.open) != 0 || len(a.Fingers()) != 0 {
			t.Errorf("%d prompts are open, the key knows %q", len(p.open), a.Fingers())
		}

		run = l.start(api.OpFingerprintAdd, api.FingerprintAddRequest{Name: "thumb", TimeoutMS: 30_000}, p)
		_, err = run.wait()
		wantCode(t, err, api.CodeTimeout)

		if err := a.SetPresence(softkey.PresenceGrant, 0); err != nil {
			t.Fatal(err)
		}
		must[api.FingerprintResult](l, api.OpFingerprintAdd, api.FingerprintAddRequest{}, p)
		if names := a.Fingers(); !slices.Equal(names, []string{""}) {
			t.Errorf("the key knows %q, want one without a name", names)
		}
	})
}

func TestFingerprintsThroughTheEmulatedKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := always()
		added := must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "bio", Profile: "fido2.3-bio"}, nil).Key
		if added.Profile != "fido2.3-bio" {
			t.Errorf("got %+v", added)
		}
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		must[api.EmulateResult](l, api.OpEmulateFinger, api.EmulateFingerRequest{Samples: []string{"too-slow", "poor-quality"}}, nil)
		must[api.FingerprintResult](l, api.OpFingerprintAdd, api.FingerprintAddRequest{Name: "thumb"}, p)
		var told []string
		for _, prompt := range p.seen {
			if prompt.Sample != "" && prompt.Sample != "good" {
				told = append(told, prompt.Sample)
			}
		}
		if !slices.Equal(told, []string{"too-slow", "poor-quality"}) {
			t.Errorf("told %q", told)
		}
		l.fails(api.OpEmulateFinger, api.EmulateFingerRequest{Samples: []string{"tasty"}}, nil, api.CodeInvalidRequest)
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "old", Profile: "fido2.1"}, nil)
		l.fails(api.OpEmulateFinger, api.EmulateFingerRequest{Name: "old", Samples: []string{"good"}}, nil, api.CodeUnsupported)
		l.fails(api.OpEmulateAdd, api.EmulateAddRequest{Name: "odd", Profile: "fido9"}, nil, api.CodeInvalidRequest)
	})
}
