package seedfile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// value reads PlainValue, or EncryptedValue with its ValueMAC (section 6.1). plain says that it was not encrypted.
func (k *keys) value(n *node) (value []byte, plain bool, reason string, err error) {
	p, e := n.get(nsPSKC, "PlainValue"), n.get(nsPSKC, "EncryptedValue")
	switch {
	case p != nil && e != nil:
		return nil, false, "a value both plain and encrypted", nil
	case p != nil:
		return p.text, true, "", nil
	case e == nil:
		return nil, false, "a value neither plain nor encrypted", nil
	case k.key == nil:
		return nil, false, "", fmt.Errorf("%w: line %d: an encrypted value, but no EncryptionKey before it", ErrFormat, n.line)
	}
	if reason = k.checkMAC(n, e); reason != "" {
		return nil, false, reason, nil
	}
	value, reason = k.decrypt(e)
	return value, false, reason, nil
}

// checkMAC checks ValueMAC, which is over all of CipherValue, before a byte is decrypted.
func (k *keys) checkMAC(n, e *node) string {
	node := n.get(nsPSKC, "ValueMAC")
	if node == nil {
		if _, wraps := keyWrapBits(algorithm(e)); wraps {
			return "" // key wrap has its own check
		}
		return "encrypted without MAC, which anyone could change; ask the vendor for a file with ValueMAC"
	}
	if k.mac == nil {
		return "a ValueMAC, but the file does not say of what kind (MACMethod)"
	}
	want, ok := node.base64()
	if !ok {
		return reasonMAC
	}
	text, _ := e.get(nsXenc, "CipherData", "CipherValue").base64()
	key := k.macKey
	if len(key) == 0 {
		key = k.key
	}
	mac := hmac.New(k.mac, key)
	mac.Write(text)
	if !hmac.Equal(mac.Sum(nil), want) {
		return reasonMAC
	}
	return ""
}

func (k *keys) secret(n *node) (seed []byte, reason string, err error) {
	value, plain, reason, err := k.value(n)
	if reason != "" || err != nil {
		return nil, reason, err
	}
	if plain {
		var ok bool
		if seed, ok = n.get(nsPSKC, "PlainValue").base64(); !ok {
			clear(seed)
			return nil, "its secret is not base64", nil
		}
		return seed, "", nil
	}
	return value, "", nil
}

// integer reads a number, which may be missing and then is 0.
func (k *keys) integer(n *node, name string) (value int64, reason string, err error) {
	if n == nil {
		return 0, "", nil
	}
	b, plain, reason, err := k.value(n)
	if reason != "" || err != nil {
		return 0, reason, err
	}
	if plain {
		value, ok := parseInteger(strings.TrimSpace(string(b)))
		if !ok {
			return 0, "its " + name + " is no number", nil
		}
		return value, "", nil
	}
	u, ok := bigEndian(b)
	if !ok || u > math.MaxInt64 {
		return 0, "its " + name + " is too large", nil
	}
	return int64(u), "", nil
}

// counter is like integer, with all 64 bits.
func (k *keys) counter(n *node) (value uint64, reason string, err error) {
	if n == nil {
		return 0, "", nil
	}
	b, plain, reason, err := k.value(n)
	if reason != "" || err != nil {
		return 0, reason, err
	}
	var ok bool
	if plain {
		value, ok = number([]byte(strings.TrimSpace(string(b))), math.MaxUint64)
	} else {
		value, ok = bigEndian(b)
	}
	if !ok {
		return 0, "its Counter is no number of 64 bits", nil
	}
	return value, "", nil
}

// bigEndian reads an encrypted number: up to 8 bytes.
func bigEndian(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 8 {
		return 0, false
	}
	for _, v := range b {
		n = n<<8 | uint64(v)
	}
	return n, true
}

// Reasons why a value did not open.
const (
	reasonKey  = "it does not open with this key"
	reasonBits = "encrypted with a key"
)

func algorithm(n *node) string { return n.get(nsXenc, "EncryptionMethod").attribute("Algorithm") }

// decrypt opens an EncryptedValue or a MACKey.
func (k *keys) decrypt(n *node) (plain []byte, reason string) {
	text, ok := n.get(nsXenc, "CipherData", "CipherValue").base64()
	if !ok {
		return nil, "a CipherValue that is missing or not base64"
	}
	name := algorithm(n)
	bits, wraps := keyWrapBits(name)
	if !wraps {
		switch name {
		case nsXenc + "aes128-cbc":
			bits = 128
		case nsXenc + "aes192-cbc":
			bits = 192
		case nsXenc + "aes256-cbc":
			bits = 256
		default:
			return nil, "an encryption that is not known; want aes128-cbc to aes256-cbc or kw-aes128 to kw-aes256"
		}
	}
	if bits != 8*len(k.key) {
		return nil, fmt.Sprintf(reasonBits+" of %d bits, the one that was given has %d", bits, 8*len(k.key))
	}
	block, err := aes.NewCipher(k.key)
	if err != nil {
		return nil, reasonKey
	}
	if wraps {
		return unwrap(block, text)
	}
	const size = aes.BlockSize
	if len(text) < 2*size || len(text)%size != 0 {
		return nil, reasonKey
	}
	plain = make([]byte, len(text)-size)
	cipher.NewCBCDecrypter(block, text[:size]).CryptBlocks(plain, text[size:])
	// XML Encryption, section 5.2: only the last byte of the padding says something.
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > size {
		clear(plain)
		return nil, reasonKey
	}
	return plain[:len(plain)-pad], ""
}

// parseInteger reads a PlainValue of Counter and alike.
func parseInteger(text string) (int64, bool) {
	if len(text) > 20 {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}
