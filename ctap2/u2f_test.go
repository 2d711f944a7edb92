package ctap2_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

// A platform treats both kinds of key alike.
var (
	_ ctap2.Authenticator = (*ctap2.Client)(nil)
	_ ctap2.Authenticator = (*ctap2.U2FClient)(nil)
)

// oldKey is a U2F key with one key pair, of which the handle is its public point. It must be asked
// twice for each touch.
type oldKey struct {
	t          *testing.T
	credential *ecdsa.PrivateKey
	batch      *ecdsa.PrivateKey
	handle     []byte
	app        [32]byte
	counter    uint32
	asked      int
	presence   byte
	loud       bool // refuses to sign without a touch
	forgetful  bool // knows the handle until it should sign

	log []string
}

func newOldKey(t *testing.T) *oldKey {
	return &oldKey{t: t, credential: newKey(t), batch: newKey(t), handle: repeat(7, 64), app: sha256.Sum256([]byte(testRP)), presence: 1}
}

func (k *oldKey) MSG(_ context.Context, b []byte, _ func(byte)) ([]byte, error) {
	c, _, err := apdu.ParseCommand(b)
	if err != nil {
		return nil, err
	}
	return k.answer(c).Marshal(), nil
}

func (k *oldKey) answer(c apdu.Command) apdu.Response {
	switch c.INS {
	case u2f.InsVersion:
		k.log = append(k.log, "version")
		return apdu.Response{Data: []byte("U2F_V2"), SW: apdu.OK}
	case u2f.InsRegister:
		r, err := u2f.ParseRegisterRequest(c)
		if err != nil {
			return apdu.Response{SW: apdu.ErrWrongLength}
		}
		if k.asked++; k.asked%2 == 1 {
			return apdu.Response{SW: apdu.ErrConditionsNotSatisfied}
		}
		name := "register"
		if r.Application != k.app {
			name = "touch"
		}
		k.log = append(k.log, name)
		var point [65]byte
		raw, err := k.credential.PublicKey.Bytes()
		if err != nil {
			k.t.Error(err)
		}
		copy(point[:], raw)
		resp, err := u2f.RegisterResponse{
			PublicKey: point, KeyHandle: k.handle, Certificate: certificate(k.t, k.batch, ctap2.AAGUID{}),
			Signature: sign(k.t, k.batch, u2f.RegisterSigned(r, k.handle, point)),
		}.Marshal()
		if err != nil {
			k.t.Error(err)
		}
		return apdu.Response{Data: resp, SW: apdu.OK}
	case u2f.InsAuthenticate:
		r, err := u2f.ParseAuthenticateRequest(c)
		if err != nil {
			return apdu.Response{SW: apdu.ErrWrongLength}
		}
		if r.Application != k.app || !bytes.Equal(r.KeyHandle, k.handle) {
			k.log = append(k.log, "not mine")
			return apdu.Response{SW: apdu.ErrWrongData}
		}
		presence := k.presence
		switch r.Control {
		case u2f.ControlCheckOnly:
			k.log = append(k.log, "mine")
			return apdu.Response{SW: apdu.ErrConditionsNotSatisfied}
		case u2f.ControlDontEnforce:
			if k.loud {
				return apdu.Response{SW: apdu.ErrConditionsNotSatisfied}
			}
			presence = 0
		default:
			if k.forgetful {
				return apdu.Response{SW: apdu.ErrWrongData}
			}
			if k.asked++; k.asked%2 == 1 {
				return apdu.Response{SW: apdu.ErrConditionsNotSatisfied}
			}
		}
		k.log = append(k.log, "authenticate")
		k.counter++
		return apdu.Response{SW: apdu.OK, Data: u2f.AuthenticateResponse{
			UserPresence: presence, Counter: k.counter,
			Signature: sign(k.t, k.credential, u2f.AuthenticateSigned(r.Application, r.Challenge, presence, k.counter)),
		}.Marshal()}
	}
	return apdu.Response{SW: apdu.ErrInsNotSupported}
}

func u2fMakeCredential() *ctap2.MakeCredentialRequest {
	return &ctap2.MakeCredentialRequest{
		ClientDataHash:   repeat(1, 32),
		RP:               ctap2.RP{ID: testRP},
		User:             ctap2.User{ID: []byte{1}},
		PubKeyCredParams: []ctap2.CredentialParameter{{Alg: cose.EdDSA, Type: ctap2.TypePublicKey}, {Alg: cose.ES256, Type: ctap2.TypePublicKey}},
	}
}

