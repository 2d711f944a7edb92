package ctap2_test

import (
	"bytes"
	"reflect"
	"slices"
	"testing"

	"github.com/fobd/fobd/ctap2"
)

// fuzzMessage checks, for a message type T, that what was read can be written, that this
// is canonical, that reading and writing it again changes nothing, and that the strict decoder takes
// no more than the lenient one.
func fuzzMessage[T any](f *testing.F, request bool) {
	for _, m := range messages(f) {
		if reflect.TypeOf(m.value) == reflect.TypeFor[*T]() {
			f.Add(unhex(f, m.wire))
		}
	}
	f.Add([]byte{0xA0})
	f.Add([]byte{0xBF, 0xFF})
	f.Fuzz(func(t *testing.T, data []byte) {
		var v T
		lenient := ctap2.UnmarshalLenient(data, &v)
		if request {
			var s T
			strict := ctap2.Unmarshal(data, &s)
			if strict == nil && lenient != nil {
				t.Fatalf("the strict decoder takes what the lenient one refuses: %v", lenient)
			}
			if lenient != nil || strict != nil {
				return
			}
			v = s
		} else if lenient != nil {
			return
		}
		first, err := ctap2.Marshal(&v)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		if request {
			if err := ctap2.Canonical(first); err != nil {
				t.Fatalf("what was written is not canonical: %v\n%x", err, first)
			}
		}
		var again T
		if err := ctap2.UnmarshalLenient(first, &again); err != nil {
			t.Fatalf("what was written can't be read: %v\n%x", err, first)
		}
		second, err := ctap2.Marshal(&again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("written again: %v\nfirst  %x\nsecond %x", err, first, second)
		}
	})
}

func FuzzMakeCredentialRequest(f *testing.F)  { fuzzMessage[ctap2.MakeCredentialRequest](f, true) }
func FuzzMakeCredentialResponse(f *testing.F) { fuzzMessage[ctap2.MakeCredentialResponse](f, false) }
func FuzzMakeCredentialOutputs(f *testing.F)  { fuzzMessage[ctap2.MakeCredentialOutputs](f, false) }
func FuzzGetAssertionRequest(f *testing.F)    { fuzzMessage[ctap2.GetAssertionRequest](f, true) }
func FuzzGetAssertionResponse(f *testing.F)   { fuzzMessage[ctap2.GetAssertionResponse](f, false) }
func FuzzGetAssertionOutputs(f *testing.F)    { fuzzMessage[ctap2.GetAssertionOutputs](f, false) }
func FuzzInfo(f *testing.F)                   { fuzzMessage[ctap2.Info](f, false) }
func FuzzClientPINRequest(f *testing.F)       { fuzzMessage[ctap2.ClientPINRequest](f, true) }
func FuzzClientPINResponse(f *testing.F)      { fuzzMessage[ctap2.ClientPINResponse](f, false) }
func FuzzPackedStatement(f *testing.F)        { fuzzMessage[ctap2.PackedStatement](f, false) }
func FuzzFIDOU2FStatement(f *testing.F)       { fuzzMessage[ctap2.FIDOU2FStatement](f, false) }

func FuzzAttestationObject(f *testing.F) {
	for _, v := range attested(f) {
		object, err := v.AttestationObject()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(object)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ctap2.ParseAttestationObject(data)
		if err != nil {
			return
		}
		first, err := r.AttestationObject()
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		again, err := ctap2.ParseAttestationObject(first)
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if second, err := again.AttestationObject(); err != nil || !bytes.Equal(first, second) {
			t.Fatalf("written again: %v\nfirst  %x\nsecond %x", err, first, second)
		}
	})
}

func FuzzAuthData(f *testing.F) {
	for _, v := range attested(f) {
		f.Add(v.AuthData)
	}
	f.Add(make([]byte, 37))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ctap2.ParseAuthData(data)
		if err != nil {
			return
		}
		if wire, err := a.Marshal(); err != nil || !bytes.Equal(wire, data) {
			t.Fatalf("written again: %v\n got %x\nwant %x", err, wire, data)
		}
	})
}

// ambiguous says whether v can stand for several pieces of CBOR that are all canonical: Go's nil is
// null and undefined, and a float64 a float of any size (CTAP 2.2, section 8 leaves them as they are).
func ambiguous(v any) bool {
	switch v := v.(type) {
	case nil, float64:
		return true
	case []any:
		return slices.ContainsFunc(v, ambiguous)
	case map[any]any:
		for key, value := range v {
			if ambiguous(key) || ambiguous(value) {
				return true
			}
		}
	}
	return false
}

// FuzzCanonical checks Canonical against the cbor module by way of the decoders: a request that is
// read and is canonical is the same bytes when its members are all known.
func FuzzCanonical(f *testing.F) {
	for _, m := range messages(f) {
		f.Add(unhex(f, m.wire))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		canonical := ctap2.Canonical(data)
		var v any
		if err := ctap2.UnmarshalLenient(data, &v); err != nil {
			return // tags, byte strings as keys and the like
		}
		wire, err := ctap2.Marshal(v)
		if err != nil || ambiguous(v) {
			return
		}
		if canonical == nil && !bytes.Equal(wire, data) {
			t.Fatalf("canonical, but written as something else:\n got %x\nwant %x", wire, data)
		}
	})
}
