package oath_test

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/tokens/oath/applet"
	"github.com/fobd/fobd/tokens/otp"
)

// FuzzTLVs reads anything as TLVs; what can be read is written again as it was, but for lengths that had a shorter form.
func FuzzTLVs(f *testing.F) {
	f.Add([]byte{0x71, 1, 2, 0x74, 0})
	f.Add([]byte{0x71, 0x81, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := oath.ParseTLVs(b)
		if err != nil {
			return
		}
		var again []byte
		for _, v := range list {
			again = oath.AppendTLV(again, v.Tag, v.Value)
		}
		second, err := oath.ParseTLVs(again)
		if err != nil || len(second) != len(list) || len(again) > len(b) {
			t.Errorf("%x, then %x: %v", b, again, err)
		}
	})
}

// FuzzResponses has a card answer anything, to everything that a client asks.
func FuzzResponses(f *testing.F) {
	f.Add([]byte{0x79, 3, 5, 4, 3, 0x71, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x90, 0}, []byte{0x72, 3, 0x21, 'a', 'b', 0x90, 0})
	f.Add([]byte{0x79, 3, 4, 13, 0, 0x82, 1, 8, 0x8F, 4, 1, 2, 3, 4, 0x90, 0}, []byte{0x71, 1, 'a', 0x76, 5, 6, 1, 2, 3, 4, 0x90, 0})
	f.Add([]byte{0x79, 3, 5, 4, 3, 0x71, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0x90, 0}, []byte{0x61, 0xFF})
	f.Fuzz(func(t *testing.T, selected, answer []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		n := 0
		w := &wire{answer: func(command []byte) []byte {
			if n++; n > 200 {
				return []byte{0x6F, 0} // 61xx for ever
			}
			if command[1] == byte(oath.CmdSelect) && command[2] == 4 {
				return append([]byte{}, selected...)
			}
			return append([]byte{}, answer...)
		}}
		s, err := oath.Select(ctx, w, oath.Options{})
		if err != nil {
			return
		}
		_, _ = s.List(ctx)
		_, _ = s.CalculateAll(ctx, time.Unix(59, 0))
		_, _ = s.Calculate(ctx, oath.Credential{ID: "a", Kind: oath.TOTP, Period: 30}, time.Unix(59, 0))
		_, _ = s.Get(ctx, oath.Credential{ID: "a"})
		_ = s.Unlock(ctx, []byte("x"))
		_, _ = s.Put(ctx, oath.Account{Account: "a", Params: otp.Parameters{Kind: otp.TOTP}}, seed20)
	})
}

// FuzzApplet sends anything to the emulated devices: they answer with a status word, and what they keep can be put back.
func FuzzApplet(f *testing.F) {
	f.Add([]byte{0, 0xA4, 4, 0, 7, 0xA0, 0, 0, 5, 0x27, 0x21, 1})
	f.Add([]byte{0, 1, 0, 0, 0, 0, 3, 0x71, 1, 'a'})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, p := range applet.Personalities() {
			card := newCard(t, applet.Config{Personality: p})
			if _, err := card.Transmit(t.Context(), []byte{0, 0xA4, 4, 0, 7, 0xA0, 0, 0, 5, 0x27, 0x21, 1}); err != nil {
				t.Fatal(err)
			}
			for rest := data; len(rest) > 0; {
				n := min(len(rest), 1+int(rest[0]))
				if got, err := card.Transmit(t.Context(), rest[:n]); err != nil || len(got) < 2 {
					t.Fatalf("%x gives %x, %v", rest[:n], got, err)
				}
				rest = rest[n:]
			}
			state := card.Snapshot()
			text, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}
			var back applet.State
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			if _, err := applet.New(applet.Config{Personality: p, State: &back}); err != nil {
				t.Fatalf("%s does not start with its own state: %v\n%s", p, err, text)
			}
		}
	})
}

// FuzzState puts anything back.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"personality":"yubikey","salt":"AAAAAAAAAAA=","entries":[{"name":"YQ==","type":33,"digits":6,"key":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var state applet.State
		if json.Unmarshal(data, &state) != nil {
			return
		}
		card, err := applet.New(applet.Config{Personality: state.Personality, State: &state})
		if err != nil {
			return
		}
		s, err := oath.Select(t.Context(), card, oath.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = s.CalculateAll(t.Context(), time.Now())
	})
}

// FuzzVendor sends anything as a vendor command.
func FuzzVendor(f *testing.F) {
	f.Add([]byte{0, 0xA4, 4, 0, 7, 0xA0, 0, 0, 5, 0x27, 0x21, 1})
	f.Fuzz(func(t *testing.T, payload []byte) {
		card := newCard(t, applet.Config{Personality: applet.Nitrokey})
		got, err := card.Vendor(t.Context(), oath.CmdSecrets, bytes.Clone(payload), nil)
		if err == nil && len(got) < 2 {
			t.Errorf("%x gives %x", payload, got)
		}
		answer := bytes.Clone(payload)
		_, _ = oath.Select(t.Context(), oath.NewCTAPHID(func(context.Context, byte, []byte, func(byte)) ([]byte, error) { return answer, nil }), oath.Options{})
	})
}
