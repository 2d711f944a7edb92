package ctap2_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

func TestStrictDecoding(t *testing.T) {
	const rp = "01 61 61 " // 1: "a"
	deep := strings.Repeat("81", 4)
	for _, tt := range []struct {
		name, wire string
		want       ctap2.Status
	}{
		{"as it should be", "a2" + rp + "02 41 00", ctap2.StatusOK},
		{"unknown member", "a3" + rp + "02 41 00 1840 00", ctap2.StatusOK},
		{"unknown text member", "a3" + rp + "02 41 00 61 7a 00", ctap2.StatusOK},
		{"unknown option", "a3" + rp + "02 41 00 05 a1 61 7a 03", ctap2.StatusOK},
		{"unknown extension", "a3" + rp + "02 41 00 04 a1 61 7a a1 01 02", ctap2.StatusOK},
		{"out of order", "a2 02 41 00" + rp, ctap2.StatusOK}, // Canonical's business
		{"nothing", "", ctap2.ErrMissingParameter},
		{"empty map", "a0", ctap2.ErrMissingParameter},
		{"no rpId", "a1 02 41 00", ctap2.ErrMissingParameter},
		{"no hash", "a1" + rp, ctap2.ErrMissingParameter},
		{"descriptor without id", "a3" + rp + "02 41 00 03 81 a1 64 74797065 6a 7075626c69632d6b6579", ctap2.ErrMissingParameter},
		{"descriptor without type", "a3" + rp + "02 41 00 03 81 a1 62 6964 41 01", ctap2.ErrMissingParameter},
		{"hmac-secret without key", "a3" + rp + "02 41 00 04 a1 6b 686d61632d736563726574 a2 02 41 00 03 41 00", ctap2.ErrMissingParameter},
		{"hmac-secret without salts", "a3" + rp + "02 41 00 04 a1 6b 686d61632d736563726574 a2 01 " + agreementKeyWire + "03 41 00", ctap2.ErrMissingParameter},
		{"hmac-secret without its MAC", "a3" + rp + "02 41 00 04 a1 6b 686d61632d736563726574 a2 01 " + agreementKeyWire + "02 41 00", ctap2.ErrMissingParameter},

		{"array instead of the map", "82 00 01", ctap2.ErrCBORUnexpectedType},
		{"number instead of text", "a2 01 00 02 41 00", ctap2.ErrCBORUnexpectedType},
		{"bytes instead of text", "a2 01 41 61 02 41 00", ctap2.ErrCBORUnexpectedType},
		{"text instead of bytes", "a2" + rp + "02 61 61", ctap2.ErrCBORUnexpectedType},
		{"numbers instead of bytes", "a2" + rp + "02 82 01 02", ctap2.ErrCBORUnexpectedType},
		{"empty array instead of bytes", "a2" + rp + "02 80", ctap2.ErrCBORUnexpectedType},
		{"empty array instead of an id", "a3" + rp + "02 41 00 03 81 a2 62 6964 80 64 74797065 61 61", ctap2.ErrCBORUnexpectedType},
		{"empty array instead of the gesture", "a3" + rp + "02 41 00 06 80", ctap2.ErrCBORUnexpectedType},
		{"map instead of the list", "a3" + rp + "02 41 00 03 a0", ctap2.ErrCBORUnexpectedType},
		{"array instead of options", "a3" + rp + "02 41 00 05 80", ctap2.ErrCBORUnexpectedType},
		{"number instead of a boolean", "a3" + rp + "02 41 00 05 a1 62 7570 01", ctap2.ErrCBORUnexpectedType},
		{"negative protocol", "a3" + rp + "02 41 00 07 20", ctap2.ErrCBORUnexpectedType},
		{"float instead of a number", "a3" + rp + "02 41 00 07 f9 3c00", ctap2.ErrCBORUnexpectedType},
		{"null", "a2" + rp + "02 f6", ctap2.ErrCBORUnexpectedType},
		{"undefined", "a2" + rp + "02 f7", ctap2.ErrCBORUnexpectedType},
		{"null option", "a3" + rp + "02 41 00 05 a1 62 7570 f6", ctap2.ErrCBORUnexpectedType},

		{"null inside a key", "a3" + rp + "02 41 00 04 a1 6b 686d61632d736563726574 a1 01 " + strings.Replace(agreementKeyWire, "3818", "f6", 1), ctap2.ErrCBORUnexpectedType},

		{"cut", "a2" + rp + "02 42 00", ctap2.ErrInvalidCBOR},
		{"trailing byte", "a2" + rp + "02 41 00 00", ctap2.ErrInvalidCBOR},
		{"key twice", "a3" + rp + "02 41 00 02 41 01", ctap2.ErrInvalidCBOR},
		{"unknown key twice", "a4" + rp + "02 41 00 1840 00 1840 00", ctap2.ErrInvalidCBOR},
		{"option twice", "a3" + rp + "02 41 00 05 a2 62 7570 f5 62 7570 f5", ctap2.ErrInvalidCBOR},
		{"indefinite map", "bf" + rp + "02 41 00 ff", ctap2.ErrInvalidCBOR},
		{"indefinite bytes", "a2" + rp + "02 5f 41 00 ff", ctap2.ErrInvalidCBOR},
		{"tag", "c0 a2" + rp + "02 41 00", ctap2.ErrInvalidCBOR},
		{"tag inside", "a2" + rp + "02 d8 18 41 00", ctap2.ErrInvalidCBOR},
		{"cut UTF-8", "a2 01 61 c3 02 41 00", ctap2.ErrInvalidCBOR},
		{"five levels", "a3" + rp + "02 41 00 1840 " + deep + "00", ctap2.ErrInvalidCBOR},
		{"reserved length", "a2" + rp + "02 5c", ctap2.ErrInvalidCBOR},
		{"length beyond all", "a2" + rp + "02 5b ffffffffffffffff", ctap2.ErrInvalidCBOR},
		{"list beyond all", "a3" + rp + "02 41 00 03 9a ffffffff", ctap2.ErrInvalidCBOR},
		{"map beyond all", "bb 7fffffffffffffff", ctap2.ErrInvalidCBOR},

		{"key agreement is no key", "a3" + rp + "02 41 00 04 a1 6b 686d61632d736563726574 a1 01 a1 01 09", ctap2.ErrInvalidParameter},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var r ctap2.GetAssertionRequest
			err := ctap2.Unmarshal(unhex(t, tt.wire), &r)
			if got := ctap2.StatusOf(err); got != tt.want {
				t.Errorf("status %s (%v), want %s", got.Name(), err, tt.want.Name())
			}
			if _, ok := errors.AsType[*ctap2.DecodeError](err); err != nil && !ok {
				t.Errorf("the error is a %T", err)
			}
			if err != nil && (!errors.Is(err, tt.want) || !strings.HasPrefix(err.Error(), "ctap2: decode: ")) {
				t.Errorf("error %q", err)
			}
		})
	}
}

