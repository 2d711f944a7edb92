package softkey_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// Of the profile with the option largeBlobs.
const (
	quota    = 4096
	fragment = 1280 - 64
)

// emptyArray is the initial serialized large-blob array (CTAP 2.3, section 6.10).
var emptyArray = []byte("\x80\x76\xbe\x8b\x52\x8d\x00\x75\xf7\xaa\xe9\x8d\x6f\xa5\x7a\x6d\x3c")

func blobKey(t testing.TB, store softkey.Store, permissions ctap2.Permission) *manager {
	t.Helper()
	return manage(t, softkey.Config{Profile: softkey.ProfileFIDO21, Store: store}, permissions)
}

func TestLargeBlobsAreReadAndWritten(t *testing.T) {
	for _, permissions := range []ctap2.Permission{0, ctap2.PermissionLargeBlobWrite} {
		store := &flaky{left: -1}
		m := blobKey(t, store, permissions)
		if got := m.blobs(); !bytes.Equal(got, emptyArray) {
			t.Errorf("the initial array is %x", got)
		}
		for i, size := range []int{17, 18, 1024, fragment, fragment + 1, quota - 1, quota} {
			want := array(size, byte(i))
			if err := m.writeBlobs(want, fragment); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if got := m.blobs(); !bytes.Equal(got, want) {
				t.Errorf("%d bytes: what was read is not what was written", size)
			}
		}
		want := m.blobs()
		m.a.PowerCycle()
		m.a, m.c = newKey(t, softkey.Config{Profile: softkey.ProfileFIDO21, Store: store})
		if got := m.blobs(); !bytes.Equal(got, want) {
			t.Error("the array is not what it was before the load")
		}
		if err := m.c.Reset(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.a, m.c = newKey(t, softkey.Config{Profile: softkey.ProfileFIDO21, Store: store})
		if got := m.blobs(); !bytes.Equal(got, emptyArray) {
			t.Errorf("the array after a reset is %x", got)
		}
	}
}

// TestOrderOfLargeBlobs is CTAP 2.3, section 6.10.2. Each row has faults that a later step finds, too.
func TestOrderOfLargeBlobs(t *testing.T) {
	m := blobKey(t, nil, ctap2.PermissionConfig) // not the permission that it needs
	n := func(v uint) *uint { return &v }
	wrong := make([]byte, 32)
	long := make([]byte, fragment+1)
	sum := sha256.Sum256([]byte("part"))
	right, _ := m.sign(bytes.Repeat([]byte{0xFF}, 32), []byte{0x0C, 0, 0, 0, 0, 0}, sum[:])
	for name, test := range map[string]struct {
		r    ctap2.LargeBlobsRequest
		want ctap2.Status
	}{
		"nothing":            {ctap2.LargeBlobsRequest{}, ctap2.ErrInvalidParameter},
		"no offset":          {ctap2.LargeBlobsRequest{Get: n(9999)}, ctap2.ErrInvalidParameter},
		"offset only":        {ctap2.LargeBlobsRequest{Offset: n(0)}, ctap2.ErrInvalidParameter},
		"get and set":        {ctap2.LargeBlobsRequest{Get: n(9999), Set: long, Offset: n(0)}, ctap2.ErrInvalidParameter},
		"get with length":    {ctap2.LargeBlobsRequest{Get: n(9999), Offset: n(0), Length: n(17)}, ctap2.ErrInvalidParameter},
		"get with param":     {ctap2.LargeBlobsRequest{Get: n(9999), Offset: n(0), PINUVAuthParam: wrong}, ctap2.ErrInvalidParameter},
		"get with protocol":  {ctap2.LargeBlobsRequest{Get: n(9999), Offset: n(0), PINUVAuthProtocol: 2}, ctap2.ErrInvalidParameter},
		"get too much":       {ctap2.LargeBlobsRequest{Get: n(fragment + 1), Offset: n(9999)}, ctap2.ErrInvalidLength},
		"get most":           {ctap2.LargeBlobsRequest{Get: n(fragment), Offset: n(17)}, 0},
		"get from behind":    {ctap2.LargeBlobsRequest{Get: n(0), Offset: n(18)}, ctap2.ErrInvalidParameter},
		"get from far":       {ctap2.LargeBlobsRequest{Get: n(1), Offset: n(1 << 63)}, ctap2.ErrInvalidParameter},
		"set too much":       {ctap2.LargeBlobsRequest{Set: long, Offset: n(0)}, ctap2.ErrInvalidLength},
		"no length":          {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0)}, ctap2.ErrInvalidParameter},
		"no room":            {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(quota + 1)}, ctap2.ErrLargeBlobStorageFull},
		"far from room":      {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(1 << 63)}, ctap2.ErrLargeBlobStorageFull},
		"too short":          {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(16)}, ctap2.ErrInvalidParameter},
		"shortest":           {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(17)}, ctap2.ErrPUATRequired},
		"longest":            {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(quota)}, ctap2.ErrPUATRequired},
		"length again":       {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(4), Length: n(17)}, ctap2.ErrInvalidParameter},
		"not the next":       {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(4)}, ctap2.ErrInvalidSeq},
		"no param":           {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(17), PINUVAuthProtocol: 9}, ctap2.ErrPUATRequired},
		"no protocol":        {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(17), PINUVAuthParam: wrong}, ctap2.ErrMissingParameter},
		"unknown protocol":   {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(17), PINUVAuthParam: wrong, PINUVAuthProtocol: 9}, ctap2.ErrInvalidParameter},
		"wrong param":        {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(17), PINUVAuthParam: wrong, PINUVAuthProtocol: 2}, ctap2.ErrPINAuthInvalid},
		"no permission":      {ctap2.LargeBlobsRequest{Set: []byte("part"), Offset: n(0), Length: n(17), PINUVAuthParam: right, PINUVAuthProtocol: 2}, ctap2.ErrPINAuthInvalid},
		"wrong and too much": {ctap2.LargeBlobsRequest{Set: make([]byte, 18), Offset: n(0), Length: n(17), PINUVAuthParam: wrong, PINUVAuthProtocol: 2}, ctap2.ErrPINAuthInvalid},
	} {
		var response any
		if test.want == 0 {
			response = &ctap2.LargeBlobsResponse{}
		}
		err := exchange(t, m.a, ctap2.CmdLargeBlobs, &test.r, response)
		if test.want == 0 && err != nil || test.want != 0 && !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if got := m.blobs(); !bytes.Equal(got, emptyArray) {
		t.Errorf("a refused request changed the array to %x", got)
	}
}

