package oath_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/tokens/oath/applet"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/u2f/apdu"
)

// What a status word means, by the command that it answers.
func TestMeanings(t *testing.T) {
	account := oath.Account{Account: "b", Params: totp(otp.SHA1, 6), Overwrite: true}
	cases := []struct {
		name string
		p    applet.Personality
		sw   apdu.SW
		do   func(*oath.Session, oath.Credential) error
		want error
	}{
		{"full", applet.YubiKey, 0x6A84, func(s *oath.Session, _ oath.Credential) error { return second(s.Put(t.Context(), account, seed20)) }, oath.ErrFull},
		{"a NEO that is full", applet.NEO, 0x6F00, func(s *oath.Session, _ oath.Credential) error { return second(s.Put(t.Context(), account, seed20)) }, oath.ErrFull},
		{"no such account", applet.YubiKey, 0x6984, func(s *oath.Session, c oath.Credential) error { return s.Delete(t.Context(), c) }, oath.ErrNotFound},
		{"no such account, Nitrokey", applet.Nitrokey, 0x6A82, func(s *oath.Session, c oath.Credential) error { return s.Delete(t.Context(), c) }, oath.ErrNotFound},
		{"memory", applet.YubiKey, 0x6581, func(s *oath.Session, c oath.Credential) error { return second(s.Calculate(t.Context(), c, time.Now())) }, oath.ErrDamaged},
		{"memory, Nitrokey", applet.Nitrokey, 0x6500, func(s *oath.Session, c oath.Credential) error { return s.Delete(t.Context(), c) }, oath.ErrDamaged},
		{"a counter at its end", applet.Nitrokey, 0x6500, func(s *oath.Session, c oath.Credential) error { return second(s.Calculate(t.Context(), c, time.Now())) }, oath.ErrSpent},
		{"values", applet.YubiKey, 0x6A80, func(s *oath.Session, c oath.Credential) error { return second(s.Calculate(t.Context(), c, time.Now())) }, oath.ErrRefused},
		{"a hash it lacks", applet.Nitrokey, 0x6A81, func(s *oath.Session, c oath.Credential) error { return second(s.Calculate(t.Context(), c, time.Now())) }, oath.ErrUnsupported},
		{"a command it lacks", applet.YubiKey, 0x6D00, func(s *oath.Session, c oath.Credential) error { return second(s.Rename(t.Context(), c, "", "b")) }, oath.ErrUnsupported},
		{"a name that is taken, CanoKey", applet.CanoKey, 0x6985, func(s *oath.Session, c oath.Credential) error { return second(s.Rename(t.Context(), c, "", "b")) }, oath.ErrExists},
		{"a name that is taken, Nitrokey", applet.Nitrokey, 0x6983, func(s *oath.Session, _ oath.Credential) error { return second(s.Put(t.Context(), account, seed20)) }, oath.ErrExists},
		{"makes no codes", applet.Nitrokey, 0x6985, func(s *oath.Session, c oath.Credential) error { return second(s.Calculate(t.Context(), c, time.Now())) }, oath.ErrUnsupported},
		{"an accounts' lock that came from elsewhere", applet.YubiKey, 0x6982, func(s *oath.Session, _ oath.Credential) error { return second(s.List(t.Context())) }, oath.ErrLocked},
		{"no word", applet.YubiKey, 0x1234, func(s *oath.Session, _ oath.Credential) error { return second(s.List(t.Context())) }, oath.ErrRefused},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := &wire{card: newCard(t, applet.Config{Personality: c.p})}
			s := choose(t, w, oath.Options{Model: modelOf(c.p)})
			credential := put(t, s, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed20)
			credential.Touch = oath.TouchNever
			w.answer = func(command []byte) []byte {
				if c.want == oath.ErrExists && oath.Cmd(command[1]) == oath.CmdList {
					return nil
				}
				return []byte{byte(c.sw >> 8), byte(c.sw)}
			}
			err := c.do(s, credential)
			want(t, err, c.want)
			want(t, err, c.sw)
		})
	}
}

