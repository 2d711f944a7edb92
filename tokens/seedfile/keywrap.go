package seedfile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// keyWrapBits says the length of the key of an AES key wrap.
func keyWrapBits(name string) (bits int, ok bool) {
	switch name {
	case nsXenc + "kw-aes128", nsXenc11 + "kw-aes-128-pad":
		return 128, true
	case nsXenc + "kw-aes192", nsXenc11 + "kw-aes-192-pad":
		return 192, true
	case nsXenc + "kw-aes256", nsXenc11 + "kw-aes-256-pad":
		return 256, true
	}
	return 0, false
}

// unwrap opens an AES key wrap (RFC 3394, section 2.2.2), with padding (RFC 5649, section 4.2) if that is what it
// has: seeds of 20 bytes need it, and files have it under the names without.
func unwrap(block cipher.Block, text []byte) (plain []byte, reason string) {
	n := len(text)/8 - 1
	if len(text)%8 != 0 || n < 1 || len(text) > 1024 {
		return nil, reasonKey
	}
	var b [aes.BlockSize]byte
	plain = make([]byte, 8*n)
	copy(b[:8], text)
	copy(plain, text[8:])
	if n == 1 {
		block.Decrypt(b[:], text)
		copy(plain, b[8:])
	} else {
		for t := 6 * n; t > 0; t-- {
			r := plain[(t-1)%n*8:][:8]
			binary.BigEndian.PutUint64(b[:], binary.BigEndian.Uint64(b[:])^uint64(t))
			copy(b[8:], r)
			block.Decrypt(b[:], b[:])
			copy(r, b[8:])
		}
	}
	if n > 1 && subtle.ConstantTimeCompare(b[:8], []byte{0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6, 0xa6}) == 1 {
		return plain, ""
	}
	size := int64(binary.BigEndian.Uint32(b[4:]))
	padded := subtle.ConstantTimeCompare(b[:4], []byte{0xa6, 0x59, 0x59, 0xa6}) == 1
	if !padded || size <= int64(8*(n-1)) || size > int64(8*n) {
		clear(plain)
		return nil, reasonKey
	}
	var rest byte
	for _, v := range plain[size:] {
		rest |= v
	}
	if rest != 0 {
		clear(plain)
		return nil, reasonKey
	}
	return plain[:size], ""
}
