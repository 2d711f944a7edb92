package slots

import "encoding/binary"

// residual is the checksum of data with the complement of its own checksum behind it.
const residual = 0xF0B8

// Checksum is the 16-bit checksum of frames, configurations and responses: CRC-16/MCRF4XX, that of ISO/IEC 13239 without
// the last complement.
func Checksum(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, v := range b {
		crc ^= uint16(v)
		for range 8 {
			low := crc & 1
			crc >>= 1
			if low != 0 {
				crc ^= 0x8408
			}
		}
	}
	return crc
}

// Checked says that b ends with the complement of the checksum of what is before it, as configurations and responses do.
func Checked(b []byte) bool { return len(b) >= 2 && Checksum(b) == residual }

// AppendChecked appends b and the complement of its checksum to dst.
func AppendChecked(dst, b []byte) []byte {
	crc := ^Checksum(b)
	return binary.LittleEndian.AppendUint16(append(dst, b...), crc)
}
