package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/ctap2/pinuv"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/webauthn"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/tokens/accounts"
	"github.com/fobd/fobd/tokens/pcsc"
	"github.com/fobd/fobd/tokens/slots"
	"github.com/fobd/fobd/u2f"
)

// Causes of contexts.
var (
	errShuttingDown = errors.New("daemon: shutting down")
	errDeadline     = errors.New("daemon: the operation's time is over")
	errElsewhere    = errors.New("daemon: another key was touched")
)

// keyError says to which key an error happened.
type keyError struct {
	key *tokens.Key
	err error
}

func (e *keyError) Error() string { return fmt.Sprintf("%s: %v", e.key.Name(), e.err) }

func (e *keyError) Unwrap() error { return e.err }

// requestError says that a request could not be decoded.
type requestError struct{ err error }

func (e *requestError) Error() string { return e.err.Error() }

func (e *requestError) Unwrap() error { return e.err }

// translations says what the errors of the layers below mean to a caller; the first that
// fits counts. In a message %s stands for the key's name; one that is empty is the error's own, and so is the hint, if it
// has one ([ownWords]).
var translations = []struct {
	target  error
	code    api.Code
	message string
	hint    string
}{
	// How the operation ended comes before what the key said about it.
	{errShuttingDown, api.CodeShuttingDown, "the daemon is stopping", "try again when it is back"},
	{hid.ErrGone, api.CodeKeyGone, "%s was pulled out", "put it in again and try again"},
	{errDeadline, api.CodeTimeout, "%s was not touched in time", "try again, and touch the key while it blinks"},
	{context.DeadlineExceeded, api.CodeTimeout, "%s was not touched in time", "try again, and touch the key while it blinks"},
	{context.Canceled, api.CodeCancelled, "the request was given up", ""},

	// Statuses of CTAP 2.2, section 8.2.
	{ctap2.ErrPINInvalid, api.CodePINInvalid, "wrong PIN for %s", "check the PIN before trying again"},
	{ctap2.ErrPINAuthBlocked, api.CodePINAuthBlocked, "%s takes no PIN after too many wrong ones in a row", "pull the key out, put it in again, and try with the right PIN"},
	{ctap2.ErrPINBlocked, api.CodePINBlocked, "the PIN of %s is blocked", "only a reset, which erases the key, makes it usable again"},
	{ctap2.ErrPINNotSet, api.CodePINNotSet, "%s has no PIN", "set one with pin-set"},
	{ctap2.ErrPINPolicyViolation, api.CodePINPolicy, "%s does not take this PIN", "choose a longer or less simple PIN, or change a PIN that must be changed"},
	{ctap2.ErrPINAuthInvalid, api.CodePINInvalid, "%s does not take the PIN", "check the PIN before trying again"},
	{ctap2.ErrPUATRequired, api.CodePINRequired, "%s wants a PIN or a finger for this", "set a PIN with pin-set"},
	{ctap2.ErrUVInvalid, api.CodeUVInvalid, "%s did not recognise the person", "try again"},
	{ctap2.ErrUVBlocked, api.CodeUVBlocked, "%s does not try to recognise the person any more", "use the PIN"},
	{ctap2.ErrNoCredentials, api.CodeNoCredentials, "%s has no credential for this", "use the key that was registered"},
	{ctap2.ErrInvalidCredential, api.CodeNoCredentials, "%s has no credential for this", "use the key that was registered"},
	{ctap2.ErrCredentialExcluded, api.CodeCredentialExcluded, "%s is registered already", "use another key, or sign in with this one"},
	{ctap2.ErrOperationDenied, api.CodeDenied, "the person at %s said no", ""},
	{ctap2.ErrUserActionTimeout, api.CodeTimeout, "%s was not touched in time", "try again, and touch the key while it blinks"},
	{ctap2.ErrActionTimeout, api.CodeTimeout, "%s was not touched in time", "try again, and touch the key while it blinks"},
	{ctap2.ErrKeepaliveCancel, api.CodeCancelled, "the operation was cancelled on %s", "another program may have done so; try again"},
	{ctap2.ErrKeyStoreFull, api.CodeKeyFull, "%s has no room for another credential", "delete a credential, or use another key"},
	{ctap2.ErrFPDatabaseFull, api.CodeFingerprintsFull, "%s has no room for another finger", "make it forget one with fingerprint-delete"},
	{ctap2.ErrLargeBlobStorageFull, api.CodeBlobsFull, "%s has no room for the blob", "delete a blob, or remove those of no credential with blob-collect"},
	{ctap2.ErrUnsupportedAlgorithm, api.CodeUnsupported, "%s has none of the algorithms that the site takes", "use another key"},
	{ctap2.ErrUnsupportedOption, api.CodeUnsupported, "%s cannot do what the request needs", "use another key"},
	{ctap2.ErrRequestTooLarge, api.CodeTooLarge, "the request is too large for %s", "shorten its lists of credentials"},
	{ctap2.ErrLimitExceeded, api.CodeTooLarge, "the request is over a limit of %s", "shorten its lists of credentials"},
	{ctap2.ErrInvalidCommand, api.CodeUnsupported, "%s does not have this command", "use another key"},
	{ctap2.ErrInvalidSubcommand, api.CodeUnsupported, "%s does not have this command", "use another key"},
	{ctap2.ErrUnauthorizedPermission, api.CodeUnsupported, "%s does not let the PIN or finger do this", "use another key"},
	{ctap2.ErrPINTokenExpired, api.CodeKeyError, "%s has forgotten that the PIN was given", "try again"},
	{ctap2.ErrIntegrityFailure, api.CodeKeyError, "%s received damaged data", "try again"},
	{ctap2.ErrNotAllowed, api.CodeKeyError, "%s does not allow this now", "pull the key out, put it in again, and try again"},

	// What a key said that it does not have.
	{ctap2.ErrNotSupported, api.CodeUnsupported, "%s cannot do this", "use another key"},
	{ctap2.ErrTooLarge, api.CodeTooLarge, "the request is over a limit of %s", "ask for less"},
	{ctap2.ErrLargeBlobDamaged, api.CodeKeyError, "the large blobs of %s are damaged", "blob-set begins anew, without those that are there"},
	{ctap2.ErrBlob, api.CodeKeyError, "the large blob on %s is damaged", "write it anew with blob-set"},

	// The WebAuthn client.
	{webauthn.ErrPINNotSet, api.CodePINNotSet, "the person must be verified, and %s has no PIN", "set one with pin-set"},
	{webauthn.ErrUnsupported, api.CodeUnsupported, "", "use another key"},
	{webauthn.ErrOptions, api.CodeInvalidRequest, "", "the options must be those of WebAuthn Level 3 in their JSON form"},
	{webauthn.ErrOrigin, api.CodeInvalidRequest, "", "give the site's origin, such as https://example.org"},
	{webauthn.ErrRPID, api.CodeInvalidRequest, "", "the RP ID must be the origin's domain or a parent of it"},
	{webauthn.ErrResponse, api.CodeKeyError, "", "the key does not work as it should; use another one"},

	// Tokens for one-time codes, and the slots of a YubiKey. What their own words say to do next comes before these hints.
	{accounts.ErrNoAccounts, api.CodeUnsupported, "", "use another token"},
	{accounts.ErrUnsupported, api.CodeUnsupported, "", "use another token, or do without"},
	{accounts.ErrFull, api.CodeKeyFull, "", "delete an account first"},
	{accounts.ErrExists, api.CodeConflict, "", "choose another name, or delete the account first"},
	{accounts.ErrNotFound, api.CodeNotFound, "", "account-list shows those that there are"},
	{accounts.ErrTouch, api.CodeTimeout, "", "try again, and touch the token while it blinks"},
	{accounts.ErrLocked, api.CodePINRequired, "", "give the access code or PIN"},
	{accounts.ErrWrong, api.CodePINInvalid, "", "try again with the right one"},
	{accounts.ErrBlocked, api.CodePINBlocked, "", "only a reset, which deletes all accounts, makes it usable again"},
	{accounts.ErrLastTry, api.CodePINLastRetry, "", "say that the last try may be spent, if you are sure of the PIN"},
	{slots.ErrArgument, api.CodeInvalidRequest, "", "openapi.json says what a slot takes"},
	{slots.ErrEmpty, api.CodeNotFound, "", "configure the slot with slot-set"},
	{slots.ErrFull, api.CodeKeyFull, "", "delete a slot with slot-delete"},
	{slots.ErrNoChallenge, api.CodeUnsupported, "", "use the other slot"},
	{slots.ErrUnsupported, api.CodeUnsupported, "", "use another key"},
	{slots.ErrAccessCode, api.CodeDenied, "", "try again with the right one"},
	{slots.ErrTouch, api.CodeTimeout, "", "try again, and touch the key while it blinks"},
	{slots.ErrBusy, api.CodeBusy, "", "touch the key, or try again later"},
	{slots.ErrSilent, api.CodeKeySilent, "", "pull the key out and put it in again"},
	{slots.ErrRefused, api.CodeKeyError, "", "pull the key out, put it in again, and try again"},
	{slots.ErrMalformed, api.CodeKeyError, "", "pull the key out and put it in again"},

	// pcscd and its cards.
	{pcsc.ErrSharing, api.CodeBusy, "", "close the other program, then try again"},
	{pcsc.ErrRemoved, api.CodeKeyGone, "", "put the token in again, then try again"},
	{pcsc.ErrReaderGone, api.CodeKeyGone, "", "put the token in again, then try again"},
	{pcsc.ErrNoCard, api.CodeKeyGone, "", "put the token in again, then try again"},
	{pcsc.ErrNoReader, api.CodeKeyGone, "", "put the token in again, then try again"},
	{pcsc.ErrNoService, api.CodeUnsupported, "", "install pcscd, or start it"},
	{pcsc.ErrDenied, api.CodeUnsupported, "", "let the daemon use cards, by a rule of polkit"},
	{pcsc.ErrUnsupported, api.CodeUnsupported, "", "use another reader"},
	{pcsc.ErrCardUnsupported, api.CodeUnsupported, "", "use another card"},
	{pcsc.ErrStopped, api.CodeKeySilent, "", "put the token in again, then try again"},
	{pcsc.ErrTimeout, api.CodeKeySilent, "", "put the token in again, then try again"},
	{pcsc.ErrUnresponsive, api.CodeKeySilent, "", "put the token in again, then try again"},
	{pcsc.ErrSilent, api.CodeKeySilent, "", "put the token in again, then try again"},
	{pcsc.ErrClosed, api.CodeKeySilent, "", "put the token in again, then try again"},
	{pcsc.ErrComm, api.CodeKeyError, "", "put the token in again, then try again"},
	{pcsc.ErrNotTransacted, api.CodeKeyError, "", "put the token in again, then try again"},
	{pcsc.ErrReset, api.CodeKeyError, "", "put the token in again, then try again"},
	{pcsc.ErrUnpowered, api.CodeKeyError, "", "put the token in again, then try again"},
	{pcsc.ErrProtocol, api.CodeKeyError, "", "put the token in again, then try again"},
	{pcsc.ErrNotReady, api.CodeKeyError, "", "put the token in again, then try again"},
	{pcsc.ErrNoMemory, api.CodeKeyError, "", "close programs that use cards, then try again"},
	{pcsc.ErrInternal, api.CodeKeyError, "", "put the token in again, then try again"},
	{pcsc.ErrUnknown, api.CodeKeyError, "", "put the token in again, then try again"},
	{pcsc.ErrVersion, api.CodeKeyError, "", "update pcscd or fobd"},
	{pcsc.ErrMalformed, api.CodeKeyError, "", "look for an update of fobd"},

	// What a PIN must be anywhere (CTAP 2.2, section 6.5.1).
	{pinuv.ErrPINTooShort, api.CodePINPolicy, "the PIN is too short", "a PIN has at least 4 characters"},
	{pinuv.ErrPINTooLong, api.CodePINPolicy, "the PIN is too long", "a PIN has at most 63 bytes"},
	{pinuv.ErrPINInvalid, api.CodePINPolicy, "the PIN is not text", "a PIN is UTF-8 without zero bytes"},

	// CTAPHID and the device.
	{ctaphid.ErrSilent, api.CodeKeySilent, "%s does not answer", "pull the key out and put it in again"},
	{hid.ErrWriteTimeout, api.CodeKeySilent, "%s does not take reports", "pull the key out and put it in again"},
	{ctaphid.ErrChannelBusy, api.CodeBusy, "%s is busy with another program", "try again when the other program is done"},
	{ctaphid.ErrMalformed, api.CodeKeyError, "%s answered with nonsense", "pull the key out and put it in again"},
	{ctaphid.ErrInvalidCmd, api.CodeUnsupported, "%s does not have this command", "use another key"},
	{ctaphid.ErrTooLong, api.CodeTooLarge, "the request is too large for %s", "shorten its lists of credentials"},
	{hid.ErrNotFound, api.CodeKeyGone, "%s was pulled out", "put it in again and try again"},
	{os.ErrPermission, api.CodeKeyError, "the daemon may not open %s", "install fobd's udev rules, and run the daemon as root or in group fobd"},
	{os.ErrNotExist, api.CodeKeyGone, "%s was pulled out", "put it in again and try again"},
	{tokens.ErrNotFound, api.CodeNoKey, "%s is not attached", "list shows the keys that are"},
	{tokens.ErrNoCBOR, api.CodeUnsupported, "%s speaks U2F only", "use a FIDO2 key"},

	// Answers that cannot be believed, and U2F.
	{ctap2.ErrResponse, api.CodeKeyError, "%s answered with nonsense", "pull the key out and put it in again"},
	{ctap2.ErrAuthData, api.CodeKeyError, "%s answered with nonsense", "pull the key out and put it in again"},
	{cose.ErrKey, api.CodeKeyError, "%s answered with nonsense", "pull the key out and put it in again"},
	{pinuv.ErrPeer, api.CodeKeyError, "%s answered with nonsense", "pull the key out and put it in again"},
	{u2f.ErrMalformed, api.CodeKeyError, "%s answered with nonsense", "pull the key out and put it in again"},
	{u2f.ErrWrongData, api.CodeNoCredentials, "%s has no credential for this", "use the key that was registered"},
	{u2f.ErrConditionsNotSatisfied, api.CodeTimeout, "%s was not touched in time", "try again, and touch the key while it blinks"},
	{u2f.ErrInsNotSupported, api.CodeUnsupported, "%s does not have this command", "use another key"},
	{u2f.ErrClaNotSupported, api.CodeUnsupported, "%s does not have this command", "use another key"},
}