func TestMakeCredentialRequired(t *testing.T) {
	const (
		hash   = " 01 41 00"
		rp     = " 02 a1 62 6964 61 61"
		user   = " 03 a1 62 6964 41 01"
		params = " 04 81 a2 63 616c67 26 64 74797065 6a 7075626c69632d6b6579"
	)
	for _, tt := range []struct {
		wire, want string
	}{
		{"a4" + hash + rp + user + params, ""},
		{"a3" + rp + user + params, "no clientDataHash"},
		{"a3" + hash + user + params, "no rp.id"},
		{"a3" + hash + rp + params, "no user.id"},
		{"a3" + hash + rp + user, "no pubKeyCredParams"},
		{"a4" + hash + " 02 a1 64 6e616d65 61 61" + user + params, "no rp.id"},
		{"a4" + hash + rp + " 03 a1 64 6e616d65 61 61" + params, "no user.id"},
		{"a4" + hash + rp + user + " 04 81 a1 63 616c67 26", "no pubKeyCredParams.type"},
		{"a4" + hash + rp + user + " 04 81 a1 64 74797065 61 61", "no pubKeyCredParams.alg"},
		{"a5" + hash + rp + user + params + " 05 81 a1 62 6964 41 01", "no excludeList.type"},
	} {
		var r ctap2.MakeCredentialRequest
		err := ctap2.Unmarshal(unhex(t, tt.wire), &r)
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.wire, err)
			}
			continue
		}
		if !errors.Is(err, ctap2.ErrMissingParameter) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.wire, err, tt.want)
		}
	}
	var r ctap2.ClientPINRequest
	if err := ctap2.Unmarshal(unhex(t, "a1 01 01"), &r); !errors.Is(err, ctap2.ErrMissingParameter) {
		t.Errorf("clientPIN without subCommand: %v", err)
	}
}

func TestAlgorithmFollowsThePlatform(t *testing.T) {
	r := ctap2.MakeCredentialRequest{PubKeyCredParams: []ctap2.CredentialParameter{
		{Alg: cose.ES256, Type: "something else"},
		{Alg: -999, Type: ctap2.TypePublicKey},
		{Alg: cose.EdDSA, Type: ctap2.TypePublicKey},
		{Alg: cose.ES256, Type: ctap2.TypePublicKey},
	}}
	if alg, ok := r.Algorithm(cose.ES256, cose.EdDSA); !ok || alg != cose.EdDSA {
		t.Errorf("Algorithm = %v, %v, want EdDSA", alg, ok)
	}
	if alg, ok := r.Algorithm(cose.RS256); ok {
		t.Errorf("Algorithm = %v, want none", alg)
	}
}

