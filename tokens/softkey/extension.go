package softkey

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"io"
	"slices"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// creation is what the extensions do to one makeCredential. Extensions that the key does not
// have are not in it: they are ignored (CTAP 2.3, section 6.1.2, step 15).
type creation struct {
	in       ctap2.MakeCredentialExtensions
	outputs  ctap2.MakeCredentialOutputs
	any      bool // there are outputs
	unsigned ctap2.MakeCredentialUnsigned
}

// creationExtensions takes the extensions of a request that this key has.
func (a *Authenticator) creationExtensions(r *ctap2.MakeCredentialRequest) *creation {
	x := &creation{}
	if r.Extensions == nil {
		return x
	}
	x.in = *r.Extensions
	has := a.traits.extension
	if !has(ctap2.ExtensionCredProtect) {
		x.in.CredProtect = 0
	}
	if !has(ctap2.ExtensionCredBlob) {
		x.in.CredBlob = nil
	}
	if !has(ctap2.ExtensionLargeBlobKey) {
		x.in.LargeBlobKey = nil
	}
	if !has(ctap2.ExtensionLargeBlob) {
		x.in.LargeBlob = nil
	}
	if !has(ctap2.ExtensionMinPINLength) {
		x.in.MinPINLength = nil
	}
	if !has(ctap2.ExtensionPINComplexityPolicy) {
		x.in.PINComplexityPolicy = nil
	}
	if !has(ctap2.ExtensionHMACSecret) {
		x.in.HMACSecret = nil
	}
	if !has(ctap2.ExtensionHMACSecretMC) {
		x.in.HMACSecretMC = nil
	}
	if !has(ctap2.ExtensionThirdPartyPayment) {
		x.in.ThirdPartyPayment = nil
	}
	return x
}

// check looks at inputs whose very form is wrong.
func (x *creation) check() error {
	// CTAP 2.3, section 12.4: support is one of two words.
	if l := x.in.LargeBlob; l != nil && l.Support != ctap2.LargeBlobRequired && l.Support != ctap2.LargeBlobPreferred {
		return ctap2.ErrInvalidCBOR
	}
	return nil
}

// apply writes into the credential what the extensions ask for.
func (x *creation) apply(a *Authenticator, made *credential) error {
	switch in := a.faults.credProtect(x.in.CredProtect); in {
	case 0:
	case ctap2.CredProtectUVOptional, ctap2.CredProtectUVOptionalWithCredentialIDList, ctap2.CredProtectUVRequired:
		made.CredProtect, x.outputs.CredProtect, x.any = in, in, true
	default:
		return ctap2.ErrInvalidOption // section 12.1: not a level
	}
	if in := x.in.CredBlob; in != nil {
		// Section 12.2: what is too long is not stored, and that is no error.
		fits := len(*in) <= a.traits.maxCredBlob
		if fits {
			made.CredBlob = bytes.Clone(*in)
		}
		x.outputs.CredBlob, x.any = yes(fits), true
	}
	if in := x.in.LargeBlobKey; in != nil {
		// Section 12.3: it is true, and for discoverable credentials, or an error.
		if !*in || !made.discoverable {
			return ctap2.ErrInvalidOption
		}
		made.LargeBlobKey = make([]byte, 32)
		if _, err := io.ReadFull(a.rand, made.LargeBlobKey); err != nil {
			return err
		}
	}
	if in := x.in.LargeBlob; in != nil {
		switch {
		case made.discoverable:
			made.LargeBlob = true
			x.unsigned.LargeBlob = &ctap2.LargeBlobCreateOutput{Supported: true}
		case in.Support == ctap2.LargeBlobRequired:
			return ctap2.ErrUnsupportedOption // this key has nowhere to store it
		}
	}
	told := slices.Contains(a.state.config.MinPINLengthRPIDs, made.RPID)
	if set(x.in.MinPINLength) && told {
		least := a.minPIN()
		x.outputs.MinPINLength, x.any = &least, true // section 12.5
	}
	if set(x.in.PINComplexityPolicy) && told {
		x.outputs.PINComplexityPolicy, x.any = yes(a.complexPIN()), true // section 12.6
	}
	if set(x.in.HMACSecret) {
		made.HMACSecret, x.outputs.HMACSecret, x.any = true, yes(true), true
	}
	if x.in.HMACSecretMC != nil && !made.HMACSecret {
		return ctap2.ErrMissingParameter // section 12.8
	}
	made.ThirdPartyPayment = set(x.in.ThirdPartyPayment) // section 12.9: no output
	return nil
}

// secrets answers hmac-secret-mc, which needs the credential's private key (CTAP 2.3, section 12.8).
func (x *creation) secrets(a *Authenticator, made *credential, uv bool) error {
	if x.in.HMACSecretMC == nil {
		return nil
	}
	s, err := a.decryptSalts(x.in.HMACSecretMC, true)
	if err != nil {
		return err
	}
	defer pinuv.Wipe(s.secret, s.salt)
	x.outputs.HMACSecretMC, err = a.hmacSecret(made, s, uv)
	return err
}

// salts is the decrypted input of hmac-secret.
type salts struct {
	protocol ctap2.PINUVProtocol
	secret   []byte
	salt     []byte // one or two of 32 bytes
}

