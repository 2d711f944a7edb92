package ctap2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/fobd/fobd/ctap2/cose"
)

// Flags are the flags of authenticator data (WebAuthn Level 3, section 6.1).
type Flags byte

// Flags (WebAuthn Level 3, section 6.1).
const (
	FlagUP Flags = 0x01 // the user was present
	FlagUV Flags = 0x04 // the user was verified
	FlagBE Flags = 0x08 // the credential may be backed up
	FlagBS Flags = 0x10 // the credential is backed up
	FlagAT Flags = 0x40 // attested credential data follows
	FlagED Flags = 0x80 // extension outputs follow
)

// AuthData is authenticator data, the bytes that an authenticator signs together with the
// client data hash (WebAuthn Level 3, section 6.1; CTAP 2.2, section 6.1.2).
type AuthData struct {
	RPIDHash  [32]byte // SHA-256 of the RP ID
	Flags     Flags
	SignCount uint32

	// Attested credential data, only with FlagAT.
	AAGUID       AAGUID
	CredentialID []byte
	PublicKey    cose.Key   // zero when [ParseAuthData] met a key of a kind it does not know
	PublicKeyRaw RawMessage // the key as it came; empty: PublicKey is written

	// Extensions is the CBOR map of extension outputs, only with FlagED.
	Extensions RawMessage
}

// ErrAuthData says that authenticator data is malformed.
var ErrAuthData = errors.New("ctap2: invalid authenticator data")

// minAuthData is the hash, the flags and the counter.
const minAuthData = 32 + 1 + 4

// AppendTo appends the wire form to dst. What is written follows the flags: without FlagAT
// there is no attested credential data, without FlagED no extension outputs. The error is
// [ErrAuthData] when a flag promises what is not there.
func (a *AuthData) AppendTo(dst []byte) ([]byte, error) {
	dst = append(dst, a.RPIDHash[:]...)
	dst = append(dst, byte(a.Flags))
	dst = binary.BigEndian.AppendUint32(dst, a.SignCount)
	if a.Flags&FlagAT != 0 {
		if len(a.CredentialID) > math.MaxUint16 {
			return nil, fmt.Errorf("%w: credential id of %d bytes", ErrAuthData, len(a.CredentialID))
		}
		dst = append(dst, a.AAGUID[:]...)
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(a.CredentialID)))
		dst = append(dst, a.CredentialID...)
		if len(a.PublicKeyRaw) > 0 {
			dst = append(dst, a.PublicKeyRaw...)
		} else {
			if err := a.PublicKey.Check(); err != nil {
				return nil, fmt.Errorf("%w: public key: %w", ErrAuthData, err)
			}
			dst = a.PublicKey.AppendTo(dst)
		}
	}
	if a.Flags&FlagED != 0 {
		if len(a.Extensions) == 0 {
			return nil, fmt.Errorf("%w: no extension outputs", ErrAuthData)
		}
		dst = append(dst, a.Extensions...)
	}
	return dst, nil
}

// Marshal gives the wire form; see [AuthData.AppendTo].
func (a *AuthData) Marshal() ([]byte, error) {
	return a.AppendTo(make([]byte, 0, minAuthData+18+len(a.CredentialID)+128+len(a.Extensions)))
}

// ParseAuthData reads authenticator data. Its slices share memory with data. A public key of an
// unknown kind is kept in PublicKeyRaw and left zero in PublicKey; a known kind with
// wrong contents, and bytes that no flag announces, are [ErrAuthData].
func ParseAuthData(data []byte) (*AuthData, error) {
	if len(data) < minAuthData {
		return nil, fmt.Errorf("%w: %d bytes", ErrAuthData, len(data))
	}
	if len(data) > MaxMessageSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrAuthData, len(data))
	}
	a := &AuthData{
		RPIDHash:  [32]byte(data),
		Flags:     Flags(data[32]),
		SignCount: binary.BigEndian.Uint32(data[33:]),
	}
	rest := data[minAuthData:]
	if a.Flags&FlagAT != 0 {
		if len(rest) < 18 {
			return nil, fmt.Errorf("%w: attested credential data is cut", ErrAuthData)
		}
		a.AAGUID = AAGUID(rest)
		n := int(binary.BigEndian.Uint16(rest[16:]))
		rest = rest[18:]
		if len(rest) < n {
			return nil, fmt.Errorf("%w: credential id is cut", ErrAuthData)
		}
		a.CredentialID, rest = rest[:n:n], rest[n:]
		raw, after, err := firstMap(rest)
		if err != nil {
			return nil, fmt.Errorf("%w: public key: %w", ErrAuthData, err)
		}
		a.PublicKeyRaw, rest = raw, after
		if err := a.PublicKey.UnmarshalCBOR(raw); err != nil && !errors.Is(err, cose.ErrUnsupported) {
			return nil, fmt.Errorf("%w: public key: %w", ErrAuthData, err)
		}
	}
	if a.Flags&FlagED != 0 {
		raw, after, err := firstMap(rest)
		if err != nil {
			return nil, fmt.Errorf("%w: extension outputs: %w", ErrAuthData, err)
		}
		a.Extensions, rest = raw, after
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrAuthData, len(rest))
	}
	return a, nil
}

// firstMap cuts the first CBOR map off data.
func firstMap(data []byte) (item RawMessage, rest []byte, err error) {
	if len(data) == 0 || data[0]>>5 != 5 {
		return nil, nil, errors.New("not a map")
	}
	var skipped RawMessage
	rest, err = lenientMode.UnmarshalFirst(data, &skipped)
	if err != nil {
		return nil, nil, err
	}
	n := len(data) - len(rest)
	return data[:n:n], rest, nil
}
