package uhid_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/uhid"
)

// featureDescriptor is that of a device with input reports of 8 bytes and feature reports of 4.
var featureDescriptor = []byte{
	0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x75, 0x08, 0x15, 0x00, 0x26, 0xFF, 0x00,
	0x95, 0x08, 0x09, 0x02, 0x81, 0x02, 0x95, 0x04, 0x09, 0x03, 0xB1, 0x02, 0xC0,
}

// store is a device that keeps a feature report.
type store struct {
	report []byte
	err    error
}

func (s *store) SetFeature(report []byte) error {
	s.report = append([]byte(nil), report...)
	return s.err
}

func (s *store) GetFeature(report []byte) (int, error) { return copy(report, s.report), s.err }

func setEvent(id uint32, number, kind uint8, data []byte) []byte {
	return kernelEvent(13, id, number, kind, uint16(len(data)), data)
}

func TestFeatureReports(t *testing.T) {
	device := &store{}
	_, k := create(t, uhid.Config{Descriptor: featureDescriptor, Feature: device})
	created := k.receive()
	if size := binary.NativeEndian.Uint16(created[260:]); !bytes.Equal(created[280:280+int(size)], featureDescriptor) {
		t.Errorf("descriptor %x", created[280:280+int(size)])
	}
	expect := func(what string, want []byte) {
		t.Helper()
		if got := k.receive(); !bytes.Equal(got, want) {
			t.Errorf("%s: answer %x, want %x", what, got[:20], want[:20])
		}
	}
	k.send(setEvent(1, 0, 0, []byte{0, 1, 2, 3, 4}))
	expect("set", kernelEvent(14, uint32(1), uint16(0)))
	if !bytes.Equal(device.report, []byte{1, 2, 3, 4}) {
		t.Errorf("the device has %x", device.report)
	}
	k.send(kernelEvent(9, uint32(2), uint8(0), uint8(0)))
	expect("get", kernelEvent(10, uint32(2), uint16(0), uint16(5), [5]byte{0, 1, 2, 3, 4}))

	for name, event := range map[string][]byte{
		"another number": setEvent(3, 1, 0, []byte{1, 1, 2, 3, 4}),
		"without number": setEvent(3, 0, 0, []byte{1, 2, 3, 4}),
		"too long":       setEvent(3, 0, 0, []byte{0, 1, 2, 3, 4, 5}),
		"empty":          setEvent(3, 0, 0, nil),
		"output report":  setEvent(3, 0, 1, []byte{0, 1, 2, 3, 4}),
	} {
		k.send(event)
		expect(name, kernelEvent(14, uint32(3), uint16(unix.EIO)))
	}
	k.send(kernelEvent(9, uint32(4), uint8(0), uint8(2)))
	expect("get input report", kernelEvent(10, uint32(4), uint16(unix.EIO), uint16(0)))

	device.err = hid.ErrFeature
	k.send(kernelEvent(9, uint32(5), uint8(0), uint8(0)))
	expect("get refused", kernelEvent(10, uint32(5), uint16(unix.EIO), uint16(0)))
	k.send(setEvent(6, 0, 0, []byte{0, 1, 2, 3, 4}))
	expect("set refused", kernelEvent(14, uint32(6), uint16(unix.EIO)))
}

func TestCreateOther(t *testing.T) {
	d, k := create(t, uhid.Config{Descriptor: featureDescriptor, Feature: &store{}})
	k.receive()
	if _, err := d.Write(make([]byte, 8)); err != nil {
		t.Errorf("Write of 8 bytes: %v", err)
	}
	if _, err := d.Write(make([]byte, 64)); !errors.Is(err, hid.ErrReportSize) {
		t.Errorf("Write of 64 bytes: %v, want %v", err, hid.ErrReportSize)
	}
	for name, descriptor := range map[string][]byte{
		"malformed": {0x06, 0x00},
		"numbered":  {0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x85, 0x01, 0x75, 0x08, 0x95, 0x04, 0xB1, 0x02, 0xC0},
		"huge":      {0x06, 0x00, 0xFF, 0x09, 0x01, 0xA1, 0x01, 0x75, 0x08, 0x96, 0x00, 0x10, 0xB1, 0x02, 0xC0},
	} {
		if _, err := uhid.Create(t.Context(), uhid.Config{Descriptor: descriptor}); !errors.Is(err, hid.ErrDescriptor) {
			t.Errorf("%s: %v, want %v", name, err, hid.ErrDescriptor)
		}
	}
}
