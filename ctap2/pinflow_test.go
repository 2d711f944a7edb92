package ctap2_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

func eachProtocol(t *testing.T, f func(t *testing.T, p pinuv.Protocol)) {
	for _, p := range []pinuv.Protocol{pinuv.One, pinuv.Two} {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

func TestPINLife(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p pinuv.Protocol) {
		key := newPINKey(t, 32)
		c := ctap2.NewClient(key, nil)
		pin := []byte("1234")
		if err := c.SetPIN(t.Context(), p, pin); err != nil || key.pin != "1234" {
			t.Fatalf("SetPIN: %v, the key has %q", err, key.pin)
		}
		if err := c.ChangePIN(t.Context(), p, pin, []byte("56789")); err != nil || key.pin != "56789" {
			t.Fatalf("ChangePIN: %v, the key has %q", err, key.pin)
		}
		if string(pin) != "1234" {
			t.Error("the caller's PIN was changed")
		}
		token, err := c.PINToken(t.Context(), ctap2.TokenRequest{
			Protocol: p, PIN: []byte("56789"), Permissions: ctap2.PermissionMakeCredential | ctap2.PermissionGetAssertion, RPID: "a.b",
		})
		if err != nil {
			t.Fatal(err)
		}
		if key.granted != 3 || key.rpID != "a.b" || token.Permissions != 3 || token.RPID != "a.b" {
			t.Errorf("asked for %v %q, token %v %q", key.granted, key.rpID, token.Permissions, token.RPID)
		}
		if got := token.Authenticate([]byte("m")); !p.Verify(key.token, []byte("m"), got) {
			t.Errorf("Authenticate = %x", got)
		}
		if token, err = c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: p, PIN: []byte("56789"), Legacy: true}); err != nil || token.Permissions != 0 {
			t.Errorf("legacy token: %v, %v", token, err)
		}
		key.uv = true
		if _, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: p, Permissions: ctap2.PermissionConfig}); err != nil || key.granted != 0x20 {
			t.Errorf("token by built-in verification: %v", err)
		}
		want := []string{"agree", "set", "agree", "change", "agree", "pin token", "agree", "legacy token", "agree", "uv token"}
		if diff := cmp.Diff(want, key.commands); diff != "" {
			t.Errorf("commands (-want +got):\n%s", diff)
		}
	})
}

func TestShortTokenOfProtocolOne(t *testing.T) {
	for _, tt := range []struct {
		p    pinuv.Protocol
		size int
		ok   bool
	}{{1, 16, true}, {1, 48, false}, {1, 0, false}, {2, 16, false}, {2, 64, false}} {
		key := newPINKey(t, tt.size)
		key.uv = true
		token, err := ctap2.NewClient(key, nil).PINToken(t.Context(), ctap2.TokenRequest{Protocol: tt.p, Permissions: 1})
		if tt.ok != (err == nil) || !tt.ok && (token != nil || !errors.Is(err, ctap2.ErrResponse)) {
			t.Errorf("protocol %v, token of %d bytes: %v, %v", tt.p, tt.size, token, err)
		}
	}
}

func TestWrongPINSaysHowManyAreLeft(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p pinuv.Protocol) {
		key := newPINKey(t, 32)
		c := ctap2.NewClient(key, nil)
		if err := c.SetPIN(t.Context(), p, []byte("1234")); err != nil {
			t.Fatal(err)
		}
		key.commands = nil
		_, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: p, PIN: []byte("4321"), Permissions: 1})
		e, ok := errors.AsType[*ctap2.Error](err)
		if !ok || !errors.Is(err, ctap2.ErrPINInvalid) || e.Retries == nil || *e.Retries != 7 || e.PowerCycle || e.Subcommand != 9 {
			t.Fatalf("first wrong PIN: %v", err)
		}
		if strings.Contains(err.Error(), "4321") {
			t.Errorf("the error tells the PIN: %v", err)
		}
		// One attempt was spent, not two.
		if diff := cmp.Diff([]string{"agree", "pin token", "retries"}, key.commands); diff != "" {
			t.Errorf("commands (-want +got):\n%s", diff)
		}
		if err := c.ChangePIN(t.Context(), p, []byte("4321"), []byte("5678")); !errors.Is(err, ctap2.ErrPINInvalid) {
			t.Fatalf("second wrong PIN: %v", err)
		}
		err = c.ChangePIN(t.Context(), p, []byte("4321"), []byte("5678"))
		e, ok = errors.AsType[*ctap2.Error](err)
		if !ok || e.Status != ctap2.ErrPINAuthBlocked || *e.Retries != 5 || !e.PowerCycle {
			t.Fatalf("third wrong PIN: %v", err)
		}
		if n, powerCycle, err := c.PINRetries(t.Context()); n != 5 || !powerCycle || err != nil {
			t.Errorf("PINRetries = %d, %v, %v", n, powerCycle, err)
		}
		_, err = c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: p, Permissions: 1})
		e, ok = errors.AsType[*ctap2.Error](err)
		if !ok || e.Status != ctap2.ErrUVInvalid || *e.Retries != 2 {
			t.Errorf("failed built-in verification: %v", err)
		}
		if n, err := c.UVRetries(t.Context()); n != 2 || err != nil {
			t.Errorf("UVRetries = %d, %v", n, err)
		}
	})
}

