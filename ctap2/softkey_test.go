package ctap2_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
	"github.com/fobd/fobd/tokens/softkey"
)

// emulated is an emulated key with the PIN 1234, and a client of it.
type emulated struct {
	t testing.TB
	*ctap2.Client
	key *softkey.Authenticator
}

func emulate(t testing.TB, cfg softkey.Config) emulated {
	t.Helper()
	key, err := softkey.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := key.Close(); err != nil {
			t.Error(err)
		}
	})
	e := emulated{t, ctap2.NewClient(key, nil), key}
	if err := e.SetPIN(t.Context(), pinuv.Two, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	return e
}

func (e emulated) info() *ctap2.Info {
	e.t.Helper()
	info, err := e.GetInfo(e.t.Context())
	if err != nil {
		e.t.Fatal(err)
	}
	return info
}

func (e emulated) token(permissions ctap2.Permission, rpID string) *ctap2.Token {
	e.t.Helper()
	token, err := e.PINToken(e.t.Context(), ctap2.TokenRequest{Protocol: pinuv.Two, PIN: []byte("1234"), Permissions: permissions, RPID: rpID})
	if err != nil {
		e.t.Fatal(err)
	}
	return token
}

// register makes a discoverable credential.
func (e emulated) register(rpID string, user byte, change func(r *ctap2.MakeCredentialRequest)) *ctap2.MakeCredentialResponse {
	e.t.Helper()
	r := &ctap2.MakeCredentialRequest{
		ClientDataHash: repeat(1, 32), RP: ctap2.RP{ID: rpID}, User: ctap2.User{ID: []byte{user, user}, Name: fmt.Sprint("user", user)},
		PubKeyCredParams: []ctap2.CredentialParameter{{Alg: cose.ES256, Type: ctap2.TypePublicKey}},
		Options:          &ctap2.Options{RK: new(true)},
	}
	if change != nil {
		change(r)
	}
	r.Authorize(e.token(ctap2.PermissionMakeCredential, rpID))
	resp, err := e.MakeCredential(e.t.Context(), r)
	if err != nil {
		e.t.Fatal(err)
	}
	return resp
}

