package nitrokeypro_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/tokens/accounts"
	"github.com/fobd/fobd/tokens/nitrokeypro"
	"github.com/fobd/fobd/tokens/nitrokeypro/softpro"
	"github.com/fobd/fobd/tokens/otp"
)

var seed = []byte("12345678901234567890")

func open(t *testing.T, k *softpro.Key, pins ...string) *accounts.NitrokeyPro {
	t.Helper()
	o := accounts.Options{Ask: func(_ context.Context, q accounts.Question) ([]byte, error) {
		if len(pins) == 0 {
			return nil, errors.New("nobody")
		}
		pin := pins[0]
		pins = pins[1:]
		return []byte(pin), nil
	}}
	token, err := accounts.OpenNitrokeyPro(t.Context(), k, o)
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

// The checksum of STM32 over one word; a value that any calculator of CRC-32/MPEG-2 gives for the word's bytes from the high one on.
func TestChecksum(t *testing.T) {
	if got := nitrokeypro.Checksum([]byte{0x34, 0x33, 0x32, 0x31, 0x38, 0x37, 0x36, 0x35}); got != mpeg2([]byte("12345678")) {
		t.Errorf("got %08x, want %08x", got, mpeg2([]byte("12345678")))
	}
	if got := mpeg2([]byte("123456789")); got != 0x0376E6E7 { // the check value of CRC-32/MPEG-2
		t.Errorf("mpeg2: %08x", got)
	}
}

func mpeg2(b []byte) uint32 {
	crc := ^uint32(0)
	for _, v := range b {
		crc ^= uint32(v) << 24
		for range 8 {
			if crc&(1<<31) != 0 {
				crc = crc<<1 ^ 0x04C11DB7
			} else {
				crc <<= 1
			}
		}
	}
	return crc
}

func TestAccounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, key := t.Context(), softpro.New()
		key.Busy = 3
		token := open(t, key, "12345678", "12345678", "12345678", "12345678")
		if a := token.About(); !a.Unseen || a.Serial != "5f11" || a.Version != "0.14" {
			t.Errorf("%+v", a)
		}
		if _, err := token.Add(ctx, accounts.New{Issuer: "I", Name: "totp", Params: otp.Parameters{Kind: otp.TOTP, Digits: 8}}, seed); err != nil {
			t.Fatal(err)
		}
		if _, err := token.Add(ctx, accounts.New{Name: "hotp", Params: otp.Parameters{Kind: otp.HOTP}}, seed); err != nil {
			t.Fatal(err)
		}
		_, err := token.Add(ctx, accounts.New{Name: "hotp", Params: otp.Parameters{Kind: otp.HOTP}}, seed)
		want(t, err, accounts.ErrExists)
		list, err := token.List(ctx)
		if err != nil || len(list) != 2 || list[1].Title() != "I:totp" || list[1].Digits != 8 || list[1].Period != 30 || list[0].Kind != accounts.HOTP {
			t.Fatalf("%+v, %v", list, err)
		}
		// RFC 6238, appendix B; RFC 4226, appendix D.
		for at, code := range map[int64]string{59: "94287082", 1111111109: "07081804", 20000000000: "65353130"} {
			if got, err := token.Code(ctx, list[1], time.Unix(at, 0)); err != nil || got.Value != code {
				t.Errorf("at %d: %s, %v, want %s", at, got.Value, err, code)
			}
		}
		for _, code := range []string{"755224", "287082"} {
			if got, err := token.Code(ctx, list[0], time.Now()); err != nil || got.Value != code || !got.Until.IsZero() {
				t.Errorf("%s, %v, want %s", got.Value, err, code)
			}
		}
		all, err := token.Read(ctx, time.Unix(20000000000, 0))
		if err != nil || all[0].Code.Need != accounts.NeedCount || all[1].Code.Value != "65353130" {
			t.Errorf("%+v, %v", all, err)
		}
		if err := token.Delete(ctx, list[1]); err != nil {
			t.Fatal(err)
		}
		if list, err = token.List(ctx); err != nil || len(list) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		_, err = token.Rename(ctx, list[0], "", "x")
		want(t, err, accounts.ErrUnsupported)
		want(t, token.Protect(ctx, nil), accounts.ErrUnsupported)
		want(t, token.Reset(ctx), accounts.ErrUnsupported)
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, key := t.Context(), softpro.New()
		token := open(t, key, "12345678", "12345678", "12345678", "12345678")
		for name, a := range map[string]accounts.New{
			"a long name": {Name: strings.Repeat("x", 16), Params: otp.Parameters{Kind: otp.HOTP}},
			"SHA-256":     {Name: "x", Params: otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA256}},
			"7 digits":    {Name: "x", Params: otp.Parameters{Kind: otp.TOTP, Digits: 7}},
			"a touch":     {Name: "x", Params: otp.Parameters{Kind: otp.TOTP}, Touch: true},
		} {
			if _, err := token.Add(ctx, a, seed); !errors.Is(err, accounts.ErrUnsupported) {
				t.Errorf("%s: %v", name, err)
			}
		}
		for n := range 3 {
			if _, err := token.Add(ctx, accounts.New{Name: fmt.Sprint("h", n), Params: otp.Parameters{Kind: otp.HOTP}}, seed); err != nil {
				t.Fatal(err)
			}
		}
		_, err := token.Add(ctx, accounts.New{Name: "more", Params: otp.Parameters{Kind: otp.HOTP}}, seed)
		want(t, err, accounts.ErrFull)
	})
}

