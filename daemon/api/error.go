package api

// Code is a stable name for what went wrong. New codes may be added; a code never
// changes its meaning.
type Code string

// Codes, with the HTTP status and the exit status of fob that go with each in
// daemon/httpapi and cmd/fob.
const (
	CodeInvalidRequest     Code = "invalid-request"     // the request itself is wrong
	CodeUnknownOperation   Code = "unknown-operation"   // no such operation
	CodeTooLarge           Code = "too-large"           // the request is over a limit
	CodeTooMany            Code = "too-many"            // over a limit of how much there may be at once
	CodeDenied             Code = "denied"              // the caller may not do this, or the person said no
	CodeNotFound           Code = "not-found"           // a named thing (prompt, emulated key) does not exist
	CodeConflict           Code = "conflict"            // the thing exists already or is in another state
	CodeNoKey              Code = "no-key"              // no key is attached, or none that can do this
	CodeKeyGone            Code = "key-gone"            // the key was pulled out in mid-operation
	CodeKeySilent          Code = "key-silent"          // the key does not answer any more
	CodeKeyError           Code = "key-error"           // the key answered with an error or with nonsense
	CodeBusy               Code = "busy"                // the key is taken until the deadline; Holder says by whom
	CodeCancelled          Code = "cancelled"           // the caller or the person gave up
	CodeTimeout            Code = "timeout"             // nobody touched the key in time
	CodePINRequired        Code = "pin-required"        // a PIN is needed and nobody can be asked for it
	CodePINInvalid         Code = "pin-invalid"         // wrong PIN; Retries says how many are left
	CodePINBlocked         Code = "pin-blocked"         // no retries are left; the key must be reset
	CodePINAuthBlocked     Code = "pin-auth-blocked"    // three wrong PINs in a row; the key must be replugged
	CodePINNotSet          Code = "pin-not-set"         // the key has no PIN yet
	CodePINAlreadySet      Code = "pin-already-set"     // the key has a PIN already
	CodePINPolicy          Code = "pin-policy"          // the new PIN is too short, too long or too simple
	CodePINLastRetry       Code = "pin-last-retry"      // one retry is left and the request does not allow to spend it
	CodeUVInvalid          Code = "uv-invalid"          // built-in user verification failed
	CodeUVBlocked          Code = "uv-blocked"          // built-in user verification is blocked
	CodeNoCredentials      Code = "no-credentials"      // no attached key holds a credential for this
	CodeCredentialExcluded Code = "credential-excluded" // the key is registered already
	CodeUnsupported        Code = "unsupported"         // the key cannot do this
	CodeKeyFull            Code = "key-full"            // no room for another credential
	CodeFingerprintsFull   Code = "fingerprints-full"   // no room for another fingerprint
	CodeBlobsFull          Code = "blobs-full"          // no room for the blob
	CodeVerifyFailed       Code = "verify-failed"       // the relying party check said no
	CodeResetTooLate       Code = "reset-too-late"      // the 10 seconds after plugging in are over
	CodeShuttingDown       Code = "shutting-down"       // the daemon is stopping
	CodeInternal           Code = "internal"            // a fault of the daemon
)

// Error is how every failure crosses the socket.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`        // what happened, to which key
	Hint    string `json:"hint,omitempty"` // what to do next
	// Key is the id of the key it happened to.
	Key string `json:"key,omitempty"`
	// Retries is the number of PIN or UV retries left, where that matters.
	Retries *uint `json:"retries,omitempty"`
	// Holder says who has taken the key, with [CodeBusy].
	Holder *Holder `json:"holder,omitempty"`
	// Status is the key's status byte, with [CodeKeyError] and other answers of a key.
	Status *uint8 `json:"status,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// Is makes errors.Is(err, &Error{Code: c}) compare codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Message == ""
}

// Holder is a program that has taken a key.
type Holder struct {
	Program   string `json:"program,omitempty"`
	PID       int    `json:"pid,omitempty"`
	User      string `json:"user,omitempty"`
	Operation string `json:"operation,omitempty"` // empty for a program outside the daemon
	Outside   bool   `json:"outside,omitempty"`   // true for a program that goes around the daemon
	Since     string `json:"since,omitempty"`     // RFC 3339
}
