package webauthn

import (
	"fmt"

	"github.com/fobd/fobd/ctap2"
)

// Verification says how the person can be verified with a key, and whether that will be
// done.
type Verification struct {
	// Wanted is true when the request must verify the person.
	Wanted bool
	// BuiltIn is true when the key itself can, PIN when a PIN can.
	BuiltIn, PIN bool
}

// capable says what a key can do now (CTAP 2.2, section 6.4, options).
func capable(info *ctap2.Info) Verification {
	uv, _ := info.Option(ctap2.OptionUV)
	pin, _ := info.Option(ctap2.OptionClientPIN)
	noMcGa, _ := info.Option(ctap2.OptionNoMcGaWithPIN)
	return Verification{BuiltIn: uv, PIN: pin && !noMcGa && info.Protocol().Valid()}
}

// decide adds what a requirement means for a key; protected is true when the key itself
// insists.
func (v Verification) decide(info *ctap2.Info, r Requirement, protected bool) (Verification, error) {
	able := v.BuiltIn || v.PIN
	alwaysUV, _ := info.Option(ctap2.OptionAlwaysUV)
	needed := r == Required || alwaysUV || protected
	v.Wanted = needed || r == Preferred && able
	if !needed || able {
		return v, nil
	}
	if _, canPIN := info.Option(ctap2.OptionClientPIN); canPIN {
		return v, ErrPINNotSet
	}
	return v, fmt.Errorf("%w: it cannot verify the person", ErrUnsupported)
}

// ifAble is a requirement together with an extension for verified persons, as prf is: of a
// credential's two secrets it is for theirs (WebAuthn Level 3, section 10.1.4).
func (r Requirement) ifAble() Requirement {
	if r == Discouraged {
		return Preferred
	}
	return r
}

// Verification says how a key would verify the person for the registration. The error is
// [ErrPINNotSet] or [ErrUnsupported] when it must and cannot.
func (o *CreationOptions) Verification(info *ctap2.Info) (Verification, error) {
	v := capable(info)
	// A key with a PIN or a finger wants it for every credential, unless it says
	// makeCredUvNotRqd, which is about those that are not discoverable (CTAP 2.2, section
	// 6.1.2, step 10).
	pin, _ := info.Option(ctap2.OptionClientPIN)
	notRequired, _ := info.Option(ctap2.OptionMakeCredUVNotRqd)
	protected := (v.BuiltIn || pin) && (!notRequired || o.residentKey(info))
	r := o.UserVerification
	if o.PRFEval != nil && info.HasExtension(ctap2.ExtensionHMACSecretMC) {
		r = r.ifAble()
	}
	return v.decide(info, r, protected)
}

// Verification says how a key would verify the person for the assertion. The error is
// [ErrPINNotSet] or [ErrUnsupported] when it must and cannot.
func (o *RequestOptions) Verification(info *ctap2.Info) (Verification, error) {
	r := o.UserVerification
	extension, array := LargeBlobs(info)
	// CTAP 2.3, sections 6.10.2 and 12.4: who writes a blob is verified.
	if o.PRF != nil && info.HasExtension(ctap2.ExtensionHMACSecret) || o.LargeBlob.Writes() && (extension || array) {
		r = r.ifAble()
	}
	return capable(info).decide(info, r, false)
}
