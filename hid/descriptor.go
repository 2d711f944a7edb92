package hid

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// Limits of a report descriptor. The first is the kernel's HID_MAX_DESCRIPTOR_SIZE, the
// second its HID_MAX_BUFFER_SIZE; no device comes near any of them.
const (
	maxDescriptor = 4096
	maxReport     = 16384
	maxDepth      = 64
	maxStack      = 16
)

// EmulatedPhys begins the physical path (HID_PHYS) of the keys that fobd and fobkey
// put in front of the kernel; [Info.Emulated] is true for such a device.
const EmulatedPhys = "fobd/"

// SharedPhys is the physical path of the virtual key that a fobd shows to programs which do not
// know it. No [Bus] has it: its requests come back to the real keys. Names of emulated keys have no "+".
const SharedPhys = EmulatedPhys + "+shared"

// ErrDescriptor says that a report descriptor is malformed or beyond all measure.
var ErrDescriptor = errors.New("hid: bad report descriptor")

// Collection is a top-level collection of a report descriptor: what one kind of
// program talks to. The sizes are in bytes, without a report number, those of the
// largest report; 0 where there is no such report.
type Collection struct {
	UsagePage, Usage                   uint16
	InputSize, OutputSize, FeatureSize int
	// ReportIDs holds the report numbers in the order of their appearance, and
	// nothing if reports have none. FIDO devices have none (CTAP 2.2, section
	// 11.2.8.1).
	ReportIDs []uint8
}

// ParseDescriptor reads a report descriptor and returns its top-level collections
// ("Device Class Definition for HID 1.11", section 6.2.2). The error is
// [ErrDescriptor], with the offset of what is wrong.
func ParseDescriptor(data []byte) ([]Collection, error) {
	if len(data) > maxDescriptor {
		return nil, fmt.Errorf("%w: %d bytes", ErrDescriptor, len(data))
	}
	p := descriptorParser{bits: map[reportKey]uint64{}}
	for at := 0; at < len(data); {
		n, err := p.item(data[at:])
		if err != nil {
			return nil, fmt.Errorf("%w: %w at offset %d", ErrDescriptor, err, at)
		}
		at += n
	}
	if p.depth != 0 {
		return nil, fmt.Errorf("%w: collection without end", ErrDescriptor)
	}
	return p.collections, nil
}

// FIDOCollection finds the collection of FIDO messages (CTAP 2.2, section 11.2.8.1)
// and says whether there is one that can be used: it has input and output reports of 8
// to 1024 bytes, without report numbers, with which no FIDO client can cope.
func FIDOCollection(collections []Collection) (Collection, bool) {
	usable := func(n int) bool { return 8 <= n && n <= 1024 }
	for _, c := range collections {
		if c.UsagePage == UsagePageFIDO && c.Usage == UsageFIDO &&
			usable(c.InputSize) && usable(c.OutputSize) && len(c.ReportIDs) == 0 {
			return c, true
		}
	}
	return Collection{}, false
}

// reportKey names a report within the current top-level collection.
type reportKey struct {
	kind byte // tag of the main item
	id   uint8
}

// globals is the item state table's global part, what Push and Pop save (HID 1.11,
// section 6.2.2.7).
type globals struct {
	page, size, count uint32
	id                uint8
}

type descriptorParser struct {
	globals
	stack []globals
	usage uint64 // first usage since the last main item: page << 16 | usage
	wide  bool   // the usage carries its own page
	used  bool   // there was a usage

	depth       int
	collections []Collection
	bits        map[reportKey]uint64 // of the top-level collection that is open
}

// Item types and tags (HID 1.11, sections 6.2.2.4, 6.2.2.7, 6.2.2.8).
const (
	itemMain   = 0
	itemGlobal = 1
	itemLocal  = 2

	mainInput         = 0x8
	mainOutput        = 0x9
	mainCollection    = 0xA
	mainFeature       = 0xB
	mainEndCollection = 0xC

	globalUsagePage   = 0x0
	globalReportSize  = 0x7
	globalReportID    = 0x8
	globalReportCount = 0x9
	globalPush        = 0xA
	globalPop         = 0xB

	localUsage = 0x0

	longItem = 0xFE
)

