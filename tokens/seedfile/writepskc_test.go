package seedfile_test

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/seedfile"
)

func someTokens(t *testing.T) []seedfile.Token {
	t.Helper()
	return []seedfile.Token{
		{
			Serial: "H<1>&", Manufacturer: "oath.EX", Model: "M", Issuer: "Ünï", Account: "uid=alice",
			Params: otp.Parameters{Kind: otp.HOTP, Digits: 8}.Default(), Seed: unhex(t, seed20), Counter: 1<<63 - 1,
			Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Expiry: time.Date(2036, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		{
			Serial: "T1", Drift: -3, Seed: unhex(t, seed32),
			Params: otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA256, Digits: 6, Period: 60},
		},
		{
			Serial: "E1", Seed: unhex(t, seed64),
			Params: otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA512, Digits: 10, Period: 30, Epoch: 946684800},
		},
		{Serial: "O1", Seed: unhex(t, seed20), Params: otp.Parameters{Kind: otp.OCRA, Suite: "OCRA-1:HOTP-SHA1-6:C-QN08"}, Counter: 4},
	}
}

func write(t *testing.T, tokens []seedfile.Token, o seedfile.WriteOptions) string {
	t.Helper()
	var b bytes.Buffer
	if err := seedfile.WritePSKC(&b, tokens, o); err != nil {
		t.Fatalf("WritePSKC: %v", err)
	}
	return b.String()
}

func sameToken(a, b seedfile.Token) bool {
	return a.Serial == b.Serial && a.Manufacturer == b.Manufacturer && a.Model == b.Model && a.Issuer == b.Issuer && a.Account == b.Account &&
		a.Params == b.Params && bytes.Equal(a.Seed, b.Seed) && a.Counter == b.Counter && a.Drift == b.Drift &&
		a.Start.Equal(b.Start) && a.Expiry.Equal(b.Expiry)
}

func TestWritePSKCIsReadAgain(t *testing.T) {
	tokens := someTokens(t)
	for _, o := range []seedfile.WriteOptions{
		{Key: make([]byte, 16)},
		{Key: make([]byte, 24), KeyName: "a<b"},
		{Key: make([]byte, 32)},
		{Passphrase: []byte("correct horse"), Iterations: 1000},
	} {
		text := write(t, tokens, o)
		r := read(t, text, seedfile.Options{Key: o.Key, Passphrase: o.Passphrase})
		if len(r.Tokens) != len(tokens) || len(r.Refused) != 0 {
			t.Fatalf("got %v, refused %v", r.Tokens, r.Refused)
		}
		for i, want := range tokens {
			if got := r.Tokens[i]; !sameToken(got, want) {
				t.Errorf("got %v %+v counter %d drift %d, want %v %+v", got, got.Params, got.Counter, got.Drift, want, want.Params)
			}
		}
		for _, secret := range []string{"MTIzNDU2", "313233", "12345678901", "correct horse"} {
			if strings.Contains(text, secret) {
				t.Errorf("the file has %q in the clear", secret)
			}
		}
	}
}

func TestWritePSKCTwiceIsNotTheSame(t *testing.T) {
	o := seedfile.WriteOptions{Key: make([]byte, 16)}
	first, second := write(t, someTokens(t), o), write(t, someTokens(t), o)
	if first == second {
		t.Error("two files are the same: an IV was used twice")
	}
}

func TestWritePSKCRefusals(t *testing.T) {
	good := someTokens(t)[1]
	with := func(f func(*seedfile.Token)) []seedfile.Token {
		bad := good
		f(&bad)
		return []seedfile.Token{good, bad}
	}
	key := seedfile.WriteOptions{Key: make([]byte, 16)}
	for want, c := range map[string]struct {
		tokens []seedfile.Token
		o      seedfile.WriteOptions
	}{
		"no tokens":          {nil, key},
		"no key and":         {[]seedfile.Token{good}, seedfile.WriteOptions{}},
		"a key and a":        {[]seedfile.Token{good}, seedfile.WriteOptions{Key: make([]byte, 16), Passphrase: []byte("x")}},
		"a key of 5 bytes":   {[]seedfile.Token{good}, seedfile.WriteOptions{Key: make([]byte, 5)}},
		"999 iterations":     {[]seedfile.Token{good}, seedfile.WriteOptions{Passphrase: []byte("x"), Iterations: 999}},
		"no serial":          {with(func(t *seedfile.Token) { t.Serial = "" }), key},
		"cannot be printed":  {with(func(t *seedfile.Token) { t.Model = "a\x00" }), key},
		"no Steam":           {with(func(t *seedfile.Token) { t.Params = otp.Parameters{Kind: otp.Steam} }), key},
		"counter is more":    {with(func(t *seedfile.Token) { t.Counter = 1 << 63 }), key},
		"within a time step": {with(func(t *seedfile.Token) { t.Params.Epoch = 7 }), key},
		"a seed of 0 bytes":  {with(func(t *seedfile.Token) { t.Seed = nil }), key},
	} {
		var b bytes.Buffer
		err := seedfile.WritePSKC(&b, c.tokens, c.o)
		if !errors.Is(err, seedfile.ErrWrite) || b.Len() != 0 {
			t.Errorf("%s: got %v and %d bytes, want ErrWrite and none", want, err, b.Len())
			continue
		}
		wantIn(t, err.Error(), want)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestWritePSKCSaysWhenTheWriterFails(t *testing.T) {
	err := seedfile.WritePSKC(brokenWriter{}, someTokens(t), seedfile.WriteOptions{Key: make([]byte, 16)})
	if !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v, want the writer's error", err)
	}
}
