package webauthn

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"unicode/utf8"
)

// Types of client data (WebAuthn Level 3, section 5.8.1).
const (
	TypeCreate = "webauthn.create"
	TypeGet    = "webauthn.get"
)

// ClientData is what a signature is also about (WebAuthn Level 3, section 5.8.1).
type ClientData struct {
	Type      string // TypeCreate or TypeGet
	Challenge []byte
	Origin    string
}

// JSON serialises the client data, byte for byte as WebAuthn Level 3, section 5.8.1.1 says,
// so that verifiers without a JSON parser can compare. The request is never cross-origin.
func (c ClientData) JSON() []byte {
	b := append([]byte(nil), `{"type":`...)
	b = appendString(b, c.Type)
	b = append(b, `,"challenge":`...)
	b = appendString(b, base64.RawURLEncoding.EncodeToString(c.Challenge))
	b = append(b, `,"origin":`...)
	b = appendString(b, c.Origin)
	return append(b, `,"crossOrigin":false}`...)
}

// Hash is the SHA-256 of the serialisation, which the key signs.
func Hash(clientDataJSON []byte) []byte {
	sum := sha256.Sum256(clientDataJSON)
	return sum[:]
}

// appendString is CCDToString (WebAuthn Level 3, section 5.8.1.2).
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = fmt.Appendf(b, `\u%04x`, r)
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}
