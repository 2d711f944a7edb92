package pcsc

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Name is what pcscd's name of a reader tells. It is made of the USB device's own texts
// (src/hotplug_libudev.c): "PRODUCT [INTERFACE] (SERIAL) READER SLOT".
type Name struct {
	// Product is maker and model, with nothing in it that a terminal could take for a
	// command: "Yubico YubiKey".
	Product string
	// Functions is what else the device is, for those that say it in their name: "OTP",
	// "FIDO", "CCID". It is nil for others.
	Functions []string
	// Interface is the name of the device's CCID interface, empty for most.
	Interface string
	// Serial is the device's USB serial number, empty for those that do not tell it, as
	// YubiKeys by default.
	Serial string
	// Reader counts the readers that pcscd has seen with this name, and Slot the places
	// for cards in the reader, both from 0. They are -1 in a name of another form.
	Reader, Slot int
}

// functions are the words of YubiKeys' names.
var functions = []string{"OTP", "FIDO", "U2F", "CCID"}

// ParseName takes a reader's name apart. It never fails: what it does not know is Product.
func ParseName(name string) Name {
	n := Name{Reader: -1, Slot: -1}
	rest := printable(name)
	if head, reader, slot, ok := cutNumbers(rest); ok {
		rest, n.Reader, n.Slot = head, reader, slot
	}
	rest, n.Serial = cutBracketed(rest, "(", ")")
	rest, n.Interface = cutBracketed(rest, "[", "]")
	if i := strings.LastIndexByte(rest, ' '); i > 0 {
		words := strings.Split(rest[i+1:], "+")
		if !slices.ContainsFunc(words, func(w string) bool { return !slices.Contains(functions, w) }) {
			rest, n.Functions = rest[:i], words
		}
	}
	n.Product = rest
	return n
}

// Has says whether the device has a function, by its word in the name.
func (n Name) Has(function string) bool { return slices.Contains(n.Functions, function) }

// cutNumbers cuts the reader's and the slot's number off, each two hexadecimal digits.
func cutNumbers(s string) (head string, reader, slot int, ok bool) {
	if len(s) < len("x 00 00") {
		return s, 0, 0, false
	}
	head, tail := s[:len(s)-6], s[len(s)-6:]
	r, err := strconv.ParseUint(tail[1:3], 16, 8)
	if err != nil || tail[0] != ' ' || tail[3] != ' ' {
		return s, 0, 0, false
	}
	sl, err := strconv.ParseUint(tail[4:], 16, 8)
	if err != nil {
		return s, 0, 0, false
	}
	return head, int(r), int(sl), true
}

// cutBracketed cuts a text in brackets off the end, if there is one behind something else.
func cutBracketed(s, left, right string) (head, inside string) {
	if !strings.HasSuffix(s, right) {
		return s, ""
	}
	i := strings.LastIndex(s, " "+left)
	if i <= 0 {
		return s, ""
	}
	return s[:i], s[i+len(left)+1 : len(s)-len(right)]
}

// printable drops what a terminal could take for a command, and blanks in excess.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	return strings.Join(strings.Fields(s), " ")
}
