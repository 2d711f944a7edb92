package ctap2

import (
	"fmt"
)

// Status is the first byte of a response (CTAP 2.2, section 8.2). All but [StatusOK] are errors:
// errors.Is(err, ErrPINInvalid) works on everything that a [Client] returns.
type Status byte

// StatusOK says that the command was carried out; it is never returned as an error.
const StatusOK Status = 0x00

// Statuses (CTAP 2.2, section 8.2). Those whose doc says so are of CTAP 2.0 and not used since.
const (
	ErrInvalidCommand         Status = 0x01
	ErrInvalidParameter       Status = 0x02
	ErrInvalidLength          Status = 0x03
	ErrInvalidSeq             Status = 0x04
	ErrTimeout                Status = 0x05
	ErrChannelBusy            Status = 0x06
	ErrLockRequired           Status = 0x0A
	ErrInvalidChannel         Status = 0x0B
	ErrCBORUnexpectedType     Status = 0x11
	ErrInvalidCBOR            Status = 0x12
	ErrMissingParameter       Status = 0x14
	ErrLimitExceeded          Status = 0x15
	ErrUnsupportedExtension   Status = 0x16 // CTAP 2.0
	ErrFPDatabaseFull         Status = 0x17
	ErrLargeBlobStorageFull   Status = 0x18
	ErrCredentialExcluded     Status = 0x19
	ErrProcessing             Status = 0x21
	ErrInvalidCredential      Status = 0x22
	ErrUserActionPending      Status = 0x23
	ErrOperationPending       Status = 0x24
	ErrNoOperations           Status = 0x25
	ErrUnsupportedAlgorithm   Status = 0x26
	ErrOperationDenied        Status = 0x27
	ErrKeyStoreFull           Status = 0x28
	ErrNotBusy                Status = 0x29 // CTAP 2.0
	ErrNoOperationPending     Status = 0x2A // CTAP 2.0
	ErrUnsupportedOption      Status = 0x2B
	ErrInvalidOption          Status = 0x2C
	ErrKeepaliveCancel        Status = 0x2D
	ErrNoCredentials          Status = 0x2E
	ErrUserActionTimeout      Status = 0x2F
	ErrNotAllowed             Status = 0x30
	ErrPINInvalid             Status = 0x31
	ErrPINBlocked             Status = 0x32
	ErrPINAuthInvalid         Status = 0x33
	ErrPINAuthBlocked         Status = 0x34
	ErrPINNotSet              Status = 0x35
	ErrPUATRequired           Status = 0x36
	ErrPINPolicyViolation     Status = 0x37
	ErrPINTokenExpired        Status = 0x38 // CTAP 2.0
	ErrRequestTooLarge        Status = 0x39
	ErrActionTimeout          Status = 0x3A
	ErrUPRequired             Status = 0x3B
	ErrUVBlocked              Status = 0x3C
	ErrIntegrityFailure       Status = 0x3D
	ErrInvalidSubcommand      Status = 0x3E
	ErrUVInvalid              Status = 0x3F
	ErrUnauthorizedPermission Status = 0x40
	ErrOther                  Status = 0x7F
	ErrSpecLast               Status = 0xDF
	ErrExtensionFirst         Status = 0xE0 // first of the statuses that extensions define
	ErrExtensionLast          Status = 0xEF
	ErrVendorFirst            Status = 0xF0 // first of the statuses that vendors define
	ErrVendorLast             Status = 0xFF
)

