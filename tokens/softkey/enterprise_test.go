package softkey_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// TestEnterpriseAttestation is CTAP 2.3, sections 6.1.2, step 9, and 7.1.
func TestEnterpriseAttestation(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileFIDO21, softkey.ProfileFIDO23} {
		m := manage(t, softkey.Config{Profile: profile, Enterprise: &softkey.Enterprise{RPIDs: []string{rpID}, Serial: "0042"}}, 0)
		ask := func(mode uint, rp string) (*ctap2.MakeCredentialResponse, error) {
			r := creation()
			r.RP.ID, r.EnterpriseAttestation, r.AttestationFormatsPref = rp, mode, []string{"none"}
			if mode == 0 {
				r.AttestationFormatsPref = nil
			}
			return m.c.MakeCredential(t.Context(), r)
		}
		for mode := uint(1); mode <= 3; mode++ {
			_, err := ask(mode, rpID)
			wantStatus(t, err, ctap2.ErrInvalidParameter) // not enabled
		}
		if m.a.Info().Options[ctap2.OptionEnterprise] {
			t.Error("ep is true on a fresh key")
		}
		if err := m.configure(ctap2.SubEnableEnterpriseAttestation, nil); err != nil {
			t.Fatal(err)
		}
		if !m.a.Info().Options[ctap2.OptionEnterprise] {
			t.Error("ep is false after it was enabled")
		}
		_, err := ask(3, rpID)
		wantStatus(t, err, ctap2.ErrInvalidOption)
		for name, test := range map[string]struct {
			mode uint
			rp   string
			want bool
		}{
			"vendor, its RP":      {1, rpID, true},
			"vendor, another RP":  {1, "example.com", false},
			"platform, any RP":    {2, "example.com", true},
			"platform, its RP":    {2, rpID, true},
			"nobody asked for it": {0, rpID, false},
		} {
			made, err := ask(test.mode, test.rp)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if got := made.EpAtt != nil && *made.EpAtt; got != test.want {
				t.Errorf("%s: epAtt %v", name, got)
			}
			if test.want {
				checkEnterprise(t, m.a, made)
			}
		}
		if err := m.c.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = ask(1, rpID)
		wantStatus(t, err, ctap2.ErrInvalidParameter)
	}
	_, c := newKey(t, softkey.Config{Profile: softkey.ProfileFIDO20})
	r := creation()
	r.EnterpriseAttestation = 1
	_, err := c.MakeCredential(t.Context(), r)
	wantStatus(t, err, ctap2.ErrInvalidParameter)
}

// checkEnterprise verifies the statement and the certificate (WebAuthn Level 3, section 8.2.2).
func checkEnterprise(t *testing.T, a *softkey.Authenticator, made *ctap2.MakeCredentialResponse) {
	t.Helper()
	var s ctap2.PackedStatement
	if err := ctap2.Unmarshal(made.AttStmt, &s); err != nil || len(s.X5C) != 1 || made.Fmt != ctap2.FormatPacked {
		t.Fatalf("%s, %d certificates, %v", made.Fmt, len(s.X5C), err)
	}
	leaf, err := x509.ParseCertificate(s.X5C[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.CheckSignature(x509.ECDSAWithSHA256, slices.Concat(made.AuthData, clientDataHash[:]), s.Sig); err != nil {
		t.Error(err)
	}
	der, err := a.EnterpriseCA()
	if err != nil {
		t.Fatal(err)
	}
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.CheckSignatureFrom(ca); err != nil {
		t.Error(err)
	}
	if leaf.Subject.SerialNumber != "0042" {
		t.Errorf("the subject is %v", leaf.Subject)
	}
	number, err := asn1.Marshal([]byte("0042"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(leaf.Extensions, func(e pkix.Extension) bool {
		return e.Id.Equal(asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 2}) && !e.Critical && slices.Equal(e.Value, number)
	}) {
		t.Error("no extension with the serial number")
	}
}
