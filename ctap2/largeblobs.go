package ctap2

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
)

// LargeBlobsRequest holds the parameters of authenticatorLargeBlobs (CTAP 2.3, section 6.10).
// Nil and zero members are absent; Get or Set is there, never both.
type LargeBlobsRequest struct {
	Get               *uint         `cbor:"1,keyasint,omitempty"` // number of bytes
	Set               []byte        `cbor:"2,keyasint,omitempty"`
	Offset            *uint         `cbor:"3,keyasint,omitempty"`
	Length            *uint         `cbor:"4,keyasint,omitempty"` // of the whole array, with the first fragment
	PINUVAuthParam    []byte        `cbor:"5,keyasint,omitempty"`
	PINUVAuthProtocol PINUVProtocol `cbor:"6,keyasint,omitempty"`
}

// Authenticated gives what pinUvAuthParam is made over (CTAP 2.3, section 6.10.2): 32 bytes 0xFF,
// the command and a zero, the offset in four bytes with the lowest first, and the hash of the
// fragment. Only writing is authenticated.
func (r *LargeBlobsRequest) Authenticated() []byte {
	var offset uint
	if r.Offset != nil {
		offset = *r.Offset
	}
	b := append(bytes.Repeat([]byte{0xFF}, 32), byte(CmdLargeBlobs), 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(offset))
	sum := sha256.Sum256(r.Set)
	return append(b, sum[:]...)
}

// Authorize sets pinUvAuthParam and its protocol; the other members must be there already.
func (r *LargeBlobsRequest) Authorize(t *Token) {
	r.PINUVAuthParam, r.PINUVAuthProtocol = t.Authenticate(r.Authenticated()), t.Protocol
}

// LargeBlobsResponse is the answer of authenticatorLargeBlobs to a get (CTAP 2.3, section 6.10).
type LargeBlobsResponse struct {
	Config []byte `cbor:"1,keyasint"` // a fragment of the serialized large-blob array
}

// Sizes around the large-blob array (CTAP 2.3, section 6.10).
const (
	// LargeBlobKeySize is the size of a largeBlobKey in bytes.
	LargeBlobKeySize = 32
	// MinLargeBlobArray is what every authenticator with large blobs has room for, in bytes.
	MinLargeBlobArray = 1024
	// LargeBlobFragmentOverhead is what a message needs beside the fragment: its length is
	// maxMsgSize less 64 (section 6.10.2).
	LargeBlobFragmentOverhead = 64
)