// The names of readers tell the model, where their makers named them.
func TestModelOfReader(t *testing.T) {
	for name, model := range map[string]oath.Model{
		"Yubico YubiKey OTP+FIDO+CCID 00 00":         oath.ModelYubiKey,
		"Yubico Yubikey NEO OTP+U2F+CCID 01 00":      oath.ModelYubiKey,
		"Canokeys Canokey [OpenPGP PIV OATH] 00 00":  oath.ModelCanoKey,
		"Nitrokey Nitrokey 3 [CCID/ICCD] 00 00":      oath.ModelNitrokey,
		"ACS ACR122U PICC Interface 00 00":           "",
		"Alcor Micro AU9560 00 00":                   "",
		"HID Global OMNIKEY 5022 Smart Card Reader ": "",
	} {
		if got := oath.ModelOfReader(name); got != model {
			t.Errorf("%s: %q, want %q", name, got, model)
		}
	}
}

// No verb, log or encoding shows what is secret.
func TestSecretsAreNotPrinted(t *testing.T) {
	const secret = "hush-hush"
	b := []byte(secret)
	values := []any{
		applet.State{Personality: applet.Nitrokey, Code: &applet.AccessCode{Hash: otp.SHA1, Key: b}, PIN: &applet.PIN{Value: b}, Entries: []applet.Entry{{Name: []byte("a"), Key: b, Password: b}}},
		&applet.State{PIN: &applet.PIN{Value: b}},
		applet.AccessCode{Hash: otp.SHA1, Key: b},
		&applet.AccessCode{Key: b},
		applet.PIN{Value: b},
		&applet.PIN{Value: b},
		applet.Entry{Name: []byte("a"), Key: b, Login: b, Password: b, Metadata: b},
		[]applet.Entry{{Key: b}},
		oath.Fields{Login: b, Password: b, Metadata: b},
		&oath.Fields{Login: b},
		oath.Account{Account: "a", Fields: oath.Fields{Password: b}},
		oath.Code{Value: secret},
		&oath.Code{Value: secret},
		oath.Reading{Code: oath.Code{Value: secret}},
		[]oath.Reading{{Code: oath.Code{Value: secret}}},
	}
	for _, v := range values {
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		if _, ok := v.(oath.Fields); ok {
			if err := json.NewEncoder(&out).Encode(v); err != nil {
				t.Error(err)
			}
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		text := out.String()
		for _, shown := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret), strings.Trim(fmt.Sprint(b), "[]"), fmt.Sprintf("%#v", b)} {
			if strings.Contains(text, shown) {
				t.Errorf("%T shows %s:\n%s", v, shown, text)
			}
		}
	}
	f := oath.Fields{Login: []byte(secret), Password: b}
	f.Wipe()
	if f.Login != nil || f.Password != nil || !bytes.Equal(b, make([]byte, len(secret))) {
		t.Errorf("wiped: %q, %q", b, f.Login)
	}
}

