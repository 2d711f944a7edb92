package ctap2_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/ctap2"
)

// sealed makes an entry as CTAP 2.3, section 6.10.3 describes it, of data that need not be compressed
// rightly.
func sealed(t testing.TB, key, compressed []byte, origSize uint64) ctap2.LargeBlob {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := repeat(7, 12)
	ad := binary.LittleEndian.AppendUint64([]byte("blob"), origSize)
	return ctap2.LargeBlob{Ciphertext: gcm.Seal(nil, nonce, compressed, ad), Nonce: nonce, OrigSize: origSize}
}

func TestLargeBlobOfAnybody(t *testing.T) {
	key := repeat(1, 32)
	// A stored block (RFC 1951, section 3.2.4): final, five bytes, their complement, "hello".
	stored := unhex(t, "01 0500 faff 68656c6c6f")
	got, err := sealed(t, key, stored, 5).Open(key)
	if err != nil || string(got) != "hello" {
		t.Errorf("Open = %q, %v", got, err)
	}
}

func TestSealAndOpen(t *testing.T) {
	key, other := repeat(1, 32), repeat(2, 32)
	for _, n := range []int{0, 1, 1024, ctap2.MaxBlob - 1, ctap2.MaxBlob} {
		data := bytes.Repeat([]byte("x"), n)
		entry, err := ctap2.SealLargeBlob(key, data)
		if err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if entry.OrigSize != uint64(n) || len(entry.Nonce) != 12 || !entry.Known() || n > 100 && len(entry.Ciphertext) > n/2 {
			t.Errorf("%d bytes: %d bytes of ciphertext, nonce %x, origSize %d", n, len(entry.Ciphertext), entry.Nonce, entry.OrigSize)
		}
		if got, err := entry.Open(key); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: Open gives %d bytes, %v", n, len(got), err)
		}
		if _, err := entry.Open(other); !errors.Is(err, ctap2.ErrBlobKey) {
			t.Errorf("%d bytes: with another key: %v", n, err)
		}
	}
	if _, err := ctap2.SealLargeBlob(key, make([]byte, ctap2.MaxBlob+1)); !errors.Is(err, ctap2.ErrBlob) {
		t.Errorf("a byte too many: %v", err)
	}
	for _, n := range []int{0, 31, 33} {
		if _, err := ctap2.SealLargeBlob(make([]byte, n), nil); err == nil {
			t.Errorf("sealed with a key of %d bytes", n)
		}
		if _, err := sealed(t, key, nil, 0).Open(make([]byte, n)); err == nil {
			t.Errorf("opened with a key of %d bytes", n)
		}
	}
	one, err := ctap2.SealLargeBlob(key, []byte("a"))
	if err != nil {
		t.Fatal(err)
	}
	two, err := ctap2.SealLargeBlob(key, []byte("a"))
	if err != nil || bytes.Equal(one.Nonce, two.Nonce) {
		t.Errorf("the same nonce twice: %x, %v", one.Nonce, err)
	}
}

func TestOpenWhatWasChanged(t *testing.T) {
	key := repeat(1, 32)
	good, err := ctap2.SealLargeBlob(key, []byte("data"))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(b *ctap2.LargeBlob){
		"ciphertext":       func(b *ctap2.LargeBlob) { b.Ciphertext[0] ^= 1 },
		"short ciphertext": func(b *ctap2.LargeBlob) { b.Ciphertext = b.Ciphertext[:15] },
		"nonce":            func(b *ctap2.LargeBlob) { b.Nonce[11] ^= 1 },
		"short nonce":      func(b *ctap2.LargeBlob) { b.Nonce = b.Nonce[:11] },
		"long nonce":       func(b *ctap2.LargeBlob) { b.Nonce = append(b.Nonce, 0) },
		"size":             func(b *ctap2.LargeBlob) { b.OrigSize++ },
	} {
		b := ctap2.LargeBlob{Ciphertext: bytes.Clone(good.Ciphertext), Nonce: bytes.Clone(good.Nonce), OrigSize: good.OrigSize}
		change(&b)
		if data, err := b.Open(key); !errors.Is(err, ctap2.ErrBlobKey) {
			t.Errorf("%s: %q, %v", name, data, err)
		}
	}
}