// item reads the item at the beginning of data and returns its length.
func (p *descriptorParser) item(data []byte) (int, error) {
	prefix := data[0]
	if prefix == longItem { // section 6.2.2.3: none is defined, so they say nothing
		if len(data) < 3 || len(data) < 3+int(data[1]) {
			return 0, errors.New("cut long item")
		}
		return 3 + int(data[1]), nil
	}
	size := int(prefix & 3) // section 6.2.2.2: 3 stands for 4 bytes
	if size == 3 {
		size = 4
	}
	if len(data) < 1+size {
		return 0, errors.New("cut item")
	}
	var value [4]byte
	copy(value[:], data[1:1+size])
	v, tag := binary.LittleEndian.Uint32(value[:]), prefix>>4
	var err error
	switch prefix >> 2 & 3 {
	case itemMain:
		err = p.main(tag)
		p.usage, p.wide, p.used = 0, false, false
	case itemGlobal:
		err = p.global(tag, v)
	case itemLocal:
		// The first usage names a collection; so does the first of a delimited set,
		// which is the preferred one (section 6.2.2.8).
		if tag == localUsage && !p.used {
			p.usage, p.wide, p.used = uint64(v), size == 4, true
		}
	default:
		err = errors.New("item of reserved type")
	}
	return 1 + size, err
}

func (p *descriptorParser) main(tag byte) error {
	switch tag {
	case mainCollection:
		if p.depth++; p.depth > maxDepth {
			return errors.New("collections too deep")
		}
		if p.depth == 1 {
			p.begin()
		}
	case mainEndCollection:
		if p.depth--; p.depth < 0 {
			return errors.New("end without collection")
		}
		if p.depth == 0 {
			p.end()
		}
	case mainInput, mainOutput, mainFeature:
		if p.depth == 0 {
			return nil // belongs to no application
		}
		key := reportKey{tag, p.id}
		// Both factors have 32 bits, and the sum never passes the limit by more
		// than one product, so that nothing overflows.
		bits := p.bits[key] + uint64(p.size)*uint64(p.count)
		if bits > maxReport*8 {
			return errors.New("report too long")
		}
		p.bits[key] = bits
		c := &p.collections[len(p.collections)-1]
		if p.id != 0 && !slices.Contains(c.ReportIDs, p.id) {
			c.ReportIDs = append(c.ReportIDs, p.id)
		}
	}
	return nil
}

func (p *descriptorParser) begin() {
	// Section 6.2.2.8: a short usage gets the page that holds at the main item.
	page := p.page
	if p.wide {
		page = uint32(p.usage >> 16)
	}
	p.collections = append(p.collections, Collection{UsagePage: uint16(page), Usage: uint16(p.usage)})
}

func (p *descriptorParser) end() {
	c := &p.collections[len(p.collections)-1]
	for key, bits := range p.bits {
		size := int(bits+7) / 8
		switch key.kind {
		case mainInput:
			c.InputSize = max(c.InputSize, size)
		case mainOutput:
			c.OutputSize = max(c.OutputSize, size)
		case mainFeature:
			c.FeatureSize = max(c.FeatureSize, size)
		}
	}
	clear(p.bits)
}

func (p *descriptorParser) global(tag byte, v uint32) error {
	switch tag {
	case globalUsagePage:
		if v > 0xFFFF {
			return errors.New("usage page of more than 16 bits")
		}
		p.page = v
	case globalReportSize:
		p.size = v
	case globalReportCount:
		p.count = v
	case globalReportID:
		if v < 1 || v > 0xFF {
			return errors.New("bad report number")
		}
		p.id = uint8(v)
	case globalPush:
		if len(p.stack) == maxStack {
			return errors.New("push too deep")
		}
		p.stack = append(p.stack, p.globals)
	case globalPop:
		if len(p.stack) == 0 {
			return errors.New("pop without push")
		}
		p.globals = p.stack[len(p.stack)-1]
		p.stack = p.stack[:len(p.stack)-1]
	}
	return nil
}

// FIDOReportDescriptor returns the report descriptor of a FIDO device with reports of
// these sizes in bytes (CTAP 2.2, section 11.2.8.1). A size below 1 means
// [DefaultReportSize]; above 65,535, that.
func FIDOReportDescriptor(inputSize, outputSize int) []byte {
	const (
		usageDataIn  = 0x20
		usageDataOut = 0x21
	)
	d := []byte{
		0x06, UsagePageFIDO & 0xFF, UsagePageFIDO >> 8, // usage page
		0x09, UsageFIDO, // usage
		0xA1, 0x01, // collection: application
	}
	report := func(usage byte, size int, item byte) {
		d = append(
			d,
			0x09, usage, // usage
			0x15, 0x00, // logical minimum 0
			0x26, 0xFF, 0x00, // logical maximum 255, in two bytes because it is signed
			0x75, 0x08, // report size: 8 bits
		)
		if size = min(reportSize(size), 0xFFFF); size < 0x100 {
			d = append(d, 0x95, byte(size)) // report count
		} else {
			d = append(d, 0x96, byte(size), byte(size>>8))
		}
		d = append(d, item, 0x02) // data, variable, absolute
	}
	report(usageDataIn, inputSize, 0x81)
	report(usageDataOut, outputSize, 0x91)
	return append(d, 0xC0) // end of collection
}