func TestCredentialManagerWithAKey(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileFIDO21, softkey.ProfileFIDO23} {
		e := emulate(t, softkey.Config{Profile: profile})
		manager := func() *ctap2.CredentialManager {
			m, err := e.CredentialManager(e.info(), e.token(ctap2.PermissionCredentialManagement, ""))
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		m := manager()
		if rps, err := m.RPs(t.Context()); err != nil || len(rps) > 0 {
			t.Fatalf("%s: RPs of an empty key: %v, %v", profile, rps, err)
		}
		_, room, err := m.Metadata(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for user := range byte(3) {
			e.register("a.example", user, nil)
		}
		e.register("b.example", 9, nil)
		m = manager()
		existing, remaining, err := m.Metadata(t.Context())
		if err != nil || existing != 4 || remaining != room-4 {
			t.Errorf("%s: Metadata = %d, %d of %d, %v", profile, existing, remaining, room, err)
		}
		rps, err := m.RPs(t.Context())
		if err != nil || len(rps) != 2 {
			t.Fatalf("%s: RPs = %+v, %v", profile, rps, err)
		}
		for _, rp := range rps {
			if rp.RPIDHash != sha256.Sum256([]byte(rp.RP.ID)) {
				t.Errorf("%s: %s has the hash %x", profile, rp.RP.ID, rp.RPIDHash)
			}
		}
		list, err := m.Credentials(t.Context(), sha256.Sum256([]byte("a.example")))
		if err != nil || len(list) != 3 {
			t.Fatalf("%s: Credentials = %+v, %v", profile, list, err)
		}
		for _, c := range list {
			if _, err := c.PublicKey.Public(); err != nil || c.User.Name != fmt.Sprint("user", c.User.ID[0]) {
				t.Errorf("%s: %+v: %v", profile, c, err)
			}
		}
		if err := m.UpdateUser(t.Context(), list[0].CredentialID, ctap2.User{ID: list[0].User.ID, Name: "renamed", DisplayName: "Re Named"}); err != nil {
			t.Errorf("%s: UpdateUser: %v", profile, err)
		}
		if err := m.Delete(t.Context(), list[1].CredentialID); err != nil {
			t.Errorf("%s: Delete: %v", profile, err)
		}
		if err := m.Delete(t.Context(), list[1].CredentialID); !errors.Is(err, ctap2.ErrNoCredentials) {
			t.Errorf("%s: Delete again: %v", profile, err)
		}
		after, err := m.Credentials(t.Context(), sha256.Sum256([]byte("a.example")))
		if err != nil || len(after) != 2 {
			t.Fatalf("%s: after: %+v, %v", profile, after, err)
		}
		names := map[string]bool{after[0].User.Name: true, after[1].User.Name: true}
		if !names["renamed"] || !names[list[2].User.Name] {
			t.Errorf("%s: after: %v", profile, names)
		}
		m, err = e.CredentialManager(e.info(), e.token(ctap2.PermissionConfig, ""))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.RPs(t.Context()); !errors.Is(err, ctap2.ErrPINAuthInvalid) && !errors.Is(err, ctap2.ErrUnauthorizedPermission) {
			t.Errorf("%s: with a token for something else: %v", profile, err)
		}
	}
}

func TestPersistentTokenWithAKey(t *testing.T) {
	e := emulate(t, softkey.Config{Profile: softkey.ProfileFIDO23})
	if info := e.info(); info.EncIdentifier != nil || info.EncCredStoreState != nil {
		t.Errorf("before there is a persistent token: %x, %x", info.EncIdentifier, info.EncCredStoreState)
	}
	token := e.token(ctap2.PermissionCredentialRead, "")
	look := func() (identifier, state []byte) {
		t.Helper()
		info := e.info()
		identifier, err := token.Identifier(info)
		if err != nil {
			t.Fatal(err)
		}
		state, err = token.CredStoreState(info)
		if err != nil {
			t.Fatal(err)
		}
		return identifier, state
	}
	one, before := look()
	e.register("a.example", 1, nil)
	two, after := look()
	if !bytes.Equal(one, two) || bytes.Equal(before, after) {
		t.Errorf("identifier %x then %x, state %x then %x", one, two, before, after)
	}
	if _, again := look(); !bytes.Equal(again, after) {
		t.Errorf("state %x then %x, and nothing was changed", after, again)
	}
	// It goes on after other tokens, and reads only.
	m, err := e.CredentialManager(e.info(), ctap2.NewToken(pinuv.Two, token.Secret()))
	if err != nil {
		t.Fatal(err)
	}
	list, err := m.Credentials(t.Context(), sha256.Sum256([]byte("a.example")))
	if err != nil || len(list) != 1 {
		t.Fatalf("Credentials = %v, %v", list, err)
	}
	if existing, _, err := m.Metadata(t.Context()); existing != 1 || err != nil {
		t.Errorf("Metadata = %d, %v", existing, err)
	}
	if err := m.Delete(t.Context(), list[0].CredentialID); !errors.Is(err, ctap2.ErrPINAuthInvalid) && !errors.Is(err, ctap2.ErrUnauthorizedPermission) {
		t.Errorf("Delete with a token for reading: %v", err)
	}
}

func TestFingerprintsWithAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := emulate(t, softkey.Config{Profile: softkey.ProfileFIDO23Bio, SamplesPerFinger: 3})
		b, err := e.BioEnroller(e.info(), e.token(ctap2.PermissionBioEnrollment, ""))
		if err != nil {
			t.Fatal(err)
		}
		if m, err := b.Modality(t.Context()); m != ctap2.ModalityFingerprint || err != nil {
			t.Errorf("Modality = %d, %v", m, err)
		}
		info, err := b.SensorInfo(t.Context())
		if err != nil || info.MaxSamples != 3 || info.Kind != ctap2.FingerprintKindTouch {
			t.Errorf("SensorInfo = %+v, %v", info, err)
		}
		if list, err := b.List(t.Context()); err != nil || len(list) > 0 {
			t.Errorf("List of a new key = %v, %v", list, err)
		}
		e.key.Samples(ctap2.SampleGood, ctap2.SampleTooFast, ctap2.SamplePoorQuality)
		f, err := b.Begin(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		seen := []ctap2.SampleStatus{f.Status}
		for f.Remaining > 0 && len(seen) < 20 {
			if err := b.Next(t.Context(), f, 0); err != nil {
				t.Fatal(err)
			}
			seen = append(seen, f.Status)
		}
		if diff := cmp.Diff([]ctap2.SampleStatus{0, ctap2.SampleTooFast, ctap2.SamplePoorQuality, 0, 0}, seen); diff != "" {
			t.Errorf("samples (-want +got):\n%s", diff)
		}
		if err := b.Rename(t.Context(), f.TemplateID, "thumb"); err != nil {
			t.Errorf("Rename: %v", err)
		}
		if list, err := b.List(t.Context()); err != nil || !cmp.Equal(list, []ctap2.Template{{ID: f.TemplateID, Name: "thumb"}}) {
			t.Errorf("List = %v, %v", list, err)
		}
		// One that is given up leaves nothing.
		if _, err := b.Begin(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if err := b.Cancel(t.Context()); err != nil {
			t.Errorf("Cancel: %v", err)
		}
		if err := b.Remove(t.Context(), f.TemplateID); err != nil {
			t.Errorf("Remove: %v", err)
		}
		if err := b.Remove(t.Context(), f.TemplateID); !errors.Is(err, ctap2.ErrInvalidOption) {
			t.Errorf("Remove again: %v", err)
		}
		if list, err := b.List(t.Context()); err != nil || len(list) > 0 {
			t.Errorf("List at the end = %v, %v", list, err)
		}
	})
}

