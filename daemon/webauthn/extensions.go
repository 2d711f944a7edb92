package webauthn

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
)

// Salts are what hmac-secret makes outputs of (CTAP 2.3, section 12.7): 32 bytes each. Two is
// nil when one output is wanted.
type Salts struct{ One, Two []byte }

// PRF is the input of the extension prf of an assertion (WebAuthn Level 3, section 10.1.4), as
// salts.
type PRF struct {
	Eval *Salts // nil when there is none
	// ByCredential has the salts of some credentials by their IDs.
	ByCredential map[string]Salts
}

// For gives the salts for the credential that will sign, nil for none: its own, or those
// for all (WebAuthn Level 3, section 10.1.4, client extension processing of an assertion, steps
// 3 to 5).
func (p *PRF) For(credential []byte) *Salts {
	if own, ok := p.ByCredential[string(credential)]; ok {
		return &own
	}
	return p.Eval
}

// LargeBlob is the input of the extension largeBlob of an assertion (WebAuthn Level 3, section
// 10.1.5): Read, or Write.
type LargeBlob struct {
	Read  bool
	Write []byte // nil for none; empty is a blob too
}

// Writes says whether there is a blob to write.
func (b *LargeBlob) Writes() bool { return b != nil && b.Write != nil }

// ReadLargeBlob takes over what a key with the extension largeBlob said (CTAP 2.3, section 12.4).
// The error is [ErrResponse].
func (a *Asserted) ReadLargeBlob() error {
	if a.Options.LargeBlob == nil {
		return nil
	}
	unsigned, err := a.Response.Unsigned()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrResponse, err)
	}
	out := unsigned.LargeBlob
	switch {
	case out == nil:
	case a.Options.LargeBlob.Writes():
		a.Written = out.Written != nil && *out.Written
	case out.Blob != nil && out.OriginalSize != nil:
		if a.Blob, err = ctap2.DecompressBlob(*out.Blob, *out.OriginalSize); err != nil {
			return fmt.Errorf("%w: %w", ErrResponse, err)
		}
	}
	return nil
}

// prfValues are AuthenticationExtensionsPRFValues (WebAuthn Level 3, section 10.1.4).
type prfValues struct {
	First  *api.Bytes `json:"first"`
	Second *api.Bytes `json:"second,omitempty"`
}

// prfInput are AuthenticationExtensionsPRFInputs (WebAuthn Level 3, section 10.1.4).
type prfInput struct {
	Eval             *prfValues           `json:"eval"`
	EvalByCredential map[string]prfValues `json:"evalByCredential"`
}

// prfContext begins what a site's input is hashed with, so that no site reaches the salts
// that something else on the machine uses (WebAuthn Level 3, section 10.1.4).
const prfContext = "WebAuthn PRF\x00"

// salts hashes a site's input.
func (v *prfValues) salts() (*Salts, error) {
	if v == nil {
		return nil, nil
	}
	if v.First == nil {
		return nil, invalid("prf: eval needs first")
	}
	hash := func(input []byte) []byte {
		sum := sha256.Sum256(append([]byte(prfContext), input...))
		return sum[:]
	}
	s := &Salts{One: hash(*v.First)}
	if v.Second != nil {
		s.Two = hash(*v.Second)
	}
	return s, nil
}

// creationPRF reads the input of a registration; evalByCredential is for assertions (WebAuthn
// Level 3, section 10.1.4, client extension processing of a registration, step 1).
func creationPRF(in *prfInput) (*Salts, error) {
	if in == nil {
		return nil, nil
	}
	if in.EvalByCredential != nil {
		return nil, invalid("prf: evalByCredential is for assertions (NotSupportedError)")
	}
	return in.Eval.salts()
}

// requestPRF reads the input of an assertion (WebAuthn Level 3, section 10.1.4, client extension
// processing of an assertion, steps 1 and 2).
func requestPRF(in *prfInput, allow []ctap2.CredentialDescriptor) (*PRF, error) {
	if in == nil {
		return nil, nil
	}
	if len(in.EvalByCredential) > 0 && len(allow) == 0 {
		return nil, invalid("prf: evalByCredential needs allowCredentials (NotSupportedError)")
	}
	eval, err := in.Eval.salts()
	if err != nil {
		return nil, err
	}
	prf := &PRF{Eval: eval}
	if len(in.EvalByCredential) == 0 {
		return prf, nil
	}
	allowed := make(map[string]bool, len(allow))
	for _, d := range allow {
		allowed[string(d.ID)] = true
	}
	prf.ByCredential = make(map[string]Salts, len(in.EvalByCredential))
	for key, values := range in.EvalByCredential {
		id, err := base64.RawURLEncoding.Strict().DecodeString(key)
		if key == "" || err != nil || !allowed[string(id)] {
			return nil, invalid("prf: a key of evalByCredential is not the id of an allowed credential (SyntaxError)")
		}
		own, err := values.salts()
		if err != nil {
			return nil, err
		}
		prf.ByCredential[string(id)] = *own
	}
	return prf, nil
}

// largeBlobInput are AuthenticationExtensionsLargeBlobInputs (WebAuthn Level 3, section 10.1.5).
type largeBlobInput struct {
	Support *string    `json:"support"`
	Read    *bool      `json:"read"`
	Write   *api.Bytes `json:"write"`
}

// creationLargeBlob reads the input of a registration (WebAuthn Level 3, section 10.1.5, client
// extension processing of a registration, step 1).
func creationLargeBlob(in *largeBlobInput) (support string, err error) {
	switch {
	case in == nil:
		return "", nil
	case in.Read != nil || in.Write != nil:
		return "", invalid("largeBlob: read and write are for assertions (NotSupportedError)")
	case in.Support != nil && *in.Support == ctap2.LargeBlobRequired:
		return ctap2.LargeBlobRequired, nil
	}
	// Anything else is what a credential that does not need a blob asks for.
	return ctap2.LargeBlobPreferred, nil
}

