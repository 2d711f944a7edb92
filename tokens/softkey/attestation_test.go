package softkey_test

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"testing"

	"github.com/fobd/fobd/ctap2"
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
