package ctap2

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
)

// maxLargeBlobArray is the size of the largest serialized array that is read, in bytes, whatever
// an authenticator claims.
const maxLargeBlobArray = 1 << 20

// largeBlobHashSize is the part of the SHA-256 that follows the array (CTAP 2.3, section 6.10).
const largeBlobHashSize = 16

// LargeBlobs sends one authenticatorLargeBlobs request as it is (CTAP 2.3, section 6.10). A response
// to a write has no members.
func (c *Client) LargeBlobs(ctx context.Context, r *LargeBlobsRequest) (*LargeBlobsResponse, error) {
	resp := new(LargeBlobsResponse)
	return reply(resp, c.do(ctx, command{cmd: CmdLargeBlobs, params: r, empty: true}, resp))
}

// InitialLargeBlobArray is the serialized array without entries, as an authenticator has it after a
// reset (CTAP 2.3, section 6.10).
func InitialLargeBlobArray() []byte {
	return appendBlobHash([]byte{0x80})
}

func appendBlobHash(array []byte) []byte {
	sum := sha256.Sum256(array)
	return append(array, sum[:largeBlobHashSize]...)
}

// MarshalLargeBlobArray serializes the array as an authenticator stores it: the CBOR array, then the
// first half of its SHA-256 (CTAP 2.3, section 6.10).
func MarshalLargeBlobArray(entries []LargeBlob) ([]byte, error) {
	raws := make([]RawMessage, len(entries))
	for i := range entries {
		if raws[i] = entries[i].Raw; raws[i] != nil {
			continue
		}
		raw, err := Marshal(&entries[i])
		if err != nil {
			return nil, err
		}
		raws[i] = raw
	}
	array, err := Marshal(raws)
	if err != nil {
		return nil, err
	}
	return appendBlobHash(array), nil
}

// ParseLargeBlobArray is the opposite of [MarshalLargeBlobArray]. Every entry keeps its bytes in Raw.
// The error is [ErrLargeBlobDamaged] when the hash is wrong or it hashes something other than an array.
func ParseLargeBlobArray(serialized []byte) ([]LargeBlob, error) {
	n := len(serialized) - largeBlobHashSize
	if n < 1 {
		return nil, fmt.Errorf("%w: %d bytes", ErrLargeBlobDamaged, len(serialized))
	}
	array := serialized[:n:n]
	if sum := sha256.Sum256(array); !bytes.Equal(sum[:largeBlobHashSize], serialized[n:]) {
		return nil, fmt.Errorf("%w: wrong checksum", ErrLargeBlobDamaged)
	}
	h, rest, err := readHead(array)
	if err != nil || h.major != majorArray || h.arg > uint64(len(rest)) {
		return nil, fmt.Errorf("%w: not an array", ErrLargeBlobDamaged)
	}
	var entries []LargeBlob
	for range h.arg {
		var raw RawMessage
		after, err := lenientMode.UnmarshalFirst(rest, &raw)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrLargeBlobDamaged, err)
		}
		entries, rest = append(entries, parseLargeBlob(raw)), after
	}
	if len(rest) > 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", ErrLargeBlobDamaged, len(rest))
	}
	return entries, nil
}

// parseLargeBlob reads an entry; what is not of the known form has only Raw.
func parseLargeBlob(raw RawMessage) LargeBlob {
	var w struct {
		Ciphertext []byte  `cbor:"1,keyasint"`
		Nonce      []byte  `cbor:"2,keyasint"`
		OrigSize   *uint64 `cbor:"3,keyasint"`
	}
	if err := UnmarshalLenient(raw, &w); err != nil || raw[0]>>5 != majorMap || w.OrigSize == nil {
		return LargeBlob{Raw: raw}
	}
	b := LargeBlob{Ciphertext: w.Ciphertext, Nonce: w.Nonce, OrigSize: *w.OrigSize, Raw: raw}
	if !b.Known() {
		return LargeBlob{Raw: raw}
	}
	return b
}

