package softkey

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/hkdf"
	crand "crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

// Values of enterpriseAttestation in makeCredential (CTAP 2.3, section 7.1).
const (
	enterpriseVendorFacilitated = 1
	enterprisePlatformManaged   = 2
)

// Enterprise is what a key that is made for an enterprise has more (CTAP 2.3, section 7.1). It
// attests so only after authenticatorConfig has enabled it.
type Enterprise struct {
	// RPIDs are those that the vendor has put into the key: they may ask for vendor-facilitated
	// enterprise attestation. Platform-managed enterprise attestation is for every RP.
	RPIDs []string
	// Serial tells this key from all others; empty for one that is made up.
	Serial string
}

// enterpriseAttestation is made when it is first asked for, from the key's secret: a state holds
// nothing of it.
type enterpriseAttestation struct {
	attestation
	ca []byte
}

// derivedKey is a key pair that is always the same for this key until it is reset.
func (a *Authenticator) derivedKey(label string) (*ecdsa.PrivateKey, error) {
	material, err := hkdf.Key(sha256.New, a.state.Master, nil, label, 32)
	if err != nil {
		return nil, err
	}
	defer clear(material)
	_, signer, err := generate(cose.ES256, rand.NewChaCha8([32]byte(material)))
	if err != nil {
		return nil, err
	}
	return signer.(*ecdsa.PrivateKey), nil
}

// enterpriseSerial is the serial number in the certificate for enterprises.
func (a *Authenticator) enterpriseSerial() (string, error) {
	if e := a.cfg.Enterprise; e != nil && e.Serial != "" {
		return e.Serial, nil
	}
	made, err := hkdf.Key(sha256.New, a.state.Master, nil, "enterprise serial number", 8)
	return hex.EncodeToString(made), err
}

// enterpriseCertificate gives the key and the certificate for enterprise attestation (WebAuthn Level 3,
// section 8.2.2: the serial number is in an extension of its own).
func (a *Authenticator) enterpriseCertificate() (*enterpriseAttestation, error) {
	if made := a.state.attestation.enterprise; made != nil {
		return made, nil
	}
	caKey, err := a.derivedKey("enterprise CA")
	if err != nil {
		return nil, err
	}
	key, err := a.derivedKey("enterprise attestation")
	if err != nil {
		return nil, err
	}
	serial, err := a.enterpriseSerial()
	if err != nil {
		return nil, err
	}
	ca := certificateOfCA("fobd emulated enterprise key CA")
	made := &enterpriseAttestation{attestation: attestation{key: key}}
	if made.ca, err = x509.CreateCertificate(crand.Reader, ca, ca, caKey.Public(), caKey); err != nil {
		return nil, fmt.Errorf("softkey: enterprise CA: %w", err)
	}
	parent, err := x509.ParseCertificate(made.ca)
	if err != nil {
		return nil, err
	}
	leaf, err := certificateOfKey("fobd emulated enterprise key", a.cfg.AAGUID)
	if err != nil {
		return nil, err
	}
	leaf.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidSubjectSerial, Value: serial}}
	number, err := asn1.Marshal([]byte(serial))
	if err != nil {
		return nil, err
	}
	leaf.ExtraExtensions = append(leaf.ExtraExtensions, pkix.Extension{Id: oidSerialNumber, Value: number})
	if made.leaf, err = x509.CreateCertificate(crand.Reader, leaf, parent, key.Public(), caKey); err != nil {
		return nil, fmt.Errorf("softkey: enterprise attestation certificate: %w", err)
	}
	a.state.attestation.enterprise = made
	return made, nil
}

// EnterpriseCA returns the certificate, in DER, of the CA that the certificate for enterprise
// attestation is from. A reset makes another one.
func (a *Authenticator) EnterpriseCA() ([]byte, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	made, err := a.enterpriseCertificate()
	if err != nil {
		return nil, err
	}
	return bytes.Clone(made.ca), nil
}

// wantsEnterprise says whether a request is answered with enterprise attestation (CTAP 2.3,
// sections 6.1.2, step 9, and 7.1).
func (a *Authenticator) wantsEnterprise(r *ctap2.MakeCredentialRequest) (bool, error) {
	switch {
	case a.faults != nil && a.faults.Enterprise:
		return true, nil
	case r.EnterpriseAttestation == 0:
		return false, nil
	case !a.enterprise():
		return false, ctap2.ErrInvalidParameter
	case r.EnterpriseAttestation == enterpriseVendorFacilitated:
		return a.cfg.Enterprise != nil && slices.Contains(a.cfg.Enterprise.RPIDs, r.RP.ID), nil
	case r.EnterpriseAttestation == enterprisePlatformManaged:
		return true, nil
	}
	return false, ctap2.ErrInvalidOption
}
