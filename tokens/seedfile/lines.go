package seedfile

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/fobd/fobd/tokens/otp"
)

// maxLine is the longest line, in bytes.
const maxLine = 64 << 10

// lines are the lines of a file that say something: not blank.
type lines struct {
	s    *bufio.Scanner
	buf  []byte
	line int
	text []byte // valid until the next call of next
	err  error
}

func newLines(r io.Reader) *lines {
	l := &lines{s: bufio.NewScanner(r), buf: make([]byte, maxLine)}
	l.s.Buffer(l.buf, maxLine)
	return l
}

func (l *lines) next() bool {
	for l.s.Scan() {
		l.line++
		if l.text = bytes.TrimSpace(l.s.Bytes()); len(l.text) > 0 {
			return true
		}
	}
	switch err := l.s.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		l.err = fmt.Errorf("%w: line %d has more than %d bytes", ErrFormat, l.line+1, maxLine)
	default:
		l.err = err
	}
	return false
}

// wipe overwrites the buffer that the seeds were in.
func (l *lines) wipe() { clear(l.buf) }

// split cuts a line of CSV at its commas and takes spaces and quotes off the fields.
func split(line []byte) [][]byte {
	fields := bytes.Split(line, []byte(","))
	for i, f := range fields {
		f = bytes.TrimSpace(f)
		if len(f) > 1 && f[0] == '"' && f[len(f)-1] == '"' {
			f = bytes.TrimSpace(f[1 : len(f)-1])
		}
		fields[i] = f
	}
	return fields
}

// fields is a record with no end: what is not there is empty.
type fields [][]byte

func (f fields) at(i int) []byte {
	if i < len(f) {
		return f[i]
	}
	return nil
}

// decodeHex decodes a seed. reason is empty or says what is wrong, without a byte of it.
func decodeHex(text []byte) (seed []byte, reason string) {
	switch {
	case len(text) == 0:
		return nil, "it has no seed"
	case len(text) > 2*otp.MaxSeed:
		return nil, fmt.Sprintf("a seed of %d hexadecimal digits, want at most %d", len(text), 2*otp.MaxSeed)
	case len(text)%2 != 0:
		// A leading zero was lost on the way, or a digit elsewhere: nobody can say which.
		return nil, fmt.Sprintf("a seed of %d hexadecimal digits, an odd number: one was lost; ask the vendor for the file again", len(text))
	}
	seed = make([]byte, len(text)/2)
	if _, err := hex.Decode(seed, text); err != nil {
		clear(seed)
		return nil, "its seed is not hexadecimal"
	}
	return seed, ""
}

// hashOfSeed is the hash function that the length of a seed stands for in CSV files.
func hashOfSeed(seed []byte) otp.Hash {
	switch len(seed) {
	case 32:
		return otp.SHA256
	case 64:
		return otp.SHA512
	}
	return otp.SHA1
}

// hashNamed knows the spellings that vendors have: sha256, SHA-256, HMAC-SHA256, HmacSHA256.
func hashNamed(name string) (otp.Hash, bool) {
	letters := make([]byte, 0, 8)
	for _, b := range []byte(name) {
		switch {
		case b >= 'a' && b <= 'z':
			letters = append(letters, b-'a'+'A')
		case b >= 'A' && b <= 'Z', b >= '0' && b <= '9':
			letters = append(letters, b)
		case b != '-' && b != '_':
			return "", false
		}
	}
	switch string(bytes.TrimPrefix(letters, []byte("HMAC"))) {
	case "SHA1":
		return otp.SHA1, true
	case "SHA256":
		return otp.SHA256, true
	case "SHA512":
		return otp.SHA512, true
	}
	return "", false
}

// number reads a decimal number; empty is not one.
func number(text []byte, most uint64) (uint64, bool) {
	if len(text) > 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text), 10, 64)
	return n, err == nil && n <= most
}
