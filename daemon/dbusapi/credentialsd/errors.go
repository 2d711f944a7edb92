package credentialsd

import (
	"context"
	"errors"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/webauthn"
)

// Responses, as of org.freedesktop.portal.Request.
const (
	responseDone  uint32 = 0
	responseOther uint32 = 2
)

// errorPrefix begins the names of errors.
const errorPrefix = "xyz.iinuwa.credentialsd."

// The names of errors, which are those of DOMExceptions in WebAuthn.
const (
	abortError        = "AbortError"
	constraintError   = "ConstraintError"
	invalidStateError = "InvalidStateError"
	notSupportedError = "NotSupportedError"
	securityError     = "SecurityError"
	notAllowedError   = "NotAllowedError"
	typeError         = "TypeError"
)

// failure is an error as the portal hears it.
type failure struct{ name, message string }

// answer is the failure as results: the method itself succeeds.
func (f failure) answer() (uint32, map[string]dbus.Variant) {
	return responseOther, map[string]dbus.Variant{"error": dbus.MakeVariant(errorPrefix + f.name + ": " + f.message)}
}

// notAllowed says no more than the site may know, which hears it in the end: not which keys there
// are, nor whether the person said no (WebAuthn Level 3, section 14.5).
var notAllowed = failure{notAllowedError, "the person did not allow it, or no key could do it in time"}

// failureOf sorts an engine's error. What is said of keys and persons stays in the daemon's log.
func failureOf(ctx context.Context, err error) failure {
	if ctx.Err() != nil {
		return failure{abortError, "the request was given up"}
	}
	e := daemon.ErrorOf(err)
	switch {
	// WebAuthn Level 3, sections 5.1.3 and 5.1.4.
	case errors.Is(err, webauthn.ErrOrigin), errors.Is(err, webauthn.ErrRPID):
		return failure{securityError, e.Message}
	case e.Code == api.CodeInvalidRequest:
		return failure{typeError, e.Message}
	case e.Code == api.CodeTooLarge:
		return failure{typeError, "the request is too large"}
	case e.Code == api.CodeCredentialExcluded:
		return failure{invalidStateError, "a key of the person is registered already"}
	case e.Code == api.CodeUnsupported:
		return failure{notSupportedError, "no key can do what the request needs"}
	case e.Code == api.CodeKeyFull:
		return failure{constraintError, "the key has no room for the credential"}
	case e.Code == api.CodeShuttingDown:
		return failure{abortError, "the daemon is stopping"}
	}
	return notAllowed
}
