package softkey_test

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

// TestAttestationCertificate checks the leaf against WebAuthn Level 3, section 8.2.1, item by item, and that
// it is of the CA that AttestationCA gives.
func TestAttestationCertificate(t *testing.T) {
	aaguid := ctap2.AAGUID{1, 2, 3}
	a, c := newKey(t, softkey.Config{AAGUID: aaguid})
	made := register(t, c, nil)
	var statement ctap2.PackedStatement
	if err := ctap2.Unmarshal(made.AttStmt, &statement); err != nil {
		t.Fatal(err)
	}
	if len(statement.X5C) != 1 {
		t.Fatalf("%d certificates, want 1", len(statement.X5C))
	}
	leaf, err := x509.ParseCertificate(statement.X5C[0])
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(a.AttestationCA())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("the chain: %v", err)
	}
	s := leaf.Subject
	if leaf.Version != 3 || len(s.Country) != 1 || len(s.Country[0]) != 2 || len(s.Organization) != 1 || !slices.Equal(s.OrganizationalUnit, []string{"Authenticator Attestation"}) || s.CommonName == "" {
		t.Errorf("version %d, subject %v", leaf.Version, s)
	}
	if leaf.IsCA || !leaf.BasicConstraintsValid || !ca.IsCA {
		t.Errorf("the leaf is a CA: %v, basic constraints %v; the CA is one: %v", leaf.IsCA, leaf.BasicConstraintsValid, ca.IsCA)
	}
	found := false
	for _, e := range leaf.Extensions {
		if !e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}) {
			continue
		}
		found = true
		var got []byte
		if rest, err := asn1.Unmarshal(e.Value, &got); err != nil || len(rest) != 0 || !slices.Equal(got, aaguid[:]) || e.Critical {
			t.Errorf("the AAGUID extension holds %x, critical %v, %v", got, e.Critical, err)
		}
	}
	if !found {
		t.Error("no AAGUID extension")
	}
	data, err := made.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	if data.AAGUID != aaguid {
		t.Errorf("the AAGUID is %v", data.AAGUID)
	}
}

func TestPlatformThatWantsNoAttestationGetsNone(t *testing.T) {
	_, c := newKey(t, softkey.Config{})
	made := register(t, c, func(r *ctap2.MakeCredentialRequest) { r.AttestationFormatsPref = []string{"none"} })
	if made.Fmt != ctap2.FormatNone || string(made.AttStmt) != "\xA0" {
		t.Errorf("format %s, statement %x", made.Fmt, made.AttStmt)
	}
}

func TestAttestationFormats(t *testing.T) {
	for name, test := range map[string]struct {
		cfg        softkey.Config
		alg        cose.Algorithm
		rk         bool
		preference []string
		want       string
	}{
		"no preference":            {want: "packed"},
		"the first that it has":    {preference: []string{"tpm", "none", "packed"}, want: "none"},
		"U2F":                      {preference: []string{"fido-u2f", "packed"}, want: "fido-u2f"},
		"U2F knows ES256 only":     {alg: cose.EdDSA, preference: []string{"fido-u2f", "none"}, want: "none"},
		"U2F stores nothing":       {rk: true, preference: []string{"fido-u2f", "packed"}, want: "packed"},
		"nothing that it has":      {preference: []string{"tpm", "apple"}, want: "packed"},
		"before CTAP 2.2":          {cfg: softkey.Config{Profile: softkey.ProfileFIDO21}, preference: []string{"fido-u2f"}, want: "packed"},
		"none, before CTAP 2.2":    {cfg: softkey.Config{Profile: softkey.ProfileFIDO21}, preference: []string{"none"}, want: "none"},
		"configured":               {cfg: softkey.Config{Attestation: softkey.AttestationFIDOU2F}, want: "fido-u2f"},
		"configured, discoverable": {cfg: softkey.Config{Attestation: softkey.AttestationFIDOU2F}, rk: true, want: "packed"},
		"configured, preference":   {cfg: softkey.Config{Attestation: softkey.AttestationFIDOU2F}, preference: []string{"packed"}, want: "packed"},
		"a key with none":          {cfg: softkey.Config{Attestation: softkey.AttestationNone}, preference: []string{"packed"}, want: "none"},
		"self, U2F is not":         {cfg: softkey.Config{Attestation: softkey.AttestationSelf}, preference: []string{"fido-u2f"}, want: "packed"},
	} {
		a, c := newKey(t, test.cfg)
		made := register(t, c, func(r *ctap2.MakeCredentialRequest) {
			r.Options = &ctap2.Options{RK: &test.rk}
			r.AttestationFormatsPref = test.preference
			if test.alg != 0 {
				r.PubKeyCredParams[0].Alg = test.alg
			}
		})
		if made.Fmt != test.want {
			t.Errorf("%s: %s, want %s", name, made.Fmt, test.want)
		}
		if formats := a.Info().AttestationFormats; slices.Contains(formats, "none") || formats != nil && made.Fmt != "none" && !slices.Contains(formats, made.Fmt) {
			t.Errorf("%s: getInfo has %v", name, formats)
		}
		if made.Fmt == ctap2.FormatFIDOU2F {
			checkU2F(t, made)
		}
	}
}

// checkU2F verifies a statement as WebAuthn Level 3, section 8.6 says.
func checkU2F(t *testing.T, made *ctap2.MakeCredentialResponse) {
	t.Helper()
	data, err := made.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	var s ctap2.FIDOU2FStatement
	if err := ctap2.Unmarshal(made.AttStmt, &s); err != nil || len(s.X5C) != 1 {
		t.Fatalf("%d certificates, %v", len(s.X5C), err)
	}
	leaf, err := x509.ParseCertificate(s.X5C[0])
	if err != nil {
		t.Fatal(err)
	}
	signed := slices.Concat([]byte{0}, data.RPIDHash[:], clientDataHash[:], data.CredentialID, []byte{4}, data.PublicKey.X, data.PublicKey.Y)
	if err := leaf.CheckSignature(x509.ECDSAWithSHA256, signed, s.Sig); err != nil {
		t.Error(err)
	}
	if !data.AAGUID.IsZero() {
		t.Errorf("the AAGUID is %v, want none", data.AAGUID)
	}
}
