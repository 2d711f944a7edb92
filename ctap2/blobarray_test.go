package ctap2_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// blobKey is the part of an authenticator that keeps the large-blob array (CTAP 2.3, section 6.10.2).
type blobKey struct {
	t       *testing.T
	token   []byte // nil: not protected
	stored  []byte
	pending []byte
	length  uint
	largest int // request seen
	sets    int
}

func (k *blobKey) CBOR(_ context.Context, request []byte, _ func(byte)) ([]byte, error) {
	k.largest = max(k.largest, len(request))
	if request[0] != byte(ctap2.CmdLargeBlobs) {
		k.t.Errorf("command %#x", request[0])
	}
	resp, err := k.answer(request[1:])
	if err != nil {
		return []byte{byte(ctap2.StatusOf(err))}, nil
	}
	return ctap2.MarshalResponse(resp)
}

func (k *blobKey) answer(data []byte) (any, error) {
	var r ctap2.LargeBlobsRequest
	if err := ctap2.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if r.Offset == nil || (r.Get != nil) == (r.Set != nil) {
		return nil, ctap2.ErrInvalidParameter
	}
	if r.Get != nil {
		if *r.Offset > uint(len(k.stored)) {
			return nil, ctap2.ErrInvalidParameter
		}
		rest := k.stored[*r.Offset:]
		return &ctap2.LargeBlobsResponse{Config: append([]byte{}, rest[:min(*r.Get, uint(len(rest)))]...)}, nil
	}
	k.sets++
	if (r.Length != nil) != (*r.Offset == 0) {
		return nil, ctap2.ErrInvalidParameter
	}
	if *r.Offset == 0 {
		k.pending, k.length = nil, *r.Length
	}
	if *r.Offset != uint(len(k.pending)) {
		return nil, ctap2.ErrInvalidSeq
	}
	if k.token != nil && !pinuv.Two.Verify(k.token, r.Authenticated(), r.PINUVAuthParam) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	k.pending = append(k.pending, r.Set...)
	if uint(len(k.pending)) == k.length {
		k.stored = k.pending
	}
	return nil, nil
}

// withHash appends the first half of the SHA-256.
func withHash(array []byte) []byte {
	sum := sha256.Sum256(array)
	return append(bytes.Clone(array), sum[:16]...)
}

func blobInfo(maxMsgSize, maxArray uint) *ctap2.Info {
	return &ctap2.Info{Options: map[string]bool{"largeBlobs": true}, MaxMsgSize: maxMsgSize, MaxSerializedLargeBlobArray: maxArray}
}

func TestInitialLargeBlobArray(t *testing.T) {
	want := unhex(t, "8076be8b528d0075f7aae98d6fa57a6d3c") // CTAP 2.3, section 6.10
	if got := ctap2.InitialLargeBlobArray(); !bytes.Equal(got, want) {
		t.Errorf("initial array %x", got)
	}
	if got, err := ctap2.MarshalLargeBlobArray(nil); err != nil || !bytes.Equal(got, want) {
		t.Errorf("array without entries %x, %v", got, err)
	}
	if got, err := ctap2.ParseLargeBlobArray(want); err != nil || len(got) != 0 {
		t.Errorf("read as %v, %v", got, err)
	}
}

// TestLargeBlobArrayInFragments writes and reads arrays of every size around the ends of fragments.
func TestLargeBlobArrayInFragments(t *testing.T) {
	token := ctap2.NewToken(pinuv.Two, repeat(5, 32))
	info := blobInfo(200, 4096)
	for n := range 600 {
		// A byte string of n bytes is no entry of ours, and any length will do.
		raw, err := ctap2.Marshal(repeat(9, n))
		if err != nil {
			t.Fatal(err)
		}
		key := &blobKey{t: t, token: repeat(5, 32), stored: ctap2.InitialLargeBlobArray()}
		c := ctap2.NewClient(key, nil)
		if err := c.SetLargeBlobArray(t.Context(), info, token, []ctap2.LargeBlob{{Raw: raw}}); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if key.largest > 200 {
			t.Fatalf("%d bytes: a request of %d bytes", n, key.largest)
		}
		if want := (len(key.stored) + 135) / 136; key.sets != want {
			t.Fatalf("%d bytes: %d fragments, want %d", n, key.sets, want)
		}
		entries, stored, err := c.LargeBlobArray(t.Context(), info)
		if err != nil || stored != len(key.stored) || len(entries) != 1 || !bytes.Equal(entries[0].Raw, raw) || entries[0].Known() {
			t.Fatalf("%d bytes: read %d entries of %d bytes, %v", n, len(entries), stored, err)
		}
	}
}

