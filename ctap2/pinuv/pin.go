package pinuv

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"unicode/utf8"
)

// Limits of a PIN (CTAP 2.2, section 6.5.1). An authenticator may ask for more than
// MinPINCodePoints and allow less than MaxPINBytes (getInfo, minPINLength and maxPINLength).
const (
	MinPINCodePoints = 4  // Unicode code points in NFC
	MaxPINBytes      = 63 // bytes of UTF-8
	PaddedPINSize    = 64 // what goes, encrypted, over the wire
)

// Why a PIN was refused: fewer code points than [MinPINCodePoints] or what the authenticator wants, more
// bytes than [MaxPINBytes] or more code points than the authenticator takes, not text. The errors never hold the PIN.
var (
	ErrPINTooShort = errors.New("pinuv: PIN is too short")
	ErrPINTooLong  = errors.New("pinuv: PIN is too long")
	ErrPINInvalid  = errors.New("pinuv: PIN is not valid text")
)

// PINHash is the first half of the SHA-256 of a PIN (CTAP 2.2, section 6.5.5.7.1).
func PINHash(pin []byte) [16]byte {
	sum := sha256.Sum256(pin)
	return [16]byte(sum[:16])
}

// CheckPIN says why a new PIN can't be used on any authenticator: [ErrPINTooShort],
// [ErrPINTooLong], or [ErrPINInvalid] for what is not UTF-8 or has a zero byte in it, which padding
// would swallow.
func CheckPIN(pin []byte) error {
	switch {
	case len(pin) > MaxPINBytes:
		return ErrPINTooLong
	case !utf8.Valid(pin) || bytes.IndexByte(pin, 0) >= 0:
		return ErrPINInvalid
	case utf8.RuneCount(pin) < MinPINCodePoints:
		return ErrPINTooShort
	}
	return nil
}

// PadPIN gives pin with zeros up to 64 bytes (CTAP 2.2, section 6.5.5.5), or the
// error of [CheckPIN]. The caller wipes the result.
func PadPIN(pin []byte) ([]byte, error) {
	if err := CheckPIN(pin); err != nil {
		return nil, err
	}
	padded := make([]byte, PaddedPINSize)
	copy(padded, pin)
	return padded, nil
}

// UnpadPIN is what an authenticator makes of a decrypted new PIN: it drops the trailing
// zeros (CTAP 2.2, section 6.5.5.5). The result shares padded's memory. A length other than 64 is
// [ErrLength]; the policy is the caller's business.
func UnpadPIN(padded []byte) ([]byte, error) {
	if len(padded) != PaddedPINSize {
		return nil, ErrLength
	}
	return bytes.TrimRight(padded, "\x00"), nil
}
