package applet

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/fobd/fobd/tokens/otp"
)

// ErrState says that a state is none that a device of this kind can have.
var ErrState = errors.New("applet: bad state")

// State is what lasts of a device. Encoding it as JSON has all its keys, to be stored; printing and logging it has none.
type State struct {
	Personality Personality `json:"personality"`
	// Salt is what access codes are salted with, and what the device id comes from. 8 bytes.
	Salt []byte `json:"salt"`
	// Code is the key of the access code, nil for none.
	Code *AccessCode `json:"code,omitempty"`
	// PIN is Nitrokey's, nil for none.
	PIN *PIN `json:"pin,omitempty"`
	// Entries are in the device's order.
	Entries []Entry `json:"entries,omitempty"`
}

// AccessCode is the key derived from an access code.
type AccessCode struct {
	Hash otp.Hash `json:"hash"`
	Key  []byte   `json:"key"`
}

// PIN is a Nitrokey's.
type PIN struct {
	Value []byte `json:"value"`
	Tries int    `json:"tries"`
}

// Entry is a credential as the device keeps it.
type Entry struct {
	Name []byte `json:"name"`
	// Type is kind and hash, as PUT has them.
	Type       byte   `json:"type"`
	Digits     byte   `json:"digits"`
	Key        []byte `json:"key"`
	Properties byte   `json:"properties,omitempty"`
	// Counter is the next one of HOTP; a CanoKey's is the last one.
	Counter uint64 `json:"counter,omitempty"`
	// Last is the last challenge of an entry whose challenges must not go back.
	Last     []byte `json:"last,omitempty"`
	Login    []byte `json:"login,omitempty"`
	Password []byte `json:"password,omitempty"`
	Metadata []byte `json:"metadata,omitempty"`
}

const redacted = "[secret]"

// String has no key.
func (s State) String() string {
	return fmt.Sprintf("{%s entries=%d keys=%s}", s.Personality, len(s.Entries), redacted)
}

// Format prints what String says, for every verb.
func (s State) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is for slog.
func (s State) LogValue() slog.Value { return slog.StringValue(s.String()) }

// String has no key.
func (c AccessCode) String() string { return redacted }

// Format prints what String says, for every verb.
func (c AccessCode) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is for slog.
func (c AccessCode) LogValue() slog.Value { return slog.StringValue(c.String()) }

// String has no PIN.
func (p PIN) String() string { return redacted }

// Format prints what String says, for every verb.
func (p PIN) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, p.String()) }

// LogValue is for slog.
func (p PIN) LogValue() slog.Value { return slog.StringValue(p.String()) }

// String has no key.
func (e Entry) String() string { return fmt.Sprintf("{%q type=%02x key=%s}", e.Name, e.Type, redacted) }

// Format prints what String says, for every verb.
func (e Entry) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

// LogValue is for slog.
func (e Entry) LogValue() slog.Value { return slog.StringValue(e.String()) }

// Wipe overwrites all keys.
func (s *State) Wipe() {
	if s.Code != nil {
		clear(s.Code.Key)
	}
	if s.PIN != nil {
		clear(s.PIN.Value)
	}
	for i := range s.Entries {
		s.Entries[i].wipe()
	}
	*s = State{Personality: s.Personality}
}

func (e *Entry) wipe() {
	for _, b := range [][]byte{e.Key, e.Login, e.Password, e.Metadata} {
		clear(b)
	}
}

func (s State) clone() State {
	s.Salt = slices.Clone(s.Salt)
	if s.Code != nil {
		s.Code = &AccessCode{s.Code.Hash, slices.Clone(s.Code.Key)}
	}
	if s.PIN != nil {
		s.PIN = &PIN{slices.Clone(s.PIN.Value), s.PIN.Tries}
	}
	s.Entries = slices.Clone(s.Entries)
	for i := range s.Entries {
		e := &s.Entries[i]
		for _, b := range []*[]byte{&e.Name, &e.Key, &e.Last, &e.Login, &e.Password, &e.Metadata} {
			*b = slices.Clone(*b)
		}
	}
	return s
}

// check says why a device cannot have the state.
func (s State) check(p Personality, capacity int) error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrState, fmt.Sprintf(format, args...))
	}
	t := personalities[p]
	switch {
	case s.Personality != p:
		return bad("of a %.32q", string(s.Personality))
	case len(s.Salt) != 8:
		return bad("a salt of %d bytes", len(s.Salt))
	case len(s.Entries) > capacity:
		return bad("%d entries, there is room for %d", len(s.Entries), capacity)
	case s.Code != nil && (p == Nitrokey || len(s.Code.Key) == 0 || len(s.Code.Key) > maxCodeKey || !knownHash(s.Code.Hash)):
		return bad("the access code")
	case s.PIN != nil && (p != Nitrokey || len(s.PIN.Value) == 0 || s.PIN.Tries < 0 || s.PIN.Tries > pinTries):
		return bad("the PIN")
	}
	names := map[string]bool{}
	for _, e := range s.Entries {
		_, known := hashOf(e.Type)
		switch {
		case len(e.Name) == 0 || len(e.Name) > t.maxName || names[string(e.Name)]:
			return bad("the name %.200q", e.Name)
		case !known || e.Digits > maxDigits || len(e.Key) == 0 || len(e.Key) > t.maxKey:
			return bad("the key or digits of %q", e.Name)
		case len(e.Last) > maxChallenge || len(e.Login) > maxField || len(e.Password) > maxField || len(e.Metadata) > maxField:
			return bad("fields of %q", e.Name)
		}
		names[string(e.Name)] = true
	}
	return nil
}

func knownHash(h otp.Hash) bool { return h == otp.SHA1 || h == otp.SHA256 || h == otp.SHA512 }

// hashOf is the hash in a byte of kind and hash.
func hashOf(typed byte) (otp.Hash, bool) {
	switch typed & 0x0F {
	case 1:
		return otp.SHA1, true
	case 2:
		return otp.SHA256, true
	case 3:
		return otp.SHA512, true
	}
	return "", false
}
