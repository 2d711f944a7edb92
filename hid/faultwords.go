package hid

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Parts of CTAPHID packets (CTAP 2.2, section 11.2.4) that faults are made of.
const (
	ctaphidInit      = 0x80 // the bit of a packet that begins a message
	ctaphidError     = 0xBF
	ctaphidKeepalive = 0xBB
	ctaphidCancel    = 0x91
	ctaphidBusy      = 0x06 // ERR_CHANNEL_BUSY
	ctaphidHead      = 7    // channel, command, length
)

// foreign is a report of another channel than that of report: the command, and n bytes of 1.
func foreign(report []byte, command byte, n int) []byte {
	other := make([]byte, len(report))
	if len(report) < ctaphidHead+n {
		return other
	}
	copy(other, report[:4])
	other[0] ^= 0x55
	other[4], other[6] = command, byte(n)
	copy(other[ctaphidHead:], bytes.Repeat([]byte{1}, n))
	return other
}

// busyAnswer is ERR_CHANNEL_BUSY for a report, in size bytes; nil if it begins no message.
func busyAnswer(report []byte, size int) []byte {
	if len(report) < 5 || report[4]&ctaphidInit == 0 || size < ctaphidHead+1 {
		return nil
	}
	answer := make([]byte, size)
	copy(answer, report[:4])
	answer[4], answer[6], answer[7] = ctaphidError, 1, ctaphidBusy
	return answer
}

// FaultPrefix begins the names of the faults of this package where they stand beside others, such as those
// of package softkey.
const FaultPrefix = "report-"

// FaultForm is how the value of a fault is written: the way that the reports go, seen from the host, how
// many of them pass before, how many it happens to, and a time for "report-delay". All but the time
// may be left out: the first report to the host.
const FaultForm = "[in|out][:AFTER][:COUNT|once|always][:DURATION]"

// FaultNames are the names of all kinds, with the prefix, sorted.
func FaultNames() []string {
	var names []string
	for name := range maps.Values(faultKinds) {
		names = append(names, FaultPrefix+name)
	}
	slices.Sort(names)
	return names
}

// maxFaultNumber bounds the numbers in a fault's text.
const maxFaultNumber = 1 << 30

// ParseFault reads a fault, such as "report-drop", "report-delay=in:3:once:500ms" or
// "report-foreign=out:0:always"; see [FaultForm].
func ParseFault(word string) (Fault, error) {
	name, value, given := strings.Cut(word, "=")
	var f Fault
	for kind, known := range faultKinds {
		if name == FaultPrefix+known {
			f.Kind = kind
		}
	}
	if f.Kind == 0 {
		return Fault{}, fmt.Errorf("hid: no fault is called %q", name)
	}
	var err error
	if given {
		err = f.parse(value)
	}
	if err == nil && (f.Kind == Delay) != (f.Delay > 0) {
		err = errors.New("a time is for report-delay, which wants one")
	}
	if err != nil {
		return Fault{}, fmt.Errorf("hid: fault %s=%s: %w", name, FaultForm, err)
	}
	return f, nil
}

func (f *Fault) parse(value string) error {
	parts := strings.Split(value, ":")
	if parts[0] == "in" || parts[0] == "out" {
		if parts[0] == "out" {
			f.Direction = ToDevice
		}
		parts = parts[1:]
	}
	if len(parts) > 0 {
		if n, err := strconv.ParseUint(parts[0], 10, 31); err == nil {
			if n > maxFaultNumber {
				return errors.New("a number is too large")
			}
			f.After, parts = int(n), parts[1:]
		}
	}
	if len(parts) > 0 {
		n, err := strconv.ParseUint(parts[0], 10, 31)
		switch {
		case parts[0] == "once":
			f.Count, parts = 1, parts[1:]
		case parts[0] == "always":
			f.Count, parts = -1, parts[1:]
		case err == nil && (n == 0 || n > maxFaultNumber):
			return errors.New("a number is out of range")
		case err == nil:
			f.Count, parts = int(n), parts[1:]
		}
	}
	if len(parts) > 0 {
		d, err := time.ParseDuration(parts[0])
		if err != nil || d <= 0 {
			return fmt.Errorf("%q is not expected", parts[0])
		}
		f.Delay, parts = d, parts[1:]
	}
	if len(parts) > 0 {
		return fmt.Errorf("%q is not expected", parts[0])
	}
	return nil
}

// String writes a fault so that [ParseFault] reads it.
func (f Fault) String() string {
	way, count := "in", "once"
	if f.Direction == ToDevice {
		way = "out"
	}
	switch {
	case f.Count < 0:
		count = "always"
	case f.Count > 1:
		count = strconv.Itoa(f.Count)
	}
	text := fmt.Sprintf("%s%v=%s:%d:%s", FaultPrefix, f.Kind, way, f.After, count)
	if f.Kind == Delay {
		text += ":" + f.Delay.String()
	}
	return text
}

// ParseFaults reads those of words that begin with [FaultPrefix] and returns the others as they are, for
// who knows them.
func ParseFaults(words ...string) (faults []Fault, others []string, err error) {
	for _, word := range words {
		if !strings.HasPrefix(word, FaultPrefix) {
			others = append(others, word)
			continue
		}
		f, err := ParseFault(word)
		if err != nil {
			return nil, nil, err
		}
		faults = append(faults, f)
	}
	return faults, others, nil
}

// KeyEnd turns faults round, which are written as the host sees them, for a device that is the key's end.
func KeyEnd(faults []Fault) []Fault {
	turned := slices.Clone(faults)
	for i := range turned {
		turned[i].Direction = FromDevice + ToDevice - turned[i].Direction
	}
	return turned
}
