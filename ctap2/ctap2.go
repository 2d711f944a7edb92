// Package ctap2 holds the messages of the Client to Authenticator Protocol,
// version 2, and a client that exchanges them with an authenticator.
//
// It is for both sides: a platform uses [Client]; an emulated authenticator
// decodes the same request structs and encodes the same response structs. There is
// one file per chapter of the specification (CTAP 2.1, 2.2 and 2.3, section 6). A
// message knows no transport: everything goes through [Transport].
package ctap2

import (
	"context"
	"fmt"
)

// Transport carries one request to an authenticator and brings back the response.
//
// request is the command byte followed by its CBOR parameters, if any; response is
// the status byte followed by CBOR data, if any (CTAP 2.2, section 8). The error is
// about the way there or back; a status is not an error at this level.
//
// keepalive, if not nil, is called on the caller's or the transport's goroutine, one
// call at a time and never after CBOR returned, with each status byte that the
// authenticator reports while it works (CTAP 2.2, section 11.2.9.1.7). When ctx ends
// the transport cancels on the authenticator, waits for its last answer and returns.
type Transport interface {
	CBOR(ctx context.Context, request []byte, keepalive func(status byte)) (response []byte, err error)
}

// Keepalive status bytes (CTAP 2.2, section 11.2.9.1.7).
const (
	KeepaliveProcessing = 1
	KeepaliveUPNeeded   = 2
)

// Cmd is a command byte (CTAP 2.2, section 6).
type Cmd byte

// Commands (CTAP 2.2, section 6).
const (
	CmdMakeCredential       Cmd = 0x01
	CmdGetAssertion         Cmd = 0x02
	CmdGetInfo              Cmd = 0x04
	CmdClientPIN            Cmd = 0x06
	CmdReset                Cmd = 0x07
	CmdGetNextAssertion     Cmd = 0x08
	CmdBioEnrollment        Cmd = 0x09
	CmdCredentialManagement Cmd = 0x0A
	CmdSelection            Cmd = 0x0B
	CmdLargeBlobs           Cmd = 0x0C
	CmdConfig               Cmd = 0x0D

	// Prototypes of the two that authenticators with [VersionFIDO21P] have (CTAP 2.1, sections
	// 6.12 and 6.13).
	CmdBioEnrollmentPreview        Cmd = 0x40
	CmdCredentialManagementPreview Cmd = 0x41
)

// String gives the command's name without the prefix authenticator.
func (c Cmd) String() string {
	switch c {
	case CmdMakeCredential:
		return "makeCredential"
	case CmdGetAssertion:
		return "getAssertion"
	case CmdGetInfo:
		return "getInfo"
	case CmdClientPIN:
		return "clientPIN"
	case CmdReset:
		return "reset"
	case CmdGetNextAssertion:
		return "getNextAssertion"
	case CmdBioEnrollment:
		return "bioEnrollment"
	case CmdCredentialManagement:
		return "credentialManagement"
	case CmdSelection:
		return "selection"
	case CmdLargeBlobs:
		return "largeBlobs"
	case CmdConfig:
		return "config"
	case CmdBioEnrollmentPreview:
		return "bioEnrollment (preview)"
	case CmdCredentialManagementPreview:
		return "credentialManagement (preview)"
	}
	return fmt.Sprintf("command %#02x", byte(c))
}