func TestLenientDecoding(t *testing.T) {
	// A response with user name cut inside "ö", an unknown member, keys out of order, a length that
	// is not the shortest, a null and more nesting than a request may have.
	wire := unhex(t, `a6
		03 58 01 03
		02 41 02
		04 a2 62 6964 41 01  64 6e616d65 62 61c3
		05 f6
		18 63 8181818181 00
		61 7a 00`)
	var r ctap2.GetAssertionResponse
	if err := ctap2.UnmarshalLenient(wire, &r); err != nil {
		t.Fatal(err)
	}
	if r.User == nil || r.User.Name != "a\xc3" || r.Signature[0] != 3 || r.NumberOfCredentials != 0 {
		t.Errorf("read %+v", r)
	}
	for name, wire := range map[string]string{
		"key twice":     "a3 02 41 00 03 41 00 03 41 01",
		"trailing byte": "a2 02 41 00 03 41 00 00",
		"indefinite":    "bf 02 41 00 03 41 00 ff",
		"tag":           "a2 02 41 00 03 c2 41 00",
		"wrong type":    "a2 02 41 00 03 01",
		"array":         "a2 02 41 00 03 81 01",
		"no signature":  "a1 02 41 00",
		"no authData":   "a1 03 41 00",
		"null":          "f6",
		"nothing":       "",
		"too deep":      "a3 02 41 00 03 41 00 18 63 " + strings.Repeat("81", 16) + "00",
	} {
		var r ctap2.GetAssertionResponse
		if err := ctap2.UnmarshalLenient(unhex(t, wire), &r); err == nil {
			t.Errorf("%s: read as %+v", name, r)
		}
	}
}

func TestMessageSizeIsBounded(t *testing.T) {
	big := make([]byte, ctap2.MaxMessageSize+1)
	var r ctap2.GetAssertionRequest
	for name, err := range map[string]error{
		"Unmarshal":        ctap2.Unmarshal(big, &r),
		"UnmarshalLenient": ctap2.UnmarshalLenient(big, &r),
		"Canonical":        ctap2.Canonical(big),
	} {
		if !errors.Is(err, ctap2.ErrRequestTooLarge) {
			t.Errorf("%s: %v, want %v", name, err, ctap2.ErrRequestTooLarge)
		}
	}
}

func TestCanonical(t *testing.T) {
	for _, wire := range []string{
		"00", "1818", "190100", "1a00010000", "1b0000000100000000", "20", "3818", "40", "60", "80", "a0", "f4", "f5", "f6", "f8ff",
		"fb3ff0000000000000", // floats keep their size
		"a3 01 00 20 00 60 00",
		"a4 17 00 1818 00 1901ff 00 20 00",
		"a3 61 7a 00 62 6161 00 62 6162 00", // shorter first
		"81 81 81 81 00",
	} {
		if err := ctap2.Canonical(unhex(t, wire)); err != nil {
			t.Errorf("Canonical(%s): %v", wire, err)
		}
	}
	for _, wire := range []string{
		"", "1817", "1900ff", "1a0000ffff", "1b00000000ffffffff", "3817", "5817", "7801 61", "9800", "b800", "f818", "f814",
		"1c", "5c", "ff", "5f ff", "9f ff", "bf ff", "c0 00", "d81800",
		"0000", "a1 00", "82 00", "41", "62 61", "61 ff", "a1 c0 00 00",
		"a2 02 00 01 00", "a2 01 00 01 00", "a2 20 00 01 00", "a2 60 00 20 00",
		"a2 62 6161 00 61 7a 00", "a2 61 62 00 61 61 00", "a2 61 61 00 61 61 00",
		"81 81 81 81 80", "9b ffffffffffffffff", "5b ffffffffffffffff 00", "bb ffffffffffffffff 00",
	} {
		err := ctap2.Canonical(unhex(t, wire))
		if !errors.Is(err, ctap2.ErrInvalidCBOR) {
			t.Errorf("Canonical(%s): %v, want %v", wire, err, ctap2.ErrInvalidCBOR)
		}
	}
	if err := ctap2.Canonical(unhex(t, "a2 02 00 01 00")); !errors.Is(err, ctap2.ErrNotCanonical) {
		t.Errorf("keys out of order: %v, want %v", err, ctap2.ErrNotCanonical)
	}
}

func TestStatusOf(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want ctap2.Status
	}{
		{nil, ctap2.StatusOK},
		{errors.New("something"), ctap2.ErrOther},
		{ctap2.ErrPINBlocked, ctap2.ErrPINBlocked},
		{fmt.Errorf("here: %w", ctap2.ErrPINBlocked), ctap2.ErrPINBlocked},
		{&ctap2.Error{Cmd: ctap2.CmdReset, Status: ctap2.ErrNotAllowed}, ctap2.ErrNotAllowed},
		{&ctap2.DecodeError{Status: ctap2.ErrInvalidCBOR, Err: errors.New("x")}, ctap2.ErrInvalidCBOR},
	} {
		if got := ctap2.StatusOf(tt.err); got != tt.want {
			t.Errorf("StatusOf(%v) = %s, want %s", tt.err, got.Name(), tt.want.Name())
		}
	}
}
