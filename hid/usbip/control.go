package usbip

import (
	"encoding/binary"
	"unicode/utf16"
)

// configurationValue is the number of the one configuration.
const configurationValue = 1

// Numbers of endpoints; the one to the host has the direction bit in its address.
const (
	endpointControl   = 0
	endpointInterrupt = 1
	addressIn         = 0x80 | endpointInterrupt
	addressOut        = endpointInterrupt
)

// Descriptor types (USB 2.0, table 9-5; HID 1.11, section 7.1).
const (
	typeDevice        = 1
	typeConfiguration = 2
	typeString        = 3
	typeInterface     = 4
	typeEndpoint      = 5
	typeHID           = 0x21
	typeReport        = 0x22
)

// classHID is the interface class of HID devices (HID 1.11, section 4.1).
const classHID = 3

// pollInterval is how often a host polls the endpoints, in milliseconds, as FIDO keys do
// (CTAP 2.2, section 11.2.8.1).
const pollInterval = 5

// deviceDescriptor follows USB 2.0, section 9.6.1.
func (d *Device) deviceDescriptor() []byte {
	serial := byte(0)
	if len(d.strings) > 2 {
		serial = 3
	}
	b := []byte{
		18, typeDevice,
		0x00, 0x02, // USB 2.0
		0, 0, 0, // class, subclass, protocol: the interface says it
		64, // packets of endpoint 0
	}
	b = binary.LittleEndian.AppendUint16(b, d.config.VendorID)
	b = binary.LittleEndian.AppendUint16(b, d.config.ProductID)
	b = binary.LittleEndian.AppendUint16(b, d.config.Version)
	return append(
		b,
		1, 2, serial, // strings
		1, // configurations
	)
}

// configurationDescriptor follows USB 2.0, section 9.6.3, with all that belongs to it.
func (d *Device) configurationDescriptor() []byte {
	b := []byte{
		9, typeConfiguration,
		0, 0, // total length
		1, // interfaces
		configurationValue,
		0,    // no string
		0x80, // powered by the bus
		50,   // 100 mA
		9, typeInterface,
		0, 0, // number, alternate setting
		2, // endpoints
		classHID,
		0, 0, // no boot device
		0, // no string
	}
	b = append(b, d.hidDescriptor()...)
	for _, endpoint := range []struct {
		address byte
		size    int
	}{{addressIn, d.config.InputSize}, {addressOut, d.config.OutputSize}} {
		b = append(
			b,
			7, typeEndpoint,
			endpoint.address,
			0x03, // interrupt
			byte(endpoint.size), 0,
			pollInterval,
		)
	}
	binary.LittleEndian.PutUint16(b[2:], uint16(len(b)))
	return b
}

// hidDescriptor follows HID 1.11, section 6.2.1.
func (d *Device) hidDescriptor() []byte {
	return []byte{
		9, typeHID,
		0x11, 0x01, // HID 1.11
		0, // no country
		1, typeReport,
		byte(len(d.report)), byte(len(d.report) >> 8),
	}
}

// stringDescriptor follows USB 2.0, section 9.6.7; nil says that there is none.
func (d *Device) stringDescriptor(number int) []byte {
	units := []uint16{0x0409} // string 0 lists the languages: English of the United States
	switch {
	case number > len(d.strings):
		return nil
	case number > 0:
		units = utf16.Encode([]rune(d.strings[number-1]))
	}
	b := []byte{byte(2 + 2*len(units)), typeString}
	for _, u := range units {
		b = binary.LittleEndian.AppendUint16(b, u)
	}
	return b
}

// setup is the request of a control transfer (USB 2.0, section 9.3).
type setup struct {
	kind, request        byte
	value, index, length uint16
}

func parseSetup(b [8]byte) setup {
	return setup{
		kind: b[0], request: b[1],
		value:  binary.LittleEndian.Uint16(b[2:]),
		index:  binary.LittleEndian.Uint16(b[4:]),
		length: binary.LittleEndian.Uint16(b[6:]),
	}
}

// toHost says that data goes from the device to the host.
func (s setup) toHost() bool { return s.kind&0x80 != 0 }

