package audit

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// encoder is the coder that appends members to buf, each with a comma in front.
type encoder struct{ buf []byte }

func (e *encoder) name(name string) {
	e.buf = append(e.buf, ',', '"')
	e.buf = append(e.buf, name...)
	e.buf = append(e.buf, '"', ':')
}

func (e *encoder) text(name string, limit int, value string) string {
	if value == "" {
		return ""
	}
	value = clean(value, limit)
	e.name(name)
	e.buf = appendText(e.buf, value)
	return value
}

func (e *encoder) texts(name string, limit int, value []string) []string {
	if len(value) == 0 {
		return nil
	}
	if len(value) > maxPolicies {
		value = append(slices.Clone(value[:maxPolicies-1]), "…")
	}
	e.name(name)
	copied := false
	for i, text := range value {
		if c := clean(text, limit); c != text {
			// The slice is the caller's.
			if !copied {
				value, copied = slices.Clone(value), true
			}
			value[i], text = c, c
		}
		e.buf = append(e.buf, ",["[btoi(i == 0)])
		e.buf = appendText(e.buf, text)
	}
	e.buf = append(e.buf, ']')
	return value
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (e *encoder) number(name string, value int64) int64 {
	if value <= 0 {
		return 0
	}
	e.name(name)
	e.buf = strconv.AppendInt(e.buf, value, 10)
	return value
}

func (e *encoder) id(name string, value *uint32) *uint32 {
	if value != nil {
		e.name(name)
		e.buf = strconv.AppendUint(e.buf, uint64(*value), 10)
	}
	return value
}

func (e *encoder) flag(name string, value bool) bool {
	if value {
		e.name(name)
		e.buf = append(e.buf, "true"...)
	}
	return value
}

func (e *encoder) time(name string, value time.Time) time.Time {
	value = value.Round(0).UTC()
	e.name(name)
	e.buf = append(e.buf, '"')
	e.buf = value.AppendFormat(e.buf, time.RFC3339Nano)
	e.buf = append(e.buf, '"')
	return value
}

// clean makes a text valid UTF-8 of at most limit bytes.
func clean(s string, limit int) string {
	long := len(s) > limit
	if !long && utf8.ValidString(s) {
		return s
	}
	s = strings.ToValidUTF8(s[:min(len(s), limit+utf8.UTFMax)], "�")
	if !long && len(s) <= limit {
		return s
	}
	n := min(len(s), limit-len("…"))
	for n < len(s) && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}

const hexDigits = "0123456789abcdef"

// appendText appends valid UTF-8 as a JSON string. There is one way to write each: quotation
// marks and backslashes get a backslash, runes that could deceive a reader or drive a terminal
// become \u and four lower-case digits, all others stay as they are.
func appendText(buf []byte, s string) []byte {
	buf = append(buf, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != 0x7F {
				i++
				continue
			}
			buf = append(buf, s[start:i]...)
			if c == '"' || c == '\\' {
				buf = append(buf, '\\', c)
			} else {
				buf = appendEscape(buf, rune(c))
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if hidden(r) {
			buf = append(buf, s[start:i]...)
			buf = appendEscape(buf, r)
			start = i + size
		}
		i += size
	}
	buf = append(buf, s[start:]...)
	return append(buf, '"')
}

func appendEscape(buf []byte, r rune) []byte {
	return append(buf, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}

// hidden says whether a rune is a control character, a line separator, of no width, or changes
// the direction of text. The list is part of the format; all of it is below U+10000.
func hidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7F && r <= 0x9F, r == 0x061C, r >= 0x200B && r <= 0x200F,
		r >= 0x2028 && r <= 0x202E, r >= 0x2060 && r <= 0x206F, r == 0xFEFF:
		return true
	}
	return false
}