// statusNames has the specification's name, without its prefix, and the sentence for people.
var statusNames = map[Status][2]string{
	StatusOK:                  {"OK", "success"},
	ErrInvalidCommand:         {"INVALID_COMMAND", "not a command of this authenticator"},
	ErrInvalidParameter:       {"INVALID_PARAMETER", "invalid parameter"},
	ErrInvalidLength:          {"INVALID_LENGTH", "invalid length"},
	ErrInvalidSeq:             {"INVALID_SEQ", "invalid sequence number"},
	ErrTimeout:                {"TIMEOUT", "message timed out"},
	ErrChannelBusy:            {"CHANNEL_BUSY", "channel is busy"},
	ErrLockRequired:           {"LOCK_REQUIRED", "command needs the channel lock"},
	ErrInvalidChannel:         {"INVALID_CHANNEL", "invalid channel"},
	ErrCBORUnexpectedType:     {"CBOR_UNEXPECTED_TYPE", "parameter of the wrong type"},
	ErrInvalidCBOR:            {"INVALID_CBOR", "invalid CBOR"},
	ErrMissingParameter:       {"MISSING_PARAMETER", "required parameter is missing"},
	ErrLimitExceeded:          {"LIMIT_EXCEEDED", "limit for number of items exceeded"},
	ErrUnsupportedExtension:   {"UNSUPPORTED_EXTENSION", "unsupported extension"},
	ErrFPDatabaseFull:         {"FP_DATABASE_FULL", "no room for another fingerprint"},
	ErrLargeBlobStorageFull:   {"LARGE_BLOB_STORAGE_FULL", "no room for large blobs"},
	ErrCredentialExcluded:     {"CREDENTIAL_EXCLUDED", "already registered"},
	ErrProcessing:             {"PROCESSING", "still processing"},
	ErrInvalidCredential:      {"INVALID_CREDENTIAL", "not a credential of this authenticator"},
	ErrUserActionPending:      {"USER_ACTION_PENDING", "waiting for the user"},
	ErrOperationPending:       {"OPERATION_PENDING", "operation is pending"},
	ErrNoOperations:           {"NO_OPERATIONS", "no operation is pending"},
	ErrUnsupportedAlgorithm:   {"UNSUPPORTED_ALGORITHM", "unsupported algorithm"},
	ErrOperationDenied:        {"OPERATION_DENIED", "denied by the user"},
	ErrKeyStoreFull:           {"KEY_STORE_FULL", "no room for another credential"},
	ErrNotBusy:                {"NOT_BUSY", "authenticator is not busy"},
	ErrNoOperationPending:     {"NO_OPERATION_PENDING", "no operation to cancel"},
	ErrUnsupportedOption:      {"UNSUPPORTED_OPTION", "unsupported option"},
	ErrInvalidOption:          {"INVALID_OPTION", "option is not valid here"},
	ErrKeepaliveCancel:        {"KEEPALIVE_CANCEL", "cancelled"},
	ErrNoCredentials:          {"NO_CREDENTIALS", "no credential for this request"},
	ErrUserActionTimeout:      {"USER_ACTION_TIMEOUT", "the user did nothing in time"},
	ErrNotAllowed:             {"NOT_ALLOWED", "not allowed now"},
	ErrPINInvalid:             {"PIN_INVALID", "wrong PIN"},
	ErrPINBlocked:             {"PIN_BLOCKED", "PIN is blocked, only a reset helps"},
	ErrPINAuthInvalid:         {"PIN_AUTH_INVALID", "PIN/UV authentication failed"},
	ErrPINAuthBlocked:         {"PIN_AUTH_BLOCKED", "PIN is blocked until the key is replugged"},
	ErrPINNotSet:              {"PIN_NOT_SET", "no PIN is set"},
	ErrPUATRequired:           {"PUAT_REQUIRED", "PIN or user verification is required"},
	ErrPINPolicyViolation:     {"PIN_POLICY_VIOLATION", "PIN does not follow the authenticator's policy"},
	ErrPINTokenExpired:        {"PIN_TOKEN_EXPIRED", "PIN token has expired"},
	ErrRequestTooLarge:        {"REQUEST_TOO_LARGE", "request is too large"},
	ErrActionTimeout:          {"ACTION_TIMEOUT", "action timed out"},
	ErrUPRequired:             {"UP_REQUIRED", "user presence is required"},
	ErrUVBlocked:              {"UV_BLOCKED", "built-in user verification is blocked"},
	ErrIntegrityFailure:       {"INTEGRITY_FAILURE", "checksum does not match"},
	ErrInvalidSubcommand:      {"INVALID_SUBCOMMAND", "not a subcommand of this authenticator"},
	ErrUVInvalid:              {"UV_INVALID", "user verification failed"},
	ErrUnauthorizedPermission: {"UNAUTHORIZED_PERMISSION", "token lacks the permission"},
	ErrOther:                  {"OTHER", "unspecified error"},
	ErrSpecLast:               {"SPEC_LAST", "last status of the specification"},
}

// Name gives the specification's name without its CTAP1_ERR_ or CTAP2_ERR_ prefix,
// such as PIN_INVALID; EXTENSION_0xE1 and VENDOR_0xF2 for those ranges, UNKNOWN_0x70 for
// the rest.
func (s Status) Name() string {
	if n, ok := statusNames[s]; ok {
		return n[0]
	}
	switch {
	case s >= ErrVendorFirst:
		return fmt.Sprintf("VENDOR_%#02x", byte(s))
	case s >= ErrExtensionFirst:
		return fmt.Sprintf("EXTENSION_%#02x", byte(s))
	}
	return fmt.Sprintf("UNKNOWN_%#02x", byte(s))
}

// Error implements error.
func (s Status) Error() string {
	if n, ok := statusNames[s]; ok {
		return fmt.Sprintf("ctap2: %s (%s, %#02x)", n[1], n[0], byte(s))
	}
	return fmt.Sprintf("ctap2: status %s", s.Name())
}

// Error is what a [Client] returns when the authenticator answered with a status other than
// [StatusOK]. errors.Is finds the Status in it.
type Error struct {
	Cmd        Cmd    // the command that failed
	Subcommand uint   // its subcommand, 0 when it has none
	Status     Status // what the authenticator said

	// After a wrong PIN or a failed built-in user verification the client asks, which costs
	// nothing, how many attempts are left. Nil when it does not apply or is not known.
	Retries *uint
	// PowerCycle says that the authenticator wants to be replugged before the next attempt.
	PowerCycle bool
}

// Error implements error.
func (e *Error) Error() string {
	what := e.Cmd.String()
	if e.Subcommand != 0 {
		what = fmt.Sprintf("%s %#02x", what, e.Subcommand)
	}
	name := e.Status.Name()
	text := name
	if n, ok := statusNames[e.Status]; ok {
		text = fmt.Sprintf("%s (%s)", n[1], name)
	}
	if e.Retries != nil {
		text = fmt.Sprintf("%s, attempts left: %d", text, *e.Retries)
	}
	return fmt.Sprintf("ctap2: %s: %s", what, text)
}

// Unwrap gives the status.
func (e *Error) Unwrap() error { return e.Status }