func TestPINIsNormalized(t *testing.T) {
	key := newPINKey(t, 32)
	c := ctap2.NewClient(key, nil)
	decomposed := "cafe\u0301" // e and a combining accent
	if err := c.SetPIN(t.Context(), 2, []byte(decomposed)); err != nil || key.pin != "caf\u00e9" {
		t.Fatalf("SetPIN: %v, the key has %+q", err, key.pin)
	}
	if _, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte(decomposed), Permissions: 1}); err != nil {
		t.Errorf("PINToken: %v", err)
	}
	// Three letters and an accent are three code points once composed.
	if err := c.SetPIN(t.Context(), 2, []byte("abe\u0301")); !errors.Is(err, pinuv.ErrPINTooShort) {
		t.Errorf("SetPIN of three characters: %v", err)
	}
}

func TestImpossiblePINsAreNotSent(t *testing.T) {
	key := newPINKey(t, 32)
	c := ctap2.NewClient(key, nil)
	long := bytes.Repeat([]byte("x"), 64)
	good := []byte("1234")
	for name, err := range map[string]error{
		"SetPIN short":     c.SetPIN(t.Context(), 1, []byte("123")),
		"SetPIN long":      c.SetPIN(t.Context(), 1, long),
		"ChangePIN old":    c.ChangePIN(t.Context(), 1, nil, good),
		"ChangePIN new":    c.ChangePIN(t.Context(), 1, good, long),
		"SetPIN protocol":  c.SetPIN(t.Context(), 0, good),
		"SetPIN protocol3": c.SetPIN(t.Context(), 3, good),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for name, r := range map[string]ctap2.TokenRequest{
		"PIN":            {Protocol: 1, PIN: []byte("1"), Permissions: 1},
		"empty PIN":      {Protocol: 1, PIN: []byte{}, Permissions: 1},
		"permissions":    {Protocol: 1, PIN: good},
		"legacy without": {Protocol: 1, Legacy: true},
		"protocol":       {PIN: good, Permissions: 1},
	} {
		if token, err := c.PINToken(t.Context(), r); err == nil {
			t.Errorf("%s: %v", name, token)
		}
	}
	if len(key.commands) > 0 {
		t.Errorf("the key was asked: %v", key.commands)
	}
}

func TestHostileClientPINAnswers(t *testing.T) {
	offCurve := strings.Replace(agreementKeyWire, "51f5", "51f6", 1)
	for name, wire := range map[string]string{
		"nothing":       "00",
		"empty":         "00 a0",
		"key off curve": "00 a1 01 " + offCurve,
		"no key":        "00 a1 01 a0",
	} {
		c := play(unhex(t, wire))
		if err := c.SetPIN(t.Context(), 1, []byte("1234")); err == nil {
			t.Errorf("%s: SetPIN succeeds", name)
		}
		if _, _, err := c.PINRetries(t.Context()); err == nil {
			t.Errorf("%s: PINRetries succeeds", name)
		}
		if _, err := c.UVRetries(t.Context()); err == nil {
			t.Errorf("%s: UVRetries succeeds", name)
		}
		if _, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, Permissions: 1}); err == nil {
			t.Errorf("%s: PINToken succeeds", name)
		}
	}
}

func TestTokenIsSecret(t *testing.T) {
	token := ctap2.NewToken(pinuv.Two, []byte("0123456789abcdef0123456789abcdef"))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "token", token)
	texts := []string{log.String(), fmt.Sprint(token), fmt.Sprint(*token), fmt.Sprintf("%v %+v %#v %s %q %x %d", token, token, token, token, token, token, *token)}
	for _, text := range texts {
		for _, leak := range []string{"0123", "48 49", "30313233", "0x30"} {
			if strings.Contains(text, leak) || !strings.Contains(text, "[secret]") {
				t.Errorf("prints as %q", text)
			}
		}
	}
	param := token.Authenticate([]byte("m"))
	r := &ctap2.MakeCredentialRequest{ClientDataHash: []byte("m")}
	r.Authorize(token)
	g := &ctap2.GetAssertionRequest{ClientDataHash: []byte("m")}
	g.Authorize(token)
	if !bytes.Equal(*r.PINUVAuthParam, param) || r.PINUVAuthProtocol != 2 || !bytes.Equal(*g.PINUVAuthParam, param) || g.PINUVAuthProtocol != 2 {
		t.Errorf("Authorize: %+v %+v", r, g)
	}
	token.Wipe()
	if got := token.Authenticate([]byte("m")); got != nil {
		t.Errorf("after Wipe: %x", got)
	}
}