// ErrorOf gives the form in which err crosses the socket. It is nil for nil.
// An [*api.Error] in the chain is taken as it is; the errors of the layers below
// are translated by one table; anything else is [api.CodeInternal].
func ErrorOf(err error) *api.Error {
	if err == nil {
		return nil
	}
	var (
		known   *api.Error
		at      *keyError
		denied  *policy.DeniedError
		request *requestError
		says    *ctap2.Error
		decode  *ctap2.DecodeError
	)
	name, id := "the key", ""
	if errors.As(err, &at) {
		name, id = at.key.Name(), at.key.ID()
	}
	switch {
	case errors.As(err, &known):
		if known.Key != "" || id == "" {
			return known
		}
		e := *known
		e.Key = id
		return &e
	case errors.As(err, &denied):
		hint := "an administrator can let you, by a rule or the group fobd; policy-explain tells which rules decide"
		return &api.Error{Code: api.CodeDenied, Message: plain(denied), Hint: hint}
	case errors.As(err, &request):
		return &api.Error{Code: api.CodeInvalidRequest, Message: "the request cannot be read: " + request.Error(), Hint: "the daemon's openapi.json says what it takes"}
	}
	e := &api.Error{Key: id}
	if errors.As(err, &says) {
		status := uint8(says.Status)
		e.Status, e.Retries = &status, says.Retries
	}
	for _, t := range translations {
		if errors.Is(err, t.target) {
			e.Code, e.Hint = t.code, t.hint
			if e.Message = strings.ReplaceAll(t.message, "%s", name); e.Message == "" {
				e.Message, e.Hint = ownWords(err, t.hint)
			}
			if e.Retries != nil {
				e.Message += fmt.Sprintf("; %s left", plural(*e.Retries, "try", "tries"))
			}
			return e
		}
	}
	switch {
	case says != nil, errors.As(err, &decode), at != nil:
		e.Code, e.Message = api.CodeKeyError, fmt.Sprintf("%s failed: %v", name, unwrapped(at, err))
		e.Hint = "pull the key out, put it in again, and try again"
	default:
		e.Code, e.Message = api.CodeInternal, "the daemon failed: "+err.Error()
		e.Hint = "this is a fault of fobd; please report it"
	}
	return e
}