// decryptSalts reads the input of hmac-secret (CTAP 2.3, section 12.7).
func (a *Authenticator) decryptSalts(in *ctap2.HMACSecretInput, up bool) (*salts, error) {
	if !up {
		return nil, ctap2.ErrUnsupportedOption
	}
	p := in.PINUVAuthProtocol
	if p == 0 {
		p = pinuv.One
	}
	if !a.traits.protocol(p) {
		return nil, ctap2.ErrInvalidParameter
	}
	secret, err := a.secret(p, &in.KeyAgreement)
	if err != nil {
		return nil, err
	}
	if !p.Verify(secret, in.SaltEnc, in.SaltAuth) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	salt, err := p.Decrypt(secret, in.SaltEnc)
	if err != nil || len(salt) != 32 && len(salt) != 64 {
		return nil, ctap2.ErrInvalidParameter
	}
	return &salts{protocol: p, secret: secret, salt: salt}, nil
}

// hmacSecret is the encrypted output for one credential (CTAP 2.3, section 12.7).
func (a *Authenticator) hmacSecret(c *credential, s *salts, uv bool) ([]byte, error) {
	var out []byte
	random := a.credRandom(c, uv)
	for at := 0; at < len(s.salt); at += 32 {
		mac := hmac.New(sha256.New, random)
		mac.Write(s.salt[at : at+32])
		out = mac.Sum(out)
	}
	return s.protocol.Encrypt(s.secret, out)
}

// assertionExtensions are those of a getAssertion that this key has, nil for none.
func (a *Authenticator) assertionExtensions(r *ctap2.GetAssertionRequest) (*ctap2.GetAssertionExtensions, error) {
	if r.Extensions == nil {
		return nil, nil
	}
	x := *r.Extensions
	has := a.traits.extension
	if !has(ctap2.ExtensionCredBlob) {
		x.CredBlob = nil
	}
	if !has(ctap2.ExtensionLargeBlobKey) {
		x.LargeBlobKey = nil
	}
	if !has(ctap2.ExtensionLargeBlob) {
		x.LargeBlob = nil
	}
	if !has(ctap2.ExtensionHMACSecret) {
		x.HMACSecret = nil
	}
	if !has(ctap2.ExtensionThirdPartyPayment) {
		x.ThirdPartyPayment = nil
	}
	// CTAP 2.3, section 12.4: one of reading and writing, and a size with what is written.
	if l := x.LargeBlob; l != nil && ((l.Read == nil) == (l.Write == nil) || (l.Write == nil) != (l.OriginalSize == nil)) {
		return nil, ctap2.ErrInvalidCBOR
	}
	return &x, nil
}

// writeBlob stores the large blob of the credential that is about to sign, and says whether it
// did (CTAP 2.3, section 12.4). Only one credential may be named; on a protected key the
// person must have been verified, as for the array of section 6.10.
func (a *Authenticator) writeBlob(c *credential, s *remaining) (*credential, bool, error) {
	in := s.extensions.LargeBlob
	if len(s.request.AllowList) != 1 || !c.LargeBlob || len(*in.Write) > a.maxBlob(c) || a.protected() && !s.uv {
		return c, false, nil
	}
	changed := *c
	changed.Blob, changed.BlobSize = bytes.Clone(*in.Write), *in.OriginalSize
	if err := a.updateCredential(&changed); err != nil {
		return c, false, err
	}
	return &changed, true, nil
}

// maxBlob is how long the large blob of a credential may be: reading it takes a message that holds
// the signature and the rest of an assertion too.
func (a *Authenticator) maxBlob(c *credential) int {
	const rest = 1000
	if parameters, ok := parametersOf(c.Alg); ok {
		return min(a.traits.maxLargeBlobs, MaxMsgSize-rest-parameters.SignatureSize())
	}
	return a.traits.maxLargeBlobs
}

// asserted gives the outputs of the extensions for one credential: those that are signed, in
// CBOR, and those that are not; nil for none.
func (a *Authenticator) asserted(c *credential, s *remaining) (signed, unsigned ctap2.RawMessage, err error) {
	x := s.extensions
	if x == nil {
		return nil, nil, nil
	}
	var out ctap2.GetAssertionOutputs
	outputs := false
	if set(x.CredBlob) {
		blob := slices.Concat([]byte{}, c.CredBlob)
		out.CredBlob, outputs = &blob, true // section 12.2: empty when there is none
	}
	if s.salts != nil && c.HMACSecret {
		if out.HMACSecret, err = a.hmacSecret(c, s.salts, s.uv); err != nil {
			return nil, nil, err
		}
		outputs = true
	}
	if set(x.ThirdPartyPayment) {
		out.ThirdPartyPayment, outputs = yes(c.ThirdPartyPayment), true // section 12.9
	}
	if outputs {
		if signed, err = ctap2.Marshal(&out); err != nil {
			return nil, nil, err
		}
	}
	var blob *ctap2.LargeBlobOutput
	switch in := x.LargeBlob; {
	case in == nil:
	case in.Write != nil:
		blob = &ctap2.LargeBlobOutput{Written: yes(s.written)}
	case set(in.Read) && len(c.Blob) > 0:
		blob = &ctap2.LargeBlobOutput{Blob: &c.Blob, OriginalSize: &c.BlobSize}
	}
	if blob != nil {
		unsigned, err = ctap2.Marshal(&ctap2.GetAssertionUnsigned{LargeBlob: blob})
	}
	return signed, unsigned, err
}