// All that the secrets app of a Nitrokey has beside YKOATH.
func TestNitrokey(t *testing.T) {
	var prompts []string
	card := newCard(t, applet.Config{Personality: applet.Nitrokey, Touch: func(_ context.Context, p applet.Prompt) bool {
		prompts = append(prompts, fmt.Sprintf("%02x %s", byte(p.Cmd), p.Name))
		return true
	}})
	var told []bool
	s := choose(t, oath.NewCTAPHID(card.Vendor), oath.Options{Touch: func(on bool) { told = append(told, on) }})
	steps := func(want ...string) {
		t.Helper()
		if !slices.Equal(prompts, want) || len(told) != 2*len(want) {
			t.Errorf("touches %q, told %v, want %q", prompts, told, want)
		}
		prompts, told = nil, nil
	}
	a := put(t, s, oath.Account{Issuer: "ACME", Account: "alice", Params: totp(otp.SHA1, 6), Fields: oath.Fields{Login: []byte("al")}}, seed20)
	b := put(t, s, oath.Account{Account: "touched", Params: totp(otp.SHA1, 6), Touch: true}, seed20)
	steps("01 touched")
	t.Run("codes one by one", func(t *testing.T) {
		put(t, s, oath.Account{Account: "h", Params: otp.Parameters{Kind: otp.HOTP}}, seed20)
		put(t, s, oath.Account{Account: "p", Kind: oath.Password, Fields: oath.Fields{Password: []byte("x")}}, nil)
		all, err := s.CalculateAll(t.Context(), time.Unix(59, 0))
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, r := range all {
			got[r.Name()] = r.Code.Value + string(r.Code.Need)
		}
		if fmt.Sprint(got) != "map[ACME:alice:287082 h:count p:none touched:touch]" {
			t.Errorf("%v", got)
		}
		steps() // no touch was asked for
	})
	t.Run("new name", func(t *testing.T) {
		got, err := s.Rename(t.Context(), a, "Acme", "bob")
		if err != nil || got.ID != "Acme:bob" || !got.Data {
			t.Fatalf("%+v, %v", got, err)
		}
		steps("b7 ACME:alice")
		if code, err := s.Calculate(t.Context(), got, time.Unix(59, 0)); err != nil || code.Value != "287082" {
			t.Errorf("%v, %v", code, err)
		}
		_, err = s.Rename(t.Context(), got, "", "touched")
		want(t, err, oath.ErrExists)
		_, err = s.Rename(t.Context(), a, "", "x")
		want(t, err, oath.ErrNotFound)
		prompts, told = nil, nil
		a = got
	})
	t.Run("fields", func(t *testing.T) {
		got, err := s.SetFields(t.Context(), a, oath.Fields{Password: []byte("hush"), Metadata: []byte("note")})
		if err != nil || !got.Data {
			t.Fatalf("%+v, %v", got, err)
		}
		f, err := s.Get(t.Context(), a)
		if err != nil || string(f.Login) != "al" || string(f.Password) != "hush" || string(f.Metadata) != "note" {
			t.Errorf("%q %q %q, %v", f.Login, f.Password, f.Metadata, err)
		}
		_, err = s.SetFields(t.Context(), a, oath.Fields{Login: make([]byte, 128)})
		want(t, err, oath.ErrArgument)
		old := choose(t, newCard(t, applet.Config{Personality: applet.Nitrokey, Version: oath.Version{4, 12, 0}}), oath.Options{})
		c := put(t, old, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed20)
		_, err = old.SetFields(t.Context(), c, oath.Fields{Login: []byte("x")})
		want(t, err, oath.ErrUnsupported)
		prompts, told = nil, nil
	})
	t.Run("challenge and response", func(t *testing.T) {
		put(t, s, oath.Account{Account: "HmacSlot2", Kind: oath.HMAC}, seed20)
		for _, n := range []int{1, 32, 63} {
			challenge := bytes.Repeat([]byte{0xA5}, n)
			m := hmac.New(sha1.New, seed20)
			m.Write(challenge)
			if got, err := s.Respond(t.Context(), 2, challenge); err != nil || !bytes.Equal(got, m.Sum(nil)) {
				t.Errorf("%d bytes: %x, %v", n, got, err)
			}
		}
		_, err := s.Respond(t.Context(), 1, []byte("x"))
		want(t, err, oath.ErrNotFound)
		for slot, challenge := range map[int][]byte{0: {1}, 3: {1}, 1: {}, 2: make([]byte, 64)} {
			_, err := s.Respond(t.Context(), slot, challenge)
			want(t, err, oath.ErrArgument)
		}
		_, err = s.Put(t.Context(), oath.Account{Account: "HmacSlot1", Kind: oath.HMAC}, seed32)
		if err == nil {
			t.Error("a key of 32 bytes is taken")
		}
		prompts, told = nil, nil
	})
	t.Run("deleting", func(t *testing.T) {
		if err := s.Delete(t.Context(), b); err != nil {
			t.Error(err)
		}
		steps("02 touched")
		want(t, s.Delete(t.Context(), b), oath.ErrNotFound)
		prompts, told = nil, nil
	})
	t.Run("reset", func(t *testing.T) {
		before := s.Info().DeviceID
		if err := s.Reset(t.Context()); err != nil {
			t.Error(err)
		}
		steps("04 ")
		if list, err := s.List(t.Context()); err != nil || len(list) != 0 || s.Info().DeviceID == before {
			t.Errorf("%v, %v", list, err)
		}
	})
	t.Run("what a YubiKey lacks", func(t *testing.T) {
		s := choose(t, newCard(t, applet.Config{}), oath.Options{})
		c := put(t, s, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed20)
		_, err := s.Respond(t.Context(), 1, []byte("x"))
		want(t, err, oath.ErrUnsupported)
		_, err = s.Get(t.Context(), c)
		want(t, err, oath.ErrUnsupported)
		_, err = s.SetFields(t.Context(), c, oath.Fields{})
		want(t, err, oath.ErrUnsupported)
		want(t, s.VerifyCode(t.Context(), c, "123456"), oath.ErrUnsupported)
		want(t, s.SetPIN(t.Context(), []byte("1234")), oath.ErrUnsupported)
		_, err = s.Put(t.Context(), oath.Account{Account: "p", PIN: true, Params: totp(otp.SHA1, 6)}, seed20)
		want(t, err, oath.ErrUnsupported)
		_, err = s.Put(t.Context(), oath.Account{Account: "p", Kind: oath.Password}, nil)
		want(t, err, oath.ErrUnsupported)
	})
}

