package ctap2_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

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
			// What is kept raw is written as it came.
			if err := ctap2.Canonical(first); err != nil && ctap2.Canonical(data) == nil {
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

func FuzzCredentialManagementRequest(f *testing.F) {
	fuzzMessage[ctap2.CredentialManagementRequest](f, true)
}

func FuzzCredentialManagementParams(f *testing.F) {
	fuzzMessage[ctap2.CredentialManagementParams](f, true)
}

func FuzzCredentialManagementResponse(f *testing.F) {
	fuzzMessage[ctap2.CredentialManagementResponse](f, false)
}

func FuzzBioEnrollmentRequest(f *testing.F)   { fuzzMessage[ctap2.BioEnrollmentRequest](f, true) }
func FuzzBioEnrollmentParams(f *testing.F)    { fuzzMessage[ctap2.BioEnrollmentParams](f, true) }
func FuzzBioEnrollmentResponse(f *testing.F)  { fuzzMessage[ctap2.BioEnrollmentResponse](f, false) }
func FuzzLargeBlobsRequest(f *testing.F)      { fuzzMessage[ctap2.LargeBlobsRequest](f, true) }
func FuzzLargeBlobsResponse(f *testing.F)     { fuzzMessage[ctap2.LargeBlobsResponse](f, false) }
func FuzzLargeBlob(f *testing.F)              { fuzzMessage[ctap2.LargeBlob](f, false) }
func FuzzConfigRequest(f *testing.F)          { fuzzMessage[ctap2.ConfigRequest](f, true) }
func FuzzSetMinPINLengthParams(f *testing.F)  { fuzzMessage[ctap2.SetMinPINLengthParams](f, true) }
func FuzzVendorPrototypeParams(f *testing.F)  { fuzzMessage[ctap2.VendorPrototypeParams](f, true) }
func FuzzMakeCredentialUnsigned(f *testing.F) { fuzzMessage[ctap2.MakeCredentialUnsigned](f, false) }
func FuzzGetAssertionUnsigned(f *testing.F)   { fuzzMessage[ctap2.GetAssertionUnsigned](f, false) }

func FuzzMakeCredentialExtensions(f *testing.F) {
	fuzzMessage[ctap2.MakeCredentialExtensions](f, true)
}

func FuzzGetAssertionExtensions(f *testing.F) {
	fuzzMessage[ctap2.GetAssertionExtensions](f, true)
}

// FuzzLargeBlobArray checks that an array that was read is written with the same entries, and that
// nothing but an array with its hash is read.
func FuzzLargeBlobArray(f *testing.F) {
	entry, err := ctap2.SealLargeBlob(repeat(1, 32), []byte("data"))
	if err != nil {
		f.Fatal(err)
	}
	for _, entries := range [][]ctap2.LargeBlob{nil, {entry}, {{Raw: []byte{0xA0}}, entry, {Raw: []byte{0x18, 0x01}}}} {
		serialized, err := ctap2.MarshalLargeBlobArray(entries)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(serialized[:len(serialized)-16])
	}
	f.Add([]byte{0x9B, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF})
	f.Fuzz(func(t *testing.T, array []byte) {
		sum := sha256.Sum256(array)
		entries, err := ctap2.ParseLargeBlobArray(append(bytes.Clone(array), sum[:16]...))
		if err != nil {
			if !errors.Is(err, ctap2.ErrLargeBlobDamaged) {
				t.Fatal(err)
			}
			return
		}
		serialized, err := ctap2.MarshalLargeBlobArray(entries)
		if err != nil {
			t.Fatalf("what was read can't be written: %v", err)
		}
		again, err := ctap2.ParseLargeBlobArray(serialized)
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		if diff := cmp.Diff(entries, again); diff != "" {
			t.Fatalf("read again (-first +second):\n%s", diff)
		}
		if _, _, err := ctap2.GetLargeBlob(entries, repeat(1, 32)); err != nil && !errors.Is(err, ctap2.ErrBlob) {
			t.Fatal(err)
		}
	})
}

// FuzzLargeBlobOpen opens entries with any compressed data inside: no more than the original size
// comes out, and it is what compresses to something that opens again.
func FuzzLargeBlobOpen(f *testing.F) {
	for _, data := range [][]byte{nil, []byte("data"), make([]byte, 100000)} {
		compressed, err := ctap2.CompressBlob(data)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(compressed, uint64(len(data)))
	}
	f.Add([]byte{0x03, 0x00}, uint64(1<<63))
	f.Fuzz(func(t *testing.T, compressed []byte, size uint64) {
		key := repeat(1, 32)
		data, err := sealed(t, key, compressed, size).Open(key)
		if err != nil {
			if !errors.Is(err, ctap2.ErrBlob) {
				t.Fatal(err)
			}
			return
		}
		if uint64(len(data)) != size || size > ctap2.MaxBlob {
			t.Fatalf("%d bytes came out, %d were announced", len(data), size)
		}
		entry, err := ctap2.SealLargeBlob(key, data)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := entry.Open(key); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("sealed again: %v", err)
		}
	})
}

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

// FuzzHostileKey lets an authenticator answer anything, over and over: whatever it is, every method comes to
// an end and gives a value or an error, not both.
func FuzzHostileKey(f *testing.F) {
	for _, m := range manageMessages(f) {
		if !m.request {
			f.Add(append([]byte{0}, unhex(f, m.wire)...), []byte{byte(ctap2.ErrNotAllowed)})
		}
	}
	f.Add(append([]byte{0}, unhex(f, "a2 04 "+hash32+" 05 191000")...), append([]byte{0}, unhex(f, "a1 04 "+hash32)...))
	f.Fuzz(func(t *testing.T, first, next []byte) {
		asked := 0
		c := ctap2.NewClient(transportFunc(func([]byte) ([]byte, error) {
			if asked++; asked == 1 {
				return first, nil
			}
			return next, nil
		}), nil)
		info := &ctap2.Info{Options: map[string]bool{"credMgmt": true, "bioEnroll": true, "largeBlobs": true}}
		m, err := c.CredentialManager(info, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := c.BioEnroller(info, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, call := range map[string]func() (nothing bool, err error){
			"RPs":         func() (bool, error) { l, err := m.RPs(t.Context()); return len(l) == 0, err },
			"Credentials": func() (bool, error) { l, err := m.Credentials(t.Context(), [32]byte{}); return len(l) == 0, err },
			"List":        func() (bool, error) { l, err := b.List(t.Context()); return len(l) == 0, err },
			"Begin":       func() (bool, error) { e, err := b.Begin(t.Context(), 0); return e == nil, err },
			"LargeBlobs":  func() (bool, error) { l, _, err := c.LargeBlobArray(t.Context(), info); return len(l) == 0, err },
			"Preflight": func() (bool, error) {
				_, ok, err := c.Preflight(t.Context(), ctap2.PreflightRequest{Info: info, RPID: "a.b", List: longList(9, 2)})
				return !ok, err
			},
		} {
			asked = 0
			if nothing, err := call(); err != nil && !nothing {
				t.Errorf("%s: a value and %v", name, err)
			}
			if asked > ctap2.MaxListed {
				t.Errorf("%s: %d exchanges", name, asked)
			}
		}
	})
}
