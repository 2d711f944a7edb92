package token2_test

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/tokens/accounts"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/token2"
	"github.com/fobd/fobd/tokens/token2/softtoken2"
)

var seed = []byte("12345678901234567890")

func newKey(t testing.TB) *softtoken2.Key {
	t.Helper()
	k, err := softtoken2.New()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t *testing.T, k *softtoken2.Key, o accounts.Options) *accounts.Token2 {
	t.Helper()
	token, err := accounts.OpenToken2(t.Context(), token2.NewHID(k), o)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func want(t *testing.T, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got %v, want %v", err, target)
	}
}

func TestAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, key := t.Context(), newKey(t)
		key.Busy = 3
		var told []bool
		token := open(t, key, accounts.Options{Touch: func(on bool) { told = append(told, on) }})
		if a := token.About(); !a.Unseen || a.Way != "token2" {
			t.Errorf("%+v", a)
		}
		if list, err := token.List(ctx); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
		totp := otp.Parameters{Kind: otp.TOTP, Digits: 8}
		for _, a := range []accounts.New{
			{Issuer: "I", Name: "totp", Params: totp},
			{Name: "hotp", Params: otp.Parameters{Kind: otp.HOTP}},
			{Name: "pressed", Params: totp, Touch: true},
			{Name: "4", Params: totp},
			{Name: "5", Params: totp},
			{Name: "6", Params: totp}, // more than a page
		} {
			if _, err := token.Add(ctx, a, seed); err != nil {
				t.Fatal(err)
			}
		}
		_, err := token.Add(ctx, accounts.New{Name: "hotp", Params: otp.Parameters{Kind: otp.HOTP}}, seed)
		want(t, err, accounts.ErrExists)
		// RFC 6238, appendix B; RFC 4226, appendix D.
		all, err := token.Read(ctx, time.Unix(59, 0))
		if err != nil || len(all) != 6 || all[0].Code.Value != "94287082" || all[0].Title() != "I:totp" || all[0].Code.Until.Unix() != 60 ||
			all[1].Code.Need != accounts.NeedCount || all[2].Code.Need != accounts.NeedTouch || all[5].Code.Value != "94287082" {
			t.Fatalf("%+v, %v", all, err)
		}
		for _, code := range []string{"755224", "287082"} {
			if got, err := token.Code(ctx, all[1].Account, time.Now()); err != nil || got.Value != code {
				t.Errorf("%s, %v, want %s", got.Value, err, code)
			}
		}
		if got, err := token.Code(ctx, all[2].Account, time.Unix(1111111109, 0)); err != nil || got.Value != "07081804" || fmt.Sprint(told) != "[true false]" {
			t.Errorf("%s, %v, told %v", got.Value, err, told)
		}
		key.Pressed = false
		_, err = token.Code(ctx, all[2].Account, time.Unix(59, 0))
		want(t, err, accounts.ErrTouch)
		if err := token.Delete(ctx, all[0].Account); err != nil {
			t.Fatal(err)
		}
		want(t, token.Delete(ctx, all[0].Account), accounts.ErrNotFound)
		_, err = token.Code(ctx, all[0].Account, time.Unix(59, 0))
		want(t, err, accounts.ErrNotFound)
		key.Capacity = 5
		_, err = token.Add(ctx, accounts.New{Name: "more", Params: totp}, seed)
		want(t, err, accounts.ErrFull)
		for name, a := range map[string]accounts.New{
			"SHA-512":   {Name: "x", Params: otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA512}},
			"a PIN":     {Name: "x", Params: totp, PIN: true},
			"a counter": {Name: "x", Params: otp.Parameters{Kind: otp.HOTP}, Counter: 7},
			"long":      {Name: strings.Repeat("x", 65), Params: totp},
		} {
			if _, err := token.Add(ctx, a, seed); !errors.Is(err, accounts.ErrUnsupported) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, err = token.Rename(ctx, all[1].Account, "", "x")
		want(t, err, accounts.ErrUnsupported)
		want(t, token.Protect(ctx, nil), accounts.ErrUnsupported)
		want(t, token.Reset(ctx), accounts.ErrUnsupported)
	})
}

