package audit

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode/utf8"
)

// decoder is the coder that takes members off the front of rest. It accepts exactly what
// encoder writes. A value that is the same as before is kept, so that reading many alike lines
// into one Record makes little garbage.
type decoder struct {
	rest    []byte
	failure string // what is wrong, empty for nothing
	buf     []byte
	stamp   []byte
}

// record reads all of a line's members.
func (d *decoder) record(members []byte, r *Record) error {
	d.rest, d.failure = members, ""
	r.code(d)
	switch {
	case d.failure != "":
		return fmt.Errorf("its member %s is not as the log writes it", d.failure)
	case len(d.rest) > 0:
		return fmt.Errorf("it has a member that is unknown or out of its place, %d bytes before its end", len(d.rest))
	case r.Operation == "":
		return fmt.Errorf("it has no operation")
	}
	return nil
}

func (d *decoder) fail(name string) {
	if d.failure == "" {
		d.failure = name
	}
}

// member takes the name of a member off, if it is the next one.
func (d *decoder) member(name string) bool {
	const around = len(`,"":`)
	n := len(name)
	if d.failure != "" || len(d.rest) < n+around || d.rest[0] != ',' || d.rest[1] != '"' ||
		string(d.rest[2:2+n]) != name || d.rest[2+n] != '"' || d.rest[3+n] != ':' {
		return false
	}
	d.rest = d.rest[n+around:]
	return true
}

// token takes everything in front of the next comma or bracket off.
func (d *decoder) token() []byte {
	end := bytes.IndexByte(d.rest, ',')
	if end < 0 {
		end = len(d.rest)
	}
	token := d.rest[:end]
	d.rest = d.rest[end:]
	return token
}

func (d *decoder) text(name string, limit int, value string) string {
	if !d.member(name) {
		return ""
	}
	raw, ok := d.quoted(limit)
	if !ok || len(raw) == 0 {
		d.fail(name)
		return ""
	}
	if string(raw) == value {
		return value
	}
	return string(raw)
}

func (d *decoder) texts(name string, limit int, value []string) []string {
	if !d.member(name) {
		return nil
	}
	var texts []string
	same := true
	for i := 0; ; i++ {
		if i == maxPolicies || len(d.rest) == 0 || d.rest[0] != ",["[btoi(i == 0)] {
			d.fail(name)
			return nil
		}
		d.rest = d.rest[1:]
		raw, ok := d.quoted(limit)
		if !ok || len(d.rest) == 0 {
			d.fail(name)
			return nil
		}
		if same && i < len(value) && string(raw) == value[i] {
			raw = nil
		} else if same {
			texts, same = slices.Clone(value[:i:i]), false
		}
		if !same {
			texts = append(texts, string(raw))
		}
		if d.rest[0] == ']' {
			d.rest = d.rest[1:]
			if !same {
				return texts
			}
			return value[: i+1 : i+1]
		}
	}
}

func (d *decoder) number(name string, _ int64) int64 {
	if !d.member(name) {
		return 0
	}
	n, ok := parseNumber(d.token())
	if !ok || n == 0 || n > math.MaxInt64 {
		d.fail(name)
		return 0
	}
	return int64(n)
}

func (d *decoder) id(name string, value *uint32) *uint32 {
	if !d.member(name) {
		return nil
	}
	n, ok := parseNumber(d.token())
	if !ok || n > math.MaxUint32 {
		d.fail(name)
		return nil
	}
	if value != nil && uint64(*value) == n {
		return value
	}
	return new(uint32(n))
}

func (d *decoder) flag(name string, _ bool) bool {
	if !d.member(name) {
		return false
	}
	if string(d.token()) != "true" {
		d.fail(name)
		return false
	}
	return true
}

func (d *decoder) time(name string, _ time.Time) time.Time {
	if !d.member(name) {
		d.fail(name)
		return time.Time{}
	}
	raw := d.token()
	if n := len(raw); n > 2 && n < 64 && raw[0] == '"' && raw[n-1] == '"' {
		raw = raw[1 : n-1]
		if t, err := time.Parse(time.RFC3339Nano, string(raw)); err == nil {
			t = t.UTC()
			if d.stamp = t.AppendFormat(d.stamp[:0], time.RFC3339Nano); bytes.Equal(d.stamp, raw) {
				return t
			}
		}
	}
	d.fail(name)
	return time.Time{}
}

// quoted takes a JSON string off, as appendText writes it, with at most limit bytes in it. What
// it returns lasts until the next call.
func (d *decoder) quoted(limit int) ([]byte, bool) {
	if len(d.rest) == 0 || d.rest[0] != '"' {
		return nil, false
	}
	s := d.rest[1:]
	plain := 0
	for plain < len(s) && s[plain] >= ' ' && s[plain] < 0x7F && s[plain] != '"' && s[plain] != '\\' {
		plain++
	}
	if plain < len(s) && s[plain] == '"' {
		d.rest = s[plain+1:]
		return s[:plain], plain <= limit
	}
	d.buf = append(d.buf[:0], s[:plain]...)
	for i := plain; i < len(s) && len(d.buf) <= limit; {
		c := s[i]
		switch {
		case c == '"':
			d.rest = s[i+1:]
			return d.buf, true
		case c == '\\':
			r, size := unescape(s[i:])
			if size == 0 {
				return nil, false
			}
			d.buf = utf8.AppendRune(d.buf, r)
			i += size
		case c < utf8.RuneSelf && !hidden(rune(c)):
			d.buf = append(d.buf, c)
			i++
		default:
			r, size := utf8.DecodeRune(s[i:])
			if size < 2 || hidden(r) {
				return nil, false
			}
			d.buf = append(d.buf, s[i:i+size]...)
			i += size
		}
	}
	return nil, false
}

// unescape reads an escape at the front of s. Its size is 0 if nothing would write it.
func unescape(s []byte) (rune, int) {
	if len(s) >= 2 && (s[1] == '"' || s[1] == '\\') {
		return rune(s[1]), 2
	}
	if len(s) < 6 || s[1] != 'u' {
		return 0, 0
	}
	var r rune
	for _, c := range s[2:6] {
		n := bytes.IndexByte([]byte(hexDigits), c)
		if n < 0 {
			return 0, 0
		}
		r = r<<4 | rune(n)
	}
	if !hidden(r) {
		return 0, 0
	}
	return r, 6
}