// Firmware 4.2.0 to 4.2.6 overlooks a touch after a long response, unless a command that means nothing comes between.
func TestTouchAfterLongResponse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for version, extra := range map[oath.Version]bool{{4, 1, 9}: false, {4, 2, 0}: true, {4, 2, 6}: true, {4, 2, 7}: false, {5, 4, 3}: false} {
			w := &wire{card: newCard(t, applet.Config{Version: version})}
			s := choose(t, w, oath.Options{})
			for n := range 4 {
				put(t, s, oath.Account{Issuer: "some issuer", Account: fmt.Sprint(n), Params: totp(otp.SHA1, 6)}, seed20)
			}
			list, err := s.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			calculate := func() (commands int) {
				w.sent = nil
				if _, err := s.Calculate(t.Context(), list[0], time.Now()); err != nil {
					t.Errorf("%s: %v", version, err)
				}
				return len(w.sent)
			}
			if got := calculate() == 2; got != extra {
				t.Errorf("%s: sent %x", version, w.sent)
			}
			if calculate() != 1 {
				t.Errorf("%s, after a short response: sent %x", version, w.sent)
			}
			if _, err := s.List(t.Context()); err != nil {
				t.Error(err)
			}
			time.Sleep(3 * time.Second)
			if calculate() != 1 {
				t.Errorf("%s, after a while: sent %x", version, w.sent)
			}
		}
	})
}

// The card is pulled while it waits for a touch, in a chain of commands, and between the pages of a response: no half account, no hang.
func TestPulledInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var card *applet.Applet
		card = newCard(t, applet.Config{NoExtended: true, Touch: func(ctx context.Context, _ applet.Prompt) bool {
			time.Sleep(time.Second)
			go card.Power(false)
			<-ctx.Done()
			return false
		}})
		var told []bool
		s := choose(t, card, oath.Options{Touch: func(on bool) { told = append(told, on) }})
		c := put(t, s, oath.Account{Account: "a", Params: otp.Parameters{Kind: otp.HOTP}, Touch: true}, seed20)
		_, err := s.Calculate(t.Context(), c, time.Now())
		want(t, err, applet.ErrGone)
		if fmt.Sprint(told) != "[true false]" {
			t.Errorf("told %v", told)
		}
		if n := card.Snapshot().Entries[0].Counter; n != 0 {
			t.Errorf("counter %d", n)
		}
	})
	t.Run("chain", func(t *testing.T) {
		card := newCard(t, applet.Config{NoExtended: true, Version: oath.Version{5, 4, 3}})
		long := oath.Account{Issuer: strings.Repeat("i", 31), Account: strings.Repeat("a", 31), Params: totp(otp.SHA512, 6), Overwrite: true}
		s := choose(t, card, oath.Options{})
		first := put(t, s, long, seed64)
		commands := func(do func(s *oath.Session)) int {
			w := &wire{card: card}
			s := choose(t, w, oath.Options{})
			w.sent = nil
			do(s)
			return len(w.sent)
		}
		replace := func(s *oath.Session) { _, _ = s.Put(t.Context(), long, seed32) }
		before := card.Snapshot()
		n := commands(replace)
		if err := card.Restore(before); err != nil {
			t.Fatal(err)
		}
		for at := range n {
			faults := make([]applet.Fault, at+1)
			faults[at].PullBefore = true
			s := choose(t, card, oath.Options{})
			card.SetFaults(faults...)
			_, err := s.Put(t.Context(), long, seed32)
			want(t, err, applet.ErrGone)
			card.Power(true)
			k, err := otp.NewKey(totp(otp.SHA512, 6).Default(), seed64)
			if err != nil {
				t.Fatal(err)
			}
			if code, err := choose(t, card, oath.Options{}).Calculate(t.Context(), first, time.Unix(0, 0)); err != nil || code.Value != k.Code(0) {
				t.Errorf("pulled before command %d of %d: %v, %v", at, n, code, err)
			}
		}
	})
	t.Run("pages", func(t *testing.T) {
		card := newCard(t, applet.Config{})
		s := choose(t, card, oath.Options{})
		for n := range 12 {
			put(t, s, oath.Account{Issuer: strings.Repeat("i", 40), Account: fmt.Sprint(n), Params: totp(otp.SHA1, 6)}, seed20)
		}
		s = choose(t, card, oath.Options{})
		card.SetFaults(applet.Fault{}, applet.Fault{PullBefore: true})
		list, err := s.List(t.Context())
		want(t, err, applet.ErrGone)
		if list != nil {
			t.Errorf("half a list: %v", list)
		}
		card.Power(true)
		// And what another program does between two pages is no list of ours.
		s = choose(t, card, oath.Options{})
		card.SetFaults(applet.Fault{}, applet.Fault{SW: 0x6D00})
		_, err = s.List(t.Context())
		if err == nil {
			t.Error("a page that fails is the end of a list")
		}
	})
}

