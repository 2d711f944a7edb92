package softkey_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// created reads the extension outputs of a new credential.
func created(t testing.TB, made *ctap2.MakeCredentialResponse) ctap2.MakeCredentialOutputs {
	t.Helper()
	data, err := made.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	var out ctap2.MakeCredentialOutputs
	if data.Flags&ctap2.FlagED != 0 {
		if err := ctap2.Unmarshal(data.Extensions, &out); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// asserted gets an assertion and reads its extension outputs.
func asserted(t testing.TB, c *ctap2.Client, r *ctap2.GetAssertionRequest) (*ctap2.GetAssertionResponse, ctap2.GetAssertionOutputs, error) {
	t.Helper()
	var out ctap2.GetAssertionOutputs
	got, err := c.GetAssertion(t.Context(), r)
	if err != nil {
		return nil, out, err
	}
	data, err := got.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	if data.Flags&ctap2.FlagED != 0 {
		if err := ctap2.Unmarshal(data.Extensions, &out); err != nil {
			t.Fatal(err)
		}
	}
	return got, out, nil
}

func both(t *testing.T, run func(t *testing.T, rk bool)) {
	for name, rk := range map[string]bool{"discoverable": true, "in its id": false} {
		t.Run(name, func(t *testing.T) { run(t, rk) })
	}
}

// TestCredBlob is CTAP 2.3, section 12.2, around the limit.
func TestCredBlob(t *testing.T) {
	for profile, limit := range map[softkey.Profile]int{softkey.ProfileFIDO21: 32, softkey.ProfileFIDO23: 64} {
		both(t, func(t *testing.T, rk bool) {
			a, c := newKey(t, softkey.Config{Profile: profile})
			if got := a.Info().MaxCredBlobLength; got != uint(limit) {
				t.Errorf("maxCredBlobLength is %d, want %d", got, limit)
			}
			for _, n := range []int{0, 1, limit - 1, limit, limit + 1} {
				blob := bytes.Repeat([]byte{7}, n)
				made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
					r.Options = &ctap2.Options{RK: &rk}
					r.Extensions = &ctap2.MakeCredentialExtensions{CredBlob: &blob}
				})
				stored := created(t, made).CredBlob
				if stored == nil || *stored != (n <= limit) {
					t.Errorf("%d bytes: stored is %v", n, stored)
				}
				yes := true
				r := assertion(credentialID(t, made))
				r.Extensions = &ctap2.GetAssertionExtensions{CredBlob: &yes}
				_, out, err := asserted(t, c, r)
				if err != nil {
					t.Fatal(err)
				}
				want := blob
				if n > limit {
					want = nil
				}
				if out.CredBlob == nil || !bytes.Equal(*out.CredBlob, want) {
					t.Errorf("%d bytes: read %v", n, out.CredBlob)
				}
			}
		})
	}
}

// TestLargeBlobKey is CTAP 2.3, section 12.3.
func TestLargeBlobKey(t *testing.T) {
	no, yes := false, true
	_, c := newKey(t, softkey.Config{Profile: softkey.ProfileFIDO21})
	for name, test := range map[string]struct {
		rk, in *bool
	}{
		"not discoverable": {nil, &yes},
		"false":            {&yes, &no},
	} {
		r := creation()
		r.Options = &ctap2.Options{RK: test.rk}
		r.Extensions = &ctap2.MakeCredentialExtensions{LargeBlobKey: test.in}
		_, err := c.MakeCredential(t.Context(), r)
		if !errors.Is(err, ctap2.ErrInvalidOption) {
			t.Errorf("%s: %v, want INVALID_OPTION", name, err)
		}
	}
	made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
		resident(r)
		r.Extensions = &ctap2.MakeCredentialExtensions{LargeBlobKey: &yes}
	})
	if len(made.LargeBlobKey) != 32 {
		t.Fatalf("the key is %x", made.LargeBlobKey)
	}
	for _, id := range [][]byte{nil, credentialID(t, made)} {
		r := assertion(id)
		got, _, err := asserted(t, c, r)
		if err != nil || got.LargeBlobKey != nil {
			t.Errorf("unasked: %x, %v", got.LargeBlobKey, err)
		}
		r.Extensions = &ctap2.GetAssertionExtensions{LargeBlobKey: &yes}
		got, _, err = asserted(t, c, r)
		if err != nil || !bytes.Equal(got.LargeBlobKey, made.LargeBlobKey) {
			t.Errorf("the key is %x, %v; want %x", got.LargeBlobKey, err, made.LargeBlobKey)
		}
		r.Extensions.LargeBlobKey = &no
		_, _, err = asserted(t, c, r)
		wantStatus(t, err, ctap2.ErrInvalidOption)
	}
	// A credential without one has none to give.
	id := credentialID(t, register(t, c, nil))
	r := assertion(id)
	r.Extensions = &ctap2.GetAssertionExtensions{LargeBlobKey: &yes}
	if got, _, err := asserted(t, c, r); err != nil || got.LargeBlobKey != nil {
		t.Errorf("%x, %v", got.LargeBlobKey, err)
	}
}

