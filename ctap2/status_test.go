package ctap2_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
)

// TestStatusNumbers has the table of CTAP 2.2, section 8.2 once more, typed in anew.
func TestStatusNumbers(t *testing.T) {
	table := `01 INVALID_COMMAND 02 INVALID_PARAMETER 03 INVALID_LENGTH 04 INVALID_SEQ 05 TIMEOUT 06 CHANNEL_BUSY
		0a LOCK_REQUIRED 0b INVALID_CHANNEL 11 CBOR_UNEXPECTED_TYPE 12 INVALID_CBOR 14 MISSING_PARAMETER
		15 LIMIT_EXCEEDED 17 FP_DATABASE_FULL 18 LARGE_BLOB_STORAGE_FULL 19 CREDENTIAL_EXCLUDED 21 PROCESSING
		22 INVALID_CREDENTIAL 23 USER_ACTION_PENDING 24 OPERATION_PENDING 25 NO_OPERATIONS 26 UNSUPPORTED_ALGORITHM
		27 OPERATION_DENIED 28 KEY_STORE_FULL 2b UNSUPPORTED_OPTION 2c INVALID_OPTION 2d KEEPALIVE_CANCEL
		2e NO_CREDENTIALS 2f USER_ACTION_TIMEOUT 30 NOT_ALLOWED 31 PIN_INVALID 32 PIN_BLOCKED 33 PIN_AUTH_INVALID
		34 PIN_AUTH_BLOCKED 35 PIN_NOT_SET 36 PUAT_REQUIRED 37 PIN_POLICY_VIOLATION 39 REQUEST_TOO_LARGE
		3a ACTION_TIMEOUT 3b UP_REQUIRED 3c UV_BLOCKED 3d INTEGRITY_FAILURE 3e INVALID_SUBCOMMAND 3f UV_INVALID
		40 UNAUTHORIZED_PERMISSION 7f OTHER df SPEC_LAST
		e1 EXTENSION_0xe1 ef EXTENSION_0xef f0 VENDOR_0xf0 ff VENDOR_0xff 70 UNKNOWN_0x70 00 OK`
	words := strings.Fields(table)
	for i := 0; i < len(words); i += 2 {
		number := unhex(t, words[i])[0]
		if got := ctap2.Status(number).Name(); got != words[i+1] {
			t.Errorf("status %#02x is %s, want %s", number, got, words[i+1])
		}
	}
	for n := range 256 {
		if text := ctap2.Status(n).Error(); !strings.HasPrefix(text, "ctap2: ") || !strings.Contains(text, ctap2.Status(n).Name()) {
			t.Errorf("status %#02x reads %q", n, text)
		}
	}
}

func TestError(t *testing.T) {
	var err error = &ctap2.Error{Cmd: ctap2.CmdClientPIN, Subcommand: 5, Status: ctap2.ErrPINInvalid, Retries: new(uint(7))}
	err = fmt.Errorf("asking: %w", err)
	if !errors.Is(err, ctap2.ErrPINInvalid) || errors.Is(err, ctap2.ErrPINBlocked) {
		t.Error("errors.Is does not see the status")
	}
	if e, ok := errors.AsType[*ctap2.Error](err); !ok || *e.Retries != 7 {
		t.Error("errors.As does not see the error")
	}
	want := "asking: ctap2: clientPIN 0x05: wrong PIN (PIN_INVALID), attempts left: 7"
	if got := err.Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := (&ctap2.Error{Cmd: 0x42, Status: 0xF1}).Error(), "ctap2: command 0x42: VENDOR_0xf1"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCommandNames(t *testing.T) {
	for cmd, want := range map[ctap2.Cmd]string{
		1: "makeCredential", 2: "getAssertion", 4: "getInfo", 6: "clientPIN", 7: "reset", 8: "getNextAssertion",
		9: "bioEnrollment", 10: "credentialManagement", 11: "selection", 12: "largeBlobs", 13: "config", 3: "command 0x03",
		0x40: "bioEnrollment (preview)", 0x41: "credentialManagement (preview)",
	} {
		if got := cmd.String(); got != want {
			t.Errorf("command %d is %q, want %q", byte(cmd), got, want)
		}
	}
}