// A snapshot is put back; what runs then ends as if the card was pulled.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		card := newCard(t, applet.Config{Touch: func(ctx context.Context, _ applet.Prompt) bool { <-ctx.Done(); return false }})
		s := choose(t, card, oath.Options{})
		put(t, s, oath.Account{Account: "a", Params: otp.Parameters{Kind: otp.HOTP}}, seed20)
		touched := put(t, s, oath.Account{Account: "t", Params: totp(otp.SHA1, 6), Touch: true}, seed20)
		before := card.Snapshot()
		id := s.Info().DeviceID
		ended := make(chan error, 1)
		go func() { ended <- second(s.Calculate(t.Context(), touched, time.Now())) }()
		synctest.Wait()
		if err := card.Restore(before); err != nil {
			t.Fatal(err)
		}
		want(t, <-ended, applet.ErrGone)
		s = choose(t, card, oath.Options{})
		if err := s.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := card.Restore(before); err != nil {
			t.Fatal(err)
		}
		s = choose(t, card, oath.Options{})
		if list, err := s.List(t.Context()); err != nil || len(list) != 2 || s.Info().DeviceID != id {
			t.Errorf("%v, %v", list, err)
		}
		want(t, card.Restore(applet.State{Personality: applet.NEO, Salt: make([]byte, 8)}), applet.ErrState)
		want(t, card.Restore(applet.State{Personality: applet.YubiKey}), applet.ErrState)
		twice := before
		twice.Entries = append(slices.Clone(before.Entries), before.Entries[0])
		want(t, card.Restore(twice), applet.ErrState)
	})
}