func TestFragmentsMustFollow(t *testing.T) {
	m := blobKey(t, nil, ctap2.PermissionLargeBlobWrite)
	whole := array(100, 7)
	begin := func() {
		t.Helper()
		if err := m.setBlobs(whole[:50], 0, 100); err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []uint{49, 51, 100} {
		begin()
		wantStatus(t, m.setBlobs(whole[50:], at, 0), ctap2.ErrInvalidSeq)
		wantStatus(t, m.setBlobs(whole[50:], 50, 0), ctap2.ErrInvalidSeq) // it is over
	}
	begin()
	wantStatus(t, m.setBlobs(append(bytes.Clone(whole[50:]), 0), 50, 0), ctap2.ErrInvalidParameter) // too much
	begin()
	damaged := bytes.Clone(whole[50:])
	damaged[49]++
	wantStatus(t, m.setBlobs(damaged, 50, 0), ctap2.ErrIntegrityFailure)
	wantStatus(t, m.setBlobs(whole[:50], 0, 49), ctap2.ErrInvalidParameter)
	if got := m.blobs(); !bytes.Equal(got, emptyArray) {
		t.Fatalf("the array is %x before all of it came", got)
	}
	begin()
	begin() // from the beginning again
	if err := m.setBlobs(whole[50:], 50, 0); err != nil {
		t.Fatal(err)
	}
	if got := m.blobs(); !bytes.Equal(got, whole) {
		t.Errorf("the array is %x", got)
	}
	wantStatus(t, m.setBlobs(whole[:1], 100, 0), ctap2.ErrInvalidSeq)
}

// TestWhatEndsAWrite is CTAP 2.3, section 6, stateful commands.
func TestWhatEndsAWrite(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(m *manager)
		ends bool
	}{
		"nothing":       {do: func(*manager) {}},
		"getInfo":       {do: func(m *manager) { _, _ = m.c.GetInfo(m.t.Context()) }, ends: true},
		"unknown":       {do: func(m *manager) { _, _ = m.a.CBOR(m.t.Context(), []byte{0x55}, nil) }, ends: true},
		"U2F":           {do: func(m *manager) { _, _ = m.a.MSG(m.t.Context(), []byte{0, 3, 0, 0, 0, 0, 0}, nil) }, ends: true},
		"management":    {do: func(m *manager) { _, _ = m.rps() }, ends: true},
		"reading":       {do: func(m *manager) { m.blobs() }, ends: true},
		"power":         {do: func(m *manager) { m.a.PowerCycle() }, ends: true},
		"token is over": {do: func(*manager) { time.Sleep(10 * time.Minute) }, ends: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := blobKey(t, nil, ctap2.PermissionLargeBlobWrite)
			whole := array(100, 7)
			if err := m.setBlobs(whole[:50], 0, 100); err != nil {
				t.Fatal(err)
			}
			test.do(m)
			err := m.setBlobs(whole[50:], 50, 0)
			if test.ends && !errors.Is(err, ctap2.ErrInvalidSeq) || !test.ends && err != nil {
				t.Errorf("%s: %v, ends: %v", name, err, test.ends)
			}
			if got := m.blobs(); test.ends != bytes.Equal(got, emptyArray) {
				t.Errorf("%s: the array is %x", name, got)
			}
		})
	}
}

