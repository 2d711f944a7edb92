package uhid

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Types of struct uhid_event (linux/uhid.h).
const (
	typeDestroy        = 1
	typeStart          = 2
	typeStop           = 3
	typeOpen           = 4
	typeClose          = 5
	typeOutput         = 6
	typeGetReport      = 9
	typeGetReportReply = 10
	typeCreate2        = 11
	typeInput2         = 12
	typeSetReport      = 13
	typeSetReportReply = 14
)

// errnoIO is EIO, the answer to requests that a device does not know.
const errnoIO = 5

// reportFeature is UHID_FEATURE_REPORT of enum uhid_report_type.
const reportFeature = 0

// Sizes of struct uhid_event and of its parts. The struct is packed, so fields stand
// one after another; numbers are in the machine's order.
const (
	dataMax = 4096 // UHID_DATA_MAX and HID_MAX_DESCRIPTOR_SIZE
	nameMax = 128
	physMax = 64
	uniqMax = 64

	// eventSize is the size of the largest event, UHID_CREATE2.
	eventSize = 4 + nameMax + physMax + uniqMax + 2*2 + 4*4 + dataMax
)

var errEvent = errors.New("uhid: bad event")

// event is what the kernel says.
type event struct {
	kind   uint32
	id     uint32 // of a request to answer: typeGetReport, typeSetReport
	number byte   // of the report that such a request is about
	report byte   // its type, such as reportFeature
	data   []byte // of typeOutput and typeSetReport; part of the bytes that were read
}

// feature says that a request is about feature reports without a number.
func (e event) feature() bool { return e.report == reportFeature && e.number == 0 }

// parseEvent reads an event. The kernel always gives whole ones; one that is longer
// than it has to be is accepted, because every event may be as long as the longest.
func parseEvent(b []byte) (event, error) {
	if len(b) < 4 {
		return event{}, fmt.Errorf("%w: %d bytes", errEvent, len(b))
	}
	e := event{kind: binary.NativeEndian.Uint32(b)}
	b = b[4:]
	need := 0
	switch e.kind {
	case typeOutput: // data, size, report type
		need = dataMax + 2 + 1
	case typeGetReport: // id, report number, report type
		need = 4 + 1 + 1
	case typeSetReport: // id, report number, report type, size, data
		need = 4 + 1 + 1 + 2 + dataMax
	}
	if len(b) < need {
		return event{}, fmt.Errorf("%w: type %d with %d bytes", errEvent, e.kind, len(b))
	}
	size := 0
	switch e.kind {
	case typeOutput:
		size = int(binary.NativeEndian.Uint16(b[dataMax:]))
		e.data = b[:min(size, dataMax)]
	case typeGetReport:
		e.id, e.number, e.report = binary.NativeEndian.Uint32(b), b[4], b[5]
	case typeSetReport:
		e.id, e.number, e.report = binary.NativeEndian.Uint32(b), b[4], b[5]
		size = int(binary.NativeEndian.Uint16(b[6:]))
		e.data = b[8 : 8+min(size, dataMax)]
	}
	if size > dataMax {
		return event{}, fmt.Errorf("%w: type %d of size %d", errEvent, e.kind, size)
	}
	return e, nil
}

// appendCreate appends a UHID_CREATE2 event.
func appendCreate(dst []byte, c *Config, descriptor []byte) []byte {
	const usb = 3 // BUS_USB of linux/input.h
	dst = binary.NativeEndian.AppendUint32(dst, typeCreate2)
	dst = appendText(dst, c.Name, nameMax)
	dst = appendText(dst, c.phys(), physMax)
	dst = appendText(dst, c.Serial, uniqMax)
	dst = binary.NativeEndian.AppendUint16(dst, uint16(len(descriptor)))
	dst = binary.NativeEndian.AppendUint16(dst, usb)
	dst = binary.NativeEndian.AppendUint32(dst, uint32(c.VendorID))
	dst = binary.NativeEndian.AppendUint32(dst, uint32(c.ProductID))
	dst = binary.NativeEndian.AppendUint32(dst, uint32(c.Version))
	dst = binary.NativeEndian.AppendUint32(dst, 0) // country
	return append(append(dst, descriptor...), make([]byte, dataMax-len(descriptor))...)
}

// appendText appends s in a field of n bytes with at least one zero at the end.
func appendText(dst []byte, s string, n int) []byte {
	s = s[:min(len(s), n-1)]
	return append(append(dst, s...), make([]byte, n-len(s))...)
}

// appendInput appends a UHID_INPUT2 event. The kernel takes one without the unused rest.
func appendInput(dst, report []byte) []byte {
	dst = binary.NativeEndian.AppendUint32(dst, typeInput2)
	dst = binary.NativeEndian.AppendUint16(dst, uint16(len(report)))
	return append(dst, report...)
}

// appendRefusal appends the answer to a request for a report: errno, and no data.
func appendRefusal(dst []byte, request event, errno uint16) []byte {
	if request.kind == typeSetReport {
		return appendSetReply(dst, request.id, errno)
	}
	return appendGetReply(dst, request.id, errno, nil)
}

// appendGetReply appends the answer to UHID_GET_REPORT. The data begins with the report number,
// which is 0 where there are none. The kernel takes it without the unused rest.
func appendGetReply(dst []byte, id uint32, errno uint16, data []byte) []byte {
	dst = binary.NativeEndian.AppendUint32(dst, typeGetReportReply)
	dst = binary.NativeEndian.AppendUint32(dst, id)
	dst = binary.NativeEndian.AppendUint16(dst, errno)
	dst = binary.NativeEndian.AppendUint16(dst, uint16(len(data)))
	return append(dst, data...)
}

// appendSetReply appends the answer to UHID_SET_REPORT.
func appendSetReply(dst []byte, id uint32, errno uint16) []byte {
	dst = binary.NativeEndian.AppendUint32(dst, typeSetReportReply)
	dst = binary.NativeEndian.AppendUint32(dst, id)
	return binary.NativeEndian.AppendUint16(dst, errno)
}

// appendDestroy appends a UHID_DESTROY event.
func appendDestroy(dst []byte) []byte {
	return binary.NativeEndian.AppendUint32(dst, typeDestroy)
}
