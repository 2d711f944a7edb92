package softkey_test

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/tokens/softkey"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

func send(t *testing.T, a *softkey.Authenticator, request []byte) apdu.Response {
	t.Helper()
	b, err := a.MSG(t.Context(), request, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := apdu.ParseResponse(b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestU2FStatusWords is FIDO U2F Raw Message Formats 1.2, section 3.3.
func TestU2FStatusWords(t *testing.T) {
	a, _ := newKey(t, softkey.Config{})
	modern, _ := newKey(t, softkey.Config{CTAP2Only: true})
	data := func(head []byte, n int) []byte { return append(append(head, byte(n)), make([]byte, n)...) }
	for name, test := range map[string]struct {
		key     *softkey.Authenticator
		request []byte
		want    apdu.SW
	}{
		"version, short":       {a, []byte{0, 3, 0, 0}, apdu.OK},
		"version, short, Le":   {a, []byte{0, 3, 0, 0, 0}, apdu.OK},
		"version, extended":    {a, []byte{0, 3, 0, 0, 0, 0, 0}, apdu.OK},
		"version with data":    {a, []byte{0, 3, 0, 0, 1, 9}, u2f.ErrWrongLength},
		"register, short":      {a, data([]byte{0, 1, 0, 0}, 64), apdu.OK},
		"register, extended":   {a, append(data([]byte{0, 1, 3, 0, 0, 0}, 64), 0, 0), apdu.OK},
		"register, too little": {a, data([]byte{0, 1, 0, 0}, 63), u2f.ErrWrongLength},
		"authenticate, little": {a, data([]byte{0, 2, 7, 0}, 64), u2f.ErrWrongLength},
		"unknown key handle":   {a, append(data([]byte{0, 2, 7, 0}, 65), 0), u2f.ErrWrongData},
		"unknown instruction":  {a, []byte{0, 9, 0, 0}, u2f.ErrInsNotSupported},
		"unknown class":        {a, []byte{0x80, 3, 0, 0}, u2f.ErrClaNotSupported},
		"cut":                  {a, []byte{0, 1}, u2f.ErrWrongLength},
		"empty":                {a, nil, u2f.ErrWrongLength},
		"no U2F":               {modern, []byte{0, 3, 0, 0}, u2f.ErrInsNotSupported},
	} {
		if got := send(t, test.key, test.request); got.SW != test.want {
			t.Errorf("%s: %v, want %v", name, got.SW, test.want)
		}
	}
	if got := send(t, a, []byte{0, 3, 0, 0}); string(got.Data) != "U2F_V2" {
		t.Errorf("the version is %q", got.Data)
	}
}

func TestU2FTakesChainedCommands(t *testing.T) {
	a, _ := newKey(t, softkey.Config{})
	if got := send(t, a, append([]byte{0x10, 1, 0, 0, 40}, make([]byte, 40)...)); got.SW != apdu.OK || len(got.Data) != 0 {
		t.Errorf("the first part: %v with %d bytes", got.SW, len(got.Data))
	}
	if got := send(t, a, append([]byte{0, 1, 0, 0, 24}, make([]byte, 24)...)); got.SW != apdu.OK || len(got.Data) == 0 {
		t.Errorf("the last part: %v with %d bytes", got.SW, len(got.Data))
	}
	send(t, a, append([]byte{0x10, 1, 0, 0, 40}, make([]byte, 40)...))
	a.PowerCycle() // forgets the first part
	if got := send(t, a, append([]byte{0, 1, 0, 0, 24}, make([]byte, 24)...)); got.SW != u2f.ErrWrongLength {
		t.Errorf("the last part after a power cycle: %v, want wrong length", got.SW)
	}
}

// TestU2FPresence is FIDO U2F Raw Message Formats 1.2, section 5.1: what each control byte asks of the
// person.
func TestU2FPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := newKey(t, softkey.Config{Presence: softkey.PresenceDelay, Delay: time.Second})
		register, err := u2f.RegisterRequest{}.Command().Extended()
		if err != nil {
			t.Fatal(err)
		}
		if got := send(t, a, register); got.SW != u2f.ErrConditionsNotSatisfied {
			t.Fatalf("register without a touch: %v", got.SW)
		}
		time.Sleep(500 * time.Millisecond)
		if got := send(t, a, register); got.SW != u2f.ErrConditionsNotSatisfied {
			t.Fatalf("register too early: %v", got.SW)
		}
		if a.Waiting() == nil {
			t.Error("the key does not say that it waits")
		}
		time.Sleep(500 * time.Millisecond)
		got := send(t, a, register)
		if got.SW != apdu.OK {
			t.Fatalf("register: %v", got.SW)
		}
		made, err := u2f.ParseRegisterResponse(got.Data)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(control u2f.Control) apdu.Response {
			c, err := u2f.AuthenticateRequest{Control: control, KeyHandle: made.KeyHandle}.Command()
			if err != nil {
				t.Fatal(err)
			}
			b, err := c.Short()
			if err != nil {
				t.Fatal(err)
			}
			return send(t, a, b)
		}
		presence := func(r apdu.Response) byte {
			parsed, err := u2f.ParseAuthenticateResponse(r.Data)
			if err != nil {
				t.Fatalf("%v: %v", r.SW, err)
			}
			return parsed.UserPresence
		}
		if r := ask(u2f.ControlCheckOnly); r.SW != u2f.ErrConditionsNotSatisfied {
			t.Errorf("check only: %v", r.SW)
		}
		if got := presence(ask(u2f.ControlDontEnforce)); got != 0 {
			t.Errorf("a signature without a touch has presence %d", got)
		}
		if r := ask(u2f.ControlEnforce); r.SW != u2f.ErrConditionsNotSatisfied {
			t.Errorf("enforce without a touch: %v", r.SW)
		}
		if err := a.SetPresence(softkey.PresenceManual, 0); err != nil {
			t.Fatal(err)
		}
		a.Touch()
		if got := presence(ask(u2f.ControlEnforce)); got != u2f.UserPresent {
			t.Errorf("a signature after a touch has presence %d", got)
		}
		if r := ask(u2f.ControlEnforce); r.SW != u2f.ErrConditionsNotSatisfied {
			t.Errorf("one touch for two signatures: %v", r.SW)
		}
		if r := ask(0x55); r.SW != u2f.ErrWrongData {
			t.Errorf("unknown control byte: %v", r.SW)
		}
		if p, d, v := a.Behaviour(); p != softkey.PresenceManual || d != 0 || v != softkey.VerificationNone {
			t.Errorf("the behaviour is %v, %v, %v", p, d, v)
		}
		if !bytes.HasPrefix(made.Certificate, []byte{0x30}) {
			t.Error("no certificate")
		}
	})
}