// requestLargeBlob reads the input of an assertion (WebAuthn Level 3, section 10.1.5, client
// extension processing of an assertion, steps 1 to 3).
func requestLargeBlob(in *largeBlobInput, allow []ctap2.CredentialDescriptor) (*LargeBlob, error) {
	switch {
	case in == nil:
		return nil, nil
	case in.Support != nil:
		return nil, invalid("largeBlob: support is for registrations (NotSupportedError)")
	case in.Read != nil && in.Write != nil:
		return nil, invalid("largeBlob: read and write exclude each other (NotSupportedError)")
	case in.Write != nil && len(allow) != 1:
		return nil, invalid("largeBlob: write needs one allowed credential (NotSupportedError)")
	case in.Write != nil:
		return &LargeBlob{Write: append([]byte{}, *in.Write...)}, nil
	}
	return &LargeBlob{Read: in.Read != nil && *in.Read}, nil
}

// paymentInput is what of the extension payment (Secure Payment Confirmation, section 5)
// matters to a key.
type paymentInput struct {
	IsPayment bool `json:"isPayment"`
}

// LargeBlobs says whether a key keeps blobs, and how: with the extension largeBlob of
// CTAP 2.3, section 12.4, or in the array of CTAP 2.1, section 6.10, with a key of each
// credential.
func LargeBlobs(info *ctap2.Info) (extension, array bool) {
	if info.HasExtension(ctap2.ExtensionLargeBlob) {
		return true, false
	}
	blobs, _ := info.Option(ctap2.OptionLargeBlobs)
	return false, blobs && info.HasExtension(ctap2.ExtensionLargeBlobKey)
}

// OtherMembers is how many bytes a request may have beside its list of credentials or its
// blob: names, hashes, extensions, and what authorizes it.
const OtherMembers = 512

// extensions are the extension inputs for a key, nil for none. What takes the key's
// agreement on a secret is the caller's.
func (o *CreationOptions) extensions(info *ctap2.Info) *ctap2.MakeCredentialExtensions {
	var ext ctap2.MakeCredentialExtensions
	yes := true
	if info.HasExtension(ctap2.ExtensionCredProtect) {
		ext.CredProtect = o.CredProtect
	}
	if (o.HMACCreateSecret || o.PRF) && info.HasExtension(ctap2.ExtensionHMACSecret) {
		ext.HMACSecret = &yes
	}
	// CTAP 2.3, section 12.2: a longer one is not stored.
	if o.CredBlob != nil && info.HasExtension(ctap2.ExtensionCredBlob) && uint(len(o.CredBlob)) <= info.MaxCredBlobLength {
		ext.CredBlob = &o.CredBlob
	}
	if o.LargeBlob != "" {
		// CTAP 2.1, section 12.3: the largeBlobKey is for discoverable credentials.
		switch extension, array := LargeBlobs(info); {
		case extension:
			ext.LargeBlob = &ctap2.LargeBlobCreateInput{Support: o.LargeBlob}
		case array && o.residentKey(info):
			ext.LargeBlobKey = &yes
		}
	}
	if o.MinPINLength && info.HasExtension(ctap2.ExtensionMinPINLength) {
		ext.MinPINLength = &yes
	}
	if o.PINComplexityPolicy && info.HasExtension(ctap2.ExtensionPINComplexityPolicy) {
		ext.PINComplexityPolicy = &yes
	}
	if o.Payment && info.HasExtension(ctap2.ExtensionThirdPartyPayment) {
		ext.ThirdPartyPayment = &yes
	}
	if ext == (ctap2.MakeCredentialExtensions{}) {
		return nil
	}
	return &ext
}

// Extensions are the extension inputs for a key, nil for none. What takes the key's
// agreement on a secret is the caller's.
func (o *RequestOptions) Extensions(info *ctap2.Info) (*ctap2.GetAssertionExtensions, error) {
	var ext ctap2.GetAssertionExtensions
	yes := true
	if o.GetCredBlob && info.HasExtension(ctap2.ExtensionCredBlob) {
		ext.CredBlob = &yes
	}
	if o.Payment && info.HasExtension(ctap2.ExtensionThirdPartyPayment) {
		ext.ThirdPartyPayment = &yes
	}
	if o.LargeBlob != nil && (o.LargeBlob.Read || o.LargeBlob.Write != nil) {
		switch extension, array := LargeBlobs(info); {
		case extension && o.LargeBlob.Read:
			ext.LargeBlob = &ctap2.LargeBlobInput{Read: &yes}
		case extension:
			compressed, err := ctap2.CompressBlob(o.LargeBlob.Write)
			if err != nil {
				return nil, err
			}
			if uint(len(compressed))+OtherMembers > info.MessageSize() {
				break // the key takes no such message: not written
			}
			size := uint64(len(o.LargeBlob.Write))
			ext.LargeBlob = &ctap2.LargeBlobInput{Write: &compressed, OriginalSize: &size}
		case array:
			ext.LargeBlobKey = &yes
		}
	}
	if ext == (ctap2.GetAssertionExtensions{}) {
		return nil, nil
	}
	return &ext, nil
}

// prfResults are outputs for a site.
func prfResults(one, two []byte) *prfValues {
	if one == nil {
		return nil
	}
	first := api.Bytes(bytes.Clone(one))
	v := &prfValues{First: &first}
	if two != nil {
		second := api.Bytes(bytes.Clone(two))
		v.Second = &second
	}
	return v
}
