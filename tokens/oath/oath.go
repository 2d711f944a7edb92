// Package oath is the client of the OATH applet that security keys keep one-time-code accounts in: YKOATH as YubiKeys,
// CanoKeys and others speak it, and the secrets app of the Nitrokey 3, which grew out of it. It works over any [Card]: a
// reader of PC/SC, the vendor channel of CTAPHID ([CTAPHID]), or the emulated applet of package applet.
//
// [Select] begins a [Session]. Its credentials are listed, read, added and taken away with methods of the Session. The
// device computes the codes; this package knows no seed but the one that Put brings in.
//
// The protocol is Yubico's YKOATH (developers.yubico.com/OATH/YKOATH_Protocol.html) and Nitrokey's docs of
// trussed-secrets-app. Words of theirs name things here: commands are [Cmd], tags Tag…, status words those of package apdu.
package oath

import "context"

// Card sends a command APDU to a card and returns its response APDU: data, then SW1 and SW2 (ISO/IEC 7816-4, section 5).
//
// command is the caller's again, and may be wiped, when Transmit returns. Errors are about the way to the card: whatever
// the card itself says is a response. When ctx ends, Transmit returns soon. One goroutine uses a Card at a time.
//
// Other programs may use the card in between: over PC/SC hold a transaction from Select to the last command, else what
// was unlocked is locked again without notice.
type Card interface {
	Transmit(ctx context.Context, command []byte) (response []byte, err error)
}

// TouchCard is a [Card] that is told by the device itself when it waits for a touch. touch, which is not nil, is called
// with true when the wait begins and with false when it has ended, during the call and never twice at once.
type TouchCard interface {
	Card
	TransmitTouch(ctx context.Context, command []byte, touch func(waiting bool)) (response []byte, err error)
}

// AID selects the applet. YubiKeys have one more byte, 01, which need not be sent.
var aid = [...]byte{0xA0, 0x00, 0x00, 0x05, 0x27, 0x21, 0x01}

// AID returns the name that the applet is selected by, 7 bytes.
func AID() []byte { return append([]byte(nil), aid[:]...) }

// Cmd is a command of the applet: the INS byte of its APDU.
type Cmd byte

// The commands. Those from 0xB1 on are Nitrokey's.
const (
	CmdPut           Cmd = 0x01
	CmdDelete        Cmd = 0x02
	CmdSetCode       Cmd = 0x03
	CmdReset         Cmd = 0x04
	CmdRename        Cmd = 0x05
	CmdList          Cmd = 0xA1
	CmdCalculate     Cmd = 0xA2
	CmdValidate      Cmd = 0xA3
	CmdSelect        Cmd = 0xA4 // with P1 04
	CmdCalculateAll  Cmd = 0xA4 // with P1 00
	CmdSendRemaining Cmd = 0xA5
	CmdVerifyCode    Cmd = 0xB1
	CmdVerifyPIN     Cmd = 0xB2
	CmdChangePIN     Cmd = 0xB3
	CmdSetPIN        Cmd = 0xB4
	CmdGetCredential Cmd = 0xB5
	CmdUpdate        Cmd = 0xB7
	cmdGetResponse   Cmd = 0xC0 // ISO/IEC 7816-4, section 7.6.1; Nitrokey over CCID
)

// The tags of data fields.
const (
	TagName       byte = 0x71 // a credential's name; in SELECT's response the salt
	TagNameList   byte = 0x72
	TagKey        byte = 0x73
	TagChallenge  byte = 0x74
	TagResponse   byte = 0x75 // a whole HMAC
	TagTruncated  byte = 0x76
	TagNoResponse byte = 0x77 // an HOTP credential in CALCULATE ALL
	TagProperty   byte = 0x78 // in PUT without a length
	TagVersion    byte = 0x79
	TagIMF        byte = 0x7A // the first counter of HOTP, 4 bytes
	TagAlgorithm  byte = 0x7B
	TagTouch      byte = 0x7C // a credential that wants a touch, in CALCULATE ALL
	TagPIN        byte = 0x80
	TagNewPIN     byte = 0x81
	TagTries      byte = 0x82 // in SELECT's response
	TagLogin      byte = 0x83
	TagPassword   byte = 0x84
	TagMetadata   byte = 0x85
	TagSerial     byte = 0x8F // in SELECT's response
)

// The bits of the property byte of PUT, and of UPDATE.
const (
	PropertyIncreasing = byte(0x01) // challenges must not go back
	PropertyTouch      = byte(0x02)
	PropertyPIN        = byte(0x04) // encrypted with the PIN; Nitrokey's
)

// What stands in the first byte of a key: the kind in the upper half, the hash in the lower one.
const (
	typeHOTP     byte = 0x10
	typeTOTP     byte = 0x20
	typeReverse  byte = 0x30
	typeHMAC     byte = 0x40
	typePassword byte = 0xF0

	algorithmSHA1   byte = 0x01
	algorithmSHA256 byte = 0x02
	algorithmSHA512 byte = 0x03
)