// What is sent is encrypted for the key, each time in another way.
func TestSeedsAreEncrypted(t *testing.T) {
	key := newKey(t)
	w := &wire{FeatureReports: key}
	s, err := token2.Select(t.Context(), token2.NewHID(w))
	if err != nil {
		t.Fatal(err)
	}
	e := &token2.Entry{Timed: true, Period: 30, Digits: 6, Account: "a name in clear"}
	if err := s.Write(t.Context(), e, seed); err != nil {
		t.Fatal(err)
	}
	if sent := string(w.sent); strings.Contains(sent, "1234567890") || strings.Contains(sent, "in clear") {
		t.Errorf("sent %q", sent)
	}
	list, err := s.List(t.Context(), time.Unix(59, 0))
	if err != nil || len(list) != 1 || list[0].Code != "287082" {
		t.Errorf("%+v, %v", list, err)
	}
	want(t, s.Write(t.Context(), e, nil), token2.ErrArgument)
}

type wire struct {
	token2.FeatureReports
	sent []byte
}

func (w *wire) SetFeature(report []byte) error {
	w.sent = append(w.sent, report...)
	return w.FeatureReports.SetFeature(report)
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		s, err := token2.Select(t.Context(), token2.NewHID(key))
		if err != nil {
			t.Fatal(err)
		}
		key.Busy = -1
		_, err = s.List(t.Context(), time.Now())
		want(t, err, token2.ErrSilent)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.List(ctx, time.Now())
		want(t, err, context.DeadlineExceeded)
		key.Busy, key.Fail = 0, errors.New("gone")
		_, err = s.List(t.Context(), time.Now())
		want(t, err, key.Fail)
		key.Fail = nil
		for _, answer := range []string{"", "\x90", "\x80", "\x00\x01\xC1\x90\x00", "\x00\x01\xC1\x00\x00\x06\x00\x00\x00\x90\x00", "\x00\x01\xC1\x00\x1e\x06\x00\x7f\x90\x00"} {
			if _, err := selected(t, fixed(answer)).List(t.Context(), time.Now()); !errors.Is(err, token2.ErrMalformed) && !errors.Is(err, token2.ErrRefused) {
				t.Errorf("%q: %v", answer, err)
			}
		}
		_, err = token2.Select(t.Context(), fixed("\x6A\x82"))
		want(t, err, token2.ErrNoApplet)
	})
}

// fixed is a card that answers the same to everything.
type fixed string

func (f fixed) Transmit(context.Context, []byte) ([]byte, error) { return []byte(f), nil }

func selected(t *testing.T, f fixed) *token2.Session {
	t.Helper()
	card := &later{}
	s, err := token2.Select(t.Context(), card)
	if err != nil {
		t.Fatal(err)
	}
	card.then = f
	return s
}

// later answers SELECT, and then what it is told to.
type later struct{ then fixed }

func (l *later) Transmit(_ context.Context, command []byte) ([]byte, error) {
	if command[1] == 0xA4 {
		return []byte{0x90, 0}, nil
	}
	return []byte(l.then), nil
}

func FuzzEntry(f *testing.F) {
	e := token2.Entry{Timed: true, Period: 30, Digits: 6, App: "a", Account: "b"}
	f.Add(e.Append(nil, []byte("123456")))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, last, rest, err := token2.Cut(b, func(*token2.Entry) bool { return true })
		if err != nil {
			return
		}
		again, _, _, err := token2.Cut(append(e.Append(nil, last), rest...), func(*token2.Entry) bool { return true })
		if err != nil || *again != *e {
			t.Errorf("%+v, then %+v, %v", e, again, err)
		}
	})
}

func FuzzReports(f *testing.F) {
	for _, r := range token2.Reports([]byte("a message")) {
		f.Add(r[:])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c token2.Collector
		key := newKey(t)
		for len(data) > 0 {
			var r [token2.ReportSize]byte
			data = data[copy(r[:], data):]
			_, _, _ = c.Add(r)
			if err := key.SetFeature(r[:]); err != nil {
				t.Fatal(err)
			}
			if _, err := key.GetFeature(r[:]); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzBlob(f *testing.F) {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(make([]byte, 80))
	f.Add(append(private.PublicKey().Bytes()[1:], make([]byte, 32)...))
	f.Fuzz(func(_ *testing.T, blob []byte) { _, _, _ = token2.Open(private, blob) })
}