func largeBlobOutput(t *testing.T, got *ctap2.GetAssertionResponse) *ctap2.LargeBlobOutput {
	t.Helper()
	var out ctap2.GetAssertionUnsigned
	if got.UnsignedExtensionOutputs != nil {
		if err := ctap2.Unmarshal(got.UnsignedExtensionOutputs, &out); err != nil {
			t.Fatal(err)
		}
	}
	return out.LargeBlob
}

// TestLargeBlob is CTAP 2.3, section 12.4.
func TestLargeBlob(t *testing.T) {
	no, yes := false, true
	_, c := pinKey(t, softkey.Config{})
	make := func(rk bool, in *ctap2.LargeBlobCreateInput) (*ctap2.MakeCredentialResponse, error) {
		r := creation()
		r.Options = &ctap2.Options{RK: &rk}
		r.User.ID = []byte{byte(len(in.Support))}
		r.Extensions = &ctap2.MakeCredentialExtensions{LargeBlob: in}
		r.Authorize(pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionMakeCredential, RPID: rpID}))
		return c.MakeCredential(t.Context(), r)
	}
	supported := func(made *ctap2.MakeCredentialResponse) bool {
		var out ctap2.MakeCredentialUnsigned
		if made.UnsignedExtensionOutputs != nil {
			if err := ctap2.Unmarshal(made.UnsignedExtensionOutputs, &out); err != nil {
				t.Fatal(err)
			}
		}
		return out.LargeBlob != nil && out.LargeBlob.Supported
	}
	_, err := make(true, &ctap2.LargeBlobCreateInput{Support: "maybe"})
	wantStatus(t, err, ctap2.ErrInvalidCBOR)
	_, err = make(false, &ctap2.LargeBlobCreateInput{Support: ctap2.LargeBlobRequired})
	wantStatus(t, err, ctap2.ErrUnsupportedOption)
	if made, err := make(false, &ctap2.LargeBlobCreateInput{Support: ctap2.LargeBlobPreferred}); err != nil || supported(made) {
		t.Errorf("preferred, not discoverable: %v, supported %v", err, supported(made))
	}
	made, err := make(true, &ctap2.LargeBlobCreateInput{Support: ctap2.LargeBlobRequired})
	if err != nil || !supported(made) {
		t.Fatalf("required: %v", err)
	}
	id := credentialID(t, made)
	ask := func(in *ctap2.LargeBlobInput, change func(*ctap2.GetAssertionRequest)) (*ctap2.LargeBlobOutput, error) {
		t.Helper()
		r := assertion(id)
		r.Extensions = &ctap2.GetAssertionExtensions{LargeBlob: in}
		r.Authorize(pinToken(t, c, ctap2.TokenRequest{Permissions: ctap2.PermissionGetAssertion, RPID: rpID}))
		if change != nil {
			change(r)
		}
		got, _, err := asserted(t, c, r)
		if err != nil {
			return nil, err
		}
		return largeBlobOutput(t, got), nil
	}
	read := func() []byte {
		t.Helper()
		out, err := ask(&ctap2.LargeBlobInput{Read: &yes}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if out == nil {
			return nil
		}
		if out.OriginalSize == nil || *out.OriginalSize != 99 || out.Written != nil {
			t.Errorf("read %+v", out)
		}
		return *out.Blob
	}
	if got := read(); got != nil {
		t.Errorf("a fresh credential has the blob %x", got)
	}
	size, blob := uint64(99), []byte("compressed")
	write := &ctap2.LargeBlobInput{Write: &blob, OriginalSize: &size}
	for name, in := range map[string]*ctap2.LargeBlobInput{
		"nothing":        {},
		"both":           {Read: &yes, Write: &blob, OriginalSize: &size},
		"no size":        {Write: &blob},
		"size with read": {Read: &yes, OriginalSize: &size},
	} {
		if _, err := ask(in, nil); !errors.Is(err, ctap2.ErrInvalidCBOR) {
			t.Errorf("%s: %v, want INVALID_CBOR", name, err)
		}
	}
	long := bytes.Repeat([]byte{1}, 4097)
	other := []byte("of no key")
	for name, test := range map[string]struct {
		in     *ctap2.LargeBlobInput
		change func(*ctap2.GetAssertionRequest)
	}{
		"no list":     {write, func(r *ctap2.GetAssertionRequest) { r.AllowList = nil }},
		"two of them": {write, func(r *ctap2.GetAssertionRequest) { r.AllowList = append(r.AllowList, *descriptor(other)) }},
		"no UV":       {write, func(r *ctap2.GetAssertionRequest) { r.PINUVAuthParam, r.PINUVAuthProtocol = nil, 0 }},
		"too long":    {&ctap2.LargeBlobInput{Write: &long, OriginalSize: &size}, nil},
	} {
		out, err := ask(test.in, test.change)
		if err != nil || out == nil || out.Written == nil || *out.Written {
			t.Errorf("%s: %+v, %v; want written false", name, out, err)
		}
	}
	if got := read(); got != nil {
		t.Errorf("after writes that failed: %x", got)
	}
	for _, want := range [][]byte{blob, long[:4096], nil} {
		out, err := ask(&ctap2.LargeBlobInput{Write: &want, OriginalSize: &size}, nil)
		if want == nil {
			empty := []byte{}
			out, err = ask(&ctap2.LargeBlobInput{Write: &empty, OriginalSize: &size}, nil)
		}
		if err != nil || out == nil || out.Written == nil || !*out.Written {
			t.Fatalf("write of %d bytes: %+v, %v", len(want), out, err)
		}
		if got := read(); !bytes.Equal(got, want) {
			t.Errorf("read %d bytes, want %d", len(got), len(want))
		}
	}
	if out, err := ask(&ctap2.LargeBlobInput{Read: &no}, nil); err != nil || out != nil {
		t.Errorf("read that is false: %+v, %v", out, err)
	}
}