// packages are the names of packages in front of an error's text, or of one inside of it.
var packages = regexp.MustCompile(`(^|: )(?:(?:accounts|applet|ctap2|ctaphid|daemon|hid|nitrokeypro|oath|otp|pcsc|policy|registry|seedfile|slots|softcodes|softkey|softslots|store|token2|tokens|u2f|webauthn): )+`)

// plain is an error's text for people, without the names of the packages that made it.
func plain(err error) string { return packages.ReplaceAllString(err.Error(), "$1") }

// status is a number behind an error's text, for those who wrote it.
var status = regexp.MustCompile(` \([0-9a-f]{4,8}\)$`)

// ownWords are an error's text, and what it says behind a semicolon to do next; hint, if it says nothing.
func ownWords(err error, hint string) (message, next string) {
	message, next, _ = strings.Cut(status.ReplaceAllString(plain(err), ""), "; ")
	return message, cmp.Or(next, hint)
}

// unwrapped is the error without the key's name, which the message begins with.
func unwrapped(at *keyError, err error) error {
	if at != nil {
		return at.err
	}
	return err
}

func plural(n uint, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.FormatUint(uint64(n), 10) + " " + many
}

// shorten shows something from a request in a message: quoted, and not too much of it.
func shorten(s string) string {
	if len(s) > 64 {
		s = strings.ToValidUTF8(s[:64], "") + "…"
	}
	return strconv.QuoteToGraphic(s)
}
