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
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

// attestation is the parsed half of a root.
type attestation struct {
	key  *ecdsa.PrivateKey
	leaf []byte
}

// Identifiers (WebAuthn Level 3, section 8.2.1; FIDO U2F Authenticator Transports Extension 1.2).
var (
	oidAAGUID        = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 1, 1, 4}
	oidU2FTransports = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 45724, 2, 1, 1}
)

// certify makes a CA and an attestation certificate as WebAuthn Level 3, section
// 8.2.1 wants it. The validity is that of U2F keys: from long ago, for long.
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
	from := time.Date(2020, time.January, 1, 0, 0, 0, 0, time.UTC)
	to := time.Date(2119, time.December, 31, 23, 59, 59, 0, time.UTC)
	ca := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{Country: []string{"AA"}, Organization: []string{"fobd"}, CommonName: "fobd emulated key CA"},
		NotBefore:             from,
		NotAfter:              to,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if r.CA, err = x509.CreateCertificate(crand.Reader, ca, ca, caKey.Public(), caKey); err != nil {
		return fmt.Errorf("softkey: attestation CA: %w", err)
	}
	model, err := asn1.Marshal(aaguid[:])
	if err != nil {
		return err
	}
	leaf := &x509.Certificate{
		SerialNumber:          big.NewInt(2),
		Subject:               pkix.Name{Country: []string{"AA"}, Organization: []string{"fobd"}, OrganizationalUnit: []string{"Authenticator Attestation"}, CommonName: "fobd emulated key"},
		NotBefore:             from,
		NotAfter:              to,
		BasicConstraintsValid: true,
		ExtraExtensions: []pkix.Extension{
			{Id: oidAAGUID, Value: model},
			{Id: oidU2FTransports, Value: []byte{0x03, 0x02, 0x05, 0x20}}, // USB
		},
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

// attest makes the attestation statement for authenticator data (WebAuthn Level 3,
// section 8.2 and 8.7).
func (a *Authenticator) attest(kind Attestation, c *credential, authData, clientDataHash []byte) (format string, statement ctap2.RawMessage, err error) {
	s := ctap2.PackedStatement{}
	switch kind {
	case AttestationNone:
		return ctap2.FormatNone, ctap2.NoneStatement(), nil
	case AttestationSelf:
		s.Alg = c.Alg
		s.Sig, err = c.sign(authData, clientDataHash)
	default:
		s.Alg, s.X5C = cose.ES256, [][]byte{a.state.attestation.leaf}
		s.Sig, err = sign(a.state.attestation.key, cose.ES256, authData, clientDataHash)
	}
	if err != nil {
		return "", nil, err
	}
	b, err := ctap2.Marshal(&s)
	return ctap2.FormatPacked, b, err
}