func credentials(ids ...[]byte) (list []ctap2.CredentialDescriptor) {
	for _, id := range ids {
		list = append(list, ctap2.CredentialDescriptor{ID: id, Type: ctap2.TypePublicKey})
	}
	return list
}

func TestU2FBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newOldKey(t)
		var statuses []byte
		c := ctap2.NewU2FClient(key, func(status byte) { statuses = append(statuses, status) })
		info, err := c.GetInfo(t.Context())
		if err != nil || !info.Supports(ctap2.VersionU2F) || info.Protocol() != 0 {
			t.Fatalf("GetInfo: %+v, %v", info, err)
		}
		made, err := c.MakeCredential(t.Context(), u2fMakeCredential())
		if err != nil || made.Fmt != ctap2.FormatFIDOU2F {
			t.Fatalf("MakeCredential: %+v, %v", made, err)
		}
		if !bytes.Equal(statuses, []byte{ctap2.KeepaliveUPNeeded}) {
			t.Errorf("keepalives %v", statuses)
		}
		a, err := made.ParsedAuthData()
		if err != nil || a.Flags != ctap2.FlagUP|ctap2.FlagAT || a.SignCount != 0 || !a.AAGUID.IsZero() || !bytes.Equal(a.CredentialID, key.handle) {
			t.Fatalf("authenticator data %+v, %v", a, err)
		}
		hash := repeat(2, 32)
		got, err := c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{
			RPID: testRP, ClientDataHash: hash,
			AllowList: credentials(repeat(1, 20), make([]byte, 256), key.handle),
			Options:   &ctap2.Options{UP: new(true), UV: new(false)},
		})
		if err != nil || !bytes.Equal(got.Credential.ID, key.handle) {
			t.Fatalf("GetAssertion: %+v, %v", got, err)
		}
		// The relying party verifies it as any other assertion.
		if err := a.PublicKey.Verify(append(bytes.Clone(got.AuthData), hash...), got.Signature); err != nil {
			t.Error(err)
		}
		if a, err := got.ParsedAuthData(); err != nil || a.Flags != ctap2.FlagUP || a.SignCount != 1 {
			t.Errorf("authenticator data %+v, %v", a, err)
		}
		if _, err := c.GetNextAssertion(t.Context()); !errors.Is(err, ctap2.ErrNotAllowed) {
			t.Errorf("GetNextAssertion: %v", err)
		}
		if err := c.Select(t.Context(), info); err != nil {
			t.Errorf("Select: %v", err)
		}
		want := []string{"version", "register", "not mine", "mine", "authenticate", "touch"}
		if diff := cmp.Diff(want, key.log); diff != "" {
			t.Errorf("the key saw (-want +got):\n%s", diff)
		}
	})
}

func TestU2FExcluded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newOldKey(t)
		c := ctap2.NewU2FClient(key, nil)
		r := u2fMakeCredential()
		r.ExcludeList = credentials([]byte{1}, key.handle)
		_, err := c.MakeCredential(t.Context(), r)
		if !errors.Is(err, ctap2.ErrCredentialExcluded) {
			t.Errorf("got %v, want %v", err, ctap2.ErrCredentialExcluded)
		}
		// The touch comes before the answer, and no credential is made for the site.
		if diff := cmp.Diff([]string{"not mine", "mine", "touch"}, key.log); diff != "" {
			t.Errorf("the key saw (-want +got):\n%s", diff)
		}
	})
}

func TestU2FWithoutTouch(t *testing.T) {
	key := newOldKey(t)
	c := ctap2.NewU2FClient(key, nil)
	got, err := c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{
		RPID: testRP, ClientDataHash: repeat(2, 32), AllowList: credentials(key.handle), Options: &ctap2.Options{UP: new(false)},
	})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := got.ParsedAuthData(); err != nil || a.Flags != 0 {
		t.Errorf("authenticator data %+v, %v", a, err)
	}
	key.loud = true
	_, err = c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{
		RPID: testRP, ClientDataHash: repeat(2, 32), AllowList: credentials(key.handle), Options: &ctap2.Options{UP: new(false)},
	})
	if !errors.Is(err, ctap2.ErrUPRequired) {
		t.Errorf("a key that wants the touch: %v, want %v", err, ctap2.ErrUPRequired)
	}
	key.forgetful = true
	_, err = c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{RPID: testRP, ClientDataHash: repeat(2, 32), AllowList: credentials(key.handle)})
	if !errors.Is(err, ctap2.ErrInvalidCredential) {
		t.Errorf("a key that changes its mind: %v, want %v", err, ctap2.ErrInvalidCredential)
	}
	for name, list := range map[string][]ctap2.CredentialDescriptor{"none": nil, "another's": credentials([]byte{1})} {
		_, err := c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{RPID: testRP, ClientDataHash: repeat(2, 32), AllowList: list})
		if !errors.Is(err, ctap2.ErrNoCredentials) {
			t.Errorf("%s: %v, want %v", name, err, ctap2.ErrNoCredentials)
		}
	}
}

