package softkey_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/tokens/softkey"
)

// disk fails the nth write, or the nth sync, of a state file.
type disk struct {
	write, sync int  // until it fails; below 0 never
	partly      int  // bytes of the failing write that reach the file
	again       bool // so does the one after
}

func (d *disk) writeAt(f *os.File, b []byte, at int64) (int, error) {
	if d.write--; d.write == -1 {
		n, _ := f.WriteAt(b[:min(d.partly, len(b))], at)
		return n, errDisk
	}
	return f.WriteAt(b, at)
}

func (d *disk) syncFile(f *os.File) error {
	if d.sync--; d.sync == -1 || d.again && d.sync == -2 {
		return errDisk
	}
	return f.Sync()
}

func failing(t *testing.T, path string, d *disk) (*softkey.Authenticator, *ctap2.Client) {
	t.Helper()
	store, err := softkey.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a, c := newKey(t, softkey.Config{Store: store})
	store.FailWrites(d.writeAt, d.syncFile)
	return a, c
}

func TestFailedWriteIsTakenBack(t *testing.T) {
	for name, d := range map[string]disk{
		"nothing written": {write: 1, sync: -1},
		"half written":    {write: 1, sync: -1, partly: 40},
		"not synced":      {write: -1, sync: 1},
	} {
		path := filepath.Join(t.TempDir(), "state")
		a, c := failing(t, path, &d)
		id := credentialID(t, register(t, c, nil))
		first := counter(t, c, id)
		if _, err := c.GetAssertion(t.Context(), assertion(id)); !errors.Is(err, ctap2.ErrOther) {
			t.Errorf("%s: %v, want CTAP1_ERR_OTHER", name, err)
		}
		if name == "not synced" { // nothing else would come over it
			closeKey(t, a)
			a, c = openKey(t, path)
			if second := counter(t, c, id); second != first+1 {
				t.Errorf("%s: the counter went from %d to %d: what had failed was there after a load", name, first, second)
			}
		}
		second := counter(t, c, id) // the disk works again
		closeKey(t, a)
		a, c = openKey(t, path)
		if third := counter(t, c, id); first >= second || second >= third {
			t.Errorf("%s: the counter was %d, %d, %d", name, first, second, third)
		}
		closeKey(t, a)
	}
}

func TestWriteThatCanNotBeTakenBackStopsTheKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	a, c := failing(t, path, &disk{write: -1, sync: 1, again: true})
	id := credentialID(t, register(t, c, nil))
	first := counter(t, c, id)
	for range 3 {
		_, err := c.GetAssertion(t.Context(), assertion(id))
		wantStatus(t, err, ctap2.ErrOther)
	}
	closeKey(t, a)
	a, c = openKey(t, path)
	defer a.Close()
	if second := counter(t, c, id); second <= first {
		t.Errorf("the counter went from %d to %d", first, second)
	}
}

// TestPowerLostAtEveryByte cuts the state file at every byte that a script has appended. The key
// that is loaded is the one of the last change that was whole: nothing in between.
func TestPowerLostAtEveryByte(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	a, c := openKey(t, path)
	id := credentialID(t, register(t, c, nil))
	type moment struct {
		size    int
		retries uint
		counter uint32
		stored  int
	}
	var moments []moment
	now := func(highest uint32) {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		left, _, err := c.PINRetries(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		moments = append(moments, moment{int(info.Size()), left, highest, len(a.Credentials())})
	}
	now(0)
	register(t, c, resident)
	now(0)
	highest := counter(t, c, id)
	now(highest)
	if err := c.SetPIN(t.Context(), 1, []byte("1234")); err != nil {
		t.Fatal(err)
	}
	now(highest)
	for range 2 {
		_, err := c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: 1, PIN: []byte("9999"), Legacy: true})
		wantStatus(t, err, ctap2.ErrPINInvalid)
		now(highest)
	}
	highest = counter(t, c, id)
	now(highest)
	closeKey(t, a)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := moments[0].size; cut <= len(whole); cut++ {
		want := moments[0]
		for _, m := range moments {
			if m.size <= cut {
				want = m
			}
		}
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		a, c = openKey(t, path)
		if left, _, err := c.PINRetries(t.Context()); left != want.retries || err != nil {
			t.Fatalf("cut at %d: %d retries, %v; want %d", cut, left, err, want.retries)
		}
		if got := len(a.Credentials()); got != want.stored {
			t.Fatalf("cut at %d: %d credentials, want %d", cut, got, want.stored)
		}
		if got := counter(t, c, id); got != want.counter+1 {
			t.Fatalf("cut at %d: the counter is %d, want %d", cut, got, want.counter+1)
		}
		closeKey(t, a)
		if cut%9 == 0 { // what was cut off does not come up behind the new record
			a, _ = openKey(t, path)
			closeKey(t, a)
		}
	}
}

func TestStateErrorsNameTheFileAndTheReason(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(path string) error
		want  string
	}{
		"key missing":    {func(p string) error { return os.Remove(softkey.KeyPath(p)) }, "is missing"},
		"key short":      {func(p string) error { return os.Truncate(softkey.KeyPath(p), 31) }, "31 bytes, want 32"},
		"another key":    {func(p string) error { return os.WriteFile(softkey.KeyPath(p), make([]byte, 32), 0o600) }, softkey.ErrStateDamaged.Error()},
		"no state file":  {func(p string) error { return os.WriteFile(p, []byte("#!/bin/sh\necho hello\n"), 0o600) }, "not a state file"},
		"empty":          {func(p string) error { return os.Truncate(p, 0) }, "not a state file"},
		"a directory":    {func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) }, "is a directory"},
		"absurdly large": {func(p string) error { return os.Truncate(p, 1<<31) }, "too many"},
	} {
		path := filepath.Join(t.TempDir(), "state")
		a, _ := openKey(t, path)
		closeKey(t, a)
		if err := test.spoil(path); err != nil {
			t.Fatal(err)
		}
		store, err := softkey.OpenFile(path)
		if err == nil {
			_, err = softkey.New(softkey.Config{Store: store})
			store.Close()
		}
		var state *softkey.StateError
		if !errors.As(err, &state) || state.Path != path || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v; want a StateError of %s with %q", name, err, path, test.want)
		}
	}
}
