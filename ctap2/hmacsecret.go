package ctap2

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2/pinuv"
)

// HMACSecret is the platform's half of one use of the hmac-secret extension at getAssertion
// (CTAP 2.2, section 12.7) or of hmac-secret-mc at makeCredential (section 12.8): [Client.HMACSecret]
// makes one for the salts, Input goes into the request, Outputs or OutputsMC reads the response. The caller wipes it.
type HMACSecret struct {
	// Input is for GetAssertionExtensions.HMACSecret or, beside HMACSecret: true, for
	// MakeCredentialExtensions.HMACSecretMC.
	Input *HMACSecretInput

	protocol PINUVProtocol
	secret   []byte
	outputs  int
}

// HMACSecretSize is the length in bytes of a salt and of an output.
const HMACSecretSize = 32

// HMACSecret agrees on a key with the authenticator and encrypts the salts with it. salt2 is nil
// when one output is enough.
func (c *Client) HMACSecret(ctx context.Context, protocol PINUVProtocol, salt1, salt2 []byte) (*HMACSecret, error) {
	if len(salt1) != HMACSecretSize || salt2 != nil && len(salt2) != HMACSecretSize {
		return nil, errors.New("ctap2: hmac-secret: a salt has 32 bytes")
	}
	platform, secret, err := c.agree(ctx, protocol)
	if err != nil {
		return nil, err
	}
	salts := append(append(make([]byte, 0, 2*HMACSecretSize), salt1...), salt2...)
	defer pinuv.Wipe(salts)
	saltEnc, err := protocol.Encrypt(secret, salts)
	if err != nil {
		return nil, err
	}
	h := &HMACSecret{
		Input: &HMACSecretInput{
			KeyAgreement: *platform,
			SaltEnc:      saltEnc,
			SaltAuth:     protocol.Authenticate(secret, saltEnc),
		},
		protocol: protocol,
		secret:   secret,
		outputs:  len(salts) / HMACSecretSize,
	}
	if protocol != pinuv.One {
		// CTAP 2.2, section 12.7: required unless it is protocol one, which authenticators of
		// CTAP 2.0 take for granted.
		h.Input.PINUVAuthProtocol = protocol
	}
	return h, nil
}

// Outputs decrypts the outputs in the extensions of the authenticator data of getAssertion; output2 is
// nil when there was one salt. The error is [ErrResponse] when they are not there or not what the
// salts ask for.
func (h *HMACSecret) Outputs(a *AuthData) (output1, output2 []byte, err error) {
	ext, err := a.GetAssertionOutputs()
	if err != nil {
		return nil, nil, err
	}
	return h.decrypt(ext.HMACSecret)
}

// OutputsMC is [HMACSecret.Outputs] for the authenticator data of makeCredential, where the extension
// is called hmac-secret-mc (CTAP 2.2, section 12.8).
func (h *HMACSecret) OutputsMC(a *AuthData) (output1, output2 []byte, err error) {
	ext, err := a.MakeCredentialOutputs()
	if err != nil {
		return nil, nil, err
	}
	return h.decrypt(ext.HMACSecretMC)
}

func (h *HMACSecret) decrypt(encrypted []byte) (output1, output2 []byte, err error) {
	if encrypted == nil {
		return nil, nil, fmt.Errorf("%w: no hmac-secret output", ErrResponse)
	}
	out, err := h.protocol.Decrypt(h.secret, encrypted)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: hmac-secret output: %w", ErrResponse, err)
	}
	if len(out) != h.outputs*HMACSecretSize {
		pinuv.Wipe(out)
		return nil, nil, fmt.Errorf("%w: hmac-secret output of %d bytes", ErrResponse, len(out))
	}
	output1 = out[:HMACSecretSize:HMACSecretSize]
	if h.outputs == 2 {
		output2 = out[HMACSecretSize:]
	}
	return output1, output2, nil
}

// Wipe overwrites the shared secret. Outputs and OutputsMC do not work afterwards.
func (h *HMACSecret) Wipe() {
	pinuv.Wipe(h.secret)
	h.secret = nil
}

// Format implements fmt.Formatter: an HMACSecret prints as [secret].
func (h HMACSecret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }
