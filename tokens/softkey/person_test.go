package softkey_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
	"github.com/fobd/fobd/u2f"
)

func TestPresence(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  softkey.Config
		do   func(a *softkey.Authenticator, cancel func())
		want ctap2.Status
		took time.Duration
	}{
		"grant":    {cfg: softkey.Config{}},
		"deny":     {cfg: softkey.Config{Presence: softkey.PresenceDeny}, want: ctap2.ErrOperationDenied},
		"delay":    {cfg: softkey.Config{Presence: softkey.PresenceDelay, Delay: 5 * time.Second}, took: 5 * time.Second},
		"nobody":   {cfg: softkey.Config{Presence: softkey.PresenceManual}, want: ctap2.ErrUserActionTimeout, took: 30 * time.Second},
		"patience": {cfg: softkey.Config{Presence: softkey.PresenceManual, TouchTimeout: time.Second}, want: ctap2.ErrUserActionTimeout, took: time.Second},
		"told": {
			cfg:  softkey.Config{Presence: softkey.PresenceManual},
			do:   func(a *softkey.Authenticator, _ func()) { time.Sleep(3 * time.Second); a.Touch() },
			took: 3 * time.Second,
		},
		"cancelled": {
			cfg:  softkey.Config{Presence: softkey.PresenceManual},
			do:   func(_ *softkey.Authenticator, cancel func()) { time.Sleep(2 * time.Second); cancel() },
			want: ctap2.ErrKeepaliveCancel, took: 2 * time.Second,
		},
		"changes their mind": {
			cfg: softkey.Config{Presence: softkey.PresenceManual},
			do: func(a *softkey.Authenticator, _ func()) {
				time.Sleep(4 * time.Second)
				_ = a.SetPresence(softkey.PresenceDeny, 0)
			},
			want: ctap2.ErrOperationDenied, took: 4 * time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a, _ := newKey(t, test.cfg)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.do != nil {
					go test.do(a, cancel)
				}
				began := time.Now()
				var last byte
				response, err := a.CBOR(ctx, []byte{byte(ctap2.CmdSelection)}, func(status byte) { last = status })
				if err != nil {
					t.Fatal(err)
				}
				if got := ctap2.Status(response[0]); got != test.want {
					t.Errorf("the status is %v, want %v", got, test.want)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("it took %v, want %v", took, test.took)
				}
				if last != ctap2.KeepaliveProcessing {
					t.Errorf("the last status is %d: the key still asks for a touch", last)
				}
				if a.Waiting() != nil {
					t.Error("the key still blinks")
				}
			})
		})
	}
}

func TestTouchBeforeTheBlinkingCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newKey(t, softkey.Config{Presence: softkey.PresenceManual})
		a.Touch()
		a.Touch()
		if err := c.Selection(t.Context()); err != nil {
			t.Error(err)
		}
		wantStatus(t, c.Selection(t.Context()), ctap2.ErrUserActionTimeout)
	})
}

func TestPromptSaysWhatFor(t *testing.T) {
	var seen []*softkey.Prompt
	_, c := newKey(t, softkey.Config{OnPrompt: func(p *softkey.Prompt) { seen = append(seen, p) }})
	register(t, c, nil)
	if len(seen) != 2 || seen[0].RPID != rpID || seen[0].Command != ctap2.CmdMakeCredential || seen[1] != nil {
		t.Errorf("the prompts are %+v", seen)
	}
}

func TestU2FWaitsForTheTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newKey(t, softkey.Config{Presence: softkey.PresenceManual, CTAP1Only: true})
		go func() { time.Sleep(2 * time.Second); a.Touch() }()
		began := time.Now()
		client := &u2f.Client{Transport: a}
		application := [32]byte{1}
		made, err := client.Register(t.Context(), u2f.RegisterRequest{Application: application}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 2*time.Second || took > 3*time.Second {
			t.Errorf("it took %v, want about 2 s", took)
		}
		for id, want := range map[string]bool{string(made.KeyHandle): true, "another key's, of a good length, as it seems": false} {
			if ours, err := client.CheckOnly(t.Context(), application, []byte(id)); ours != want || err != nil {
				t.Errorf("check-only says %v, %v; want %v", ours, err, want)
			}
		}
		if ours, _ := client.CheckOnly(t.Context(), [32]byte{2}, made.KeyHandle); ours {
			t.Error("a key handle works for another application")
		}
	})
}

func TestU2FCredentialWorksWithCTAP2AndTheOtherWayRound(t *testing.T) {
	a, c := newKey(t, softkey.Config{})
	u := ctap2.NewU2FClient(a, nil)
	for name, test := range map[string]struct{ make, use ctap2.Authenticator }{
		"made by U2F": {u, c}, "made by CTAP2": {c, u},
	} {
		made, err := test.make.MakeCredential(t.Context(), creation())
		if err != nil {
			t.Fatal(err)
		}
		data, err := made.ParsedAuthData()
		if err != nil {
			t.Fatal(err)
		}
		got, err := test.use.GetAssertion(t.Context(), assertion(data.CredentialID))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := data.PublicKey.Verify(append(got.AuthData, clientDataHash[:]...), got.Signature); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestU2FDoesNotUseProtectedCredentials(t *testing.T) {
	a, c := newKey(t, softkey.Config{})
	made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
		r.Extensions = &ctap2.MakeCredentialExtensions{CredProtect: 3}
	})
	_, err := ctap2.NewU2FClient(a, nil).GetAssertion(t.Context(), assertion(credentialID(t, made)))
	if !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("%v, want no credentials", err)
	}
}

// FuzzAuthenticator gives a key whatever there is. It never panics, the counter never moves back,
// and PIN retries never come back without the PIN.
func FuzzAuthenticator(f *testing.F) {
	for _, request := range [][]byte{{4}, {6, 0xA1, 2, 1}, {7}, {8}, {0x0B}, {0x01, 0xA0}, {0x02, 0xA0}, {0, 3, 0, 0, 0}} {
		f.Add(request, false)
		f.Add(request, true)
	}
	f.Fuzz(func(t *testing.T, request []byte, apdu bool) {
		a, c := newKey(t, softkey.Config{Seed: []byte("fuzz"), Attestation: softkey.AttestationSelf})
		if err := c.SetPIN(t.Context(), 2, []byte("1234")); err != nil {
			t.Fatal(err)
		}
		_, _ = c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte("9999"), Legacy: true})
		id := credentialID(t, register(t, c, nil))
		before := counter(t, c, id)
		var response []byte
		var err error
		if apdu {
			response, err = a.MSG(t.Context(), request, nil)
		} else {
			response, err = a.CBOR(t.Context(), request, nil)
		}
		if err != nil || len(response) == 0 {
			t.Fatalf("%x, %v", response, err)
		}
		if !apdu && response[0] == byte(ctap2.StatusOK) && request[0] == byte(ctap2.CmdReset) {
			return
		}
		if left, _, err := c.PINRetries(t.Context()); left > 7 || err != nil {
			t.Errorf("%d retries, %v", left, err)
		}
		if after := counter(t, c, id); after <= before {
			t.Errorf("the counter went from %d to %d", before, after)
		}
	})
}