func TestLargeBlobsWithAKey(t *testing.T) {
	e := emulate(t, softkey.Config{Profile: softkey.ProfileFIDO21})
	withKey := func(r *ctap2.MakeCredentialRequest) {
		r.Extensions = &ctap2.MakeCredentialExtensions{LargeBlobKey: new(true)}
	}
	alice := e.register("a.example", 1, withKey).LargeBlobKey
	bob := e.register("b.example", 2, withKey).LargeBlobKey
	if len(alice) != 32 || len(bob) != 32 || bytes.Equal(alice, bob) {
		t.Fatalf("keys %x and %x", alice, bob)
	}
	info := e.info()
	entries, stored, err := e.LargeBlobArray(t.Context(), info)
	if err != nil || len(entries) > 0 || stored != 17 {
		t.Fatalf("array of a new key: %v, %d bytes, %v", entries, stored, err)
	}
	write := func(entries []ctap2.LargeBlob) error {
		return e.SetLargeBlobArray(t.Context(), info, e.token(ctap2.PermissionLargeBlobWrite, ""), entries)
	}
	long := make([]byte, int(info.MaxSerializedLargeBlobArray)/2)
	for i := range long {
		long[i] = byte(i * i >> 3) // not worth compressing much
	}
	entries = put(t, entries, alice, string(long))
	entries = put(t, entries, bob, "bob")
	if err := write(entries); err != nil {
		t.Fatal(err)
	}
	back, _, err := e.LargeBlobArray(t.Context(), info)
	if err != nil {
		t.Fatal(err)
	}
	if data, ok, err := ctap2.GetLargeBlob(back, alice); err != nil || !ok || !bytes.Equal(data, long) {
		t.Errorf("alice's: %d bytes, %v, %v", len(data), ok, err)
	}
	rest, gone, err := ctap2.CollectLargeBlobs(back, [][]byte{bob})
	if err != nil || gone != 1 {
		t.Fatalf("%d gone, %v", gone, err)
	}
	if err := write(rest); err != nil {
		t.Fatal(err)
	}
	back, stored, err = e.LargeBlobArray(t.Context(), info)
	if err != nil || len(back) != 1 || stored > 100 {
		t.Errorf("after collecting: %d entries of %d bytes, %v", len(back), stored, err)
	}
	// The whole of the room and not a byte more.
	limit := int(info.MaxSerializedLargeBlobArray)
	for _, n := range []int{limit - 1, limit, limit + 1} {
		raw, err := ctap2.Marshal(make([]byte, n-1-3-16))
		if err != nil {
			t.Fatal(err)
		}
		err = write([]ctap2.LargeBlob{{Raw: raw}})
		if fits := n <= limit; fits != (err == nil) || !fits && !errors.Is(err, ctap2.ErrTooLarge) {
			t.Errorf("%d of %d bytes: %v", n, limit, err)
		}
	}
	if err := e.SetLargeBlobArray(t.Context(), info, nil, nil); !errors.Is(err, ctap2.ErrPUATRequired) {
		t.Errorf("writing without a token: %v", err)
	}
}

