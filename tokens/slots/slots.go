// Package slots is the client of the YubiKey's OTP application: two slots that answer challenges with an HMAC, or
// type one-time codes as a keyboard. It is for packages that read codes from such keys, and set them up. The emulated
// key is package softslots.
//
// The application is talked to in feature reports of 8 bytes; whoever has a [Device] calls [Open]. This package knows no
// transport. A slot for challenges makes codes of TOTP, because the challenge can be a time step; codes that a slot
// types cannot be read, so such a slot is for who knows its seed from elsewhere.
//
// The protocol is that of Yubico's ykpers and python-yubikit; its frames and flags are in the "YubiKey Personalization"
// and "YubiKey Manager" documents at docs.yubico.com and developers.yubico.com.
package slots

import "fmt"

// Device is the keyboard interface of a key: feature reports of [ReportSize] bytes without numbers. hid.FeatureDevice
// of a YubiKey is one. One goroutine at a time uses it. Other programs may use it in between, and then both may be
// confused: hold the key for as long as a [Session] is in use.
type Device interface {
	// SetFeature sends a report.
	SetFeature(report []byte) error
	// GetFeature reads a report into report and returns its length.
	GetFeature(report []byte) (int, error)
}

// ReportSize is the size of a feature report, in bytes.
const ReportSize = 8

// Report is a feature report: 7 bytes of payload, and a byte of status.
type Report [ReportSize]byte

// The bits of a report's last byte.
const (
	flagWrite    byte = 0x80 // set by the host in what it writes, cleared when the key has taken it
	flagResponse byte = 0x40 // a part of a response; the rest is its number
	flagTouch    byte = 0x20 // the key waits for a touch; the rest is how many seconds are left
	maskNumber   byte = 0x1F

	// flagReset is written to end reading, or a wait. ykman writes FF; both have a number that no part has.
	flagReset byte = 0x8F
)

// ResetReport is what a host writes when it has read a response, and to end a wait for a touch.
func ResetReport() Report { return Report{7: flagReset} }

// Slot is one of the two configurations of a key.
type Slot int

// The slots. A key types what is in the first at a short touch, what is in the second at a long one.
const (
	Slot1 Slot = 1
	Slot2 Slot = 2
)

// Valid says that there is such a slot.
func (s Slot) Valid() bool { return s == Slot1 || s == Slot2 }

func (s Slot) String() string { return fmt.Sprintf("slot %d", int(s)) }

// of returns the one of two commands that is for the slot.
func (s Slot) of(one, two Cmd) Cmd {
	if s == Slot2 {
		return two
	}
	return one
}

// Cmd is the slot command of a frame.
type Cmd byte

// The slot commands.
const (
	CmdWrite1        Cmd = 0x01 // a configuration, and the access code that the slot has
	CmdWrite2        Cmd = 0x03
	CmdUpdate1       Cmd = 0x04 // flags and access code of a configuration
	CmdUpdate2       Cmd = 0x05
	CmdSwap          Cmd = 0x06
	CmdNDEF1         Cmd = 0x08
	CmdNDEF2         Cmd = 0x09
	CmdSerial        Cmd = 0x10
	CmdDeviceConfig  Cmd = 0x11
	CmdScanMap       Cmd = 0x12
	CmdDeviceInfo    Cmd = 0x13
	CmdFIPS          Cmd = 0x14
	CmdSetDeviceInfo Cmd = 0x15
	CmdYubico1       Cmd = 0x20 // a challenge of 6 bytes, answered with a Yubico OTP
	CmdYubico2       Cmd = 0x28
	CmdHMAC1         Cmd = 0x30 // a challenge of up to 64 bytes, answered with its HMAC-SHA1
	CmdHMAC2         Cmd = 0x38
)

// Version is the firmware's: major, minor, patch.
type Version [3]byte

func (v Version) String() string { return fmt.Sprintf("%d.%d.%d", v[0], v[1], v[2]) }

// AtLeast compares versions. A preview key calls itself 0.x.y and has everything.
func (v Version) AtLeast(major, minor, patch byte) bool {
	if v[0] == 0 {
		return true
	}
	for i, w := range [3]byte{major, minor, patch} {
		if v[i] != w {
			return v[i] > w
		}
	}
	return true
}
