package softkey_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/tokens/softkey"
)

func openKey(t *testing.T, path string) (*softkey.Authenticator, *ctap2.Client) {
	t.Helper()
	store, err := softkey.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return newKey(t, softkey.Config{Store: store})
}

func closeKey(t *testing.T, a *softkey.Authenticator) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func counter(t testing.TB, c *ctap2.Client, id []byte) uint32 {
	t.Helper()
	got, err := c.GetAssertion(t.Context(), assertion(id))
	if err != nil {
		t.Fatal(err)
	}
	data, err := got.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	return data.SignCount
}

func assertion(id []byte) *ctap2.GetAssertionRequest {
	r := &ctap2.GetAssertionRequest{RPID: rpID, ClientDataHash: clientDataHash[:]}
	if id != nil {
		r.AllowList = []ctap2.CredentialDescriptor{{ID: id, Type: ctap2.TypePublicKey}}
	}
	return r
}

func credentialID(t testing.TB, made *ctap2.MakeCredentialResponse) []byte {
	t.Helper()
	data, err := made.ParsedAuthData()
	if err != nil {
		t.Fatal(err)
	}
	return data.CredentialID
}

func resident(r *ctap2.MakeCredentialRequest) {
	rk := true
	r.Options = &ctap2.Options{RK: &rk}
}

func TestStateFileKeepsEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	a, c := openKey(t, path)
	id := credentialID(t, register(t, c, nil))
	rk := credentialID(t, register(t, c, resident))
	before := counter(t, c, id)
	if err := c.SetPIN(t.Context(), 1, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	_, _ = c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 1, PIN: []byte("9999"), Legacy: true})
	closeKey(t, a)

	a, c = openKey(t, path)
	defer a.Close()
	if after := counter(t, c, id); after <= before {
		t.Errorf("the counter went from %d to %d", before, after)
	}
	counter(t, c, rk)
	if left, _, err := c.PINRetries(t.Context()); left != 7 || err != nil {
		t.Errorf("retries are %d, %v; want 7", left, err)
	}
	if n := a.CredentialCount(); n != 1 {
		t.Errorf("%d credentials, want 1", n)
	}
	if list := a.Credentials(); len(list) != 1 || list[0].User.Name != "alice" || list[0].RPID != rpID {
		t.Errorf("the credentials are %+v", list)
	}
}

func TestStateFileHoldsNoSecretInClear(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	a, c := openKey(t, path)
	register(t, c, resident)
	closeKey(t, a)
	contents, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, clear := range []string{"alice", rpID, "Authenticator Attestation"} {
		if bytes.Contains(contents, []byte(clear)) {
			t.Errorf("the state file holds %q in clear", clear)
		}
	}
	for _, name := range []string{path, softkey.KeyPath(path)} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", name, info.Mode())
		}
	}
}

func TestStateFileIsForOneProcessAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	a, _ := openKey(t, path)
	if _, err := softkey.OpenFile(path); !errors.Is(err, softkey.ErrStateLocked) {
		t.Errorf("opening it twice: %v, want ErrStateLocked", err)
	}
	closeKey(t, a)
	a, _ = openKey(t, path)
	closeKey(t, a)
}

func TestResetLeavesNothingInTheStateFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	a, c := openKey(t, path)
	for range 20 {
		register(t, c, func(r *ctap2.MakeCredentialRequest) {
			resident(r)
			r.PubKeyCredParams[0].Alg = cose.ES384
		})
	}
	id := credentialID(t, register(t, c, nil))
	before := counter(t, c, id)
	big, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	small, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if small.Size() >= big.Size() {
		t.Errorf("the file has %d bytes after the reset, %d before", small.Size(), big.Size())
	}
	if _, err := c.GetAssertion(t.Context(), assertion(id)); !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("the old credential: %v, want no credentials", err)
	}
	closeKey(t, a)
	a, c = openKey(t, path)
	defer a.Close()
	if after := counter(t, c, credentialID(t, register(t, c, nil))); after <= before {
		t.Errorf("the counter went from %d to %d over a reset", before, after)
	}
}

// TestDamageIsFoundOrHarmless flips and cuts every byte of a state file. A cut, or damage in
// the last record, may cost the last record; anything else is an error that names the file.
func TestDamageIsFoundOrHarmless(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state")
	a, c := openKey(t, path)
	id := credentialID(t, register(t, c, nil))
	for range 3 {
		counter(t, c, id)
	}
	closeKey(t, a)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lost := func(contents []byte) (records int, err error) {
		if err := os.WriteFile(path, contents, 0o600); err != nil {
			t.Fatal(err)
		}
		store, err := softkey.OpenFile(path)
		if err != nil {
			return 0, err
		}
		defer store.Close()
		err = store.Load(func([]byte) error { records++; return nil })
		return records, err
	}
	all, err := lost(whole)
	if err != nil || all != 4 {
		t.Fatalf("%d records, %v; want 4", all, err)
	}
	for at := range whole {
		damaged := bytes.Clone(whole)
		damaged[at] ^= 0x40
		n, err := lost(damaged)
		var state *softkey.StateError
		switch {
		case err == nil && n != all-1:
			t.Fatalf("byte %d flipped: %d of %d records and no error", at, n, all)
		case err != nil && (!errors.As(err, &state) || state.Path != path):
			t.Fatalf("byte %d flipped: %v, want a StateError that names the file", at, err)
		}
	}
	const header, record = 16, 8 + 24 + 16 // the shortest a record can be
	first := header + 8 + int(binary.BigEndian.Uint32(whole[header:]))
	for end := header + 1; end < len(whole); end++ {
		n, err := lost(whole[:end])
		if end < first { // no crash does that, and nothing is left
			if !errors.Is(err, softkey.ErrStateDamaged) {
				t.Fatalf("cut at %d: %v, want damaged", end, err)
			}
		} else if err != nil || n >= all {
			t.Fatalf("cut at %d: %d records, %v", end, n, err)
		}
	}
	if _, err := lost(append(bytes.Clone(whole), make([]byte, record)...)); err != nil {
		t.Errorf("zeros after the end: %v", err)
	}
	if _, err := lost(append(bytes.Clone(whole), whole[header:]...)); !errors.Is(err, softkey.ErrStateDamaged) {
		t.Errorf("records a second time: %v, want damaged", err)
	}
}

