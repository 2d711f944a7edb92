package u2f_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"testing"

	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func hash(t testing.TB, s string) [32]byte { return [32]byte(unhex(t, s)) }

// The examples of "FIDO U2F Raw Message Formats", section "Examples".
const (
	exampleRegisterChallenge   = "4142d21c00d94ffb9d504ada8f99b721f4b191ae4e37ca0140f696b6983cfacb"
	exampleRegisterApplication = "f0e6a6a97042a4f1f1c87f5f7d44315b2d852c2df5c7991cc66241bf7072d1c4"
	exampleKeyHandle           = "2a552dfdb7477ed65fd84133f86196010b2215b57da75d315b7b9e8fe2e3925a6019551bab61d16591659cbaf00b4950f7abfe6660e2e006f76868b772d70c25"
	exampleCertificate         = "3082013c3081e4a003020102020a47901280001155957352300a06082a8648ce3d0403023017311530130603550403130c476e756262792050696c6f74301e170d3132303831343138323933325a170d3133303831343138323933325a3031312f302d0603550403132650696c6f74476e756262792d302e342e312d34373930313238303030313135353935373335323059301306072a8648ce3d020106082a8648ce3d030107034200048d617e65c9508e64bcc5673ac82a6799da3c1446682c258c463fffdf58dfd2fa3e6c378b53d795c4a4dffb4199edd7862f23abaf0203b4b8911ba0569994e101300a06082a8648ce3d0403020347003044022060cdb6061e9c22262d1aac1d96d8c70829b2366531dda268832cb836bcd30dfa0220631b1459f09e6330055722c8d89b7f48883b9089b88d60d1d9795902b30410df"
	exampleRegisterResponse    = "0504b174bc49c7ca254b70d2e5c207cee9cf174820ebd77ea3c65508c26da51b657c1cc6b952f8621697936482da0a6d3d3826a59095daf6cd7c03e2e60385d2f6d940" +
		exampleKeyHandle + exampleCertificate +
		"304502201471899bcc3987e62e8202c9b39c33c19033f7340352dba80fcab017db9230e402210082677d673d891933ade6f617e5dbde2e247e70423fd5ad7804a6d3d3961ef871"
	exampleAuthChallenge   = "ccd6ee2e47baef244d49a222db496bad0ef5b6f93aa7cc4d30c4821b3b9dbc57"
	exampleAuthApplication = "4b0be934baebb5d12d26011b69227fa5e86df94e7d94aa2949a89f2d493992ca"
	exampleAuthPublicKey   = "04d368f1b665bade3c33a20f1e429c7750d5033660c019119d29aa4ba7abc04aa7c80a46bbe11ca8cb5674d74f31f8a903f6bad105fb6ab74aefef4db8b0025e1d"
	exampleAuthResponse    = "0100000001304402204b5f0cd17534cedd8c34ee09570ef542a353df4436030ce43d406de870b847780220267bb998fac9b7266eb60e7cb0b5eabdfd5ba9614f53c7b22272ec10047a923f"
)

func TestExampleRegistration(t *testing.T) {
	req := u2f.RegisterRequest{Challenge: hash(t, exampleRegisterChallenge), Application: hash(t, exampleRegisterApplication)}
	if got, want := req.Command().Data, unhex(t, exampleRegisterChallenge+exampleRegisterApplication); !bytes.Equal(got, want) {
		t.Errorf("request: got %x, want %x", got, want)
	}
	raw := unhex(t, exampleRegisterResponse)
	r, err := u2f.ParseRegisterResponse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.KeyHandle, unhex(t, exampleKeyHandle)) || !bytes.Equal(r.Certificate, unhex(t, exampleCertificate)) {
		t.Errorf("got key handle %x and certificate %x", r.KeyHandle, r.Certificate)
	}
	cert, err := x509.ParseCertificate(r.Certificate)
	if err != nil {
		t.Fatal(err)
	}
	signed := u2f.RegisterSigned(req, r.KeyHandle, r.PublicKey)
	if err := cert.CheckSignature(x509.ECDSAWithSHA256, signed, r.Signature); err != nil {
		t.Errorf("the example's signature does not verify: %v", err)
	}
	if again, err := r.Marshal(); err != nil || !bytes.Equal(again, raw) {
		t.Errorf("Marshal: got %x, %v, want %x", again, err, raw)
	}
}

