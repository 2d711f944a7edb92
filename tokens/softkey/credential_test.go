package softkey_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// hmacOutput asks a credential for the output of one salt.
func hmacOutput(t *testing.T, c *ctap2.Client, id []byte) string {
	t.Helper()
	h, err := c.HMACSecret(t.Context(), 2, make([]byte, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := assertion(id)
	r.Extensions = &ctap2.GetAssertionExtensions{HMACSecret: h.Input}
	got, err := c.GetAssertion(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	data, err := got.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	output, _, err := h.Outputs(data)
	if err != nil {
		t.Fatal(err)
	}
	return string(output)
}

// TestCredentialsOfEveryAlgorithmOutliveTheProcess loads the state again: the private keys come from the
// file, or from the credential ids.
func TestCredentialsOfEveryAlgorithmOutliveTheProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	a, c := openKey(t, path)
	type kept struct {
		name   string
		id     []byte
		public cose.Key
		output string
	}
	var all []kept
	yes := true
	for _, alg := range []cose.Algorithm{cose.ES256, cose.ES384, cose.EdDSA, cose.RS256} {
		for _, rk := range []bool{false, true} {
			made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
				r.PubKeyCredParams[0].Alg, r.User.ID = alg, []byte(alg.String())
				r.Options = &ctap2.Options{RK: &rk}
				r.Extensions = &ctap2.MakeCredentialExtensions{HMACSecret: &yes}
			})
			data, err := made.ParsedAuthData()
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, kept{fmt.Sprintf("%v, rk %v", alg, rk), data.CredentialID, data.PublicKey, hmacOutput(t, c, data.CredentialID)})
		}
	}
	closeKey(t, a)
	a, c = openKey(t, path)
	defer a.Close()
	outputs := map[string]bool{}
	for _, k := range all {
		got, err := c.GetAssertion(t.Context(), assertion(k.id))
		if err != nil {
			t.Errorf("%s: %v", k.name, err)
			continue
		}
		if err := k.public.Verify(append(got.AuthData, clientDataHash[:]...), got.Signature); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		if output := hmacOutput(t, c, k.id); output != k.output {
			t.Errorf("%s: the output of hmac-secret has changed", k.name)
		}
		if outputs[k.output] {
			t.Errorf("%s: the output of hmac-secret is that of another credential", k.name)
		}
		outputs[k.output] = true
	}
}

// TestOldestCredentialsWorkWhenTheCacheIsFull makes more of them than the key keeps parsed.
func TestOldestCredentialsWorkWhenTheCacheIsFull(t *testing.T) {
	a, c := newKey(t, softkey.Config{Attestation: softkey.AttestationNone})
	first, err := register(t, c, nil).ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	for range 1100 {
		register(t, c, nil)
	}
	if n := a.CachedKeys(); n > 1024 {
		t.Errorf("%d parsed keys are kept, want 1024 at most", n)
	}
	for range 2 {
		got, err := c.GetAssertion(t.Context(), assertion(first.CredentialID))
		if err != nil {
			t.Fatal(err)
		}
		if err := first.PublicKey.Verify(append(got.AuthData, clientDataHash[:]...), got.Signature); err != nil {
			t.Error(err)
		}
	}
}

// TestIDsThatAreNotTheKeys changes every byte of an id, and cuts it.
func TestIDsThatAreNotTheKeys(t *testing.T) {
	a, c := newKey(t, softkey.Config{})
	id := credentialID(t, register(t, c, nil))
	refused := func(name string, r *ctap2.GetAssertionRequest) {
		t.Helper()
		if _, err := c.GetAssertion(t.Context(), r); !errors.Is(err, ctap2.ErrNoCredentials) {
			t.Errorf("%s: %v, want NO_CREDENTIALS", name, err)
		}
	}
	check := func() {
		t.Helper()
		for at := range id {
			changed := bytes.Clone(id)
			changed[at] ^= 1
			refused(fmt.Sprintf("byte %d changed", at), assertion(changed))
			refused(fmt.Sprintf("cut at %d", at), assertion(bytes.Clone(id[:at])))
		}
		other := assertion(id)
		other.RPID = "example.com"
		refused("another RP", other)
		kind := assertion(id)
		kind.AllowList[0].Type = "private-key"
		refused("another type", kind)
	}
	check()
	a.PowerCycle() // the id is still the key's
	counter(t, c, id)
	check()
}

