package softkey

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/fobd/fobd/ctap2"
)

// initialBlobs is the serialized large-blob array of a fresh key: an empty array and
// its checksum (CTAP 2.3, section 6.10).
var initialBlobs = []byte{0x80, 0x76, 0xbe, 0x8b, 0x52, 0x8d, 0x00, 0x75, 0xf7, 0xaa, 0xe9, 0x8d, 0x6f, 0xa5, 0x7a, 0x6d, 0x3c}

// Sizes of the serialized large-blob array (CTAP 2.3, sections 6.10 and 6.10.2).
const (
	blobsChecksum     = 16
	minBlobs          = blobsChecksum + 1
	blobsGuaranteed   = ctap2.MinLargeBlobArray
	blobsMessageStart = "\x0c\x00"
)

// validBlobs says whether the checksum of a serialized large-blob array is right.
func validBlobs(b []byte) bool {
	if len(b) < minBlobs {
		return false
	}
	sum := sha256.Sum256(b[:len(b)-blobsChecksum])
	return bytes.Equal(sum[:blobsChecksum], b[len(b)-blobsChecksum:])
}

// blobWrite is an array that comes in fragments (CTAP 2.3, section 6.10.2: expectedLength,
// expectedNextOffset).
type blobWrite struct {
	length  uint
	written []byte
	began   authorization
}

// blobs is the stored serialized large-blob array.
func (a *Authenticator) blobs() []byte {
	if len(a.state.blobs) == 0 {
		return initialBlobs
	}
	return a.state.blobs
}

// largeBlobs answers authenticatorLargeBlobs; the steps are those of CTAP 2.3, section
// 6.10.2.
func (a *Authenticator) largeBlobs(_ *command, r *ctap2.LargeBlobsRequest) ([]byte, error) {
	if !a.traits.has(ctap2.OptionLargeBlobs) {
		return nil, ctap2.ErrInvalidCommand
	}
	write := a.volatile.sequences.blobs
	// Section 6: what is not the next fragment ends a sequence of fragments.
	a.volatile.sequences.blobs = nil
	switch {
	case r.Offset == nil: // step 1
		return nil, ctap2.ErrInvalidParameter
	case r.Get == nil && r.Set == nil: // step 2
		return nil, ctap2.ErrInvalidParameter
	case r.Get != nil && r.Set != nil: // step 3
		return nil, ctap2.ErrInvalidParameter
	case r.Get != nil:
		return a.getBlobs(r)
	}
	return a.setBlobs(r, write)
}

// getBlobs: CTAP 2.3, section 6.10.2, step 4.
func (a *Authenticator) getBlobs(r *ctap2.LargeBlobsRequest) ([]byte, error) {
	stored := a.blobs()
	switch {
	case r.Length != nil:
		return nil, ctap2.ErrInvalidParameter
	case r.PINUVAuthParam != nil || r.PINUVAuthProtocol != 0:
		return nil, ctap2.ErrInvalidParameter
	case *r.Get > a.maxBlobFragment():
		return nil, ctap2.ErrInvalidLength
	case *r.Offset > uint(len(stored)):
		return nil, ctap2.ErrInvalidParameter
	}
	rest := stored[*r.Offset:]
	return ctap2.MarshalResponse(&ctap2.LargeBlobsResponse{Config: rest[:min(*r.Get, uint(len(rest)))]})
}

// setBlobs: CTAP 2.3, section 6.10.2, step 5. The write is nil when no fragment is expected.
func (a *Authenticator) setBlobs(r *ctap2.LargeBlobsRequest, write *blobWrite) ([]byte, error) {
	if uint(len(r.Set)) > a.maxBlobFragment() {
		return nil, ctap2.ErrInvalidLength
	}
	if *r.Offset == 0 {
		switch {
		case r.Length == nil:
			return nil, ctap2.ErrInvalidParameter
		case *r.Length > blobsGuaranteed && *r.Length > uint(a.traits.maxLargeBlobs):
			return nil, ctap2.ErrLargeBlobStorageFull
		case *r.Length < minBlobs:
			return nil, ctap2.ErrInvalidParameter
		}
		write = &blobWrite{length: *r.Length}
	} else {
		if r.Length != nil {
			return nil, ctap2.ErrInvalidParameter
		}
		// Section 6: a token that is over ends what it began.
		if write == nil || !a.alive(write.began) {
			write = &blobWrite{}
		}
		if *r.Offset != uint(len(write.written)) {
			return nil, ctap2.ErrInvalidSeq
		}
	}
	if a.protected() || a.alwaysUV() {
		var err error
		if write.began, err = a.authorizeBlobs(r); err != nil {
			return nil, err
		}
	}
	if uint(len(r.Set)) > write.length-uint(len(write.written)) {
		return nil, ctap2.ErrInvalidParameter
	}
	write.written = append(write.written, r.Set...)
	if uint(len(write.written)) < write.length {
		a.volatile.sequences.blobs = write // await further ones
		return ctap2.MarshalResponse(nil)
	}
	if !validBlobs(write.written) {
		return nil, ctap2.ErrIntegrityFailure
	}
	if err := a.save(&record{Blobs: &write.written}); err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(nil)
}

// maxBlobFragment is the longest fragment, in bytes: what a message has room for.
func (a *Authenticator) maxBlobFragment() uint {
	return uint(a.traits.maxMsgSize - ctap2.LargeBlobFragmentOverhead)
}

// authorizeBlobs checks the pinUvAuthParam of a fragment (CTAP 2.3, section 6.10.2, step 5).
func (a *Authenticator) authorizeBlobs(r *ctap2.LargeBlobsRequest) (authorization, error) {
	sum := sha256.Sum256(r.Set)
	message := slices.Concat(bytes.Repeat([]byte{0xFF}, 32), []byte(blobsMessageStart),
		binary.LittleEndian.AppendUint32(nil, uint32(*r.Offset)), sum[:])
	return a.authorized(r.PINUVAuthProtocol, message, r.PINUVAuthParam, ctap2.PermissionLargeBlobWrite)
}