// Requests (USB 2.0, table 9-4; HID 1.11, section 7.2) with their kinds in front.
const (
	deviceGetStatus        = 0x8000
	interfaceGetStatus     = 0x8100
	endpointGetStatus      = 0x8200
	endpointClearFeature   = 0x0201
	endpointSetFeature     = 0x0203
	deviceSetAddress       = 0x0005
	deviceGetDescriptor    = 0x8006
	interfaceGetDescriptor = 0x8106
	deviceGetConfiguration = 0x8008
	deviceSetConfiguration = 0x0009
	interfaceGetInterface  = 0x810A
	interfaceSetInterface  = 0x010B
	hidGetIdle             = 0xA102
	hidSetIdle             = 0x210A
	hidSetReport           = 0x2109
	hidGetReport           = 0xA101
)

const (
	featureHalt = 0
	// Report types of HID 1.11, section 7.2.1.
	reportOutput  = 2
	reportFeature = 3
)

// control answers a request on endpoint 0; !ok is a stall, the answer to all that is not known
// (USB 2.0, section 9.2.7). d.mu is held.
func (s *session) control(request setup) (answer []byte, ok bool) {
	switch code := uint16(request.kind)<<8 | uint16(request.request); code {
	case deviceGetStatus, interfaceGetStatus:
		return []byte{0, 0}, true
	case endpointGetStatus:
		halted := s.halt(request.index)
		switch {
		case request.index&0x7F == endpointControl:
			return []byte{0, 0}, true
		case halted == nil:
			return nil, false
		case *halted:
			return []byte{1, 0}, true
		}
		return []byte{0, 0}, true
	case endpointClearFeature, endpointSetFeature:
		halted := s.halt(request.index)
		if halted == nil || request.value != featureHalt {
			return nil, false
		}
		*halted = code == endpointSetFeature
		return nil, true
	case deviceSetAddress:
		return nil, true // the kernel's virtual hub has done it
	case deviceGetDescriptor, interfaceGetDescriptor:
		answer = s.descriptor(request)
		return answer, answer != nil
	case deviceGetConfiguration:
		return []byte{s.configuration}, true
	case deviceSetConfiguration:
		if request.value > configurationValue {
			return nil, false
		}
		// Section 9.1.1.5: a configuration clears halted endpoints.
		s.configuration, s.haltedIn, s.haltedOut = byte(request.value), false, false
		if s.configuration != 0 {
			s.ready.Do(func() { close(s.configured) })
		}
		return nil, true
	case interfaceGetInterface:
		return []byte{0}, request.index == 0
	case interfaceSetInterface:
		return nil, request.index == 0 && request.value == 0
	case hidGetReport:
		return s.getFeature(request)
	case hidGetIdle:
		return []byte{s.idle}, request.index == 0
	case hidSetIdle:
		s.idle = byte(request.value >> 8)
		return nil, request.index == 0
	}
	return nil, false
}

// getFeature reads a feature report (HID 1.11, section 7.2.1).
func (s *session) getFeature(request setup) ([]byte, bool) {
	d := s.device
	if d.config.Feature == nil || d.feature == 0 || request.index != 0 || request.value != reportFeature<<8 || s.configuration == 0 {
		return nil, false
	}
	report := make([]byte, d.feature)
	n, err := d.config.Feature.GetFeature(report)
	if err != nil || n < 0 || n > len(report) {
		return nil, false
	}
	return report[:n], true
}

// setFeature writes one, and says whether the device has taken it.
func (s *session) setFeature(request setup, report []byte) bool {
	d := s.device
	return d.config.Feature != nil && len(report) == d.feature && request.index == 0 && s.configuration != 0 && d.config.Feature.SetFeature(report) == nil
}

func (s *session) descriptor(request setup) []byte {
	number := int(request.value & 0xFF)
	switch kind := request.value >> 8; {
	case kind == typeString && !s.forInterface(request):
		return s.device.stringDescriptor(number)
	case number != 0:
		return nil
	case kind == typeDevice && !s.forInterface(request):
		return s.device.deviceDescriptor()
	case kind == typeConfiguration && !s.forInterface(request):
		return s.device.configurationDescriptor()
	case kind == typeHID && s.forInterface(request):
		return s.device.hidDescriptor()
	case kind == typeReport && s.forInterface(request):
		return s.device.report
	}
	return nil
}

func (s *session) forInterface(request setup) bool {
	return request.kind&0x1F == 1 && request.index == 0
}

// halt is where it is noted that an endpoint is halted; nil for one that does not exist.
func (s *session) halt(address uint16) *bool {
	switch address {
	case addressIn:
		return &s.haltedIn
	case addressOut:
		return &s.haltedOut
	}
	return nil
}
