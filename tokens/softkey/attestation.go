package softkey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/u2f"
)

// attestation is the parsed half of a root.
type attestation struct {
	key        *ecdsa.PrivateKey
	leaf       []byte
	enterprise *enterpriseAttestation // made when first asked for
}

// Identifiers (WebAuthn Level 3, section 8.2.1; FIDO U2F Authenticator Transports Extension 1.2).
var (
	oidAAGUID        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}
	oidU2FTransports = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 2, 1, 1}
	oidSerialNumber  = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 2}
	oidSubjectSerial = asn1.ObjectIdentifier{2, 5, 4, 5}
)

// The validity of certificates is that of U2F keys: from long ago, for long.
var (
	validFrom  = time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)
	validUntil = time.Date(2119, time.December, 31, 23, 59, 59, 0, time.UTC)
)

func certificateOfCA(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Country: []string{"AA"}, Organization: []string{"fobd"}, CommonName: name},
		NotBefore:             validFrom,
		NotAfter:              validUntil,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
}

// certificateOfKey is as WebAuthn Level 3, section 8.2.1 wants it.
func certificateOfKey(name string, aaguid ctap2.AAGUID) (*x509.Certificate, error) {
	model, err := asn1.Marshal(aaguid[:])
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          big.NewInt(2),
		Subject:               pkix.Name{Country: []string{"AA"}, Organization: []string{"fobd"}, OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: name},
		NotBefore:             validFrom,
		NotAfter:              validUntil,
		BasicConstraintsValid: true,
		ExtraExtensions: []pkix.Extension{
			{Id: oidAAGUID, Value: model},
			{Id: oidU2FTransports, Value: []byte{0x03, 0x02, 0x05, 0x20}}, // USB
		},
	}, nil
}

// certify makes a CA and an attestation certificate.
func (r *root) certify(random io.Reader, aaguid ctap2.AAGUID) error {
	draw := func() (*ecdsa.PrivateKey, []byte, error) {
		private, signer, err := generate(cose.ES256, random)
		if err != nil {
			return nil, nil, err
		}
		return signer.(*ecdsa.PrivateKey), private, nil
	}
	caKey, _, err := draw()
	if err != nil {
		return err
	}
	key, private, err := draw()
	if err != nil {
		return err
	}
	ca := certificateOfCA("fobd emulated key CA")
	if r.CA, err = x509.CreateCertificate(crand.Reader, ca, ca, caKey.Public(), caKey); err != nil {
		return fmt.Errorf("softkey: attestation CA: %w", err)
	}
	leaf, err := certificateOfKey("fobd emulated key", aaguid)
	if err != nil {
		return err
	}
	parent, err := x509.ParseCertificate(r.CA)
	if err != nil {
		return err
	}
	if r.Leaf, err = x509.CreateCertificate(crand.Reader, leaf, parent, key.Public(), caKey); err != nil {
		return fmt.Errorf("softkey: attestation certificate: %w", err)
	}
	r.Attestation = private
	return nil
}

func (r *root) attestation() (*attestation, error) {
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), r.Attestation)
	if err != nil {
		return nil, fmt.Errorf("softkey: attestation key: %w", err)
	}
	leaf, err := x509.ParseCertificate(r.Leaf)
	if err != nil {
		return nil, fmt.Errorf("softkey: attestation certificate: %w", err)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("softkey: attestation certificate of another key")
	}
	return &attestation{key: key, leaf: r.Leaf}, nil
}

// AttestationCA returns the certificate, in DER, of the CA that the key's attestation
// certificate is from, for the trust anchors of a relying party under test.
func (a *Authenticator) AttestationCA() []byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	return bytes.Clone(a.state.CA)
}

// attestationFormats are those that this key can make, its favourite first.
func (a *Authenticator) attestationFormats() []string {
	switch {
	case a.cfg.Attestation == AttestationNone:
		return []string{ctap2.FormatNone}
	case a.cfg.Attestation == AttestationFIDOU2F:
		return []string{ctap2.FormatFIDOU2F, ctap2.FormatPacked, ctap2.FormatNone}
	case a.cfg.Attestation == AttestationPacked && a.traits.u2f:
		return []string{ctap2.FormatPacked, ctap2.FormatFIDOU2F, ctap2.FormatNone}
	}
	return []string{ctap2.FormatPacked, ctap2.FormatNone}
}

// format chooses the attestation format: the first of the platform's list that this key can make
// for the credential, or else the key's favourite (CTAP 2.3, section 6.1.2, step 19, and the
// parameter attestationFormatsPreference).
func (a *Authenticator) format(c *credential, preference []string) string {
	able := func(format string) bool {
		if format == ctap2.FormatFIDOU2F && (c.Alg != cose.ES256 || c.discoverable) {
			return false // WebAuthn Level 3, section 8.6: what a U2F key could have made
		}
		return slices.Contains(a.attestationFormats(), format)
	}
	if a.traits.tellsAttestations || len(preference) == 1 && preference[0] == ctap2.FormatNone {
		for _, format := range preference {
			if able(format) {
				return format
			}
		}
	}
	for _, format := range a.attestationFormats() {
		if able(format) {
			return format
		}
	}
	return ctap2.FormatNone
}

// attest makes the attestation statement for authenticator data (WebAuthn Level 3,
// sections 8.2, 8.6 and 8.7).
func (a *Authenticator) attest(format string, enterprise bool, c *credential, authData, clientDataHash []byte) (ctap2.RawMessage, error) {
	with := a.state.attestation
	switch {
	case enterprise:
		made, err := a.enterpriseCertificate()
		if err != nil {
			return nil, err
		}
		with = &made.attestation
	case format == ctap2.FormatNone:
		return ctap2.NoneStatement(), nil
	case format == ctap2.FormatFIDOU2F:
		return a.attestU2F(c, clientDataHash)
	case a.selfAttestation():
		sig, err := c.sign(authData, clientDataHash)
		if err != nil {
			return nil, err
		}
		return ctap2.Marshal(&ctap2.PackedStatement{Alg: c.Alg, Sig: sig})
	}
	sig, err := sign(with.key, cose.ES256, authData, clientDataHash)
	if err != nil {
		return nil, err
	}
	return ctap2.Marshal(&ctap2.PackedStatement{Alg: cose.ES256, Sig: sig, X5C: [][]byte{with.leaf}})
}

// attestU2F signs what a U2F registration signs (WebAuthn Level 3, section 8.6).
func (a *Authenticator) attestU2F(c *credential, clientDataHash []byte) (ctap2.RawMessage, error) {
	signer, err := c.key()
	if err != nil {
		return nil, err
	}
	key, ok := signer.(*ecdsa.PrivateKey)
	if !ok {
		return nil, ctap2.ErrUnsupportedAlgorithm
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	r := u2f.RegisterRequest{Challenge: [32]byte(clientDataHash), Application: c.rpIDHash}
	sig, err := sign(a.state.attestation.key, cose.ES256, u2f.RegisterSigned(r, c.ID, [u2f.PublicKeySize]byte(point)))
	if err != nil {
		return nil, err
	}
	return ctap2.Marshal(&ctap2.FIDOU2FStatement{Sig: sig, X5C: [][]byte{a.state.attestation.leaf}})
}