func TestRequestsBeyondTheLimits(t *testing.T) {
	_, c := newKey(t, softkey.Config{})
	id := credentialID(t, register(t, c, nil))
	list := make([]ctap2.CredentialDescriptor, 64)
	for i := range list {
		list[i] = ctap2.CredentialDescriptor{ID: []byte{byte(i)}, Type: ctap2.TypePublicKey}
	}
	list[63].ID = id
	most := assertion(nil)
	most.AllowList = list
	if _, err := c.GetAssertion(t.Context(), most); err != nil {
		t.Errorf("as many as getInfo says: %v", err)
	}
	list = append(list, list[0])
	for name, test := range map[string]struct {
		change func(*ctap2.MakeCredentialRequest)
		want   ctap2.Status
	}{
		"short hash":   {func(r *ctap2.MakeCredentialRequest) { r.ClientDataHash = r.ClientDataHash[:31] }, ctap2.ErrInvalidLength},
		"long user id": {func(r *ctap2.MakeCredentialRequest) { r.User.ID = make([]byte, 65) }, ctap2.ErrInvalidLength},
		"long list":    {func(r *ctap2.MakeCredentialRequest) { r.ExcludeList = list }, ctap2.ErrLimitExceeded},
		"no such level": {func(r *ctap2.MakeCredentialRequest) {
			r.Extensions = &ctap2.MakeCredentialExtensions{CredProtect: 4}
		}, ctap2.ErrInvalidOption},
	} {
		r := creation()
		test.change(r)
		if _, err := c.MakeCredential(t.Context(), r); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	for name, test := range map[string]struct {
		change func(*ctap2.GetAssertionRequest)
		want   ctap2.Status
	}{
		"short hash": {func(r *ctap2.GetAssertionRequest) { r.ClientDataHash = r.ClientDataHash[:31] }, ctap2.ErrInvalidLength},
		"long list":  {func(r *ctap2.GetAssertionRequest) { r.AllowList = list }, ctap2.ErrLimitExceeded},
		"no sensor":  {func(r *ctap2.GetAssertionRequest) { r.Options = uvAssertion(nil).Options }, ctap2.ErrInvalidOption},
	} {
		r := assertion(id)
		test.change(r)
		if _, err := c.GetAssertion(t.Context(), r); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
}

// TestHMACSecretThatIsRefused is CTAP 2.2, section 12.7.
func TestHMACSecretThatIsRefused(t *testing.T) {
	_, c := newKey(t, softkey.Config{})
	yes, no := true, false
	id := credentialID(t, register(t, c, func(r *ctap2.MakeCredentialRequest) {
		r.Extensions = &ctap2.MakeCredentialExtensions{HMACSecret: &yes}
	}))
	for name, test := range map[string]struct {
		change func(*ctap2.GetAssertionRequest)
		want   ctap2.Status
	}{
		"no presence":      {func(r *ctap2.GetAssertionRequest) { r.Options = &ctap2.Options{UP: &no} }, ctap2.ErrUnsupportedOption},
		"another salt":     {func(r *ctap2.GetAssertionRequest) { r.Extensions.HMACSecret.SaltEnc[20] ^= 1 }, ctap2.ErrPINAuthInvalid},
		"unknown protocol": {func(r *ctap2.GetAssertionRequest) { r.Extensions.HMACSecret.PINUVAuthProtocol = 3 }, ctap2.ErrInvalidParameter},
	} {
		h, err := c.HMACSecret(t.Context(), 2, make([]byte, 32), nil)
		if err != nil {
			t.Fatal(err)
		}
		r := assertion(id)
		r.Extensions = &ctap2.GetAssertionExtensions{HMACSecret: h.Input}
		test.change(r)
		if _, err := c.GetAssertion(t.Context(), r); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	// A credential that was made without it gives no output.
	plain := credentialID(t, register(t, c, nil))
	h, err := c.HMACSecret(t.Context(), 2, make([]byte, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := assertion(plain)
	r.Extensions = &ctap2.GetAssertionExtensions{HMACSecret: h.Input}
	got, err := c.GetAssertion(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if data, err := got.ParsedAuthData(); err != nil || data.Flags&ctap2.FlagED != 0 {
		t.Errorf("flags %08b, %v: want no extension outputs", data.Flags, err)
	}
}
