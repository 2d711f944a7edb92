package ctap2

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"

	"github.com/fobd/fobd/ctap2/cose"
)

// RawMessage is a piece of CBOR that is kept as it came.
type RawMessage = cbor.RawMessage

// MaxMessageSize is the number of bytes that this package reads at most in one message,
// whatever an authenticator claims: more than any transport carries (CTAPHID stops at
// 7609, ISO 7816 at 65535).
const MaxMessageSize = 1 << 16

// Limits of one message; a CTAPHID message is smaller by far.
const (
	// CTAP 2.2, section 8: four levels of nesting at most.
	maxNesting = 4
	// In responses the attestation statement may be deeper than the rest.
	maxLenientNesting = 16
	maxElements       = 2048
	maxPairs          = 512
)

// The modes are made once and never change.
var (
	encMode     = makeEncMode()
	strictMode  = makeDecMode(true)
	lenientMode = makeDecMode(false)
)

func makeEncMode() cbor.UserBufferEncMode {
	// The preset sorts keys as CTAP 2.2, section 8 wants, and knows no indefinite lengths and no tags.
	o := cbor.CTAP2EncOptions()
	o.NilContainers = cbor.NilContainerAsEmpty
	m, err := o.UserBufferEncMode()
	if err != nil {
		panic(err)
	}
	return m
}

func makeDecMode(strict bool) cbor.DecMode {
	o := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		MaxNestedLevels:   maxLenientNesting,
		MaxArrayElements:  maxElements,
		MaxMapPairs:       maxPairs,
		IndefLength:       cbor.IndefLengthForbidden,
		TagsMd:            cbor.TagsForbidden,
		IntDec:            cbor.IntDecConvertNone,
		UTF8:              cbor.UTF8DecodeInvalid, // names that a key has cut inside a character
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		NaN:               cbor.NaNDecodeForbidden,
		Inf:               cbor.InfDecodeForbidden,
	}
	if strict {
		o.MaxNestedLevels = maxNesting
		o.UTF8 = cbor.UTF8RejectInvalid
		// Go's nil would make null the same as an absent member. No message has null or
		// undefined or any other simple value but the booleans.
		var reject []func(*cbor.SimpleValueRegistry) error
		for v := 0; v <= math.MaxUint8; v++ {
			if v != 20 && v != 21 && (v < 24 || v > 31) {
				reject = append(reject, cbor.WithRejectedSimpleValue(cbor.SimpleValue(v)))
			}
		}
		registry, err := cbor.NewSimpleValueRegistryFromDefaults(reject...)
		if err != nil {
			panic(err)
		}
		o.SimpleValues = registry
	}
	m, err := o.DecMode()
	if err != nil {
		panic(err)
	}
	return m
}

// Marshal gives v as CBOR in the CTAP2 canonical form (CTAP 2.2, section 8): shortest integers,
// definite lengths, keys in order, no tags.
func Marshal(v any) ([]byte, error) {
	return appendMarshal(nil, v)
}

// MarshalRequest gives what goes to an authenticator: the command byte and the
// canonical CBOR of v. With a nil v there are no parameters.
func MarshalRequest(cmd Cmd, v any) ([]byte, error) {
	return appendMarshal([]byte{byte(cmd)}, v)
}

// MarshalResponse gives what comes back from an authenticator: [StatusOK] and the canonical
// CBOR of v. With a nil v there is only the status.
func MarshalResponse(v any) ([]byte, error) {
	return appendMarshal([]byte{byte(StatusOK)}, v)
}

func appendMarshal(head []byte, v any) ([]byte, error) {
	if v == nil {
		return head, nil
	}
	b := bytes.NewBuffer(append(make([]byte, 0, 256), head...))
	if err := encMode.MarshalToBuffer(v, b); err != nil {
		return nil, fmt.Errorf("ctap2: encode %T: %w", v, err)
	}
	return b.Bytes(), nil
}

// Unmarshal is the strict decoder, for an authenticator that reads a request into a zero *v.
//
// It refuses duplicate keys, indefinite lengths, tags, null, floats, invalid UTF-8, more than
// four levels of nesting, values of the wrong type, trailing bytes and absent members that are
// required; it skips members and options that it does not know. Canonical form is a
// question of its own: [Canonical]. The error is a [*DecodeError]; [StatusOf] gives the status
// to answer with.
func Unmarshal(data []byte, v any) error {
	return unmarshal(strictMode, data, v)
}

// UnmarshalLenient is the decoder for a platform that reads a response into a zero *v. It takes
// what real keys get wrong: keys out of order, integers that are not the shortest, text that was
// cut inside a character, members and versions that nobody knows, absent optional members.
// Duplicate keys, trailing bytes, wrong types and absent required members are errors here too.
func UnmarshalLenient(data []byte, v any) error {
	return unmarshal(lenientMode, data, v)
}

// isAbsent reports whether raw is no item or null, which responses have in its place.
func isAbsent(raw RawMessage) bool { return len(raw) == 0 || len(raw) == 1 && raw[0] == 0xF6 }

// required is implemented by the messages that have members which must be present.
type required interface {
	// missing names the first absent member, or is empty.
	missing() string
}

func unmarshal(mode cbor.DecMode, data []byte, v any) error {
	if len(data) > MaxMessageSize {
		return &DecodeError{Status: ErrRequestTooLarge, Err: fmt.Errorf("%d bytes", len(data))}
	}
	if len(data) == 0 {
		// CTAP 2.2, section 8: a command with parameters that has none lacks the required ones.
		return &DecodeError{Status: ErrMissingParameter, Err: errors.New("no parameters")}
	}
	if err := mode.Unmarshal(data, v); err != nil {
		return decodeError(err)
	}
	if err := checkBytes(data, v); err != nil {
		return decodeError(err)
	}
	if r, ok := v.(required); ok {
		if name := r.missing(); name != "" {
			return &DecodeError{Status: ErrMissingParameter, Err: fmt.Errorf("no %s", name)}
		}
	}
	return nil
}

// DecodeError says that CBOR could not be read. errors.Is finds the Status in it.
type DecodeError struct {
	Status Status // what an authenticator answers
	Err    error  // what was wrong; holds no values of the message, at most a map key
}

// Error implements error.
func (e *DecodeError) Error() string { return fmt.Sprintf("ctap2: decode: %v", e.Err) }

// Unwrap gives the status and the reason.
func (e *DecodeError) Unwrap() []error { return []error{e.Status, e.Err} }

func decodeError(err error) error {
	if e, ok := errors.AsType[*DecodeError](err); ok {
		return e
	}
	status := ErrInvalidCBOR
	if _, ok := errors.AsType[*cbor.UnmarshalTypeError](err); ok {
		// CTAP 2.2, section 8.2: CBOR that is well-formed but not what the member should be.
		status = ErrCBORUnexpectedType
	} else if _, ok := errors.AsType[*cbor.UnacceptableDataItemError](err); ok {
		status = ErrCBORUnexpectedType
	} else if errors.Is(err, cose.ErrKey) || errors.Is(err, cose.ErrUnsupported) {
		status = ErrInvalidParameter
	}
	return &DecodeError{Status: status, Err: err}
}

// StatusOf gives the status that an authenticator answers for err: the one in it (a [Status],
// an [*Error] or a [*DecodeError] anywhere in the chain), [StatusOK] for nil, [ErrOther]
// for anything else.
func StatusOf(err error) Status {
	if err == nil {
		return StatusOK
	}
	if s, ok := errors.AsType[Status](err); ok {
		return s
	}
	return ErrOther
}
