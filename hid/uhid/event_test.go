package uhid_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/fobd/fobd/hid/uhid"
)

// kernelEvent makes an event as the kernel does: always of full size.
func kernelEvent(kind uint32, fields ...any) []byte {
	b := binary.NativeEndian.AppendUint32(nil, kind)
	for _, field := range fields {
		b, _ = binary.Append(b, binary.NativeEndian, field)
	}
	return append(b, make([]byte, uhid.EventSize-len(b))...)
}

func outputEvent(report []byte) []byte {
	var data [4096]byte
	copy(data[:], report)
	return kernelEvent(6, data, uint16(len(report)), uint8(1))
}

func TestParseEvent(t *testing.T) {
	if uhid.EventSize != 4376 {
		t.Errorf("struct uhid_event has %d bytes, want 4376", uhid.EventSize)
	}
	report := append([]byte{0}, bytes.Repeat([]byte{7}, 64)...)
	kind, _, data, err := uhid.ParseEvent(outputEvent(report))
	if err != nil || kind != 6 || !bytes.Equal(data, report) {
		t.Errorf("output: %d %x, %v", kind, data, err)
	}
	kind, id, _, err := uhid.ParseEvent(kernelEvent(9, uint32(0x01020304), uint8(0), uint8(0)))
	if err != nil || kind != 9 || id != 0x01020304 {
		t.Errorf("get report: %d %#x, %v", kind, id, err)
	}
	kind, id, data, err = uhid.ParseEvent(kernelEvent(13, uint32(5), uint8(0), uint8(0), uint16(3), [3]byte{1, 2, 3}))
	if err != nil || kind != 13 || id != 5 || !bytes.Equal(data, []byte{1, 2, 3}) {
		t.Errorf("set report: %d %d %x, %v", kind, id, data, err)
	}
	for name, b := range map[string][]byte{
		"nothing":          {},
		"cut type":         {6, 0, 0},
		"cut output":       outputEvent(report)[:4102],
		"oversized output": kernelEvent(6, [4096]byte{}, uint16(4097), uint8(1)),
		"cut get report":   kernelEvent(9)[:9],
		"oversized set":    kernelEvent(13, uint32(5), uint8(0), uint8(0), uint16(0xFFFF)),
	} {
		if _, _, _, err := uhid.ParseEvent(b); !errors.Is(err, uhid.ErrEvent) {
			t.Errorf("%s: %v, want %v", name, err, uhid.ErrEvent)
		}
	}
}

func FuzzEvent(f *testing.F) {
	f.Add(kernelEvent(2, uint64(0)))
	f.Add(outputEvent(make([]byte, 65)))
	f.Add(kernelEvent(6, [4096]byte{}, uint16(0xFFFF), uint8(1)))
	f.Add(kernelEvent(9, uint32(1), uint8(0), uint8(0)))
	f.Add(kernelEvent(13, uint32(5), uint8(0), uint8(0), uint16(3), [3]byte{1, 2, 3}))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _, data, err := uhid.ParseEvent(b)
		if err != nil {
			if !errors.Is(err, uhid.ErrEvent) {
				t.Errorf("error %v is not ErrEvent", err)
			}
			return
		}
		if len(data) > 4096 || !bytes.Contains(b, data) {
			t.Errorf("%d bytes of data from %d", len(data), len(b))
		}
	})
}
