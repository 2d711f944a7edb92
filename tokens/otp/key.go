package otp

import (
	"crypto/hmac"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"hash"
	"strings"
	"time"
	"unicode"
)

// steamAlphabet are the letters of Steam's codes, in the order of their value.
const steamAlphabet = "23456789BCDFGHJKMNPQRTVWXY"

// Key is a seed with its parameters, ready for making and checking codes of HOTP, TOTP or Steam. It must not be
// used by several goroutines at once.
type Key struct {
	p      Parameters
	mac    hash.Hash
	modulo uint64 // values that a code can have
	sum    [64]byte
	in     [8]byte
}

// NewKey prepares a seed, of which it keeps nothing but the state of the hash function. The error is an [ErrParameters].
func NewKey(p Parameters, seed []byte) (*Key, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if p.Kind == OCRA {
		return nil, fmt.Errorf("%w: OCRA has challenges; use NewOCRA", ErrParameters)
	}
	if err := CheckSeed(seed); err != nil {
		return nil, err
	}
	k := &Key{p: p, mac: hmac.New(p.Hash.New(), seed), modulo: 1}
	base := uint64(10)
	if p.Kind == Steam {
		base = uint64(len(steamAlphabet))
	}
	for range p.Digits {
		k.modulo *= base
	}
	return k, nil
}

// Parameters returns the parameters.
func (k *Key) Parameters() Parameters { return k.p }

// Step is the time step at t (RFC 6238, section 4.2). ok is false before the first one.
func (p Parameters) Step(t time.Time) (step uint64, ok bool) {
	since := t.Unix() - p.Epoch
	if since < 0 || p.Period <= 0 {
		return 0, false
	}
	return uint64(since / p.Period), true
}

// Starts is when a time step begins.
func (p Parameters) Starts(step uint64) time.Time {
	return time.Unix(p.Epoch+int64(step)*p.Period, 0)
}

// value is the code for a counter or a step, as a number (RFC 4226, section 5.3).
func (k *Key) value(counter uint64) uint64 {
	k.mac.Reset()
	binary.BigEndian.PutUint64(k.in[:], counter)
	k.mac.Write(k.in[:])
	return truncate(k.mac.Sum(k.sum[:0])) % k.modulo
}

// truncate is the dynamic truncation (RFC 4226, section 5.3): 31 bits at an offset that the last four say.
func truncate(sum []byte) uint64 {
	offset := sum[len(sum)-1] & 0xF
	return uint64(binary.BigEndian.Uint32(sum[offset:]) & 0x7FFFFFFF)
}

// Code makes the code for a counter or a time step.
func (k *Key) Code(counter uint64) string {
	v := k.value(counter)
	if k.p.Kind == Steam {
		b := make([]byte, k.p.Digits)
		for i := range b {
			b[i] = steamAlphabet[v%uint64(len(steamAlphabet))]
			v /= uint64(len(steamAlphabet))
		}
		return string(b)
	}
	return fmt.Sprintf("%0*d", k.p.Digits, v)
}

// none is a value that no code has.
const none = ^uint64(0)

// number reads a code. What has another form has the value none, which takes as long to compare: the number of
// digits is the token's, never that of what was typed.
func (k *Key) number(code string) uint64 {
	if len(code) != k.p.Digits {
		return none
	}
	var v uint64
	for i := range len(code) {
		if k.p.Kind == Steam {
			// From the last letter, which has the highest value.
			at := strings.IndexByte(steamAlphabet, code[len(code)-1-i])
			if at < 0 {
				return none
			}
			v = v*uint64(len(steamAlphabet)) + uint64(at)
			continue
		}
		if code[i] < '0' || code[i] > '9' {
			return none
		}
		v = v*10 + uint64(code[i]-'0')
	}
	return v
}

// Clean takes out what people type between the digits of a code, and makes letters large.
func Clean(code string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '-' {
			return -1
		}
		return r
	}, code))
}

// equal is 1 when two values are the same, else 0, in constant time.
func equal(a, b uint64) int {
	return subtle.ConstantTimeEq(int32(a>>32), int32(b>>32)) & subtle.ConstantTimeEq(int32(a), int32(b))
}

// MaxScan bounds a window.
const MaxScan = 10000

// Scan looks for a code among the counters or steps from first to last, both included, and returns the earliest. It
// always looks at all of them, at most [MaxScan], so that the time it takes does not tell where a code matched, or whether.
func (k *Key) Scan(code string, first, last uint64) (at uint64, ok bool) {
	want := k.number(code)
	found := 0
	for n, i := window(first, last), 0; i < n; i++ {
		counter := first + uint64(i)
		hit := equal(k.value(counter), want) &^ found
		at = choose(hit, counter, at)
		found |= hit
	}
	return at, found == 1
}

// ScanTwo looks for two codes that follow each other, as [Key.Scan] does, and returns the counter or step of the first one.
func (k *Key) ScanTwo(code1, code2 string, first, last uint64) (at uint64, ok bool) {
	want1, want2 := k.number(code1), k.number(code2)
	found, before := 0, 0
	for n, i := window(first, last), 0; i < n; i++ {
		counter := first + uint64(i)
		v := k.value(counter)
		hit := before & equal(v, want2) &^ found
		at = choose(hit, counter-1, at)
		found |= hit
		before = equal(v, want1)
	}
	return at, found == 1
}

// window is how many counters there are from first to last.
func window(first, last uint64) int {
	if last < first {
		return 0
	}
	return int(min(last-first, MaxScan-1)) + 1
}

// choose returns a if hit is 1, else b, in constant time.
func choose(hit int, a, b uint64) uint64 {
	mask := -uint64(hit)
	return a&mask | b&^mask
}