// flaky fails the writes that it is told to; what was confirmed stays.
type flaky struct {
	records [][]byte
	left    int // writes until one fails, below 0 never
	// torn says that the failing write reaches the disk all the same.
	torn bool
}

var errDisk = errors.New("no space left")

func (f *flaky) Load(apply func([]byte) error) error {
	for _, r := range f.records {
		if err := apply(r); err != nil {
			return err
		}
	}
	return nil
}

func (f *flaky) fails() bool {
	f.left--
	return f.left == -1
}

func (f *flaky) Append(record []byte) error {
	failed := f.fails()
	if !failed || f.torn {
		f.records = append(f.records, bytes.Clone(record))
	}
	if failed {
		return errDisk
	}
	return nil
}

func (f *flaky) Rewrite(records [][]byte) error {
	if f.fails() {
		return errDisk
	}
	f.records = records
	return nil
}

func (f *flaky) Close() error { return nil }

// TestPowerLostAtEveryWrite runs a script of changes and loses power at its Nth write, for every
// N: retries never go up without the right PIN, the counter never goes back, and the key works.
func TestPowerLostAtEveryWrite(t *testing.T) {
	for _, torn := range []bool{false, true} {
		for n := 1; ; n++ {
			store := &flaky{left: -1, torn: torn}
			a, c := newKey(t, softkey.Config{Store: store})
			id := credentialID(t, register(t, c, nil))
			if err := c.SetPIN(t.Context(), 2, []byte("1234")); err != nil {
				t.Fatal(err)
			}
			store.left = n - 1
			var highest uint32
			tries := uint(0)
			script := func() {
				for range 2 {
					if got, err := c.GetAssertion(t.Context(), assertion(id)); err == nil {
						data, err := got.ParsedAuthData()
						if err != nil {
							t.Fatal(err)
						}
						highest = max(highest, data.SignCount)
					}
				}
				_, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte("0000"), Legacy: true})
				if errors.Is(err, ctap2.ErrPINInvalid) {
					tries++ // the key has compared: that must have cost a retry
				}
				rk := true
				_, _ = c.MakeCredential(t.Context(), func() *ctap2.MakeCredentialRequest {
					r := creation()
					r.Options = &ctap2.Options{RK: &rk}
					return r
				}())
			}
			script()
			done := store.left >= 0
			_ = a

			store.left = -1
			_, c = newKey(t, softkey.Config{Store: store})
			name := fmt.Sprintf("write %d, torn %v", n, torn)
			left, _, err := c.PINRetries(t.Context())
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if left > 8-tries {
				t.Errorf("%s: %d retries left after %d wrong PINs", name, left, tries)
			}
			if got := counter(t, c, id); got <= highest {
				t.Errorf("%s: the counter is %d, was %d", name, got, highest)
			}
			if done {
				if n < 3 {
					t.Fatalf("the script made %d writes, want some", n)
				}
				break
			}
		}
	}
}

func FuzzStateFile(f *testing.F) {
	dir := f.TempDir()
	path := filepath.Join(dir, "state")
	// The same key in every process that fuzzes: what one finds the others can open.
	if err := os.WriteFile(softkey.KeyPath(path), make([]byte, 32), 0o600); err != nil {
		f.Fatal(err)
	}
	store, err := softkey.OpenFile(path)
	if err != nil {
		f.Fatal(err)
	}
	a, c := newKey(f, softkey.Config{Store: store})
	counter(f, c, credentialID(f, register(f, c, resident)))
	a.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, contents []byte) {
		if err := os.WriteFile(path, contents, 0o600); err != nil {
			t.Fatal(err)
		}
		store, err := softkey.OpenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		store.FailWrites(func(f *os.File, b []byte, at int64) (int, error) { return f.WriteAt(b, at) }, func(*os.File) error { return nil })
		_, err = softkey.New(softkey.Config{Store: store})
		var state *softkey.StateError
		switch {
		case err != nil && (!errors.As(err, &state) || state.Path != path):
			t.Errorf("%v, want a StateError that names the file", err)
		case err != nil && bytes.HasPrefix(contents, whole) && bytes.Trim(contents[len(whole):], "\x00") == nil:
			t.Errorf("the whole file: %v", err)
		}
	})
}