func TestLargeBlobArrayLimit(t *testing.T) {
	const limit = 2048
	for _, n := range []int{limit - 1, limit, limit + 1} {
		raw, err := ctap2.Marshal(repeat(9, n-1-3-16)) // the array, the string's head, the hash
		if err != nil {
			t.Fatal(err)
		}
		key := &blobKey{t: t, stored: ctap2.InitialLargeBlobArray()}
		c := ctap2.NewClient(key, nil)
		entries := []ctap2.LargeBlob{{Raw: raw}}
		err = c.SetLargeBlobArray(t.Context(), blobInfo(0, limit), nil, entries)
		if fits := n <= limit; fits != (err == nil) || !fits && (!errors.Is(err, ctap2.ErrTooLarge) || key.sets > 0) || fits && len(key.stored) != n {
			t.Errorf("writing %d of %d: %v, %d fragments", n, limit, err, key.sets)
		}
		if key.stored, err = ctap2.MarshalLargeBlobArray(entries); err != nil {
			t.Fatal(err)
		}
		_, stored, err := c.LargeBlobArray(t.Context(), blobInfo(0, limit))
		if fits := n <= limit; fits != (err == nil) || !fits && !errors.Is(err, ctap2.ErrResponse) || fits && stored != n {
			t.Errorf("reading %d of %d: %v", n, limit, err)
		}
	}
	// Fewer than 1024 bytes are not allowed to be all (CTAP 2.3, section 6.4).
	key := &blobKey{t: t}
	raw, err := ctap2.Marshal(repeat(9, 1000))
	if err != nil {
		t.Fatal(err)
	}
	if err := ctap2.NewClient(key, nil).SetLargeBlobArray(t.Context(), blobInfo(0, 0), nil, []ctap2.LargeBlob{{Raw: raw}}); err != nil {
		t.Errorf("1020 bytes where nothing is said: %v", err)
	}
}

func TestDamagedLargeBlobArray(t *testing.T) {
	hashed := func(hexes string) []byte { return withHash(unhex(t, hexes)) }
	for _, tt := range []struct {
		name   string
		stored []byte
	}{
		{"nothing", []byte{}},
		{"sixteen bytes", make([]byte, 16)},
		{"zeros", make([]byte, 17)},
		{"wrong hash", append(unhex(t, "81 01"), ctap2.InitialLargeBlobArray()[1:]...)},
		{"not an array", hashed("a0")},
		{"text", hashed("61 78")},
		{"an entry too few", hashed("82 01")},
		{"bytes too many", hashed("80 00")},
		{"huge count", hashed("9b ffffffffffffffff")},
		{"count of a gigabyte", hashed("9a 40000000 00")},
		{"indefinite", hashed("9f ff")},
		{"tag inside", hashed("81 c1 01")},
	} {
		key := &blobKey{t: t, stored: tt.stored}
		c := ctap2.NewClient(key, nil)
		entries, stored, err := c.LargeBlobArray(t.Context(), blobInfo(0, 0))
		if !errors.Is(err, ctap2.ErrLargeBlobDamaged) || entries != nil || stored != len(tt.stored) {
			t.Errorf("%s: %v, %d bytes, %v", tt.name, entries, stored, err)
		}
		if entries, err := c.LargeBlobArrayOrEmpty(t.Context(), blobInfo(0, 0)); err != nil || len(entries) > 0 {
			t.Errorf("%s: taken for %v, %v", tt.name, entries, err)
		}
	}
}

