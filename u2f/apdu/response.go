package apdu

import (
	"encoding/binary"
	"fmt"
)

// SW is a status word. Those that are not [OK] are errors, to be compared with
// errors.Is.
type SW uint16

// Status words of ISO/IEC 7816-4, section 5.6.
const (
	OK                        SW = 0x9000
	ErrWrongLength            SW = 0x6700
	ErrChainingNotSupported   SW = 0x6884
	ErrSecurityStatus         SW = 0x6982
	ErrAuthMethodBlocked      SW = 0x6983
	ErrConditionsNotSatisfied SW = 0x6985
	ErrCommandNotAllowed      SW = 0x6986
	ErrWrongData              SW = 0x6A80
	ErrFuncNotSupported       SW = 0x6A81
	ErrNotFound               SW = 0x6A82
	ErrNoSpace                SW = 0x6A84
	ErrWrongP1P2              SW = 0x6A86
	ErrReferenceNotFound      SW = 0x6A88
	ErrInsNotSupported        SW = 0x6D00
	ErrClaNotSupported        SW = 0x6E00
	ErrNoDiagnosis            SW = 0x6F00
)

func (s SW) name() string {
	switch s {
	case OK:
		return "success"
	case ErrWrongLength:
		return "wrong length"
	case ErrChainingNotSupported:
		return "command chaining not supported"
	case ErrSecurityStatus:
		return "security status not satisfied"
	case ErrAuthMethodBlocked:
		return "authentication method blocked"
	case ErrConditionsNotSatisfied:
		return "conditions of use not satisfied"
	case ErrCommandNotAllowed:
		return "command not allowed"
	case ErrWrongData:
		return "wrong data"
	case ErrFuncNotSupported:
		return "function not supported"
	case ErrNotFound:
		return "not found"
	case ErrNoSpace:
		return "no space left"
	case ErrWrongP1P2:
		return "wrong parameters"
	case ErrReferenceNotFound:
		return "referenced data not found"
	case ErrInsNotSupported:
		return "instruction not supported"
	case ErrClaNotSupported:
		return "class not supported"
	case ErrNoDiagnosis:
		return "no precise diagnosis"
	}
	if n, more := s.More(); more {
		return fmt.Sprintf("%d more bytes", n)
	}
	if n, wrong := s.WrongLe(); wrong {
		return fmt.Sprintf("wrong expected length, %d bytes there", n)
	}
	return "unknown status"
}

func (s SW) Error() string { return fmt.Sprintf("apdu: %s (%04x)", s.name(), uint16(s)) }

// Err returns nil for [OK] and s for every other status.
func (s SW) Err() error {
	if s == OK {
		return nil
	}
	return s
}

// More says whether s is 61xx: n more response bytes can be fetched with GET
// RESPONSE, 256 meaning that many or more.
func (s SW) More() (n int, ok bool) { return shortLe(byte(s)), s>>8 == 0x61 }

// WrongLe says whether s is 6Cxx: the command must be repeated with Le n.
func (s SW) WrongLe() (n int, ok bool) { return shortLe(byte(s)), s>>8 == 0x6C }

// Response is a response APDU.
type Response struct {
	Data []byte
	SW   SW
}

// Marshal encodes the response.
func (r Response) Marshal() []byte {
	b := make([]byte, 0, len(r.Data)+2)
	b = append(b, r.Data...)
	return binary.BigEndian.AppendUint16(b, uint16(r.SW))
}

// ParseResponse decodes a response APDU. Data shares b's memory. The error is
// [ErrMalformed].
func ParseResponse(b []byte) (Response, error) {
	n := len(b) - 2
	if n < 0 {
		return Response{}, fmt.Errorf("%w: response of %d bytes", ErrMalformed, len(b))
	}
	r := Response{SW: SW(binary.BigEndian.Uint16(b[n:]))}
	if n > 0 {
		r.Data = b[:n]
	}
	return r, nil
}