func TestExampleAuthentication(t *testing.T) {
	r, err := u2f.ParseAuthenticateResponse(unhex(t, exampleAuthResponse))
	if err != nil {
		t.Fatal(err)
	}
	if r.UserPresence != u2f.UserPresent || r.Counter != 1 {
		t.Errorf("got presence %x and counter %d, want 1 and 1", r.UserPresence, r.Counter)
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhex(t, exampleAuthPublicKey))
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(u2f.AuthenticateSigned(hash(t, exampleAuthApplication), hash(t, exampleAuthChallenge), r.UserPresence, r.Counter))
	if !ecdsa.VerifyASN1(key, digest[:], r.Signature) {
		t.Error("the example's signature does not verify")
	}
	if got := r.Marshal(); !bytes.Equal(got, unhex(t, exampleAuthResponse)) {
		t.Errorf("Marshal: got %x, want %s", got, exampleAuthResponse)
	}
}

func TestAuthenticateRequest(t *testing.T) {
	req := u2f.AuthenticateRequest{Control: u2f.ControlCheckOnly, Challenge: hash(t, exampleAuthChallenge), Application: hash(t, exampleAuthApplication), KeyHandle: []byte("handle")}
	c, err := req.Command()
	if err != nil {
		t.Fatal(err)
	}
	want := append([]byte{0, 2, 7, 0, 0, 0, 71}, unhex(t, exampleAuthChallenge+exampleAuthApplication+"0668616e646c65")...)
	if got, err := c.Extended(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v, want %x", got, err, want)
	}
	req.KeyHandle = make([]byte, 256)
	if _, err := req.Command(); !errors.Is(err, u2f.ErrKeyHandle) {
		t.Errorf("key handle of 256 bytes: got %v, want ErrKeyHandle", err)
	}
}

func TestRequestsRefuseWrongLengths(t *testing.T) {
	for _, n := range []int{0, 63, 65} {
		if _, err := u2f.ParseRegisterRequest(apdu.Command{INS: 1, Data: make([]byte, n)}); !errors.Is(err, u2f.ErrWrongLength) {
			t.Errorf("register request of %d bytes: got %v, want ErrWrongLength", n, err)
		}
	}
	for _, n := range []int{0, 64, 66} {
		if _, err := u2f.ParseAuthenticateRequest(apdu.Command{INS: 2, Data: make([]byte, n)}); !errors.Is(err, u2f.ErrWrongLength) {
			t.Errorf("authenticate request of %d bytes: got %v, want ErrWrongLength", n, err)
		}
	}
}

// TestCutResponses wants every prefix refused, up to the beginning of the last field.
func TestCutResponses(t *testing.T) {
	raw := unhex(t, exampleRegisterResponse)
	signature := len(raw) - 71
	for n := range signature + 1 {
		if _, err := u2f.ParseRegisterResponse(raw[:n]); !errors.Is(err, u2f.ErrMalformed) {
			t.Errorf("register response cut to %d bytes: got %v, want ErrMalformed", n, err)
		}
	}
	for n := range 6 {
		if _, err := u2f.ParseAuthenticateResponse(make([]byte, n)); !errors.Is(err, u2f.ErrMalformed) {
			t.Errorf("authenticate response of %d bytes: got %v, want ErrMalformed", n, err)
		}
	}
}