func TestStrangeEntriesAreKept(t *testing.T) {
	mine := sealed(t, repeat(1, 32), unhex(t, "03 00"), 0)
	entry, err := ctap2.Marshal(&mine)
	if err != nil {
		t.Fatal(err)
	}
	more := append([]byte{0xA4}, append(entry[1:len(entry):len(entry)], 0x04, 0x61, 'x')...) // a member of the future
	raws := [][]byte{
		unhex(t, "01"), unhex(t, "a0"), unhex(t, "f6"), unhex(t, "1801"), // not even canonical
		unhex(t, "a2 01 41 00 02 41 00"), unhex(t, "a3 01 80 02 41 00 03 00"), unhex(t, "a3 01 f5 02 f5 03 20"), unhex(t, "a3 01 41 00 02 41 00 03 00"), entry, more,
	}
	array := []byte{0x80 | byte(len(raws))}
	for _, raw := range raws {
		array = append(array, raw...)
	}
	serialized := withHash(array)
	entries, err := ctap2.ParseLargeBlobArray(serialized)
	if err != nil || len(entries) != len(raws) {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	for i, b := range entries {
		if known := i >= len(raws)-2; !bytes.Equal(b.Raw, raws[i]) || b.Known() != known {
			t.Errorf("entry %d: %x, known %v", i, b.Raw, b.Known())
		}
	}
	if again, err := ctap2.MarshalLargeBlobArray(entries); err != nil || !bytes.Equal(again, serialized) {
		t.Errorf("written back as %x, %v", again, err)
	}
	if data, ok, err := ctap2.GetLargeBlob(entries[len(entries)-1:], repeat(1, 32)); err != nil || !ok || len(data) > 0 {
		t.Errorf("entry with a member of the future: %x, %v, %v", data, ok, err)
	}
	// They are still there after one of ours has been put beside them.
	put := put(t, entries, repeat(2, 32), "x")
	if diff := cmp.Diff(entries, put[:len(entries)]); diff != "" || len(put) != len(entries)+1 {
		t.Errorf("after a put (-want +got):\n%s", diff)
	}
}

func TestHostileLargeBlobs(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer string
		want   error
	}{
		{"no config", "00 a0", ctap2.ErrResponse},
		{"no data", "00", ctap2.ErrResponse},
		{"text", "00 a1 01 60", ctap2.ErrResponse},
		{"array", "00 a1 01 80", ctap2.ErrResponse},
		{"status", "11", ctap2.ErrCBORUnexpectedType},
	} {
		if _, _, err := play(unhex(t, tt.answer)).LargeBlobArray(t.Context(), blobInfo(0, 0)); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// A fragment that is longer than what was asked for, and fragments that never end.
	for _, n := range []int{960, 961} {
		full, err := ctap2.MarshalResponse(&ctap2.LargeBlobsResponse{Config: make([]byte, n)})
		if err != nil {
			t.Fatal(err)
		}
		asked := 0
		c := ctap2.NewClient(transportFunc(func([]byte) ([]byte, error) { asked++; return full, nil }), nil)
		if _, _, err := c.LargeBlobArray(t.Context(), blobInfo(1024, 1<<62)); !errors.Is(err, ctap2.ErrResponse) || asked > 1200 {
			t.Errorf("fragments of %d bytes: %v after %d", n, err, asked)
		}
	}
	// Claims about sizes that nobody has.
	for _, size := range []uint{1, 64, 65, 1 << 62} {
		key := &blobKey{t: t, stored: ctap2.InitialLargeBlobArray()}
		if _, _, err := ctap2.NewClient(key, nil).LargeBlobArray(t.Context(), blobInfo(size, 1<<62)); err != nil {
			t.Errorf("maxMsgSize %d: %v", size, err)
		}
	}
}

func TestLargeBlobsNotThere(t *testing.T) {
	c := ctap2.NewClient(transportFunc(func([]byte) ([]byte, error) {
		t.Error("the key was asked")
		return nil, nil
	}), nil)
	for _, info := range []*ctap2.Info{{}, {Options: map[string]bool{"largeBlobs": false}}} {
		_, _, err := c.LargeBlobArray(t.Context(), info)
		_, err2 := c.LargeBlobArrayOrEmpty(t.Context(), info)
		err3 := c.SetLargeBlobArray(t.Context(), info, nil, nil)
		for _, err := range []error{err, err2, err3} {
			if !errors.Is(err, ctap2.ErrNotSupported) {
				t.Errorf("%v, want %v", err, ctap2.ErrNotSupported)
			}
		}
	}
}

func TestWritingLargeBlobsStopsAtAStatus(t *testing.T) {
	raw, err := ctap2.Marshal(repeat(9, 1000))
	if err != nil {
		t.Fatal(err)
	}
	for _, status := range []ctap2.Status{
		ctap2.ErrPUATRequired, ctap2.ErrPINAuthInvalid, ctap2.ErrInvalidSeq, ctap2.ErrIntegrityFailure,
		ctap2.ErrLargeBlobStorageFull, ctap2.ErrInvalidLength, ctap2.ErrInvalidParameter, ctap2.ErrUnauthorizedPermission,
	} {
		s := &script{answers: map[byte][][]byte{12: {{0}, {byte(status)}, {0}, {0}}}}
		err := ctap2.NewClient(s, nil).SetLargeBlobArray(t.Context(), blobInfo(500, 0), nil, []ctap2.LargeBlob{{Raw: raw}})
		if !errors.Is(err, status) || len(s.requests) != 2 {
			t.Errorf("%s: %v after %d requests", status.Name(), err, len(s.requests))
		}
	}
}
