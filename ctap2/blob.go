package ctap2

import (
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxBlob is the number of bytes that a blob has at most after decompression, whatever its
// entry says: far more than any authenticator stores.
const MaxBlob = 1 << 20

// The kinds of failure around blobs.
var (
	// ErrLargeBlobDamaged says that the large-blob array of an authenticator is not one: its checksum
	// or its form is wrong. A platform goes on as if it were empty (CTAP 2.3, section 6.10.2).
	ErrLargeBlobDamaged = errors.New("ctap2: damaged large-blob array")
	// ErrBlobKey says that an entry of the large-blob array was not made with the key.
	ErrBlobKey = errors.New("ctap2: large blob of another key")
	// ErrBlob says that a blob can't be decompressed to the size that it should have.
	ErrBlob = errors.New("ctap2: invalid blob")
)

// LargeBlob is an entry of the large-blob array (CTAP 2.3, section 6.10.3): DEFLATE, then
// AES-256-GCM under the credential's largeBlobKey, with "blob" and the original size as
// additional data.
type LargeBlob struct {
	Ciphertext []byte `cbor:"1,keyasint"`
	Nonce      []byte `cbor:"2,keyasint"` // 12 bytes
	OrigSize   uint64 `cbor:"3,keyasint"`

	// Raw is the entry as it came from an authenticator. It is written back as it is, so that
	// what this package does not know is not lost. An entry that is not of the form above has
	// nothing but Raw.
	Raw RawMessage `cbor:"-"`
}

const (
	blobNonceSize = 12
	blobTagSize   = 16
)

// Known reports whether b has the form that the specification gives to an entry.
func (b *LargeBlob) Known() bool {
	return len(b.Ciphertext) >= blobTagSize && len(b.Nonce) == blobNonceSize
}

// SealLargeBlob makes an entry of the large-blob array for data, of [MaxBlob] bytes at most, under a
// credential's largeBlobKey (CTAP 2.3, section 6.10.5).
func SealLargeBlob(key, data []byte) (LargeBlob, error) {
	aead, err := blobCipher(key)
	if err != nil {
		return LargeBlob{}, err
	}
	if len(data) > MaxBlob {
		return LargeBlob{}, fmt.Errorf("%w: %d bytes", ErrBlob, len(data))
	}
	compressed, err := CompressBlob(data)
	if err != nil {
		return LargeBlob{}, err
	}
	b := LargeBlob{Nonce: make([]byte, blobNonceSize), OrigSize: uint64(len(data))}
	if _, err := rand.Read(b.Nonce); err != nil {
		return LargeBlob{}, fmt.Errorf("ctap2: make nonce: %w", err)
	}
	b.Ciphertext = aead.Seal(nil, b.Nonce, compressed, b.additionalData())
	return b, nil
}

// Open gives the data of an entry (CTAP 2.3, section 6.10.4). The error is [ErrBlobKey] when key is not the
// one that it was made with, and [ErrBlob] when it is and what is inside can't be decompressed.
func (b LargeBlob) Open(key []byte) ([]byte, error) {
	aead, err := blobCipher(key)
	if err != nil {
		return nil, err
	}
	return b.open(aead)
}

func (b *LargeBlob) open(aead cipher.AEAD) ([]byte, error) {
	compressed, err := b.decrypt(aead)
	if err != nil {
		return nil, err
	}
	return DecompressBlob(compressed, b.OrigSize)
}

func (b *LargeBlob) decrypt(aead cipher.AEAD) ([]byte, error) {
	if !b.Known() {
		return nil, ErrBlobKey
	}
	compressed, err := aead.Open(nil, b.Nonce, b.Ciphertext, b.additionalData())
	if err != nil {
		return nil, ErrBlobKey
	}
	return compressed, nil
}

// additionalData is "blob" and the original size in eight bytes, lowest first (CTAP 2.3, section
// 6.10.3).
func (b *LargeBlob) additionalData() []byte {
	return binary.LittleEndian.AppendUint64([]byte("blob"), b.OrigSize)
}

func blobCipher(key []byte) (cipher.AEAD, error) {
	if len(key) != LargeBlobKeySize {
		return nil, fmt.Errorf("ctap2: largeBlobKey of %d bytes", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("ctap2: largeBlobKey: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("ctap2: largeBlobKey: %w", err)
	}
	return aead, nil
}

// CompressBlob gives data as DEFLATE (RFC 1951), as it goes into a large blob (CTAP 2.3, section
// 6.10.3) and into the extension largeBlob (section 12.4).
func CompressBlob(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("ctap2: compress: %w", err)
	}
	if _, err := w.Write(data); err != nil {
		return nil, fmt.Errorf("ctap2: compress: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("ctap2: compress: %w", err)
	}
	return b.Bytes(), nil
}

// DecompressBlob is the opposite of [CompressBlob]. The error is [ErrBlob] unless compressed gives
// exactly originalSize bytes, which are [MaxBlob] at most. No more memory is taken than comes out.
func DecompressBlob(compressed []byte, originalSize uint64) ([]byte, error) {
	if originalSize > MaxBlob {
		return nil, fmt.Errorf("%w: %d bytes are too many", ErrBlob, originalSize)
	}
	r := flate.NewReader(bytes.NewReader(compressed))
	var b bytes.Buffer
	// One more than there may be, to see that there is no more.
	if _, err := io.Copy(&b, io.LimitReader(r, int64(originalSize)+1)); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBlob, err)
	}
	if uint64(b.Len()) != originalSize {
		return nil, fmt.Errorf("%w: not of the size that it should have", ErrBlob)
	}
	return b.Bytes(), nil
}

// GetLargeBlob gives the data of the first entry made with key; ok is false when there is none
// (CTAP 2.3, section 6.10.4). An entry made with key that can't be read is [ErrBlob].
func GetLargeBlob(entries []LargeBlob, key []byte) (data []byte, ok bool, err error) {
	aead, err := blobCipher(key)
	if err != nil {
		return nil, false, err
	}
	for i := range entries {
		switch data, err := entries[i].open(aead); {
		case err == nil:
			return data, true, nil
		case !errors.Is(err, ErrBlobKey):
			return nil, false, err
		}
	}
	return nil, false, nil
}

// PutLargeBlob gives the array with data as the only entry made with key, in the place where there
// was one and at the end otherwise (CTAP 2.3, sections 6.10.5 and 6.10.6). entries is not changed.
func PutLargeBlob(entries []LargeBlob, key, data []byte) ([]LargeBlob, error) {
	entry, err := SealLargeBlob(key, data)
	if err != nil {
		return nil, err
	}
	aead, err := blobCipher(key)
	if err != nil {
		return nil, err
	}
	result := make([]LargeBlob, 0, len(entries)+1)
	placed := false
	for i := range entries {
		if _, err := entries[i].decrypt(aead); err != nil {
			result = append(result, entries[i])
		} else if !placed {
			result, placed = append(result, entry), true
		}
	}
	if !placed {
		result = append(result, entry)
	}
	return result, nil
}

// DeleteLargeBlob gives the array without the entries made with key; ok is false when there are none
// (CTAP 2.3, section 6.10.6). entries is not changed.
func DeleteLargeBlob(entries []LargeBlob, key []byte) (rest []LargeBlob, ok bool, err error) {
	aead, err := blobCipher(key)
	if err != nil {
		return nil, false, err
	}
	for i := range entries {
		if _, err := entries[i].decrypt(aead); err != nil {
			rest = append(rest, entries[i])
		}
	}
	return rest, len(rest) < len(entries), nil
}

// CollectLargeBlobs gives the array without the entries that were made with none of keys, the
// largeBlobKeys of all credentials on the authenticator, and the number of those that are gone
// (CTAP 2.3, section 6.10.7). Entries of a form that this package does not know
// stay. entries is not changed.
func CollectLargeBlobs(entries []LargeBlob, keys [][]byte) (rest []LargeBlob, gone int, err error) {
	aeads := make([]cipher.AEAD, len(keys))
	for i, key := range keys {
		if aeads[i], err = blobCipher(key); err != nil {
			return nil, 0, err
		}
	}
	for i := range entries {
		owned := !entries[i].Known()
		for _, aead := range aeads {
			if owned {
				break
			}
			_, err := entries[i].decrypt(aead)
			owned = err == nil
		}
		if owned {
			rest = append(rest, entries[i])
		}
	}
	return rest, len(entries) - len(rest), nil
}