func TestBlobOfACredentialWithAKey(t *testing.T) {
	e := emulate(t, softkey.Config{Profile: softkey.ProfileFIDO23})
	made := e.register("a.example", 1, func(r *ctap2.MakeCredentialRequest) {
		r.Extensions = &ctap2.MakeCredentialExtensions{LargeBlob: &ctap2.LargeBlobCreateInput{Support: ctap2.LargeBlobRequired}}
	})
	if u, err := made.Unsigned(); err != nil || u.LargeBlob == nil || !u.LargeBlob.Supported {
		t.Fatalf("makeCredential: %+v, %v", u, err)
	}
	a, err := made.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	assert := func(in ctap2.LargeBlobInput) *ctap2.LargeBlobOutput {
		t.Helper()
		r := &ctap2.GetAssertionRequest{
			RPID: "a.example", ClientDataHash: repeat(1, 32),
			AllowList:  []ctap2.CredentialDescriptor{{ID: a.CredentialID, Type: ctap2.TypePublicKey}},
			Extensions: &ctap2.GetAssertionExtensions{LargeBlob: &in},
		}
		r.Authorize(e.token(ctap2.PermissionGetAssertion, "a.example"))
		resp, err := e.GetAssertion(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		u, err := resp.Unsigned()
		if err != nil {
			t.Fatal(err)
		}
		return u.LargeBlob
	}
	data := bytes.Repeat([]byte("blob "), 100)
	compressed, err := ctap2.CompressBlob(data)
	if err != nil {
		t.Fatal(err)
	}
	if out := assert(ctap2.LargeBlobInput{Write: &compressed, OriginalSize: new(uint64(len(data)))}); out == nil || out.Written == nil || !*out.Written {
		t.Fatalf("write: %+v", out)
	}
	out := assert(ctap2.LargeBlobInput{Read: new(true)})
	if out == nil || out.Blob == nil || out.OriginalSize == nil {
		t.Fatalf("read: %+v", out)
	}
	if got, err := ctap2.DecompressBlob(*out.Blob, *out.OriginalSize); err != nil || !bytes.Equal(got, data) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}

func TestConfigurerWithAKey(t *testing.T) {
	var vendor []byte
	e := emulate(t, softkey.Config{Profile: softkey.ProfileFIDO23, VendorCommands: map[uint64]func([]byte) error{
		7: func(data []byte) error { vendor = bytes.Clone(data); return nil },
	}})
	f, err := e.Configurer(e.info(), e.token(ctap2.PermissionConfig, ""))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.EnableEnterpriseAttestation(t.Context()); err != nil && !errors.Is(err, ctap2.ErrNotSupported) {
		t.Errorf("EnableEnterpriseAttestation: %v", err)
	}
	if err := f.ToggleAlwaysUV(t.Context()); err != nil {
		t.Errorf("ToggleAlwaysUV: %v", err)
	}
	if on, _ := e.info().Option(ctap2.OptionAlwaysUV); !on {
		t.Error("alwaysUv is off")
	}
	if err := f.EnableLongTouchForReset(t.Context()); err != nil && !errors.Is(err, ctap2.ErrNotSupported) {
		t.Errorf("EnableLongTouchForReset: %v", err)
	}
	if err := f.VendorPrototype(t.Context(), ctap2.VendorPrototypeParams{VendorCommandID: 7, Data: []byte{0x18, 0x2A}}); err != nil || !bytes.Equal(vendor, []byte{0x18, 0x2A}) {
		t.Errorf("VendorPrototype: %v, it got %x", err, vendor)
	}
	if err := f.SetMinPINLength(t.Context(), ctap2.SetMinPINLengthParams{NewMinPINLength: new(uint(8))}); err != nil {
		t.Errorf("SetMinPINLength: %v", err)
	}
	info := e.info()
	if info.MinPIN() != 8 || info.ForcePINChange == nil || !*info.ForcePINChange {
		t.Errorf("after SetMinPINLength: minimum %d, forcePINChange %v", info.MinPIN(), info.ForcePINChange)
	}
}

func TestHMACSecretMCWithAKey(t *testing.T) {
	e := emulate(t, softkey.Config{Profile: softkey.ProfileFIDO23})
	h, err := e.HMACSecret(t.Context(), pinuv.Two, repeat(1, 32), repeat(2, 32))
	if err != nil {
		t.Fatal(err)
	}
	made := e.register("a.example", 1, func(r *ctap2.MakeCredentialRequest) {
		r.Extensions = &ctap2.MakeCredentialExtensions{HMACSecret: new(true), HMACSecretMC: h.Input}
	})
	a, err := made.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	one, two, err := h.OutputsMC(a)
	if err != nil || len(one) != 32 || len(two) != 32 {
		t.Fatalf("OutputsMC = %x, %x, %v", one, two, err)
	}
	// getAssertion gives the same for the same salts.
	if h, err = e.HMACSecret(t.Context(), pinuv.Two, repeat(1, 32), repeat(2, 32)); err != nil {
		t.Fatal(err)
	}
	r := &ctap2.GetAssertionRequest{
		RPID: "a.example", ClientDataHash: repeat(1, 32), AllowList: []ctap2.CredentialDescriptor{{ID: a.CredentialID, Type: ctap2.TypePublicKey}},
		Extensions: &ctap2.GetAssertionExtensions{HMACSecret: h.Input},
	}
	r.Authorize(e.token(ctap2.PermissionGetAssertion, "a.example"))
	resp, err := e.GetAssertion(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if a, err = resp.ParsedAuthData(); err != nil {
		t.Fatal(err)
	}
	if again1, again2, err := h.Outputs(a); err != nil || !bytes.Equal(again1, one) || !bytes.Equal(again2, two) {
		t.Errorf("getAssertion gives %x and %x, %v; makeCredential gave %x and %x", again1, again2, err, one, two)
	}
}

// TestSignaturesOfAKey makes a credential of each algorithm and checks what it signs.
func TestSignaturesOfAKey(t *testing.T) {
	e := emulate(t, softkey.Config{Profile: softkey.ProfileFIDO23, Algorithms: softkey.Algorithms()})
	for _, alg := range softkey.Algorithms() {
		made := e.register("a.example", byte(alg), func(r *ctap2.MakeCredentialRequest) { r.PubKeyCredParams[0].Alg = alg })
		a, err := made.ParsedAuthData()
		if err != nil || a.PublicKey.Alg != alg {
			t.Errorf("%v: a key for %v, %v", alg, a.PublicKey.Alg, err)
			continue
		}
		r := &ctap2.GetAssertionRequest{
			RPID: "a.example", ClientDataHash: repeat(3, 32), AllowList: []ctap2.CredentialDescriptor{{ID: a.CredentialID, Type: ctap2.TypePublicKey}},
		}
		resp, err := e.GetAssertion(t.Context(), r)
		if err != nil {
			t.Errorf("%v: %v", alg, err)
			continue
		}
		if err := a.PublicKey.Verify(append(bytes.Clone(resp.AuthData), r.ClientDataHash...), resp.Signature); err != nil {
			t.Errorf("%v: %v", alg, err)
		}
	}
}

func TestPreflightWithAKey(t *testing.T) {
	e := emulate(t, softkey.Config{Profile: softkey.ProfileFIDO23})
	a, err := e.register("a.example", 1, nil).ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	list := append(longList(1000, len(a.CredentialID)), ctap2.CredentialDescriptor{ID: a.CredentialID, Type: ctap2.TypePublicKey})
	r := ctap2.PreflightRequest{Info: e.info(), RPID: "a.example", List: list}
	if d, ok, err := e.Preflight(t.Context(), r); err != nil || !ok || !bytes.Equal(d.ID, a.CredentialID) {
		t.Errorf("%x, %v, %v", d.ID, ok, err)
	}
	r.RPID = "b.example"
	if _, ok, err := e.Preflight(t.Context(), r); err != nil || ok {
		t.Errorf("for another relying party: %v, %v", ok, err)
	}
}

// The benchmarks with a key are what the issue asks for: a thousand discoverable credentials listed, and a
// list of a thousand looked through.
func BenchmarkCredentialsOfAKey(b *testing.B) {
	for _, n := range []int{100, 1000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := emulate(b, softkey.Config{Profile: softkey.ProfileFIDO23, MaxCredentials: n})
			token := e.token(ctap2.PermissionMakeCredential|ctap2.PermissionCredentialManagement, "a.example")
			for i := range n {
				r := &ctap2.MakeCredentialRequest{
					ClientDataHash: repeat(1, 32), RP: ctap2.RP{ID: "a.example"}, User: ctap2.User{ID: []byte{byte(i >> 8), byte(i)}},
					PubKeyCredParams: []ctap2.CredentialParameter{{Alg: cose.ES256, Type: ctap2.TypePublicKey}}, Options: &ctap2.Options{RK: new(true)},
				}
				r.Authorize(token)
				if _, err := e.MakeCredential(b.Context(), r); err != nil {
					token = e.token(ctap2.PermissionMakeCredential|ctap2.PermissionCredentialManagement, "a.example")
					r.Authorize(token)
					if _, err := e.MakeCredential(b.Context(), r); err != nil {
						b.Fatal(err)
					}
				}
			}
			m, err := e.CredentialManager(e.info(), e.token(ctap2.PermissionCredentialManagement, ""))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if list, err := m.Credentials(b.Context(), sha256.Sum256([]byte("a.example"))); err != nil || len(list) != n {
					b.Fatal(len(list), err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/credential")
		})
	}
}
