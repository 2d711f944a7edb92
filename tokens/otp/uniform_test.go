package otp

import (
	"hash"
	"testing"
)

// counting counts how many codes were computed.
type counting struct {
	hash.Hash
	n int
}

func (c *counting) Sum(b []byte) []byte {
	c.n++
	return c.Hash.Sum(b)
}

// However a code matches, or does not, the whole window is computed.
func TestScanIsUniform(t *testing.T) {
	k, err := NewKey(Parameters{Kind: TOTP}.Default(), []byte("12345678901234567890"))
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{"first": k.Code(100), "middle": k.Code(110), "last": k.Code(120), "miss": k.Code(121), "long": "12345678", "letters": "abcdef", "none": ""}
	c := &counting{Hash: k.mac}
	k.mac = c
	for name, code := range codes {
		c.n = 0
		k.Scan(code, 100, 120)
		if c.n != 21 {
			t.Errorf("%s: %d codes, want 21", name, c.n)
		}
		c.n = 0
		k.ScanTwo(code, code, 100, 120)
		if c.n != 21 {
			t.Errorf("%s, twice: %d codes, want 21", name, c.n)
		}
	}
}
