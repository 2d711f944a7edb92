package ctaphid

import (
	"encoding/binary"
	"fmt"
)

const (
	nonceSize        = 8
	initResponseSize = 17
	// protocolVersion is the CTAPHID version of CTAP 2.2, section 11.2.9.1.3.
	protocolVersion = 2
)

// InitResponse is the answer to INIT (CTAP 2.2, section 11.2.9.1.3).
type InitResponse struct {
	// Nonce is the request's.
	Nonce [nonceSize]byte
	// CID is the channel that was allocated or synchronized.
	CID uint32
	// ProtocolVersion is the version of CTAPHID, 2.
	ProtocolVersion byte
	// DeviceVersion is the maker's: major, minor, build.
	DeviceVersion [3]byte
	Capabilities  Capabilities
}

// AppendBinary appends the 17 bytes of the message to b. It never fails.
func (r InitResponse) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, r.Nonce[:]...)
	b = binary.BigEndian.AppendUint32(b, r.CID)
	b = append(b, r.ProtocolVersion)
	b = append(b, r.DeviceVersion[:]...)
	return append(b, byte(r.Capabilities)), nil
}

// UnmarshalBinary reads an INIT response. Bytes after the 17th belong to future
// versions and are ignored (CTAP 2.2, section 11.2.9.1.3). Channels that a key
// must not give are [ErrMalformed].
func (r *InitResponse) UnmarshalBinary(b []byte) error {
	if len(b) < initResponseSize {
		return fmt.Errorf("%w: INIT response of %d bytes", ErrMalformed, len(b))
	}
	cid := binary.BigEndian.Uint32(b[8:])
	if cid == 0 || cid == BroadcastCID {
		return fmt.Errorf("%w: INIT response gives channel %08x", ErrMalformed, cid)
	}
	r.Nonce = [nonceSize]byte(b[:8])
	r.CID = cid
	r.ProtocolVersion = b[12]
	r.DeviceVersion = [3]byte(b[13:16])
	r.Capabilities = Capabilities(b[16])
	return nil
}