// TestPINPolicyExtensions are CTAP 2.3, sections 12.5 and 12.6: only some RPs get to know.
func TestPINPolicyExtensions(t *testing.T) {
	m := manage(t, softkey.Config{}, ctap2.PermissionConfig)
	yes, least := true, uint(6)
	err := m.configure(ctap2.SubSetMinPINLength, &ctap2.SetMinPINLengthParams{NewMinPINLength: &least, MinPINLengthRPIDs: []string{rpID}, PINComplexityPolicy: &yes})
	if err != nil {
		t.Fatal(err)
	}
	for _, rp := range []string{rpID, "example.com"} {
		out := created(t, register(t, m.c, func(r *ctap2.MakeCredentialRequest) {
			r.RP.ID = rp
			r.Extensions = &ctap2.MakeCredentialExtensions{MinPINLength: &yes, PINComplexityPolicy: &yes}
		}))
		told := out.MinPINLength != nil && *out.MinPINLength == 6 && out.PINComplexityPolicy != nil && *out.PINComplexityPolicy
		if told != (rp == rpID) || rp != rpID && (out.MinPINLength != nil || out.PINComplexityPolicy != nil) {
			t.Errorf("%s: %+v", rp, out)
		}
	}
	if out := created(t, register(t, m.c, nil)); out.MinPINLength != nil {
		t.Errorf("unasked: %+v", out)
	}
}