// A PIN costs tries that a person has typed, and the last one stays.
func TestPINs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, key := t.Context(), softpro.New()
		if _, err := open(t, key, "12345678").Add(ctx, accounts.New{Name: "t", Params: otp.Parameters{Kind: otp.TOTP}}, seed); err != nil {
			t.Fatal(err)
		}
		key.Protected = true
		token := open(t, key, "000000", "000000", "123456")
		all, err := token.Read(ctx, time.Unix(59, 0))
		if err != nil || all[0].Code.Need != accounts.NeedPIN {
			t.Fatalf("%+v, %v", all, err)
		}
		for range 2 {
			_, err = token.Code(ctx, all[0].Account, time.Unix(59, 0))
			want(t, err, accounts.ErrWrong)
			if strings.Contains(err.Error(), "000000") {
				t.Errorf("a PIN is told: %v", err)
			}
		}
		_, err = token.Code(ctx, all[0].Account, time.Unix(59, 0))
		want(t, err, accounts.ErrLastTry)
		if key.UserRetries != 1 {
			t.Errorf("%d tries left", key.UserRetries)
		}
		key.UserRetries = 3
		if code, err := token.Code(ctx, all[0].Account, time.Unix(59, 0)); err != nil || code.Value != "287082" {
			t.Errorf("%s, %v", code.Value, err)
		}
		key.AdminRetries = 0
		want(t, token.Delete(ctx, all[0].Account), accounts.ErrBlocked)
	})
}

func TestFaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, key := t.Context(), softpro.New()
		d := nitrokeypro.New(key)
		key.Damage = 2 // read again
		if _, _, err := d.Status(ctx); err != nil {
			t.Error(err)
		}
		key.Damage = 1 << 20
		_, _, err := d.Status(ctx)
		want(t, err, nitrokeypro.ErrMalformed)
		key.Damage, key.Busy = 0, -1
		_, _, err = d.Status(ctx)
		want(t, err, nitrokeypro.ErrSilent)
		soon, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, _, err = d.Status(soon)
		want(t, err, context.DeadlineExceeded)
		key.Busy, key.Fail = 0, errors.New("gone")
		_, _, err = d.Status(ctx)
		want(t, err, key.Fail)
		key.Fail = nil
		_, err = d.Read(ctx, 0x55)
		want(t, err, nitrokeypro.ErrRefused)
		_, err = d.Read(ctx, nitrokeypro.FirstTOTP)
		want(t, err, nitrokeypro.ErrNotProgrammed)
		want(t, d.Erase(ctx, nitrokeypro.FirstTOTP, make([]byte, 25)), nitrokeypro.ErrNotAuthorized)
		_, err = d.Authenticate(ctx, true, make([]byte, 26))
		want(t, err, nitrokeypro.ErrArgument)
		if err := d.SetTime(ctx, time.Unix(100, 0), false); err != nil {
			t.Error(err)
		}
		want(t, d.SetTime(ctx, time.Unix(50, 0), false), nitrokeypro.ErrTimestamp)
		if err := d.SetTime(ctx, time.Unix(50, 0), true); err != nil {
			t.Error(err)
		}
	})
}

func FuzzResponse(f *testing.F) {
	r := nitrokeypro.Response{Cmd: nitrokeypro.CmdStatus}
	b := r.Marshal()
	f.Add(b[:])
	f.Fuzz(func(t *testing.T, data []byte) {
		var b [nitrokeypro.ReportSize]byte
		copy(b[:], data)
		r, err := nitrokeypro.ParseResponse(b)
		if err == nil && r.Marshal() != b {
			t.Errorf("%x is read as %+v", b, r)
		}
		_, _, _, _ = nitrokeypro.ParseRequest(b)
	})
}

// FuzzDevice sends any command, with the right checksum.
func FuzzDevice(f *testing.F) {
	f.Add([]byte{0x17, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		key := softpro.New()
		for len(data) > 0 {
			n := min(len(data), 1+nitrokeypro.PayloadSize)
			report, err := nitrokeypro.Request(nitrokeypro.Cmd(data[0]), data[1:n])
			if err != nil {
				t.Fatal(err)
			}
			if err := key.SetFeature(report[:]); err != nil {
				t.Fatal(err)
			}
			var b [nitrokeypro.ReportSize]byte
			if _, err := key.GetFeature(b[:]); err != nil {
				t.Fatal(err)
			}
			if _, err := nitrokeypro.ParseResponse(b); err != nil {
				t.Fatal(err)
			}
			data = data[n:]
		}
	})
}
