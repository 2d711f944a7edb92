package ctap2

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"
)

// ErrNotCanonical says that CBOR is well-formed but not in the CTAP2 canonical form.
var ErrNotCanonical = errors.New("not canonical")

// Canonical checks that data is exactly one item in the CTAP2 canonical CBOR encoding form
// (CTAP 2.2, section 8): integers and lengths as short as can be, no indefinite lengths, no tags,
// map keys in order and none twice, valid UTF-8, four levels of nesting at most. The error is a
// [*DecodeError] with status [ErrInvalidCBOR]. It allocates nothing when all is well.
func Canonical(data []byte) error {
	if len(data) > MaxMessageSize {
		return &DecodeError{Status: ErrRequestTooLarge, Err: fmt.Errorf("%d bytes", len(data))}
	}
	rest, err := canonicalItem(data, 0)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes after the end", len(rest))
	}
	if err != nil {
		return &DecodeError{Status: ErrInvalidCBOR, Err: err}
	}
	return nil
}

// CBOR major types (RFC 8949, section 3.1).
const (
	majorUint   = 0
	majorNegInt = 1
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorTag    = 6
	majorSimple = 7
)

var errCut = errors.New("unexpected end")

// canonicalItem checks the first item of data and gives what follows it. depth is
// the number of arrays and maps around it.
func canonicalItem(data []byte, depth int) (rest []byte, err error) {
	h, rest, err := readHead(data)
	if err != nil {
		return nil, err
	}
	if !h.shortest {
		return nil, fmt.Errorf("%w: an integer or length is not as short as can be", ErrNotCanonical)
	}
	switch h.major {
	case majorBytes, majorText:
		if h.arg > uint64(len(rest)) {
			return nil, errCut
		}
		if h.major == majorText && !utf8.Valid(rest[:h.arg]) {
			return nil, errors.New("invalid UTF-8")
		}
		return rest[h.arg:], nil
	case majorArray, majorMap:
		if depth == maxNesting {
			return nil, fmt.Errorf("more than %d levels", maxNesting)
		}
	case majorTag:
		return nil, fmt.Errorf("%w: tag", ErrNotCanonical)
	}
	switch h.major {
	case majorArray:
		for range h.arg { // ends with the data at the latest: an item has at least one byte
			if rest, err = canonicalItem(rest, depth+1); err != nil {
				return nil, err
			}
		}
	case majorMap:
		var last []byte
		for range h.arg {
			key := rest
			if rest, err = canonicalItem(rest, depth+1); err != nil {
				return nil, err
			}
			key = key[:len(key)-len(rest)]
			if last != nil && !keyLess(last, key) {
				return nil, fmt.Errorf("%w: map keys are out of order or there twice", ErrNotCanonical)
			}
			last = key
			if rest, err = canonicalItem(rest, depth+1); err != nil {
				return nil, err
			}
		}
	}
	return rest, nil
}

// keyLess is the order of CTAP 2.2, section 8: major type, then length, then bytes.
func keyLess(a, b []byte) bool {
	if a[0]>>5 != b[0]>>5 {
		return a[0]>>5 < b[0]>>5
	}
	if len(a) != len(b) {
		return len(a) < len(b)
	}
	return bytes.Compare(a, b) < 0
}

// head is the start of a CBOR item.
type head struct {
	major    byte
	arg      uint64 // value or length; for floats the bits
	shortest bool
}

// readHead reads the start of the first item of data. Indefinite lengths and reserved values
// are errors.
func readHead(data []byte) (h head, rest []byte, err error) {
	if len(data) == 0 {
		return head{}, nil, errCut
	}
	h.major, h.shortest = data[0]>>5, true
	info := data[0] & 31
	rest = data[1:]
	if info < 24 {
		h.arg = uint64(info)
		return h, rest, nil
	}
	if info > 27 {
		if info == 31 {
			return head{}, nil, fmt.Errorf("%w: indefinite length", ErrNotCanonical)
		}
		return head{}, nil, errors.New("reserved value")
	}
	n := 1 << (info - 24)
	if len(rest) < n {
		return head{}, nil, errCut
	}
	for _, b := range rest[:n] {
		h.arg = h.arg<<8 | uint64(b)
	}
	switch {
	case h.major == majorSimple && n == 1:
		if h.arg < 32 {
			return head{}, nil, errors.New("reserved value")
		}
	case h.major == majorSimple: // CTAP 2.2, section 8: floats are not converted
	case n == 1:
		h.shortest = h.arg >= 24
	default:
		h.shortest = h.arg>>(n*4) != 0
	}
	return h, rest[n:], nil
}
