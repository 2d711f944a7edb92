package oath_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
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

var (
	seed20 = []byte("12345678901234567890")
	seed32 = []byte("12345678901234567890123456789012")
	seed64 = []byte("1234567890123456789012345678901234567890123456789012345678901234")
)

// wire is a card that notes what is sent, and can answer in the place of the one behind it.
type wire struct {
	card   oath.Card
	sent   [][]byte
	answer func(command []byte) []byte // nil: as the card does
}

func (w *wire) Transmit(ctx context.Context, command []byte) ([]byte, error) {
	w.sent = append(w.sent, bytes.Clone(command))
	if w.answer != nil {
		if b := w.answer(command); b != nil {
			return b, nil
		}
	}
	return w.card.Transmit(ctx, command)
}

func newCard(t testing.TB, cfg applet.Config) *applet.Applet {
	t.Helper()
	a, err := applet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func choose(t testing.TB, card oath.Card, o oath.Options) *oath.Session {
	t.Helper()
	s, err := oath.Select(t.Context(), card, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *oath.Session, a oath.Account, seed []byte) oath.Credential {
	t.Helper()
	c, err := s.Put(t.Context(), a, seed)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func want(t testing.TB, err, target error) {
	t.Helper()
	if !errors.Is(err, target) {
		t.Errorf("got %v, want %v", err, target)
	}
}

func totp(hash otp.Hash, digits int) otp.Parameters {
	return otp.Parameters{Kind: otp.TOTP, Hash: hash, Digits: digits}
}

// RFC 6238, appendix B, and RFC 4226, appendix D, computed on all kinds of devices.
func TestCodesOfTheRFCs(t *testing.T) {
	for _, p := range applet.Personalities() {
		for _, codes := range []applet.Codes{applet.CodesReduced, applet.CodesWhole} {
			t.Run(string(p)+"/"+string(codes), func(t *testing.T) {
				s := choose(t, newCard(t, applet.Config{Personality: p, Codes: codes}), oath.Options{Model: modelOf(p)})
				c1 := put(t, s, oath.Account{Account: "one", Params: totp(otp.SHA1, 8)}, seed20)
				c256 := put(t, s, oath.Account{Account: "256", Params: totp(otp.SHA256, 8)}, seed32)
				cases := []struct {
					c    oath.Credential
					at   int64
					want string
				}{
					{c1, 59, "94287082"},
					{c1, 1111111109, "07081804"},
					{c1, 20000000000, "65353130"},
					{c256, 59, "46119246"},
					{c256, 1111111111, "67062674"},
					{c256, 20000000000, "77737706"},
				}
				if p == applet.YubiKey || p == applet.CanoKey {
					c512 := put(t, s, oath.Account{Account: "512", Params: totp(otp.SHA512, 8)}, seed64)
					cases = append(cases, struct {
						c    oath.Credential
						at   int64
						want string
					}{c512, 1234567890, "93441116"})
				}
				for _, c := range cases {
					got, err := s.Calculate(t.Context(), c.c, time.Unix(c.at, 0))
					if err != nil || got.Value != c.want || got.From.After(time.Unix(c.at, 0)) || !got.Until.After(time.Unix(c.at, 0)) {
						t.Errorf("%s at %d: %s, %v, want %s", c.c.ID, c.at, got.Value, err, c.want)
					}
				}
				h := put(t, s, oath.Account{Account: "hotp", Params: otp.Parameters{Kind: otp.HOTP}}, seed20)
				first := []string{"755224", "287082", "359152", "969429"}
				if p == applet.CanoKey {
					first = first[1:] // it counts before
				}
				for n, code := range first {
					if got, err := s.Calculate(t.Context(), h, time.Now()); err != nil || got.Value != code {
						t.Errorf("code %d: %s, %v, want %s", n, got.Value, err, code)
					}
				}
			})
		}
	}
}

func modelOf(p applet.Personality) oath.Model {
	switch p {
	case applet.CanoKey:
		return oath.ModelCanoKey
	case applet.Nitrokey:
		return oath.ModelNitrokey
	}
	return oath.ModelYubiKey
}

// The messages that other programs were asked for.
func TestMessages(t *testing.T) {
	data, err := os.ReadFile("testdata/messages.json")
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		YKOATH struct {
			AccessKey struct {
				Salt     string `json:"salt_hex"`
				Password string `json:"password"`
				Key      string `json:"key_hex"`
			} `json:"access_key"`
			DeviceID  string `json:"device_id"`
			Calculate struct {
				APDU     string `json:"apdu_hex"`
				Response string `json:"response_hex"`
				Code     string `json:"code"`
			} `json:"calculate_totp"`
		} `json:"ykoath"`
		Steam struct {
			Vectors []struct {
				Time int64  `json:"time"`
				Code string `json:"code"`
			} `json:"vectors"`
		} `json:"steam"`
		Nitrokey struct {
			Put string `json:"put_totp_touch_apdu_hex"`
		} `json:"nitrokey"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	salt, err := hex.DecodeString(v.YKOATH.AccessKey.Salt)
	if err != nil {
		t.Fatal(err)
	}
	state := applet.State{Personality: applet.YubiKey, Salt: salt}
	w := &wire{card: newCard(t, applet.Config{State: &state})}
	s := choose(t, w, oath.Options{})
	if s.Info().DeviceID != v.YKOATH.DeviceID {
		t.Errorf("device id %s", s.Info().DeviceID)
	}
	if key, err := s.AccessKey([]byte(v.YKOATH.AccessKey.Password)); err != nil || hex.EncodeToString(key) != v.YKOATH.AccessKey.Key {
		t.Errorf("access key %x, %v", key, err)
	}
	c := put(t, s, oath.Account{Issuer: "ACME", Account: "alice", Params: totp(otp.SHA1, 6)}, seed20)
	w.sent = nil
	if code, err := s.Calculate(t.Context(), c, time.Unix(1111111109, 0)); err != nil || code.Value != v.YKOATH.Calculate.Code || hex.EncodeToString(w.sent[0]) != v.YKOATH.Calculate.APDU {
		t.Errorf("%s, %v, sent %x", code.Value, err, w.sent)
	}
	steam := put(t, s, oath.Account{Issuer: "Steam", Account: "gamer", Params: otp.Parameters{Kind: otp.Steam}}, seed20)
	for _, x := range v.Steam.Vectors {
		if code, err := s.Calculate(t.Context(), steam, time.Unix(x.Time, 0)); err != nil || code.Value != x.Code {
			t.Errorf("Steam at %d: %s, %v, want %s", x.Time, code.Value, err, x.Code)
		}
	}
	// Over CTAPHID the APDU is as it was sent to a Nitrokey by others, and its answer has the status word first.
	nk := newCard(t, applet.Config{Personality: applet.Nitrokey})
	var vendor [][]byte
	s = choose(t, oath.NewCTAPHID(func(ctx context.Context, cmd byte, payload []byte, keepalive func(byte)) ([]byte, error) {
		vendor = append(vendor, bytes.Clone(payload))
		return nk.Vendor(ctx, cmd, payload, keepalive)
	}), oath.Options{})
	put(t, s, oath.Account{Issuer: "ACME", Account: "alice", Params: totp(otp.SHA1, 6), Touch: true}, seed20)
	if last := vendor[len(vendor)-1]; hex.EncodeToString(last) != v.Nitrokey.Put {
		t.Errorf("put: sent %x, want %s", last, v.Nitrokey.Put)
	}
}

// Traps of the protocol, by name.
func TestPitfalls(t *testing.T) {
	t.Run("the property has no length", func(t *testing.T) {
		w := &wire{card: newCard(t, applet.Config{})}
		put(t, choose(t, w, oath.Options{}), oath.Account{Account: "a", Params: totp(otp.SHA1, 6), Touch: true}, seed20)
		if last := w.sent[len(w.sent)-1]; !bytes.HasSuffix(last, []byte{oath.TagProperty, oath.PropertyTouch}) {
			t.Errorf("sent %x", last)
		}
	})
	t.Run("short seeds are padded on the right", func(t *testing.T) {
		w := &wire{card: newCard(t, applet.Config{})}
		s := choose(t, w, oath.Options{})
		c := put(t, s, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, []byte("short"))
		if last := w.sent[len(w.sent)-1]; !bytes.Contains(last, append([]byte("short"), make([]byte, 9)...)) {
			t.Errorf("sent %x", last)
		}
		k, err := otp.NewKey(totp(otp.SHA1, 6).Default(), append([]byte("short"), make([]byte, 9)...)) // zeros do not change an HMAC
		if err != nil {
			t.Fatal(err)
		}
		if code, err := s.Calculate(t.Context(), c, time.Unix(90, 0)); err != nil || code.Value != k.Code(3) {
			t.Errorf("%s, %v, want %s", code.Value, err, k.Code(3))
		}
	})
	t.Run("seeds longer than a block are hashed", func(t *testing.T) {
		s := choose(t, newCard(t, applet.Config{}), oath.Options{})
		long := bytes.Repeat([]byte("x"), 65)
		c := put(t, s, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, long)
		k, err := otp.NewKey(totp(otp.SHA1, 6).Default(), long)
		if err != nil {
			t.Fatal(err)
		}
		if code, err := s.Calculate(t.Context(), c, time.Unix(0, 0)); err != nil || code.Value != k.Code(0) {
			t.Errorf("%s, %v", code.Value, err)
		}
	})
	t.Run("counters have 32 bits", func(t *testing.T) {
		s := choose(t, newCard(t, applet.Config{}), oath.Options{})
		h := put(t, s, oath.Account{Account: "h", Params: otp.Parameters{Kind: otp.HOTP}, Counter: 1<<32 - 2}, seed20)
		k, err := otp.NewKey(otp.Parameters{Kind: otp.HOTP}.Default(), seed20)
		if err != nil {
			t.Fatal(err)
		}
		if code, err := s.Calculate(t.Context(), h, time.Now()); err != nil || code.Value != k.Code(1<<32-2) {
			t.Errorf("%s, %v", code.Value, err)
		}
		_, err = s.Put(t.Context(), oath.Account{Account: "x", Params: otp.Parameters{Kind: otp.HOTP}, Counter: 1 << 32}, seed20)
		if err == nil {
			t.Error("a counter of 33 bits is taken")
		}
	})
	t.Run("responses go on with SEND REMAINING", func(t *testing.T) {
		w := &wire{card: newCard(t, applet.Config{})}
		s := choose(t, w, oath.Options{})
		for n := range 20 {
			put(t, s, oath.Account{Issuer: "a rather long issuer of some length", Account: fmt.Sprintf("account%02d", n), Params: totp(otp.SHA1, 6)}, seed20)
		}
		w.sent = nil
		list, err := s.List(t.Context())
		if err != nil || len(list) != 20 {
			t.Fatalf("%d, %v", len(list), err)
		}
		if len(w.sent) < 2 || w.sent[1][1] != byte(oath.CmdSendRemaining) {
			t.Errorf("sent %x", w.sent)
		}
		all, err := s.CalculateAll(t.Context(), time.Now())
		if err != nil || len(all) != 20 || all[0].Code.Value == "" {
			t.Errorf("%d, %v", len(all), err)
		}
	})
	t.Run("periods are in names", func(t *testing.T) {
		s := choose(t, newCard(t, applet.Config{}), oath.Options{})
		p := totp(otp.SHA1, 6)
		p.Period = 60
		c := put(t, s, oath.Account{Issuer: "I", Account: "a", Params: p}, seed20)
		if c.ID != "60/I:a" || c.Period != 60 || c.Issuer != "I" || c.Account != "a" || c.Name() != "I:a" {
			t.Errorf("%+v", c)
		}
		k, err := otp.NewKey(p.Default(), seed20)
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.CalculateAll(t.Context(), time.Unix(120, 0))
		if err != nil || all[0].Code.Value != k.Code(2) || all[0].Code.Until.Unix() != 180 {
			t.Errorf("%+v, %v", all, err)
		}
		_, err = s.Put(t.Context(), oath.Account{Account: "60/x", Params: totp(otp.SHA1, 6)}, seed20)
		want(t, err, oath.ErrName)
		h := put(t, s, oath.Account{Account: "7/x", Params: otp.Parameters{Kind: otp.HOTP}}, seed20)
		if h.Account != "7/x" || h.Period != 0 {
			t.Errorf("%+v", h)
		}
	})
	t.Run("firmware before 4.3.5 takes a name for another that it begins", func(t *testing.T) {
		s := choose(t, newCard(t, applet.Config{Version: oath.Version{4, 3, 4}}), oath.Options{})
		put(t, s, oath.Account{Account: "alice2", Params: totp(otp.SHA1, 6)}, seed20)
		_, err := s.Put(t.Context(), oath.Account{Account: "alice", Params: totp(otp.SHA1, 6)}, seed20)
		want(t, err, oath.ErrPrefix)
		put(t, s, oath.Account{Account: "alice23", Params: totp(otp.SHA1, 6)}, seed20)
	})
	t.Run("old firmware lacks things", func(t *testing.T) {
		s := choose(t, newCard(t, applet.Config{Version: oath.Version{4, 2, 4}}), oath.Options{})
		_, err := s.Put(t.Context(), oath.Account{Account: "a", Params: totp(otp.SHA512, 6)}, seed20)
		want(t, err, oath.ErrUnsupported)
		_, err = s.Put(t.Context(), oath.Account{Account: "a", Params: totp(otp.SHA1, 6), Touch: true}, seed20)
		want(t, err, oath.ErrUnsupported)
		c := put(t, s, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed20)
		_, err = s.Rename(t.Context(), c, "", "b")
		want(t, err, oath.ErrUnsupported)
	})
	t.Run("long commands are chained, or extended, as the card takes them", func(t *testing.T) {
		for name, cfg := range map[string]applet.Config{"no extended": {NoExtended: true}, "no chaining": {NoChaining: true}, "both": {}} {
			for _, extended := range []bool{false, true} {
				s := choose(t, newCard(t, cfg), oath.Options{Extended: extended})
				a := oath.Account{Issuer: strings.Repeat("i", 30), Account: strings.Repeat("a", 30), Params: totp(otp.SHA512, 6)}
				if _, err := s.Put(t.Context(), a, seed64); err != nil {
					t.Errorf("%s, extended %t: %v", name, extended, err)
				}
			}
		}
	})
	t.Run("hidden accounts are known", func(t *testing.T) {
		s := choose(t, newCard(t, applet.Config{}), oath.Options{})
		if c := put(t, s, oath.Account{Issuer: "_hidden", Account: "a", Params: totp(otp.SHA1, 6)}, seed20); !c.Hidden() {
			t.Errorf("%+v", c)
		}
	})
	t.Run("an account of the same name is not replaced", func(t *testing.T) {
		for _, p := range applet.Personalities() {
			s := choose(t, newCard(t, applet.Config{Personality: p}), oath.Options{Model: modelOf(p)})
			put(t, s, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed20)
			_, err := s.Put(t.Context(), oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed32)
			if !errors.Is(err, oath.ErrExists) {
				t.Errorf("%s: %v", p, err)
			}
		}
	})
}

func TestAccessCodes(t *testing.T) {
	card := newCard(t, applet.Config{})
	s := choose(t, card, oath.Options{})
	put(t, s, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed20)
	want(t, s.RemoveCode(t.Context()), oath.ErrNotProtected)
	if err := s.SetCode(t.Context(), []byte("sesame")); err != nil {
		t.Fatal(err)
	}
	s = choose(t, card, oath.Options{})
	if i := s.Info(); i.Protection != oath.ProtectionCode || i.Unlocked {
		t.Errorf("%+v", i)
	}
	_, err := s.List(t.Context())
	want(t, err, oath.ErrLocked)
	err = s.Unlock(t.Context(), []byte("wrong"))
	want(t, err, oath.ErrWrongCode)
	if strings.Contains(err.Error(), "wrong ") && strings.Contains(err.Error(), "sesame") {
		t.Errorf("a code is told: %v", err)
	}
	if err := s.Unlock(t.Context(), []byte("sesame")); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	// It is asked for when it is needed, once.
	asked := 0
	s = choose(t, card, oath.Options{Ask: func(context.Context, oath.Info) ([]byte, error) {
		asked++
		return []byte("sesame"), nil
	}})
	for range 2 {
		if _, err := s.List(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	no := errors.New("no")
	s = choose(t, card, oath.Options{Ask: func(context.Context, oath.Info) ([]byte, error) { return nil, no }})
	_, err = s.List(t.Context())
	want(t, err, no)
	// A card that does not know the code cannot pretend to.
	liar := &wire{card: card}
	liar.answer = func(command []byte) []byte {
		if command[1] == byte(oath.CmdValidate) {
			return append(append([]byte{oath.TagResponse, 20}, make([]byte, 20)...), 0x90, 0)
		}
		return nil
	}
	want(t, choose(t, liar, oath.Options{}).Unlock(t.Context(), []byte("sesame")), oath.ErrImpostor)
	s = choose(t, card, oath.Options{})
	if err := s.Unlock(t.Context(), []byte("sesame")); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveCode(t.Context()); err != nil {
		t.Fatal(err)
	}
	if i := choose(t, card, oath.Options{}).Info(); i.Protection != "" {
		t.Errorf("%+v", i)
	}
	// The FIPS series wants one first.
	fips := newCard(t, applet.Config{FIPS: true})
	s = choose(t, fips, oath.Options{})
	_, err = s.Put(t.Context(), oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed20)
	want(t, err, oath.ErrWantsCode)
}

// A touch is told; one that never comes is no lock.
func TestTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []bool
		touched := make(chan struct{}, 1)
		card := newCard(t, applet.Config{Touch: func(ctx context.Context, _ applet.Prompt) bool {
			select {
			case <-touched:
				return true
			case <-ctx.Done():
				return false
			}
		}})
		s := choose(t, card, oath.Options{Touch: func(on bool) { told = append(told, on) }})
		c := put(t, s, oath.Account{Account: "a", Params: totp(otp.SHA1, 6), Touch: true}, seed20)
		all, err := s.CalculateAll(t.Context(), time.Now())
		if err != nil || all[0].Code.Need != oath.NeedTouch || all[0].Code.Value != "" {
			t.Errorf("%+v, %v", all, err)
		}
		go func() {
			time.Sleep(3 * time.Second)
			touched <- struct{}{}
		}()
		if code, err := s.Calculate(t.Context(), c, time.Now()); err != nil || code.Value == "" {
			t.Errorf("%v, %v", code, err)
		}
		if fmt.Sprint(told) != "[true false]" {
			t.Errorf("told %v", told)
		}
		_, err = s.Calculate(t.Context(), c, time.Now())
		want(t, err, oath.ErrTouch)
		if errors.Is(err, oath.ErrLocked) {
			t.Errorf("a touch that never came is a lock: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = s.Calculate(ctx, c, time.Now())
		want(t, err, context.DeadlineExceeded)
	})
}

func TestNitrokeyPIN(t *testing.T) {
	card := newCard(t, applet.Config{Personality: applet.Nitrokey, Serial: 0xABCD})
	ask := func(context.Context, oath.Info) ([]byte, error) { return []byte("123456"), nil }
	s := choose(t, card, oath.Options{Ask: ask})
	if i := s.Info(); i.Serial != "0000abcd" || i.Model != oath.ModelNitrokey || i.Tries != -1 {
		t.Errorf("%+v", i)
	}
	want(t, s.SetCode(t.Context(), []byte("x")), oath.ErrUnsupported)
	if err := s.SetPIN(t.Context(), []byte("123456")); err != nil {
		t.Fatal(err)
	}
	want(t, s.SetPIN(t.Context(), []byte("1")), oath.ErrProtected)
	secret := put(t, s, oath.Account{Account: "secret", Params: totp(otp.SHA1, 6), PIN: true, Fields: oath.Fields{Login: []byte("alice"), Password: []byte("hush")}}, seed20)
	open := put(t, s, oath.Account{Account: "open", Params: totp(otp.SHA1, 6)}, seed20)
	if list, err := choose(t, card, oath.Options{}).List(t.Context()); err != nil || len(list) != 1 || list[0].ID != "open" {
		t.Errorf("without the PIN: %+v, %v", list, err)
	}
	if _, err := choose(t, card, oath.Options{}).Calculate(t.Context(), open, time.Now()); err != nil {
		t.Error(err)
	}
	_, err := choose(t, card, oath.Options{}).Calculate(t.Context(), secret, time.Now())
	want(t, err, oath.ErrLocked)
	fields, err := s.Get(t.Context(), secret)
	if err != nil || string(fields.Password) != "hush" || strings.Contains(fmt.Sprintf("%v %+v %#v", fields, fields, fields), "hush") {
		t.Errorf("%v, %v", fields, err)
	}
	// Tries go down, and the last one stays.
	s = choose(t, card, oath.Options{})
	for left := 7; left >= 1; left-- {
		err := s.Unlock(t.Context(), []byte("000000"))
		want(t, err, oath.ErrWrongCode)
		if e := (*oath.Error)(nil); !errors.As(err, &e) || e.Tries != left {
			t.Errorf("%v, want %d tries left", err, left)
		}
	}
	want(t, s.Unlock(t.Context(), []byte("123456")), oath.ErrLastTry)
	s = choose(t, card, oath.Options{LastTry: true})
	if err := s.Unlock(t.Context(), []byte("123456")); err != nil {
		t.Fatal(err)
	}
	if err := s.ChangePIN(t.Context(), []byte("123456"), []byte("654321")); err != nil {
		t.Error(err)
	}
	if i := choose(t, card, oath.Options{}).Info(); i.Tries != 8 {
		t.Errorf("%+v", i)
	}
}

func TestReverseHOTP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		card := newCard(t, applet.Config{Personality: applet.Nitrokey})
		s := choose(t, card, oath.Options{Ask: func(context.Context, oath.Info) ([]byte, error) { return []byte("123456"), nil }})
		if err := s.SetPIN(t.Context(), []byte("123456")); err != nil {
			t.Fatal(err)
		}
		c := put(t, s, oath.Account{Account: "heads", Kind: oath.ReverseHOTP, Params: otp.Parameters{Kind: otp.HOTP}}, seed20)
		if err := s.VerifyCode(t.Context(), c, "755224"); err != nil {
			t.Error(err)
		}
		if err := s.VerifyCode(t.Context(), c, "969429"); err != nil { // two were skipped
			t.Error(err)
		}
		want(t, s.VerifyCode(t.Context(), c, "755224"), oath.ErrWrongCode)
		want(t, s.VerifyCode(t.Context(), c, "338314"), oath.ErrThrottled)
		time.Sleep(6 * time.Second)
		if err := s.VerifyCode(t.Context(), c, "338314"); err != nil {
			t.Error(err)
		}
		_, err := s.Calculate(t.Context(), c, time.Now())
		want(t, err, oath.ErrUnsupported)
	})
}

// Every status word that a device can say is an error that people understand.
func TestStatusWords(t *testing.T) {
	words := []apdu.SW{0x6300, 0x6400, 0x6500, 0x6581, 0x6700, 0x6881, 0x6882, 0x6884, 0x6982, 0x6983, 0x6984, 0x6985, 0x6A80, 0x6A81, 0x6A82, 0x6A84, 0x6A86, 0x6A88, 0x6B00, 0x6D00, 0x6E00, 0x6F00, 0x1234}
	for _, p := range applet.Personalities() {
		card := newCard(t, applet.Config{Personality: p})
		setup := choose(t, card, oath.Options{Model: modelOf(p)})
		c := put(t, setup, oath.Account{Account: "a", Params: totp(otp.SHA1, 6)}, seed20)
		for _, sw := range words {
			w := &wire{card: card}
			s := choose(t, w, oath.Options{Model: modelOf(p)})
			w.answer = func(command []byte) []byte { return []byte{byte(sw >> 8), byte(sw)} }
			for name, err := range map[string]error{
				"list":      second(s.List(t.Context())),
				"calculate": second(s.Calculate(t.Context(), c, time.Now())),
				"all":       second(s.CalculateAll(t.Context(), time.Now())),
				"put":       second(s.Put(t.Context(), oath.Account{Account: "b", Params: totp(otp.SHA1, 6), Overwrite: true}, seed20)),
				"delete":    s.Delete(t.Context(), c),
				"rename":    second(s.Rename(t.Context(), c, "", "b")),
				"set code":  s.SetCode(t.Context(), []byte("x")),
				"reset":     s.Reset(t.Context()),
			} {
				var e *oath.Error
				if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "oath: ") || strings.Count(err.Error(), "oath: ") != 1 {
					t.Errorf("%s, %04x, %s: %v", p, uint16(sw), name, err)
				}
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

// A card that goes away in the middle, at every command of an operation, and one that answers nonsense.
func TestCardGoesAway(t *testing.T) {
	for _, after := range []bool{false, true} {
		card := newCard(t, applet.Config{})
		s := choose(t, card, oath.Options{})
		h := put(t, s, oath.Account{Account: "h", Params: otp.Parameters{Kind: otp.HOTP}}, seed20)
		card.SetFaults(applet.Fault{PullBefore: !after, PullAfter: after})
		_, err := s.Calculate(t.Context(), h, time.Now())
		want(t, err, applet.ErrGone)
		card.Power(true)
		next := "755224"
		if after {
			next = "287082" // the code was made, and the counter does not go back
		}
		if code, err := choose(t, card, oath.Options{}).Calculate(t.Context(), h, time.Now()); err != nil || code.Value != next {
			t.Errorf("pulled after %t: %s, %v, want %s", after, code.Value, err, next)
		}
	}
	for _, answer := range []string{"", "90", "9000", "71", "7105aa9000", "790305040371089000", "7903050403ff00"} {
		b, err := hex.DecodeString(answer)
		if err != nil {
			t.Fatal(err)
		}
		w := &wire{answer: func([]byte) []byte { return append([]byte{}, b...) }}
		if _, err := oath.Select(t.Context(), w, oath.Options{}); err == nil {
			t.Errorf("%s is taken for an applet", answer)
		}
	}
}

// Exchanges with a real YubiKey 5.4.3 that others have recorded, where their folder is present: the client reads what it answered, and the emulated one
// answers the same to the byte.
func TestRecordedYubiKey(t *testing.T) {
	path := os.Getenv("FOBD_CAPTURES")
	if path == "" {
		path = "../../../shared/vectors/captures"
	}
	data, err := os.ReadFile(path + "/ykoath-hardware.json")
	if err != nil {
		t.Skip("no recordings: ", err)
	}
	var file struct {
		Traces map[string]json.RawMessage `json:"ykoath_hardware_traces"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	played := 0
	for name, raw := range file.Traces {
		var rows [][2]string
		if json.Unmarshal(raw, &rows) != nil {
			continue // a note
		}
		played++
		t.Run(name, func(t *testing.T) {
			// What is random comes from the recording: salts, and the challenges of SELECT.
			var random bytes.Buffer
			last := []byte(nil)
			for _, row := range rows {
				command, response := unhex(t, row[0]), unhex(t, row[1])
				if command[1] != byte(oath.CmdSelect) || command[2] != 4 {
					continue
				}
				tlvs, err := oath.ParseTLVs(response[:len(response)-2])
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range tlvs {
					if v.Tag == oath.TagName && !bytes.Equal(v.Value, last) || v.Tag == oath.TagChallenge {
						random.Write(v.Value)
					}
					if v.Tag == oath.TagName {
						last = v.Value
					}
				}
			}
			card := newCard(t, applet.Config{Rand: io.MultiReader(&random, rand.Reader)})
			for n, row := range rows {
				command, recorded := unhex(t, row[0]), unhex(t, row[1])
				got, err := card.Transmit(t.Context(), command)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, recorded) {
					t.Errorf("%d: %x gives %x, the key %x", n, command, got, recorded)
				}
			}
		})
		t.Run(name+"/client", func(t *testing.T) {
			for _, row := range rows {
				command, recorded := unhex(t, row[0]), unhex(t, row[1])
				replay := &wire{answer: func(b []byte) []byte {
					if b[1] == byte(oath.CmdSelect) && b[2] == 4 && command[1] != byte(oath.CmdSelect) {
						return []byte{0x79, 3, 5, 4, 3, 0x71, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x90, 0}
					}
					return bytes.Clone(recorded)
				}}
				s, err := oath.Select(t.Context(), replay, oath.Options{})
				if err != nil {
					if command[1] == byte(oath.CmdSelect) && command[2] == 4 {
						t.Errorf("the key's SELECT: %v", err)
					}
					continue
				}
				switch {
				case command[1] == byte(oath.CmdSelect) && command[2] == 4:
					if s.Info().Version != (oath.Version{5, 4, 3}) || s.Info().DeviceID == "" {
						t.Errorf("%+v", s.Info())
					}
				case command[1] == byte(oath.CmdList):
					if list, err := s.List(t.Context()); err != nil || name == "list" && len(list) != 3 {
						t.Errorf("%v, %v", list, err)
					}
				case command[1] == byte(oath.CmdCalculateAll):
					if all, err := s.CalculateAll(t.Context(), time.Unix(59, 0)); err != nil || len(all) == 0 {
						t.Errorf("%v, %v", all, err)
					} else if name == "calculate_all" && all[0].Code.Value != "94287082" { // RFC 6238, appendix B
						t.Errorf("%s", all[0].Code.Value)
					}
				case command[1] == byte(oath.CmdCalculate) && command[3] == 1:
					if code, err := s.Calculate(t.Context(), oath.Credential{ID: "x", Kind: oath.HOTP}, time.Now()); err != nil || len(code.Value) != 6 {
						t.Errorf("%v, %v", code, err)
					}
				}
			}
		})
	}
	if played < 5 {
		t.Errorf("%d recordings were played", played)
	}
	t.Run("unlocking, as the client does it", func(t *testing.T) {
		var rows [][2]string
		if err := json.Unmarshal(file.Traces["access_code_sha256"], &rows); err != nil {
			t.Fatal(err)
		}
		set := slices.IndexFunc(rows, func(row [2]string) bool { return strings.HasPrefix(row[0], "000300003f") })
		validated := slices.IndexFunc(rows, func(row [2]string) bool {
			return strings.HasPrefix(row[0], "00a30000") && strings.HasSuffix(row[1], "9000")
		})
		key, validate := unhex(t, rows[set][0])[8:24], unhex(t, rows[validated][0])
		at := 0
		replay := &wire{answer: func([]byte) []byte {
			at++
			return unhex(t, rows[validated-2+at][1]) // SELECT, VALIDATE, SET CODE
		}}
		s := choose(t, replay, oath.Options{Rand: bytes.NewReader(validate[len(validate)-8:])})
		if err := s.UnlockKey(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if len(replay.sent) != 2 || !bytes.Equal(replay.sent[1], validate) {
			t.Errorf("sent %x, others sent %x", replay.sent, validate)
		}
	})
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
