package cose

import (
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// AppendTo appends the canonical CBOR form of k to dst (CTAP 2.2, section 8: the labels
// stand in the order 1, 3, -1, -2, -3). It writes the members that belong to k.KeyType
// as they are; [Key.MarshalCBOR] checks them first.
func (k Key) AppendTo(dst []byte) []byte {
	pairs := byte(1)
	if k.Alg != 0 {
		pairs++
	}
	switch k.KeyType {
	case KeyTypeAKP:
		pairs++
	case KeyTypeOKP, KeyTypeRSA:
		pairs += 2
	case KeyTypeEC2:
		pairs += 3
	}
	dst = append(dst, 0xA0|pairs, 0x01) // 1: kty
	dst = appendInt(dst, k.KeyType)
	if k.Alg != 0 {
		dst = append(dst, 0x03) // 3: alg
		dst = appendInt(dst, int64(k.Alg))
	}
	switch k.KeyType {
	case KeyTypeOKP, KeyTypeEC2:
		dst = append(dst, 0x20) // -1: crv
		dst = appendInt(dst, k.Curve)
		dst = appendBytes(append(dst, 0x21), k.X) // -2: x
		if k.KeyType == KeyTypeEC2 {
			dst = appendBytes(append(dst, 0x22), k.Y) // -3: y
		}
	case KeyTypeRSA:
		dst = appendBytes(append(dst, 0x20), k.N) // -1: n
		dst = appendBytes(append(dst, 0x21), k.E) // -2: e
	case KeyTypeAKP:
		dst = appendBytes(append(dst, 0x20), k.Pub) // -1: pub
	}
	return dst
}

// MarshalCBOR gives the canonical CBOR form of k. The error is [ErrKey] or
// [ErrUnsupported] for a key that is not whole.
func (k Key) MarshalCBOR() ([]byte, error) {
	if err := k.Check(); err != nil {
		return nil, err
	}
	return k.AppendTo(make([]byte, 0, 24+len(k.X)+len(k.Y)+len(k.N)+len(k.E)+len(k.Pub))), nil
}

// wireKey is what can be decoded of a COSE_Key before its type is known: -1 and -2 mean other
// things in an RSA key, and -1 again in an AKP key.
type wireKey struct {
	KeyType int64           `cbor:"1,keyasint"`
	Alg     int64           `cbor:"3,keyasint"`
	P1      cbor.RawMessage `cbor:"-1,keyasint"`
	P2      cbor.RawMessage `cbor:"-2,keyasint"`
	P3      cbor.RawMessage `cbor:"-3,keyasint"`
}

var decMode = must(cbor.DecOptions{
	DupMapKey:        cbor.DupMapKeyEnforcedAPF,
	MaxNestedLevels:  4,
	MaxArrayElements: 64,
	MaxMapPairs:      16,
	IndefLength:      cbor.IndefLengthForbidden,
	TagsMd:           cbor.TagsForbidden,
	NaN:              cbor.NaNDecodeForbidden,
	Inf:              cbor.InfDecodeForbidden,
}.DecMode())

func must(m cbor.DecMode, err error) cbor.DecMode {
	if err != nil {
		panic(err)
	}
	return m
}

// UnmarshalCBOR reads one COSE_Key. Members that are not known are skipped. The lengths and the
// combination of type, curve and algorithm are looked at here, the curve equation in
// [Key.Public] and [Key.ECDH]. The Key owns its bytes.
func (k *Key) UnmarshalCBOR(data []byte) error {
	var w wireKey
	if err := decMode.Unmarshal(data, &w); err != nil {
		return fmt.Errorf("%w: %w", ErrKey, err)
	}
	got := Key{KeyType: w.KeyType, Alg: Algorithm(w.Alg)}
	var err error
	switch w.KeyType {
	case KeyTypeOKP, KeyTypeEC2:
		if e := decMode.Unmarshal(w.P1, &got.Curve); e != nil {
			return fmt.Errorf("%w: crv: %w", ErrKey, e)
		}
		if got.X, err = byteString(w.P2); err != nil {
			return err
		}
		if w.KeyType == KeyTypeEC2 {
			if got.Y, err = byteString(w.P3); err != nil {
				return err
			}
		}
	case KeyTypeRSA:
		if got.N, err = byteString(w.P1); err != nil {
			return err
		}
		if got.E, err = byteString(w.P2); err != nil {
			return err
		}
	case KeyTypeAKP:
		if got.Pub, err = byteString(w.P1); err != nil {
			return err
		}
	}
	if err := got.Check(); err != nil {
		return err
	}
	*k = got
	return nil
}

// byteString insists on major type 2: cbor would take an array of numbers for bytes too.
func byteString(raw cbor.RawMessage) ([]byte, error) {
	if len(raw) == 0 || raw[0]>>5 != 2 {
		return nil, fmt.Errorf("%w: a member is not a byte string", ErrKey)
	}
	var b []byte
	if err := decMode.Unmarshal(raw, &b); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKey, err)
	}
	return b, nil
}

func appendInt(dst []byte, v int64) []byte {
	if v < 0 {
		return appendHead(dst, 0x20, uint64(^v))
	}
	return appendHead(dst, 0x00, uint64(v))
}

func appendBytes(dst, b []byte) []byte {
	return append(appendHead(dst, 0x40, uint64(len(b))), b...)
}

func appendHead(dst []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(dst, major|byte(n))
	case n < 1<<8:
		return append(dst, major|24, byte(n))
	case n < 1<<16:
		return append(dst, major|25, byte(n>>8), byte(n))
	case n < 1<<32:
		return append(dst, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(dst, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32), byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}
