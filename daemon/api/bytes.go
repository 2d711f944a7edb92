package api

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// Bytes is binary data whose JSON form is base64url without padding (WebAuthn
// Level 3, section 5.1.8). Padding is tolerated when read.
type Bytes []byte

// String returns the base64url form.
func (b Bytes) String() string { return base64.RawURLEncoding.EncodeToString(b) }

// MarshalJSON implements json.Marshaler.
func (b Bytes) MarshalJSON() ([]byte, error) { return json.Marshal(b.String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (b *Bytes) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("api: want a base64url string: %w", err)
	}
	v, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return fmt.Errorf("api: not base64url: %w", err)
	}
	*b = v
	return nil
}