func TestLargeBlobsWithAlwaysUVNeedAToken(t *testing.T) {
	m := manage(t, softkey.Config{Profile: softkey.ProfileFIDO21, AlwaysUV: true}, 0)
	wantStatus(t, m.writeBlobs(array(17, 1), fragment), ctap2.ErrPUATRequired)
}

func TestKeysWithoutLargeBlobs(t *testing.T) {
	for _, profile := range []softkey.Profile{softkey.ProfileU2F, softkey.ProfileMinimal, softkey.ProfileFIDO20, softkey.ProfileFIDO23} {
		m := manage(t, softkey.Config{Profile: profile}, 0)
		if _, err := m.getBlobs(0, 17); !errors.Is(err, ctap2.ErrInvalidCommand) {
			t.Errorf("%s: %v, want INVALID_COMMAND", profile, err)
		}
	}
}

// TestPowerLostWhileBlobsAreWritten finds the old array or the new one in the store.
func TestPowerLostWhileBlobsAreWritten(t *testing.T) {
	before, after := array(3000, 1), array(2000, 2)
	for _, torn := range []bool{false, true} {
		store := &flaky{left: -1}
		m := blobKey(t, store, 0)
		if err := m.writeBlobs(before, fragment); err != nil {
			t.Fatal(err)
		}
		store.left, store.torn = 0, torn
		wantStatus(t, m.writeBlobs(after, fragment), ctap2.ErrOther)
		if got := m.blobs(); !bytes.Equal(got, before) {
			t.Error("a write that failed changed the array")
		}
		store.left = -1
		want := before
		if torn { // it was on the disk all the same
			want = after
		}
		m = blobKey(t, store, 0)
		if got := m.blobs(); !bytes.Equal(got, want) {
			t.Errorf("torn %v: %d bytes were loaded, want %d", torn, len(got), len(want))
		}
	}
}

// TestStateFileThatEndsInABlobWrite cuts a state file at each byte of the record of an array.
func TestStateFileThatEndsInABlobWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	open := func() *manager {
		store, err := softkey.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		store.FailWrites(func(f *os.File, b []byte, at int64) (int, error) { return f.WriteAt(b, at) }, func(*os.File) error { return nil })
		return blobKey(t, store, 0)
	}
	m := open()
	before, after := array(100, 1), array(200, 2)
	if err := m.writeBlobs(before, fragment); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.writeBlobs(after, fragment); err != nil {
		t.Fatal(err)
	}
	closeKey(t, m.a)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for end := int(info.Size()); end <= len(whole); end++ {
		if err := os.WriteFile(path, whole[:end], 0o600); err != nil {
			t.Fatal(err)
		}
		m := open()
		want := before
		if end == len(whole) {
			want = after
		}
		if got := m.blobs(); !bytes.Equal(got, want) {
			t.Fatalf("cut at %d of %d: %d bytes, want %d", end, len(whole), len(got), len(want))
		}
		closeKey(t, m.a)
	}
}