// largeBlobFragment is the number of bytes that are read or written at a time (CTAP 2.3, section 6.10.2).
func (i *Info) largeBlobFragment() uint {
	return max(uint(i.messageLimit()), LargeBlobFragmentOverhead+64) - LargeBlobFragmentOverhead
}

// largeBlobLimit is the number of bytes that the serialized array has at most.
func (i *Info) largeBlobLimit() uint {
	return min(max(i.MaxSerializedLargeBlobArray, MinLargeBlobArray), maxLargeBlobArray)
}

// LargeBlobArray reads the large-blob array (CTAP 2.3, section 6.10.2); stored is its serialized size
// in bytes, of maxSerializedLargeBlobArray. It needs no token. The error is [ErrNotSupported] when the
// authenticator has none, and [ErrLargeBlobDamaged] when its checksum or form is wrong; a platform
// then goes on as if it were empty, and stored is still right.
func (c *Client) LargeBlobArray(ctx context.Context, info *Info) (entries []LargeBlob, stored int, err error) {
	if !info.isOn(OptionLargeBlobs) {
		return nil, 0, fmt.Errorf("%w: large blobs", ErrNotSupported)
	}
	fragment := info.largeBlobFragment()
	var serialized []byte
	for {
		offset := uint(len(serialized))
		resp, err := c.LargeBlobs(ctx, &LargeBlobsRequest{Get: &fragment, Offset: &offset})
		switch {
		case err != nil:
			return nil, 0, err
		case resp.Config == nil:
			return nil, 0, fmt.Errorf("%w: largeBlobs: no config", ErrResponse)
		case uint(len(resp.Config)) > fragment:
			return nil, 0, fmt.Errorf("%w: largeBlobs: %d bytes instead of %d", ErrResponse, len(resp.Config), fragment)
		}
		serialized = append(serialized, resp.Config...)
		if uint(len(serialized)) > info.largeBlobLimit() {
			return nil, 0, fmt.Errorf("%w: largeBlobs: more than %d bytes", ErrResponse, info.largeBlobLimit())
		}
		// CTAP 2.3, section 6.10.2: fewer bytes than asked for are the last ones.
		if uint(len(resp.Config)) < fragment {
			break
		}
	}
	entries, err = ParseLargeBlobArray(serialized)
	return entries, len(serialized), err
}

// SetLargeBlobArray writes the large-blob array (CTAP 2.3, section 6.10.2). token has the permission
// lbw; it may be nil where nothing protects the authenticator. More than
// maxSerializedLargeBlobArray is [ErrTooLarge] and nothing is sent. When writing fails
// half-way the authenticator keeps what it had.
func (c *Client) SetLargeBlobArray(ctx context.Context, info *Info, token *Token, entries []LargeBlob) error {
	if !info.isOn(OptionLargeBlobs) {
		return fmt.Errorf("%w: large blobs", ErrNotSupported)
	}
	serialized, err := MarshalLargeBlobArray(entries)
	if err != nil {
		return err
	}
	if uint(len(serialized)) > info.largeBlobLimit() {
		return fmt.Errorf("%w: %d bytes of large blobs, it keeps %d", ErrTooLarge, len(serialized), info.largeBlobLimit())
	}
	length, fragment := uint(len(serialized)), info.largeBlobFragment()
	for offset := uint(0); offset < length; offset += fragment {
		r := &LargeBlobsRequest{Set: serialized[offset:min(offset+fragment, length)], Offset: &offset}
		if offset == 0 {
			r.Length = &length // with the first fragment only
		}
		if token != nil {
			r.Authorize(token)
		}
		if _, err := c.LargeBlobs(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// LargeBlobArrayOrEmpty is [Client.LargeBlobArray], with a damaged array taken for an empty one as a
// platform does that is about to write (CTAP 2.3, section 6.10.2).
func (c *Client) LargeBlobArrayOrEmpty(ctx context.Context, info *Info) ([]LargeBlob, error) {
	entries, _, err := c.LargeBlobArray(ctx, info)
	if errors.Is(err, ErrLargeBlobDamaged) {
		return nil, nil
	}
	return entries, err
}