func TestDecompressionIsBounded(t *testing.T) {
	bomb, err := ctap2.CompressBlob(make([]byte, 16<<20))
	if err != nil {
		t.Fatal(err)
	}
	hello := unhex(t, "01 0500 faff 68656c6c6f")
	for _, tt := range []struct {
		name string
		data []byte
		size uint64
		ok   bool
	}{
		{"right", hello, 5, true},
		{"one fewer", hello, 4, false},
		{"one more", hello, 6, false},
		{"bomb", bomb, 5, false},
		{"bomb that says so", bomb, 16 << 20, false},
		{"bomb that says the most", bomb, ctap2.MaxBlob, false},
		{"size that is no int", hello, math.MaxUint64, false},
		{"cut", hello[:9], 5, false},
		{"nothing", nil, 0, false},
		{"empty block", unhex(t, "03 00"), 0, true},
		{"reserved block", []byte{0x07}, 0, false},
	} {
		// The limit of a byte more than fits costs no memory to speak of.
		allocated := testing.AllocsPerRun(1, func() { _, _ = ctap2.DecompressBlob(tt.data, tt.size) })
		got, err := ctap2.DecompressBlob(tt.data, tt.size)
		if tt.ok != (err == nil) || !tt.ok && !errors.Is(err, ctap2.ErrBlob) || uint64(len(got)) > tt.size {
			t.Errorf("%s: %d bytes, %v", tt.name, len(got), err)
		}
		if allocated > 100 {
			t.Errorf("%s: %v allocations", tt.name, allocated)
		}
	}
	key := repeat(1, 32)
	if _, err := sealed(t, key, bomb, 5).Open(key); !errors.Is(err, ctap2.ErrBlob) || errors.Is(err, ctap2.ErrBlobKey) {
		t.Errorf("bomb in an entry: %v", err)
	}
}

// put and the like keep tests short.
func put(t *testing.T, entries []ctap2.LargeBlob, key []byte, data string) []ctap2.LargeBlob {
	t.Helper()
	entries, err := ctap2.PutLargeBlob(entries, key, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

func TestBlobsOfCredentials(t *testing.T) {
	alice, bob, carol := repeat(1, 32), repeat(2, 32), repeat(3, 32)
	strange := ctap2.LargeBlob{Raw: []byte{0x18, 0x2A}} // a number, of a future version perhaps
	entries := []ctap2.LargeBlob{strange}
	entries = put(t, entries, alice, "a")
	entries = put(t, entries, bob, "b")
	before := append([]ctap2.LargeBlob(nil), entries...)

	get := func(entries []ctap2.LargeBlob, key []byte) string {
		t.Helper()
		data, ok, err := ctap2.GetLargeBlob(entries, key)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return "(none)"
		}
		return string(data)
	}
	if a, b, c := get(entries, alice), get(entries, bob), get(entries, carol); a != "a" || b != "b" || c != "(none)" {
		t.Errorf("got %q %q %q", a, b, c)
	}
	// Replaced where it was; a second entry of the same key goes.
	twice := append(append([]ctap2.LargeBlob(nil), entries...), sealed(t, alice, unhex(t, "03 00"), 0))
	replaced := put(t, twice, alice, "A")
	if len(replaced) != 3 || get(replaced, alice) != "A" || get(replaced[1:2], alice) != "A" || get(replaced, bob) != "b" {
		t.Errorf("after replacing: %d entries", len(replaced))
	}
	rest, ok, err := ctap2.DeleteLargeBlob(twice, alice)
	if err != nil || !ok || len(rest) != 2 || get(rest, alice) != "(none)" || get(rest, bob) != "b" {
		t.Errorf("after deleting: %d entries, %v, %v", len(rest), ok, err)
	}
	if rest, ok, err := ctap2.DeleteLargeBlob(entries, carol); err != nil || ok || len(rest) != 3 {
		t.Errorf("deleting what is not there: %d entries, %v, %v", len(rest), ok, err)
	}
	rest, gone, err := ctap2.CollectLargeBlobs(entries, [][]byte{carol, bob})
	if err != nil || gone != 1 || len(rest) != 2 || get(rest, bob) != "b" || !cmp.Equal(rest[0], strange) {
		t.Errorf("after collecting: %d entries, %d gone, %v", len(rest), gone, err)
	}
	rest, gone, err = ctap2.CollectLargeBlobs(entries, nil)
	if err != nil || gone != 2 || len(rest) != 1 {
		t.Errorf("collecting without credentials: %d entries, %d gone, %v", len(rest), gone, err)
	}
	if diff := cmp.Diff(before, entries); diff != "" {
		t.Errorf("the array was changed (-before +after):\n%s", diff)
	}
	// An entry that is mine and can't be read is an error, not nothing, and can be replaced and deleted.
	broken := append([]ctap2.LargeBlob{sealed(t, carol, []byte{0xFF}, 9)}, entries...)
	if _, _, err := ctap2.GetLargeBlob(broken, carol); !errors.Is(err, ctap2.ErrBlob) {
		t.Errorf("broken entry: %v", err)
	}
	if got := put(t, broken, carol, "c"); len(got) != 4 || get(got, carol) != "c" {
		t.Errorf("broken entry replaced: %d entries", len(got))
	}
	if rest, ok, err := ctap2.DeleteLargeBlob(broken, carol); err != nil || !ok || len(rest) != 3 {
		t.Errorf("broken entry deleted: %d entries, %v, %v", len(rest), ok, err)
	}
	short := []byte("short")
	_, _, err1 := ctap2.GetLargeBlob(entries, short)
	_, err2 := ctap2.PutLargeBlob(entries, short, nil)
	_, _, err3 := ctap2.DeleteLargeBlob(entries, short)
	_, _, err4 := ctap2.CollectLargeBlobs(entries, [][]byte{short})
	for i, err := range []error{err1, err2, err3, err4} {
		if err == nil {
			t.Errorf("%d: a key of five bytes is taken", i)
		}
	}
}
