package softkey_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// TestLongTouchForReset is CTAP 2.3, sections 6.6 and 6.11.5.
func TestLongTouchForReset(t *testing.T) {
	for name, test := range map[string]struct {
		enable bool
		before func(a *softkey.Authenticator)
		want   error
	}{
		"off, short": {false, func(a *softkey.Authenticator) { a.Touch() }, nil},
		"on, short":  {true, func(a *softkey.Authenticator) { a.Touch() }, ctap2.ErrOperationDenied},
		"on, long":   {true, func(a *softkey.Authenticator) { a.LongTouch() }, nil},
		"on, the power in between": {true, func(a *softkey.Authenticator) {
			a.LongTouch()
			a.PowerCycle()
			a.Touch()
		}, ctap2.ErrOperationDenied},
		"on, by script": {true, func(a *softkey.Authenticator) {
			if err := a.SetPresence(softkey.PresenceGrant, 0); err != nil {
				t.Error(err)
			}
		}, nil},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := manage(t, softkey.Config{Presence: softkey.PresenceManual}, 0)
			if test.enable {
				if err := m.configure(ctap2.SubEnableLongTouchForReset, nil); err != nil {
					t.Fatal(err)
				}
			}
			if info := m.a.Info(); *info.LongTouchForReset != test.enable {
				t.Errorf("%s: longTouchForReset is %v", name, *info.LongTouchForReset)
			}
			test.before(m.a)
			if err := m.c.Reset(t.Context()); !errors.Is(err, test.want) {
				t.Errorf("%s: %v, want %v", name, err, test.want)
			}
			if info := m.a.Info(); *info.LongTouchForReset != (test.enable && test.want != nil) {
				t.Errorf("%s: longTouchForReset is %v afterwards", name, *info.LongTouchForReset)
			}
		})
	}
}
