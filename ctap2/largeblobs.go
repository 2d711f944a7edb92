package ctap2

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

// LargeBlobsResponse is the answer of authenticatorLargeBlobs to a get (CTAP 2.3, section 6.10).
type LargeBlobsResponse struct {
	Config []byte `cbor:"1,keyasint"` // a fragment of the serialized large-blob array
}

// LargeBlob is an entry of the large-blob array (CTAP 2.3, section 6.10.3): DEFLATE, then
// AES-256-GCM under the credential's largeBlobKey, with "blob" and the original size as
// additional data.
type LargeBlob struct {
	Ciphertext []byte `cbor:"1,keyasint"`
	Nonce      []byte `cbor:"2,keyasint"` // 12 bytes
	OrigSize   uint64 `cbor:"3,keyasint"`
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
