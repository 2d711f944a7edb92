package oath

import (
	"context"
	"fmt"
	"io"
	"log/slog"
)

// Fields are what a Nitrokey keeps with an account besides its seed. They are secrets: wipe them when done. Printing or
// encoding them shows none.
type Fields struct {
	// Login, Password and Metadata have up to 127 bytes each; nil for none.
	Login, Password, Metadata []byte
}

// Wipe overwrites the fields.
func (f *Fields) Wipe() {
	for _, v := range []*[]byte{&f.Login, &f.Password, &f.Metadata} {
		clear(*v)
		*v = nil
	}
}

const hidden = "[secret]"

// String has no field.
func (f Fields) String() string {
	if f.empty() {
		return "{}"
	}
	return hidden
}

// Format prints what String says, for every verb.
func (f Fields) Format(w fmt.State, _ rune) { _, _ = io.WriteString(w, f.String()) }

// LogValue is for slog.
func (f Fields) LogValue() slog.Value { return slog.StringValue(f.String()) }

// MarshalText is String, so that JSON has no field.
func (f Fields) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

func (f Fields) each(use func(tag byte, value []byte)) {
	use(TagLogin, f.Login)
	use(TagPassword, f.Password)
	use(TagMetadata, f.Metadata)
}

func (f Fields) empty() bool { return f.size() == 0 }

// size is enough for all fields with their tags, 0 for none.
func (f Fields) size() int {
	n := 0
	f.each(func(_ byte, v []byte) {
		if len(v) > 0 {
			n += len(v) + 4
		}
	})
	return n
}

func (f Fields) check() error {
	var err error
	f.each(func(tag byte, v []byte) {
		if len(v) > maxField {
			err = fmt.Errorf("%w: %d bytes in field %02x, at most %d fit", ErrArgument, len(v), tag, maxField)
		}
	})
	return err
}

// append appends the fields that are there; an empty one would be refused.
func (f Fields) append(b []byte) []byte {
	f.each(func(tag byte, v []byte) {
		if len(v) > 0 {
			b = AppendTLV(b, tag, v)
		}
	})
	return b
}

// Get reads what a Nitrokey keeps with an account. The caller wipes it.
func (s *Session) Get(ctx context.Context, c Credential) (Fields, error) {
	r := s.about("get", CmdGetCredential, c, s.each(c))
	if !s.nitrokey() || s.info.Version.Before(4, 11, 0) {
		return Fields{}, s.fail(r, 0, unsupported("passwords need a Nitrokey with firmware 4.11 of its secrets app"))
	}
	b, err := s.do(ctx, r)
	if err != nil {
		return Fields{}, err
	}
	defer clear(b)
	f, err := parseFields(b)
	if err != nil {
		return Fields{}, s.fail(r, 0, err)
	}
	return f, nil
}

func parseFields(b []byte) (Fields, error) {
	tlvs, err := ParseTLVs(b)
	if err != nil {
		return Fields{}, err
	}
	var f Fields
	for _, t := range tlvs {
		v := append([]byte(nil), t.Value...)
		switch t.Tag {
		case TagLogin:
			f.Login = v
		case TagPassword:
			f.Password = v
		case TagMetadata:
			f.Metadata = v
		}
	}
	return f, nil
}

// SetFields replaces those fields of a Nitrokey's account that are not nil, with a touch.
func (s *Session) SetFields(ctx context.Context, c Credential, f Fields) (Credential, error) {
	if err := f.check(); err != nil {
		return Credential{}, s.fail(s.about("update", CmdUpdate, c, expectNone), 0, err)
	}
	return s.update(ctx, c, "", &f)
}

// update sends UPDATE, with a new name, new fields or both.
func (s *Session) update(ctx context.Context, c Credential, id string, f *Fields) (Credential, error) {
	r := s.about("update", CmdUpdate, c, expectTouch)
	switch {
	case !s.nitrokey() || s.info.Version.Before(4, 13, 0):
		return Credential{}, s.fail(r, 0, unsupported("changes need a Nitrokey with firmware 4.13 of its secrets app; delete the account and add it anew"))
	case c.Kind == ReverseHOTP:
		return Credential{}, s.fail(r, 0, unsupported("an account of reverse HOTP is never changed; delete it and add it anew"))
	}
	to := c
	if id != "" && id != c.ID {
		r.data = AppendTLV(r.data, TagName, []byte(id))
		to = c.renamed(id)
	}
	if f != nil {
		r.data = f.append(append(make([]byte, 0, len(r.data)+f.size()), r.data...))
		to.Data = to.Data || !f.empty()
	}
	if _, err := s.do(ctx, r); err != nil {
		return Credential{}, err
	}
	return to, nil
}