// TestHMACSecretAtCreation is CTAP 2.3, section 12.8: the same output as a later assertion gives.
func TestHMACSecretAtCreation(t *testing.T) {
	yes := true
	salts := [2][]byte{bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)}
	both(t, func(t *testing.T, rk bool) {
		_, c := newKey(t, softkey.Config{})
		h, err := c.HMACSecret(t.Context(), 2, salts[0], salts[1])
		if err != nil {
			t.Fatal(err)
		}
		made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
			r.Options = &ctap2.Options{RK: &rk}
			r.Extensions = &ctap2.MakeCredentialExtensions{HMACSecret: &yes, HMACSecretMC: h.Input}
		})
		data, err := made.ParsedAuthData()
		if err != nil {
			t.Fatal(err)
		}
		one, two, err := h.OutputsMC(data)
		if err != nil {
			t.Fatal(err)
		}
		if out := created(t, made); out.HMACSecret == nil || !*out.HMACSecret {
			t.Errorf("hmac-secret is %v", out.HMACSecret)
		}
		r := assertion(credentialID(t, made))
		r.Extensions = &ctap2.GetAssertionExtensions{HMACSecret: h.Input}
		got, err := c.GetAssertion(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		later, err := got.ParsedAuthData()
		if err != nil {
			t.Fatal(err)
		}
		again1, again2, err := h.Outputs(later)
		if err != nil || !bytes.Equal(one, again1) || !bytes.Equal(two, again2) || len(one) != 32 || bytes.Equal(one, two) {
			t.Errorf("%x %x, later %x %x, %v", one, two, again1, again2, err)
		}
	})
	_, c := newKey(t, softkey.Config{})
	h, err := c.HMACSecret(t.Context(), 2, salts[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	r := creation()
	r.Extensions = &ctap2.MakeCredentialExtensions{HMACSecretMC: h.Input}
	_, err = c.MakeCredential(t.Context(), r)
	wantStatus(t, err, ctap2.ErrMissingParameter)
	r.Extensions.HMACSecret = &yes
	r.Extensions.HMACSecretMC.SaltAuth = make([]byte, 32)
	_, err = c.MakeCredential(t.Context(), r)
	wantStatus(t, err, ctap2.ErrPINAuthInvalid)
}

// TestThirdPartyPayment is CTAP 2.3, section 12.9.
func TestThirdPartyPayment(t *testing.T) {
	yes := true
	both(t, func(t *testing.T, rk bool) {
		_, c := newKey(t, softkey.Config{})
		for _, on := range []bool{true, false} {
			made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
				r.Options = &ctap2.Options{RK: &rk}
				r.Extensions = &ctap2.MakeCredentialExtensions{ThirdPartyPayment: &on}
			})
			if data, err := made.ParsedAuthData(); err != nil || data.Flags&ctap2.FlagED != 0 {
				t.Errorf("an output when it was made: %x, %v", data.Extensions, err)
			}
			r := assertion(credentialID(t, made))
			if _, out, err := asserted(t, c, r); err != nil || out.ThirdPartyPayment != nil {
				t.Errorf("unasked: %v, %v", out.ThirdPartyPayment, err)
			}
			r.Extensions = &ctap2.GetAssertionExtensions{ThirdPartyPayment: &yes}
			_, out, err := asserted(t, c, r)
			if err != nil || out.ThirdPartyPayment == nil || *out.ThirdPartyPayment != on {
				t.Errorf("made with %v: %v, %v", on, out.ThirdPartyPayment, err)
			}
		}
	})
}

// TestExtensionsOfEachProfile asks every kind of key for all extensions at once: what it does not have
// leaves no trace.
func TestExtensionsOfEachProfile(t *testing.T) {
	yes, blob := true, []byte("blob")
	for _, profile := range ctap2Profiles() {
		a, c := newKey(t, softkey.Config{Profile: profile})
		info := a.Info()
		rk := info.Options[ctap2.OptionRK]
		made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
			if rk {
				resident(r)
			}
			r.Extensions = &ctap2.MakeCredentialExtensions{
				CredProtect: 2, CredBlob: &blob, LargeBlobKey: &yes, LargeBlob: &ctap2.LargeBlobCreateInput{Support: ctap2.LargeBlobPreferred},
				MinPINLength: &yes, PINComplexityPolicy: &yes, HMACSecret: &yes, ThirdPartyPayment: &yes,
			}
		})
		out := created(t, made)
		r := assertion(credentialID(t, made))
		r.Extensions = &ctap2.GetAssertionExtensions{CredBlob: &yes, LargeBlobKey: &yes, LargeBlob: &ctap2.LargeBlobInput{Read: &yes}, ThirdPartyPayment: &yes}
		got, later, err := asserted(t, c, r)
		if err != nil {
			t.Errorf("%s: %v", profile, err)
			continue
		}
		for name, there := range map[string]bool{
			"credProtect":       out.CredProtect != 0,
			"credBlob":          out.CredBlob != nil && later.CredBlob != nil,
			"hmac-secret":       out.HMACSecret != nil,
			"largeBlobKey":      made.LargeBlobKey != nil && got.LargeBlobKey != nil,
			"largeBlob":         made.UnsignedExtensionOutputs != nil,
			"thirdPartyPayment": later.ThirdPartyPayment != nil,
		} {
			if there != info.HasExtension(name) {
				t.Errorf("%s, %s: it answered: %v; getInfo has %s", profile, name, there, strings.Join(info.Extensions, " "))
			}
		}
	}
}
