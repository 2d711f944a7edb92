package softkey_test

import (
	"slices"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// roundTrip makes a credential of an algorithm, has it sign, and verifies. It gives the sizes of
// the answers in bytes.
func roundTrip(t *testing.T, cfg softkey.Config, alg cose.Algorithm, rk bool) (made, got int) {
	t.Helper()
	a, _ := newKey(t, cfg)
	create := creation()
	create.PubKeyCredParams[0].Alg = alg
	create.Options = &ctap2.Options{RK: &rk}
	var m ctap2.MakeCredentialResponse
	if err := exchange(t, a, ctap2.CmdMakeCredential, create, &m); err != nil {
		t.Fatalf("%v: %v", alg, err)
	}
	data, err := m.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	if data.PublicKey.Alg != alg {
		t.Errorf("the key's algorithm is %v, want %v", data.PublicKey.Alg, alg)
	}
	if m.Fmt == ctap2.FormatPacked && cfg.Attestation == softkey.AttestationSelf {
		var s ctap2.PackedStatement
		if err := ctap2.Unmarshal(m.AttStmt, &s); err != nil {
			t.Fatal(err)
		}
		if err := data.PublicKey.Verify(slices.Concat(m.AuthData, clientDataHash[:]), s.Sig); err != nil || s.Alg != alg {
			t.Errorf("%v: self attestation with %v: %v", alg, s.Alg, err)
		}
	}
	var g ctap2.GetAssertionResponse
	if err := exchange(t, a, ctap2.CmdGetAssertion, assertion(data.CredentialID), &g); err != nil {
		t.Fatalf("%v: %v", alg, err)
	}
	if err := data.PublicKey.Verify(slices.Concat(g.AuthData, clientDataHash[:]), g.Signature); err != nil {
		t.Errorf("%v, rk %v: %v", alg, rk, err)
	}
	size := func(v any) int {
		b, err := ctap2.MarshalResponse(v)
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	return size(&m), size(&g)
}

// TestAnswersOfEveryAlgorithmFit has the credentials of every algorithm signed with themselves, the
// longest form: an answer longer than 7609 bytes would not fit into a message of CTAPHID.
func TestAnswersOfEveryAlgorithmFit(t *testing.T) {
	for _, alg := range softkey.Algorithms() {
		for _, attestation := range []softkey.Attestation{softkey.AttestationPacked, softkey.AttestationSelf} {
			both(t, func(t *testing.T, rk bool) {
				made, got := roundTrip(t, softkey.Config{Attestation: attestation, Algorithms: []cose.Algorithm{alg}}, alg, rk)
				if made > softkey.MaxMsgSize || got > softkey.MaxMsgSize {
					t.Errorf("%v: %d and %d bytes", alg, made, got)
				}
				t.Logf("%v, %s: %d and %d bytes", alg, attestation, made, got)
			})
		}
	}
}

// TestLongestAnswerFits asks for all that makes the answer of makeCredential longer, with the longest key and
// signature there are.
func TestLongestAnswerFits(t *testing.T) {
	both(t, func(t *testing.T, rk bool) {
		a, c := newKey(t, softkey.Config{Attestation: softkey.AttestationSelf, PostQuantum: true})
		h, err := c.HMACSecret(t.Context(), 2, make([]byte, 32), make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		yes, blob := true, make([]byte, a.Info().MaxCredBlobLength)
		r := creation()
		r.PubKeyCredParams[0].Alg = cose.MLDSA87
		r.Options = &ctap2.Options{RK: &rk}
		r.Extensions = &ctap2.MakeCredentialExtensions{
			CredProtect: 2, CredBlob: &blob, HMACSecret: &yes, HMACSecretMC: h.Input,
			LargeBlob: &ctap2.LargeBlobCreateInput{Support: ctap2.LargeBlobPreferred},
		}
		request, err := ctap2.MarshalRequest(ctap2.CmdMakeCredential, r)
		if err != nil {
			t.Fatal(err)
		}
		response, err := a.CBOR(t.Context(), request, nil)
		if err != nil || response[0] != 0 || len(response) > softkey.MaxMsgSize {
			t.Errorf("%d bytes, status %v, %v", len(response), ctap2.Status(response[0]), err)
		}
	})
}

// TestLongBlobAndLongSignature writes blobs around the most that an answer has room for beside a signature
// of ML-DSA-87, and reads them.
func TestLongBlobAndLongSignature(t *testing.T) {
	yes, no := true, false
	a, c := newKey(t, softkey.Config{PostQuantum: true})
	made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
		resident(r)
		r.PubKeyCredParams[0].Alg = cose.MLDSA87
		r.Extensions = &ctap2.MakeCredentialExtensions{LargeBlob: &ctap2.LargeBlobCreateInput{Support: ctap2.LargeBlobRequired}}
	})
	id := credentialID(t, made)
	for n, want := range map[int]bool{1982: true, 1983: false, 4096: false} {
		size, blob := uint64(n), make([]byte, n)
		r := assertion(id)
		r.Extensions = &ctap2.GetAssertionExtensions{LargeBlob: &ctap2.LargeBlobInput{Write: &blob, OriginalSize: &size}}
		got, _, err := asserted(t, c, r)
		if err != nil {
			t.Fatal(err)
		}
		if out := largeBlobOutput(t, got); *out.Written != want {
			t.Errorf("%d bytes: written is %v", n, *out.Written)
		}
	}
	r := assertion(id)
	r.Options = &ctap2.Options{UP: &no}
	r.Extensions = &ctap2.GetAssertionExtensions{LargeBlob: &ctap2.LargeBlobInput{Read: &yes}}
	request, err := ctap2.MarshalRequest(ctap2.CmdGetAssertion, r)
	if err != nil {
		t.Fatal(err)
	}
	response, err := a.CBOR(t.Context(), request, nil)
	if err != nil || response[0] != 0 || len(response) < 4627+1982 || len(response) > softkey.MaxMsgSize {
		t.Errorf("%d bytes, status %v, %v", len(response), ctap2.Status(response[0]), err)
	}
}

func TestPostQuantumIsOffUnlessAskedFor(t *testing.T) {
	has := func(cfg softkey.Config) (n int) {
		a, _ := newKey(t, cfg)
		for _, p := range a.Info().Algorithms {
			if p.Alg.PostQuantum() {
				n++
			}
		}
		return n
	}
	for want, cfg := range map[int]softkey.Config{
		0: {},
		1: {Algorithms: []cose.Algorithm{cose.MLDSA65, cose.ES256}},
		3: {PostQuantum: true},
	} {
		if got := has(cfg); got != want {
			t.Errorf("%d algorithms of ML-DSA, want %d", got, want)
		}
	}
	_, c := newKey(t, softkey.Config{})
	r := creation()
	r.PubKeyCredParams[0].Alg = cose.MLDSA44
	_, err := c.MakeCredential(t.Context(), r)
	wantStatus(t, err, ctap2.ErrUnsupportedAlgorithm)
}
