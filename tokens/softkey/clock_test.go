package softkey_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

func TestVirtualClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newKey(t, softkey.Config{Presence: softkey.PresenceManual})
		done := make(chan error)
		reset := func() { go func() { done <- c.Reset(t.Context()) }() }
		reset()
		synctest.Wait()
		a.Advance(29 * time.Second)
		synctest.Wait()
		if a.Waiting() == nil {
			t.Fatal("the key does not blink any more")
		}
		a.Advance(time.Second)
		wantStatus(t, <-done, ctap2.ErrUserActionTimeout)
		a.Touch()
		wantStatus(t, c.Reset(t.Context()), ctap2.ErrNotAllowed)
		a.PowerCycle()
		time.Sleep(time.Hour) // of the wall, which the key has left
		a.Advance(10 * time.Second)
		a.Touch()
		if err := c.Reset(t.Context()); err != nil {
			t.Error(err)
		}
		if err := a.SetPresence(softkey.PresenceDelay, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		a.PowerCycle()
		reset()
		synctest.Wait()
		a.Advance(time.Minute)
		if err := <-done; err != nil {
			t.Errorf("a person with a delay: %v", err)
		}
	})
}

func TestTokensEndOnTheVirtualClock(t *testing.T) {
	a, c := pinKey(t, softkey.Config{})
	token := pinToken(t, c, ctap2.TokenRequest{Protocol: 2, PIN: []byte(pin), Permissions: ctap2.PermissionGetAssertion, RPID: rpID})
	a.Advance(time.Minute)
	wantStatus(t, assertWith(t, c, token, nil, rpID), ctap2.ErrPINAuthInvalid)
}