func TestU2FCannot(t *testing.T) {
	key := newOldKey(t)
	c := ctap2.NewU2FClient(key, nil)
	for name, tt := range map[string]struct {
		change func(r *ctap2.MakeCredentialRequest)
		want   ctap2.Status
	}{
		"EdDSA":        {func(r *ctap2.MakeCredentialRequest) { r.PubKeyCredParams = r.PubKeyCredParams[:1] }, ctap2.ErrUnsupportedAlgorithm},
		"discoverable": {func(r *ctap2.MakeCredentialRequest) { r.Options = &ctap2.Options{RK: new(true)} }, ctap2.ErrUnsupportedOption},
		"verification": {func(r *ctap2.MakeCredentialRequest) { r.Options = &ctap2.Options{UV: new(true)} }, ctap2.ErrUnsupportedOption},
		"token":        {func(r *ctap2.MakeCredentialRequest) { r.PINUVAuthParam = new(repeat(1, 16)) }, ctap2.ErrUnsupportedOption},
		"gesture":      {func(r *ctap2.MakeCredentialRequest) { r.PINUVAuthParam = new([]byte{}) }, ctap2.ErrUnsupportedOption},
		"hash":         {func(r *ctap2.MakeCredentialRequest) { r.ClientDataHash = repeat(1, 31) }, ctap2.ErrInvalidParameter},
		"enterprise":   {func(r *ctap2.MakeCredentialRequest) { r.EnterpriseAttestation = 1 }, ctap2.ErrInvalidParameter},
	} {
		r := u2fMakeCredential()
		tt.change(r)
		if _, err := c.MakeCredential(t.Context(), r); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	for name, tt := range map[string]struct {
		change func(r *ctap2.GetAssertionRequest)
		want   ctap2.Status
	}{
		"verification": {func(r *ctap2.GetAssertionRequest) { r.Options = &ctap2.Options{UV: new(true)} }, ctap2.ErrUnsupportedOption},
		"token":        {func(r *ctap2.GetAssertionRequest) { r.PINUVAuthParam = new([]byte{}) }, ctap2.ErrUnsupportedOption},
		"hash":         {func(r *ctap2.GetAssertionRequest) { r.ClientDataHash = nil }, ctap2.ErrInvalidParameter},
	} {
		r := &ctap2.GetAssertionRequest{RPID: testRP, ClientDataHash: repeat(1, 32), AllowList: credentials(key.handle)}
		tt.change(r)
		if _, err := c.GetAssertion(t.Context(), r); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	if len(key.log) > 0 {
		t.Errorf("the key was asked: %v", key.log)
	}
}

func TestU2FHostileAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newOldKey(t)
		key.presence = 0x41 // would read as attested credential data
		c := ctap2.NewU2FClient(key, nil)
		_, err := c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{RPID: testRP, ClientDataHash: repeat(2, 32), AllowList: credentials(key.handle)})
		if !errors.Is(err, ctap2.ErrResponse) {
			t.Errorf("reserved bits: %v, want %v", err, ctap2.ErrResponse)
		}
		point := [65]byte{4, 1, 2, 3}
		if _, err := ctap2.RegisterToMakeCredential(testRP, u2f.RegisterResponse{PublicKey: point}); !errors.Is(err, ctap2.ErrResponse) {
			t.Errorf("a point that is none: %v, want %v", err, ctap2.ErrResponse)
		}
	})
}

func TestU2FCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("hung up")
		c := ctap2.NewU2FClient(neverTouched{}, func(byte) { cancel(why) })
		if _, err := c.MakeCredential(ctx, u2fMakeCredential()); !errors.Is(err, why) {
			t.Errorf("got %v, want %v", err, why)
		}
	})
}

// neverTouched is a key that nobody touches.
type neverTouched struct{}

func (neverTouched) MSG(context.Context, []byte, func(byte)) ([]byte, error) {
	return apdu.Response{SW: apdu.ErrConditionsNotSatisfied}.Marshal(), nil
}
