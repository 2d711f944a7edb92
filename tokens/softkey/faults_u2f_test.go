package softkey_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/tokens/softkey"
	"github.com/fobd/fobd/u2f"
)

// TestClientsMeetFaultsOfU2F is a U2F client at a key whose U2F answers are wrong, late or missing.
func TestClientsMeetFaultsOfU2F(t *testing.T) {
	for word, want := range map[string]func(err error, took time.Duration) bool{
		"response=u2f:6985:once": func(err error, _ time.Duration) bool { return err == nil }, // asked again, as if not touched
		"response=u2f:6a80":      func(err error, _ time.Duration) bool { return errors.Is(err, u2f.ErrWrongData) },
		"garble=u2f":             func(err error, _ time.Duration) bool { return err != nil },
		"truncate=u2f":           func(err error, _ time.Duration) bool { return err != nil },
		"slow=u2f:3s:once":       func(err error, took time.Duration) bool { return err == nil && took >= 3*time.Second },
		"hang=u2f":               func(err error, took time.Duration) bool { return err != nil && took >= 10*time.Second },
	} {
		t.Run(word, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				faults, err := softkey.ParseFaults(word)
				if err != nil {
					t.Fatal(err)
				}
				a, _ := newKey(t, softkey.Config{Profile: softkey.ProfileU2F, Faults: faults})
				c := &u2f.Client{Transport: a}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				began := time.Now()
				_, err = c.Register(ctx, u2f.RegisterRequest{}, nil)
				if took := time.Since(began); !want(err, took) {
					t.Errorf("%v after %v", err, took)
				}
				a.SetFaults(softkey.Faults{})
				if _, err := c.Register(t.Context(), u2f.RegisterRequest{}, nil); err != nil {
					t.Errorf("without the fault: %v", err)
				}
			})
		})
	}
}