func TestHMACSecret(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p pinuv.Protocol) {
		key := newPINKey(t, 32)
		c := ctap2.NewClient(key, nil)
		for _, salts := range [][][]byte{{repeat(1, 32), nil}, {repeat(1, 32), repeat(2, 32)}} {
			h, err := c.HMACSecret(t.Context(), p, salts[0], salts[1])
			if err != nil {
				t.Fatal(err)
			}
			if absent := h.Input.PINUVAuthProtocol == 0; absent != (p == pinuv.One) {
				t.Errorf("pinUvAuthProtocol in the input: %v", h.Input.PINUVAuthProtocol)
			}
			resp, err := c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{
				RPID: "a.b", ClientDataHash: repeat(1, 32), Extensions: &ctap2.GetAssertionExtensions{HMACSecret: h.Input},
			})
			if err != nil {
				t.Fatal(err)
			}
			a, err := resp.ParsedAuthData()
			if err != nil {
				t.Fatal(err)
			}
			one, two, err := h.Outputs(a)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(one, hmacSecret(salts[0])) {
				t.Errorf("first output %x", one)
			}
			if salts[1] == nil && two != nil || salts[1] != nil && !bytes.Equal(two, hmacSecret(salts[1])) {
				t.Errorf("second output %x", two)
			}
			if text := fmt.Sprintf("%v %+v", h, h); text != "[secret] [secret]" {
				t.Errorf("prints as %s", text)
			}
			for name, extensions := range map[string]string{
				"absent": "", "another": "a1 61 78 f5", "short": "a1 6b 686d61632d736563726574 50 00000000000000000000000000000000",
				"odd": "a1 6b 686d61632d736563726574 41 00", "true": "a1 6b 686d61632d736563726574 f5",
			} {
				if _, _, err := h.Outputs(&ctap2.AuthData{Extensions: unhex(t, extensions)}); err == nil {
					t.Errorf("%s output is accepted", name)
				}
			}
			h.Wipe()
			if _, _, err := h.Outputs(a); err == nil {
				t.Error("Outputs works after Wipe")
			}
		}
		for _, salts := range [][2][]byte{{nil, nil}, {repeat(1, 31), nil}, {repeat(1, 32), repeat(1, 33)}, {repeat(1, 32), {}}} {
			if _, err := c.HMACSecret(t.Context(), p, salts[0], salts[1]); err == nil {
				t.Errorf("salts of %d and %d bytes are accepted", len(salts[0]), len(salts[1]))
			}
		}
	})
}

func TestHMACSecretAtMakeCredential(t *testing.T) {
	eachProtocol(t, func(t *testing.T, p pinuv.Protocol) {
		key := newPINKey(t, 32)
		c := ctap2.NewClient(key, nil)
		for _, n := range []int{1, 2} {
			var salt2 []byte
			if n == 2 {
				salt2 = repeat(2, 32)
			}
			h, err := c.HMACSecret(t.Context(), p, repeat(1, 32), salt2)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := p.Decapsulate(key.priv, &h.Input.KeyAgreement)
			if err != nil {
				t.Fatal(err)
			}
			enc, err := p.Encrypt(secret, bytes.Repeat([]byte{9}, 32*n))
			if err != nil {
				t.Fatal(err)
			}
			extensions, err := ctap2.Marshal(ctap2.MakeCredentialOutputs{HMACSecret: new(true), HMACSecretMC: enc})
			if err != nil {
				t.Fatal(err)
			}
			one, two, err := h.OutputsMC(&ctap2.AuthData{Extensions: extensions})
			if err != nil || !bytes.Equal(one, repeat(9, 32)) || (n == 2) != (two != nil) || n == 2 && !bytes.Equal(two, repeat(9, 32)) {
				t.Errorf("OutputsMC = %x, %x, %v", one, two, err)
			}
			// The boolean of hmac-secret is not an output of this one, and the other way round.
			if _, _, err := h.Outputs(&ctap2.AuthData{Extensions: extensions}); !errors.Is(err, ctap2.ErrResponse) {
				t.Errorf("Outputs: %v", err)
			}
			for name, bad := range map[string][]byte{"absent": nil, "empty": {}, "half": enc[:16], "too much": append(bytes.Clone(enc), enc...)} {
				extensions, err := ctap2.Marshal(ctap2.MakeCredentialOutputs{HMACSecretMC: bad})
				if err != nil {
					t.Fatal(err)
				}
				if _, _, err := h.OutputsMC(&ctap2.AuthData{Extensions: extensions}); !errors.Is(err, ctap2.ErrResponse) {
					t.Errorf("%s: %v", name, err)
				}
			}
			h.Wipe()
			if _, _, err := h.OutputsMC(&ctap2.AuthData{Extensions: extensions}); err == nil {
				t.Error("decrypts after Wipe")
			}
		}
	})
}

func TestPINRetriesOfAKeyThatWantsAProtocol(t *testing.T) {
	s := &script{answers: map[byte][][]byte{6: {{byte(ctap2.ErrMissingParameter)}, unhex(t, "00 a1 03 05")}}}
	if n, _, err := ctap2.NewClient(s, nil).PINRetries(t.Context()); n != 5 || err != nil {
		t.Errorf("PINRetries = %d, %v", n, err)
	}
	if len(s.requests) != 2 || !bytes.Equal(s.requests[1], unhex(t, "06 a2 01 01 02 01")) {
		t.Errorf("requests %x", s.requests)
	}
}
