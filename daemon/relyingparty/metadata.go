package relyingparty

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/metadata"
	"github.com/go-webauthn/webauthn/metadata/providers/memory"
	"github.com/go-webauthn/x/revoke"
	"github.com/google/uuid"

	"github.com/fobd/fobd/daemon/api"
)

// The library asks the Internet whether certificates are revoked, and goes on if it does not answer. The
// daemon opens no connections.
func init() { revoke.HTTPClient = &http.Client{Transport: offline{}} }

type offline struct{}

func (offline) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, errors.New("relyingparty: no connection is made")
}

// MaxMetadata bounds a metadata file, in bytes. FIDO's has about 10 MB.
const MaxMetadata = 64 << 20

// Metadata is what the FIDO Metadata Service, or an organisation's own, says of models of security keys.
type Metadata struct {
	entries map[uuid.UUID]*metadata.Entry
	byKey   map[string]*metadata.Entry
	// Number is the serial number of the file, NextUpdate when there is a newer one.
	Number     int
	NextUpdate time.Time
	// Skipped says of each entry that cannot be read why.
	Skipped []error
}

// ReadMetadata reads a metadata file (FIDO Metadata Service 3.0, section 3.1.7) after its signature and the chain of certificates to root were
// checked: PEM, nil for the one of FIDO's service. Whether a certificate of the chain was revoked is not asked.
func ReadMetadata(blob, root []byte) (*Metadata, error) {
	if len(blob) > MaxMetadata {
		return nil, fmt.Errorf("relyingparty: metadata of %d bytes, want at most %d", len(blob), MaxMetadata)
	}
	anchor := metadata.ProductionMDSRoot
	if root != nil {
		block, _ := pem.Decode(root)
		if block == nil || block.Type != "CERTIFICATE" {
			return nil, errors.New("relyingparty: the root of the metadata is no certificate in PEM")
		}
		anchor = base64.StdEncoding.EncodeToString(block.Bytes)
	}
	d, err := metadata.NewDecoder(metadata.WithRootCertificate(anchor), metadata.WithIgnoreEntryParsingErrors())
	if err != nil {
		return nil, fmt.Errorf("relyingparty: metadata: %w", err)
	}
	payload, err := d.DecodeBytes(bytes.TrimSpace(blob))
	if err != nil {
		return nil, fmt.Errorf("relyingparty: metadata: %w", err)
	}
	parsed, err := d.Parse(payload)
	if err != nil {
		return nil, fmt.Errorf("relyingparty: metadata: %w", err)
	}
	m := &Metadata{entries: parsed.ToMap(), byKey: parsed.ToKeyIdentifierMap(), Number: parsed.Parsed.Number, NextUpdate: parsed.Parsed.NextUpdate}
	for _, entry := range parsed.Unparsed {
		m.Skipped = append(m.Skipped, fmt.Errorf("relyingparty: metadata: %w", entry.Error))
	}
	return m, nil
}

// Name is what a model is called, empty if it is not known. A nil Metadata knows none.
func (m *Metadata) Name(aaguid string) string {
	id, err := uuid.Parse(aaguid)
	if m == nil || err != nil || m.entries[id] == nil {
		return ""
	}
	return m.entries[id].MetadataStatement.Description
}

// Models says which models of security keys are taken.
type Models struct {
	// Metadata, if not nil, must not say anything bad of a model that it has, and its attestation must be
	// one of the model's.
	Metadata *Metadata
	// Allow are the AAGUIDs of the models that are taken; empty for all.
	Allow []string
	// Attested takes only keys whose attestation says what they are: with Metadata, only models in it.
	Attested bool
}

// Check makes the relying party's check of a registration, and then asks whether the model is taken. Errors are as those of
// [Verifier.Verify].
func (m *Models) Check(r *api.CheckRequest) (*api.CheckResult, error) {
	if !given(r.CreationOptions) || !given(r.Credential) || r.Origin == "" {
		return nil, invalid("want a registration")
	}
	var provider metadata.Provider
	if m.Metadata != nil {
		var err error
		provider, err = memory.New(
			memory.WithMetadata(m.Metadata.entries), memory.WithMetadataKeyIdentifiers(m.Metadata.byKey),
			memory.WithValidateEntryKeyIdentifier(true), memory.WithValidateEntry(m.Attested), memory.WithValidateEntryPermitZeroAAGUID(!m.Attested),
			memory.WithValidateAAGUID(true), memory.WithValidateAttestationTypes(true), memory.WithValidateTrustAnchor(true),
			memory.WithValidateStatus(true), memory.WithStatusUndesired(metadata.DefaultUndesiredAuthenticatorStatuses()), memory.WithValidateStatusCertificateScope(true),
		)
		if err != nil {
			return nil, fmt.Errorf("relyingparty: metadata: %w", err)
		}
	}
	got, err := registration(r, provider)
	if err != nil {
		return nil, err
	}
	attested := got.Format != "none" && got.Attestation != "none" && got.Attestation != "self" && got.Attestation != string(metadata.BasicSurrogate)
	aaguid := got.Registered.AAGUID
	allowed := func(a string) bool { return strings.EqualFold(a, aaguid) }
	switch {
	case m.Metadata.Distrusted(aaguid):
		// Also of a key that does not attest: it says itself what it is.
		return nil, notTaken("the metadata says that this model (%s) is not to be trusted any more", m.called(aaguid))
	case m.Attested && !attested:
		return nil, notTaken("this key does not prove which model it is (attestation %s)", cmp.Or(got.Attestation, "none"))
	case len(m.Allow) > 0 && !slices.ContainsFunc(m.Allow, allowed):
		return nil, notTaken("this model (%s) is not one of those that are taken", m.called(aaguid))
	}
	return got, nil
}

// Name is what a model is called, empty if it is not known.
func (m *Models) Name(aaguid string) string { return m.Metadata.Name(aaguid) }

// Distrusted is true of a model that the metadata calls revoked or compromised.
func (m *Models) Distrusted(aaguid string) bool { return m.Metadata.Distrusted(aaguid) }

func (m *Models) called(aaguid string) string {
	return cmp.Or(m.Metadata.Name(aaguid), aaguid, "without AAGUID")
}

// Distrusted says whether anything is known against a model, whatever a key's attestation is. A nil Metadata knows nothing.
func (m *Metadata) Distrusted(aaguid string) bool {
	id, err := uuid.Parse(aaguid)
	if m == nil || err != nil || m.entries[id] == nil {
		return false
	}
	for _, report := range m.entries[id].StatusReports {
		// Reports about single certificates are for the check of the attestation.
		if report.Certificate == nil && report.BatchCertificate == nil && metadata.ValidateStatusReports([]metadata.StatusReport{report}, nil, metadata.DefaultUndesiredAuthenticatorStatuses()) != nil {
			return true
		}
	}
	return false
}

func notTaken(format string, a ...any) *api.Error {
	return &api.Error{Code: api.CodeVerifyFailed, Message: fmt.Sprintf(format, a...), Hint: "use a key of another model, or change [people] in the configuration"}
}
