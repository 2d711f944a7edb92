package u2f_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

// transport answers every APDU by a function and notes them.
type transport struct {
	answer func(c apdu.Command, extended bool, keepalive func(byte)) (apdu.Response, error)
	seen   [][]byte
}

func (tr *transport) MSG(_ context.Context, b []byte, keepalive func(byte)) ([]byte, error) {
	tr.seen = append(tr.seen, bytes.Clone(b))
	c, extended, err := apdu.ParseCommand(b)
	if err != nil {
		return nil, err
	}
	r, err := tr.answer(c, extended, keepalive)
	return r.Marshal(), err
}

func status(sw apdu.SW) func(apdu.Command, bool, func(byte)) (apdu.Response, error) {
	return func(apdu.Command, bool, func(byte)) (apdu.Response, error) { return apdu.Response{SW: sw}, nil }
}

func TestClientRegisterWaitsForTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		response := unhex(t, exampleRegisterResponse)
		tr := &transport{answer: func(c apdu.Command, _ bool, _ func(byte)) (apdu.Response, error) {
			if c.INS != u2f.InsRegister || time.Since(start) < 2*time.Second {
				return apdu.Response{SW: u2f.ErrConditionsNotSatisfied}, nil
			}
			return apdu.Response{Data: response, SW: apdu.OK}, nil
		}}
		var told []byte
		c := u2f.Client{Transport: tr}
		r, err := c.Register(t.Context(), u2f.RegisterRequest{}, func(s byte) { told = append(told, s) })
		if err != nil || !bytes.Equal(r.KeyHandle, unhex(t, exampleKeyHandle)) {
			t.Errorf("got %x, %v", r.KeyHandle, err)
		}
		if took := time.Since(start); took != 2*time.Second || len(tr.seen) != 11 {
			t.Errorf("got the answer after %v and %d requests, want 2s and 11", took, len(tr.seen))
		}
		if !bytes.Equal(told, []byte{u2f.StatusUPNeeded}) {
			t.Errorf("told %x, want UP needed once", told)
		}
	})
}

func TestClientStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := u2f.Client{Transport: &transport{answer: status(u2f.ErrConditionsNotSatisfied)}}
		cause := errors.New("hung up")
		ctx, cancel := context.WithTimeoutCause(t.Context(), 1100*time.Millisecond, cause)
		defer cancel()
		start := time.Now()
		_, err := c.Authenticate(ctx, u2f.AuthenticateRequest{Control: u2f.ControlEnforce}, nil)
		if !errors.Is(err, cause) || time.Since(start) != 1100*time.Millisecond {
			t.Errorf("got %v after %v, want %v after 1.1s", err, time.Since(start), cause)
		}
	})
}

// TestClientRelaysKeepalive has a key that waits for the touch by itself.
func TestClientRelaysKeepalive(t *testing.T) {
	tr := &transport{answer: func(_ apdu.Command, _ bool, keepalive func(byte)) (apdu.Response, error) {
		for _, s := range []byte{1, 2, 2} {
			keepalive(s)
		}
		return apdu.Response{Data: unhex(t, exampleAuthResponse), SW: apdu.OK}, nil
	}}
	var told []byte
	c := u2f.Client{Transport: tr}
	r, err := c.Authenticate(t.Context(), u2f.AuthenticateRequest{Control: u2f.ControlEnforce}, func(s byte) { told = append(told, s) })
	if err != nil || r.Counter != 1 || !bytes.Equal(told, []byte{2}) {
		t.Errorf("got counter %d, %v, told %x; want 1 and UP needed once", r.Counter, err, told)
	}
}

func TestClientDoesNotWaitUnasked(t *testing.T) {
	tr := &transport{answer: status(u2f.ErrConditionsNotSatisfied)}
	c := u2f.Client{Transport: tr}
	_, err := c.Authenticate(t.Context(), u2f.AuthenticateRequest{Control: u2f.ControlDontEnforce}, nil)
	if !errors.Is(err, u2f.ErrConditionsNotSatisfied) || len(tr.seen) != 1 {
		t.Errorf("got %v after %d requests, want ErrConditionsNotSatisfied after one", err, len(tr.seen))
	}
}

func TestClientCheckOnly(t *testing.T) {
	for sw, want := range map[apdu.SW]struct {
		known bool
		err   error
	}{
		u2f.ErrConditionsNotSatisfied: {true, nil},
		u2f.ErrWrongData:              {false, nil},
		u2f.ErrInsNotSupported:        {false, u2f.ErrInsNotSupported},
		apdu.OK:                       {false, u2f.ErrMalformed},
	} {
		tr := &transport{answer: status(sw)}
		c := u2f.Client{Transport: tr}
		known, err := c.CheckOnly(t.Context(), [32]byte{1}, []byte("handle"))
		if known != want.known || !errors.Is(err, want.err) {
			t.Errorf("%04x: got %v, %v, want %v, %v", uint16(sw), known, err, want.known, want.err)
		}
		if tr.seen[0][2] != 0x07 {
			t.Errorf("%04x: got control byte %x, want 07", uint16(sw), tr.seen[0][2])
		}
	}
}

// TestClientFallsBackToShort has a key that knows no extended lengths, and a
// request that then takes two commands.
func TestClientFallsBackToShort(t *testing.T) {
	var chain apdu.Assembler
	var got apdu.Command
	tr := &transport{answer: func(c apdu.Command, extended bool, _ func(byte)) (apdu.Response, error) {
		if extended {
			return apdu.Response{SW: u2f.ErrWrongLength}, nil
		}
		whole, done, err := chain.Add(c)
		if err != nil || !done {
			return apdu.Response{SW: apdu.OK}, err
		}
		got = whole
		return apdu.Response{Data: unhex(t, exampleAuthResponse), SW: apdu.OK}, nil
	}}
	c := u2f.Client{Transport: tr}
	req := u2f.AuthenticateRequest{Control: u2f.ControlDontEnforce, KeyHandle: bytes.Repeat([]byte{7}, 255)}
	for i, want := range []int{3, 5} {
		if _, err := c.Authenticate(t.Context(), req, nil); err != nil {
			t.Fatal(err)
		}
		if len(tr.seen) != want {
			t.Errorf("call %d: got %d commands in all, want %d", i, len(tr.seen), want)
		}
	}
	if r, err := u2f.ParseAuthenticateRequest(got); err != nil || !bytes.Equal(r.KeyHandle, req.KeyHandle) {
		t.Errorf("the key got %x, %v", r.KeyHandle, err)
	}
}

func TestClientVersion(t *testing.T) {
	tr := &transport{answer: func(c apdu.Command, _ bool, _ func(byte)) (apdu.Response, error) {
		return apdu.Response{Data: []byte(u2f.Version2), SW: apdu.OK}, nil
	}}
	c := u2f.Client{Transport: tr}
	if got, err := c.Version(t.Context()); err != nil || got != "U2F_V2" {
		t.Errorf("got %q, %v", got, err)
	}
	if want := []byte{0, 3, 0, 0, 0, 0, 0}; !bytes.Equal(tr.seen[0], want) {
		t.Errorf("got request %x, want %x", tr.seen[0], want)
	}
}

func TestClientTransportError(t *testing.T) {
	broken := errors.New("unplugged")
	c := u2f.Client{Transport: &transport{answer: func(apdu.Command, bool, func(byte)) (apdu.Response, error) {
		return apdu.Response{}, broken
	}}}
	if _, err := c.Register(t.Context(), u2f.RegisterRequest{}, nil); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