// What cannot be kept has not happened.
func TestSaveFails(t *testing.T) {
	full := errors.New("no space left on device")
	var fail error
	card := newCard(t, applet.Config{Save: func(s applet.State) error { s.Wipe(); return fail }})
	s := choose(t, card, oath.Options{})
	h := put(t, s, oath.Account{Account: "h", Params: otp.Parameters{Kind: otp.HOTP}}, seed20)
	fail = full
	_, err := s.Put(t.Context(), oath.Account{Account: "x", Params: totp(otp.SHA1, 6)}, seed20)
	want(t, err, oath.ErrDamaged)
	_, err = s.Calculate(t.Context(), h, time.Now())
	want(t, err, oath.ErrDamaged)
	want(t, s.Delete(t.Context(), h), oath.ErrDamaged)
	want(t, s.Reset(t.Context()), oath.ErrDamaged)
	want(t, card.Restore(card.Snapshot()), full)
	fail = nil
	s = choose(t, card, oath.Options{})
	if code, err := s.Calculate(t.Context(), h, time.Now()); err != nil || code.Value != "755224" {
		t.Errorf("%v, %v", code, err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// A warm reset and a power cycle lock the card.
func TestPowerLocks(t *testing.T) {
	for name, cycle := range map[string]func(applet.Slot){
		"reset": applet.Slot.Reset,
		"power": func(s applet.Slot) { s.Power(false); s.Power(true) },
	} {
		card := newCard(t, applet.Config{})
		s := choose(t, card, oath.Options{})
		if err := s.SetCode(t.Context(), []byte("sesame")); err != nil {
			t.Fatal(err)
		}
		if _, err := s.List(t.Context()); err != nil {
			t.Error(err)
		}
		cycle(card.Slot())
		_, err := s.List(t.Context())
		if err == nil {
			t.Errorf("%s: the card is open", name)
		}
		if got := card.Slot().Transmit([]byte{0, 0xA1, 0, 0}); !bytes.Equal(got, []byte{0x6D, 0}) {
			t.Errorf("%s: LIST without SELECT gives %x", name, got)
		}
		if i := choose(t, card, oath.Options{}).Info(); i.Unlocked || i.Protection != oath.ProtectionCode {
			t.Errorf("%s: %+v", name, i)
		}
	}
	card := newCard(t, applet.Config{})
	card.Power(false)
	if got := card.Slot().Transmit([]byte{0, 0xA1, 0, 0}); !bytes.Equal(got, []byte{0x6F, 0}) {
		t.Errorf("a card that is gone says %x", got)
	}
}

// An account whose challenges only increase refuses the past.
func TestIncreasingChallenges(t *testing.T) {
	card := newCard(t, applet.Config{})
	s := choose(t, card, oath.Options{})
	c := put(t, s, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed20)
	state := card.Snapshot()
	state.Entries[0].Properties = oath.PropertyIncreasing
	if err := card.Restore(state); err != nil {
		t.Fatal(err)
	}
	s = choose(t, card, oath.Options{})
	for _, at := range []int64{90, 90, 120} {
		if _, err := s.Calculate(t.Context(), c, time.Unix(at, 0)); err != nil {
			t.Errorf("at %d: %v", at, err)
		}
	}
	_, err := s.Calculate(t.Context(), c, time.Unix(90, 0))
	want(t, err, apdu.ErrSecurityStatus)
	if _, err := s.CalculateAll(t.Context(), time.Unix(90, 0)); err == nil {
		t.Error("the past is computed")
	}
	if err := card.Restore(card.Snapshot()); err != nil { // it lasts over a power cycle
		t.Fatal(err)
	}
	_, err = choose(t, card, oath.Options{}).Calculate(t.Context(), c, time.Unix(90, 0))
	want(t, err, apdu.ErrSecurityStatus)
}

// FuzzNames lists a credential of any name; whatever the name, it can be asked for its code and deleted by what the list says.
func FuzzNames(f *testing.F) {
	for _, s := range []string{"60/I:a", "7/x", "30/x", "a:b:c", ":", "0/x", "99999999999999999999/x", "_hidden:a", "Steam:x", "\xff\xfe", "/", "60/", ""} {
		f.Add([]byte(s), byte(0x21))
	}
	f.Fuzz(func(t *testing.T, name []byte, typed byte) {
		state := applet.State{Personality: applet.YubiKey, Salt: make([]byte, 8), Entries: []applet.Entry{{Name: name, Type: typed, Digits: 6, Key: seed20}}}
		card, err := applet.New(applet.Config{State: &state})
		if err != nil {
			return
		}
		s := choose(t, card, oath.Options{})
		list, err := s.List(t.Context())
		if err != nil {
			return // of a kind that no YubiKey has
		}
		c := list[0]
		if !slices.Equal([]byte(c.ID), name) {
			t.Fatalf("%q is listed as %q", name, c.ID)
		}
		if c.Kind == oath.TOTP || c.Kind == oath.Steam || c.Kind == oath.HOTP {
			if _, err := s.Calculate(t.Context(), c, time.Unix(59, 0)); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		if err := s.Delete(t.Context(), c); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	})
}