func TestRegisterResponseRefusesToMarshal(t *testing.T) {
	for name, c := range map[string]struct {
		r    u2f.RegisterResponse
		want error
	}{
		"key handle":     {u2f.RegisterResponse{KeyHandle: make([]byte, 256), Certificate: []byte{0x30, 0}}, u2f.ErrKeyHandle},
		"no certificate": {u2f.RegisterResponse{}, u2f.ErrMalformed},
		"trailing bytes": {u2f.RegisterResponse{Certificate: []byte{0x30, 0, 0}}, u2f.ErrMalformed},
	} {
		if _, err := c.r.Marshal(); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// TestCaptures reads responses of real keys.
func TestCaptures(t *testing.T) {
	b, err := os.ReadFile("/work/shared/vectors/captures/ctaphid-wire.json")
	if err != nil {
		t.Skip("no captures of real keys on this machine")
	}
	var file struct {
		Messages []struct {
			Name     string
			Messages []struct{ Hex string }
		}
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	captured := map[string]apdu.Response{}
	for _, m := range file.Messages {
		if len(m.Messages) == 1 {
			if r, err := apdu.ParseResponse(unhex(t, m.Messages[0].Hex)); err == nil {
				captured[m.Name] = r
			}
		}
	}
	if got := captured["WIREDATA_CTAP_U2F_6985"].SW; got != u2f.ErrConditionsNotSatisfied {
		t.Errorf("6985: got %v", got)
	}
	reg := captured["WIREDATA_CTAP_U2F_REGISTER"]
	r, err := u2f.ParseRegisterResponse(reg.Data)
	if err != nil || reg.SW != apdu.OK {
		t.Fatalf("registration: %v, %v", err, reg.SW)
	}
	if _, err := x509.ParseCertificate(r.Certificate); err != nil {
		t.Errorf("registration: %v", err)
	}
	if again, err := r.Marshal(); err != nil || !bytes.Equal(again, reg.Data) {
		t.Errorf("registration: got %x, %v, want %x", again, err, reg.Data)
	}
	auth := captured["WIREDATA_CTAP_U2F_AUTH"]
	a, err := u2f.ParseAuthenticateResponse(auth.Data)
	if err != nil || a.Counter != 44 || a.UserPresence != u2f.UserPresent {
		t.Errorf("authentication: got %+v, %v, want counter 44", a, err)
	}
}

func FuzzRegisterRequest(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := u2f.ParseRegisterRequest(apdu.Command{INS: u2f.InsRegister, Data: b})
		if err != nil {
			return
		}
		if got := r.Command().Data; !bytes.Equal(got, b) {
			t.Errorf("got %x, want %x", got, b)
		}
	})
}

func FuzzRegisterResponse(f *testing.F) {
	f.Add(unhex(f, exampleRegisterResponse))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := u2f.ParseRegisterResponse(b)
		if err != nil {
			return
		}
		if got, err := r.Marshal(); err != nil || !bytes.Equal(got, b) {
			t.Errorf("got %x, %v, want %x", got, err, b)
		}
	})
}

func FuzzAuthenticateRequest(f *testing.F) {
	f.Add(byte(3), append(make([]byte, 64), 1, 9))
	f.Fuzz(func(t *testing.T, control byte, b []byte) {
		r, err := u2f.ParseAuthenticateRequest(apdu.Command{INS: u2f.InsAuthenticate, P1: control, Data: b})
		if err != nil {
			return
		}
		if got, err := r.Command(); err != nil || got.P1 != control || !bytes.Equal(got.Data, b) {
			t.Errorf("got %+v, %v, want %x", got, err, b)
		}
	})
}

func FuzzAuthenticateResponse(f *testing.F) {
	f.Add(unhex(f, exampleAuthResponse))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := u2f.ParseAuthenticateResponse(b)
		if err != nil {
			return
		}
		if got := r.Marshal(); !bytes.Equal(got, b) {
			t.Errorf("got %x, want %x", got, b)
		}
	})
}
