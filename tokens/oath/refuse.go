package oath

import (
	"fmt"
	"time"

	"github.com/fobd/fobd/u2f/apdu"
)

// Status words that only this protocol gives these meanings.
const (
	swVerifyFailed apdu.SW = 0x6300
	swExecution    apdu.SW = 0x6500
	swMemory       apdu.SW = 0x6581
	swWrongP1P2    apdu.SW = 0x6B00
	swNoSuchObject apdu.SW = 0x6984
)

// throttle is how long a Nitrokey refuses to verify codes after a wrong one.
const throttle = 5 * time.Second

// refuse makes the error for a status word. unlocked is what the Session was when it sent the command: with it, the two
// meanings of 6982 are told apart.
func (s *Session) refuse(r *request, sw apdu.SW, unlocked bool) error {
	return s.fail(r, sw, s.meaning(r, sw, unlocked))
}

func (s *Session) meaning(r *request, sw apdu.SW, unlocked bool) error {
	switch sw {
	case apdu.ErrSecurityStatus:
		return s.secured(r, unlocked)
	case apdu.ErrAuthMethodBlocked: // Nitrokey's PUT and UPDATE
		return ErrExists
	case swNoSuchObject:
		switch r.cmd {
		case CmdSetCode:
			return fmt.Errorf("%w: it computed another answer to the challenge", ErrRefused)
		case CmdValidate:
			return ErrNotProtected
		}
		return ErrNotFound
	case apdu.ErrConditionsNotSatisfied:
		switch {
		case r.isPut() || r.cmd == CmdRename: // CanoKey's
			return ErrExists
		case r.cmd == CmdSetCode && s.nitrokey():
			return unsupported("it has a PIN in the place of an access code")
		case r.cmd == CmdVerifyCode:
			return unsupported("the account is not one of reverse HOTP")
		case r.cmd == CmdCalculate:
			return unsupported("the account makes no codes")
		}
		return ErrRefused
	case apdu.ErrWrongData:
		if r.cmd == CmdValidate {
			return ErrWrongCode
		}
		return fmt.Errorf("%w these values", ErrRefused)
	case apdu.ErrFuncNotSupported:
		return unsupported("its firmware does not have this hash or kind of account")
	case apdu.ErrNotFound:
		return ErrNotFound
	case apdu.ErrNoSpace:
		return ErrFull
	case apdu.ErrNoDiagnosis:
		if r.isPut() { // YubiKey NEO
			return ErrFull
		}
		return ErrRefused
	case swVerifyFailed:
		return ErrWrongCode
	case swMemory:
		return ErrDamaged
	case swExecution:
		if r.cmd == CmdCalculate || r.cmd == CmdVerifyCode {
			return ErrSpent
		}
		return ErrDamaged
	case apdu.ErrInsNotSupported, apdu.ErrClaNotSupported, apdu.ErrWrongP1P2, swWrongP1P2:
		return unsupported("its firmware does not know the command")
	}
	return ErrRefused
}

// isPut tells PUT from Nitrokey's commands with the same INS.
func (r *request) isPut() bool { return r.cmd == CmdPut && r.p1 == 0 }

func unsupported(lacks string) error { return fmt.Errorf("%w: %s", ErrUnsupported, lacks) }

// secured is the meaning of 6982: locked, or a touch that did not come.
func (s *Session) secured(r *request, unlocked bool) error {
	touchable := r.touch != expectNone
	switch {
	case s.nitrokey() && r.cmd == CmdVerifyCode && !s.missed.IsZero() && time.Since(s.missed) < throttle:
		return ErrThrottled
	case s.nitrokey() && touchable:
		return ErrTouch
	case s.nitrokey() && r.cmd == CmdVerifyCode:
		return ErrThrottled
	case s.nitrokey() && s.info.Protection == ProtectionNone:
		return ErrNotProtected
	case !unlocked || s.nitrokey():
		return ErrLocked
	case touchable:
		return ErrTouch
	case r.isPut() && s.info.Protection == ProtectionNone:
		return ErrWantsCode
	}
	// The Session knows of no lock, so that another program has selected something in between.
	return fmt.Errorf("%w: another program has used it; begin anew", ErrLocked)
}
