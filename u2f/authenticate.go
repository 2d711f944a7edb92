package u2f

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/fobd/fobd/u2f/apdu"
)

// Control says what an authentication request asks for; it is P1 (Raw, section
// 5.1).
type Control byte

// The control bytes.
const (
	// ControlEnforce asks for a signature after a touch.
	ControlEnforce Control = 0x03
	// ControlCheckOnly asks whether the key handle is the key's.
	ControlCheckOnly Control = 0x07
	// ControlDontEnforce asks for a signature without a touch.
	ControlDontEnforce Control = 0x08
)

// AuthenticateRequest asks for a signature (Raw, section 5.1).
type AuthenticateRequest struct {
	Control Control
	// Challenge and Application are as in [RegisterRequest].
	Challenge   [32]byte
	Application [32]byte
	// KeyHandle is from the registration.
	KeyHandle []byte
}

// Command returns the request as an APDU. The error is [ErrKeyHandle].
func (r AuthenticateRequest) Command() (apdu.Command, error) {
	if len(r.KeyHandle) > MaxKeyHandle {
		return apdu.Command{}, fmt.Errorf("%w: %d bytes", ErrKeyHandle, len(r.KeyHandle))
	}
	data := make([]byte, 0, 65+len(r.KeyHandle))
	data = append(data, r.Challenge[:]...)
	data = append(data, r.Application[:]...)
	data = append(data, byte(len(r.KeyHandle)))
	data = append(data, r.KeyHandle...)
	return apdu.Command{INS: InsAuthenticate, P1: byte(r.Control), Data: data}, nil
}

// ParseAuthenticateRequest reads the request from an APDU; KeyHandle is a copy. The
// control byte may be any. The error is [ErrWrongLength].
func ParseAuthenticateRequest(c apdu.Command) (AuthenticateRequest, error) {
	if len(c.Data) < 65 || len(c.Data) != 65+int(c.Data[64]) {
		return AuthenticateRequest{}, fmt.Errorf("u2f: authenticate request of %d bytes: %w", len(c.Data), ErrWrongLength)
	}
	return AuthenticateRequest{
		Control:     Control(c.P1),
		Challenge:   [32]byte(c.Data[:32]),
		Application: [32]byte(c.Data[32:64]),
		KeyHandle:   bytes.Clone(c.Data[65:]),
	}, nil
}

// UserPresent is the bit of AuthenticateResponse.UserPresence that says that the
// person touched the key.
const UserPresent = 0x01

// AuthenticateResponse is a signature (Raw, section 5.4).
type AuthenticateResponse struct {
	// UserPresence has the bit [UserPresent]; the others are reserved.
	UserPresence byte
	// Counter grows with every signature.
	Counter uint32
	// Signature is in DER.
	Signature []byte
}

// Marshal encodes the response without a status word.
func (r AuthenticateResponse) Marshal() []byte {
	b := make([]byte, 0, 5+len(r.Signature))
	b = append(b, r.UserPresence)
	b = binary.BigEndian.AppendUint32(b, r.Counter)
	return append(b, r.Signature...)
}

// ParseAuthenticateResponse reads the response without its status word. Signature
// is a copy. The error is [ErrMalformed].
func ParseAuthenticateResponse(b []byte) (AuthenticateResponse, error) {
	if len(b) < 6 {
		return AuthenticateResponse{}, fmt.Errorf("%w: authenticate response of %d bytes", ErrMalformed, len(b))
	}
	return AuthenticateResponse{
		UserPresence: b[0],
		Counter:      binary.BigEndian.Uint32(b[1:]),
		Signature:    bytes.Clone(b[5:]),
	}, nil
}

// AuthenticateSigned returns the bytes that an authentication's signature is over
// (Raw, section 5.4): application, user presence, counter, challenge.
func AuthenticateSigned(application, challenge [32]byte, userPresence byte, counter uint32) []byte {
	b := make([]byte, 0, 69)
	b = append(b, application[:]...)
	b = append(b, userPresence)
	b = binary.BigEndian.AppendUint32(b, counter)
	return append(b, challenge[:]...)
}

// VersionCommand returns the VERSION request (Raw, section 6.1).
func VersionCommand() apdu.Command { return apdu.Command{INS: InsVersion} }
