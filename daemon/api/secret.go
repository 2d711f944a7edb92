package api

import (
	"errors"
	"fmt"
	"log/slog"
)

// Secret is a PIN or another value that must not be shown. It prints as [secret]
// in every form and has no JSON form. The zero value holds nothing.
type Secret struct{ b []byte }

// NewSecret takes over b.
func NewSecret(b []byte) Secret { return Secret{b} }

// Bytes gives the value itself; it is valid until Wipe.
func (s Secret) Bytes() []byte { return s.b }

// Wipe overwrites the value.
func (s Secret) Wipe() { clear(s.b) }

// Format implements fmt.Formatter, so that no verb shows the value.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue("[secret]") }

// MarshalJSON refuses: a secret never becomes JSON.
func (s Secret) MarshalJSON() ([]byte, error) {
	return nil, errors.New("api: a secret has no JSON form")
}
