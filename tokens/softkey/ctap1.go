package softkey

import (
	"crypto/ecdsa"
	"errors"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

// message answers a U2F request (FIDO U2F Raw Message Formats 1.2, section 3).
func (a *Authenticator) message(request []byte) apdu.Response {
	switch {
	case !a.traits.u2f:
		return apdu.Response{SW: u2f.ErrInsNotSupported}
	case a.alwaysUV():
		// CTAP 2.2, section 7.2.4: U2F can't verify the person.
		return apdu.Response{SW: apdu.ErrCommandNotAllowed}
	}
	part, _, err := apdu.ParseCommand(request)
	if err != nil {
		return apdu.Response{SW: u2f.ErrWrongLength}
	}
	whole, done, err := a.u2f.Add(part)
	if err != nil {
		return failed(err)
	}
	if !done {
		return apdu.Response{SW: apdu.OK}
	}
	if whole.CLA != 0 {
		return apdu.Response{SW: u2f.ErrClaNotSupported}
	}
	var data []byte
	switch whole.INS {
	case u2f.InsRegister:
		data, err = a.register(whole)
	case u2f.InsAuthenticate:
		data, err = a.authenticate(whole)
	case u2f.InsVersion:
		if len(whole.Data) != 0 {
			return apdu.Response{SW: u2f.ErrWrongLength}
		}
		data = []byte(u2f.Version2)
	default:
		return apdu.Response{SW: u2f.ErrInsNotSupported}
	}
	if err != nil {
		return failed(err)
	}
	return apdu.Response{Data: data, SW: apdu.OK}
}

// failed gives the status word in err, or that of a fault of the key.
func failed(err error) apdu.Response {
	if sw, ok := errors.AsType[apdu.SW](err); ok {
		return apdu.Response{SW: sw}
	}
	return apdu.Response{SW: apdu.ErrNoDiagnosis}
}

// register: FIDO U2F Raw Message Formats 1.2, section 4.
func (a *Authenticator) register(c apdu.Command) ([]byte, error) {
	r, err := u2f.ParseRegisterRequest(c)
	if err != nil {
		return nil, err
	}
	if !a.user.present() {
		return nil, u2f.ErrConditionsNotSatisfied
	}
	made := &credential{Alg: cose.ES256, rpIDHash: r.Application, u2f: true}
	if made.Private, made.signer, err = generate(cose.ES256, a.rand); err != nil {
		return nil, err
	}
	if made.ID, err = a.sealID(made); err != nil {
		return nil, err
	}
	a.keys.put(made)
	public, err := made.signer.Public().(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return nil, err
	}
	response := u2f.RegisterResponse{PublicKey: [u2f.PublicKeySize]byte(public), KeyHandle: made.ID, Certificate: a.state.attestation.leaf}
	response.Signature, err = sign(a.state.attestation.key, cose.ES256, u2f.RegisterSigned(r, made.ID, response.PublicKey))
	if err != nil {
		return nil, err
	}
	return response.Marshal()
}

// authenticate: FIDO U2F Raw Message Formats 1.2, section 5. A credential that needs user
// verification is not for U2F, which has none (CTAP 2.2, section 12.1, level 3; a key handle is
// the credential id that level 2 asks for), and neither is one of another algorithm or a
// discoverable one.
func (a *Authenticator) authenticate(c apdu.Command) ([]byte, error) {
	r, err := u2f.ParseAuthenticateRequest(c)
	if err != nil {
		return nil, err
	}
	known := a.openID(r.KeyHandle, r.Application)
	if known == nil || known.Alg != cose.ES256 || known.CredProtect == ctap2.CredProtectUVRequired {
		return nil, u2f.ErrWrongData
	}
	presence := byte(0)
	switch r.Control {
	case u2f.ControlCheckOnly:
		return nil, u2f.ErrConditionsNotSatisfied // the key handle is ours
	case u2f.ControlEnforce:
		if !a.user.present() {
			return nil, u2f.ErrConditionsNotSatisfied
		}
		presence = 1
	case u2f.ControlDontEnforce:
	default:
		return nil, u2f.ErrWrongData
	}
	counter, err := a.count()
	if err != nil {
		return nil, err
	}
	signature, err := known.sign(u2f.AuthenticateSigned(r.Application, r.Challenge, presence, counter))
	if err != nil {
		return nil, err
	}
	return u2f.AuthenticateResponse{UserPresence: presence, Counter: counter, Signature: signature}.Marshal(), nil
}
