package u2f

import (
	"bytes"
	"fmt"

	"github.com/fobd/fobd/u2f/apdu"
)

// RegisterRequest asks for a new key pair (Raw, section 4.1).
type RegisterRequest struct {
	// Challenge is the SHA-256 of the client data.
	Challenge [32]byte
	// Application is the SHA-256 of the application's identity, the RP ID of
	// WebAuthn.
	Application [32]byte
}

// Command returns the request as an APDU.
func (r RegisterRequest) Command() apdu.Command {
	data := make([]byte, 0, 64)
	data = append(data, r.Challenge[:]...)
	data = append(data, r.Application[:]...)
	return apdu.Command{INS: InsRegister, Data: data}
}

// ParseRegisterRequest reads the request from an APDU, whose P1 and P2 are ignored:
// clients set various. The error is [ErrWrongLength].
func ParseRegisterRequest(c apdu.Command) (RegisterRequest, error) {
	if len(c.Data) != 64 {
		return RegisterRequest{}, fmt.Errorf("u2f: register request of %d bytes: %w", len(c.Data), ErrWrongLength)
	}
	return RegisterRequest{
		Challenge:   [32]byte(c.Data[:32]),
		Application: [32]byte(c.Data[32:]),
	}, nil
}

// registerReserved begins a registration response (Raw, section 4.3).
const registerReserved = 0x05

// RegisterResponse is a new key pair (Raw, section 4.3).
type RegisterResponse struct {
	// PublicKey is an uncompressed P-256 point.
	PublicKey [PublicKeySize]byte
	// KeyHandle is what the key wants to see again to use the key pair.
	KeyHandle []byte
	// Certificate is the attestation certificate in DER; its contents are not
	// checked here.
	Certificate []byte
	// Signature is by the certificate's key, in DER.
	Signature []byte
}

// Marshal encodes the response without a status word. The error is [ErrKeyHandle],
// or [ErrMalformed] when Certificate is not one DER sequence.
func (r RegisterResponse) Marshal() ([]byte, error) {
	if len(r.KeyHandle) > MaxKeyHandle {
		return nil, fmt.Errorf("%w: %d bytes", ErrKeyHandle, len(r.KeyHandle))
	}
	if n, err := sequenceLength(r.Certificate); err != nil || n != len(r.Certificate) {
		return nil, fmt.Errorf("%w: certificate is not one DER sequence", ErrMalformed)
	}
	b := make([]byte, 0, 2+PublicKeySize+len(r.KeyHandle)+len(r.Certificate)+len(r.Signature))
	b = append(b, registerReserved)
	b = append(b, r.PublicKey[:]...)
	b = append(b, byte(len(r.KeyHandle)))
	b = append(b, r.KeyHandle...)
	b = append(b, r.Certificate...)
	return append(b, r.Signature...), nil
}

// ParseRegisterResponse reads the response without its status word. Its slices
// share no memory with b. The error is [ErrMalformed].
func ParseRegisterResponse(b []byte) (RegisterResponse, error) {
	var r RegisterResponse
	const header = 1 + PublicKeySize + 1
	if len(b) < header || b[0] != registerReserved {
		return r, fmt.Errorf("%w: register response of %d bytes", ErrMalformed, len(b))
	}
	r.PublicKey = [PublicKeySize]byte(b[1:])
	if r.PublicKey[0] != 4 {
		return r, fmt.Errorf("%w: register response: public key is not an uncompressed point", ErrMalformed)
	}
	n, rest := int(b[header-1]), b[header:]
	if len(rest) < n {
		return r, fmt.Errorf("%w: register response: key handle cut off", ErrMalformed)
	}
	r.KeyHandle, rest = bytes.Clone(rest[:n]), rest[n:]
	// The certificate has no length field: its DER says how long it is.
	n, err := sequenceLength(rest)
	if err != nil {
		return r, fmt.Errorf("%w: register response: certificate", err)
	}
	r.Certificate, r.Signature = bytes.Clone(rest[:n]), bytes.Clone(rest[n:])
	if len(r.Signature) == 0 {
		return r, fmt.Errorf("%w: register response: no signature", ErrMalformed)
	}
	return r, nil
}

// RegisterSigned returns the bytes that a registration's signature is over (Raw,
// section 4.3): 0x00, application, challenge, key handle, public key.
func RegisterSigned(req RegisterRequest, keyHandle []byte, publicKey [PublicKeySize]byte) []byte {
	b := make([]byte, 0, 1+64+len(keyHandle)+PublicKeySize)
	b = append(b, 0)
	b = append(b, req.Application[:]...)
	b = append(b, req.Challenge[:]...)
	b = append(b, keyHandle...)
	return append(b, publicKey[:]...)
}

// sequenceLength returns the length, header included, of the DER sequence at the
// start of b (ITU-T X.690, section 8.1.3), which b must hold completely.
func sequenceLength(b []byte) (int, error) {
	if len(b) < 2 || b[0] != 0x30 {
		return 0, fmt.Errorf("%w: no DER sequence", ErrMalformed)
	}
	n, header := int(b[1]), 2
	if n >= 0x80 {
		size := n & 0x7F
		if size == 0 || size > 3 || len(b) < 2+size {
			return 0, fmt.Errorf("%w: DER length", ErrMalformed)
		}
		n, header = 0, 2+size
		for _, digit := range b[2:header] {
			n = n<<8 | int(digit)
		}
	}
	if n > len(b)-header {
		return 0, fmt.Errorf("%w: DER sequence cut off", ErrMalformed)
	}
	return header + n, nil
}
