package daemon_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

func TestEmulate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := &person{}
		added := must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo"}, nil).Key
		if !added.Power || added.Key == "" || added.Presence != "grant" || added.UV != "none" || added.Waiting || added.Credentials != 0 {
			t.Errorf("got %+v", added)
		}
		// It is there at once, and called by its name.
		list := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil).Keys
		if len(list) != 1 || list[0].ID != added.Key || !list[0].Emulated || list[0].Serial != "demo" || list[0].Name != "fobd emulated key demo" {
			t.Errorf("got %+v", list)
		}
		must[api.TouchResult](l, api.OpTouch, api.TouchRequest{Key: "demo"}, p)
		r := l.registers(creation("alice", `"residentKey":"required"`, ``), p)
		if got := must[api.EmulateListResult](l, api.OpEmulateList, api.EmulateListRequest{}, nil).Keys; len(got) != 1 || got[0].Credentials != 1 {
			t.Errorf("got %+v, want one credential", got)
		}

		must[api.EmulateResult](l, api.OpEmulateSet, api.EmulateSetRequest{Presence: "manual"}, nil)
		run := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(time.Second)
		if got := must[api.EmulateListResult](l, api.OpEmulateList, api.EmulateListRequest{}, nil).Keys[0]; !got.Waiting || got.Presence != "manual" || got.Credentials != 1 {
			t.Errorf("got %+v, want a key that blinks", got)
		}
		must[api.EmulateResult](l, api.OpEmulateTouch, api.EmulateNameRequest{}, nil)
		if _, err := run.wait(); err != nil {
			t.Fatal(err)
		}

		// Switched off in mid-operation.
		run = l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(time.Second)
		off := must[api.EmulateResult](l, api.OpEmulatePower, api.EmulatePowerRequest{}, nil).Key
		if off.Power || off.Key != "" {
			t.Errorf("got %+v", off)
		}
		_, err := run.wait()
		wantCode(t, err, api.CodeKeyGone)
		if got := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil).Keys; len(got) != 0 {
			t.Errorf("got %+v, want nothing", got)
		}
		l.fails(api.OpEmulateTouch, api.EmulateNameRequest{Name: "demo"}, nil, api.CodeConflict)
		on := must[api.EmulateResult](l, api.OpEmulatePower, api.EmulatePowerRequest{Name: "demo", On: true}, nil).Key
		if !on.Power || on.Key == added.Key {
			t.Errorf("got %+v, want another id than %s", on, added.Key)
		}
		must[api.EmulateResult](l, api.OpEmulatePower, api.EmulatePowerRequest{Name: "demo", On: true}, nil)
		must[api.EmulateResult](l, api.OpEmulateSet, api.EmulateSetRequest{Presence: "grant", UV: "grant"}, nil)
		if got := l.asserts(request("required", r), p, r); got.key != on.Key {
			t.Errorf("got key %s, want %s with its credentials", got.key, on.Key)
		}
		if got := must[api.EmulateResult](l, api.OpEmulateSet, api.EmulateSetRequest{DelayMS: 300}, nil).Key; got.Presence != "delay" || got.UV != "grant" {
			t.Errorf("got %+v", got)
		}
		must[api.EmulateResult](l, api.OpEmulateRemove, api.EmulateNameRequest{Name: "demo"}, nil)
		if got := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil).Keys; len(got) != 0 {
			t.Errorf("got %+v, want nothing", got)
		}
		l.fails(api.OpEmulateRemove, api.EmulateNameRequest{Name: "demo"}, nil, api.CodeNotFound)
		l.fails(api.OpEmulateTouch, api.EmulateNameRequest{}, nil, api.CodeNotFound)
	})
}

func TestEmulateRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		for _, r := range []api.EmulateAddRequest{
			{Name: "../x"},
			{Name: "a b"},
			{Name: ".x"},
			{Name: "-x"},
			{Name: "äh"},
			{Name: "123456789012345678901234567890123"},
			{Presence: "perhaps"},
			{Presence: "delay"},
			{UV: "perhaps"},
			{Attestation: "perhaps"},
			{Algorithms: []string{"ES9"}},
			{Algorithms: []string{"ES256", "es256"}},
		} {
			l.fails(api.OpEmulateAdd, r, nil, api.CodeInvalidRequest)
		}
		l.fails(api.OpEmulateAdd, api.EmulateAddRequest{State: "x"}, nil, api.CodeUnsupported)
		for _, want := range []string{"key1", "key2"} {
			if got := must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Algorithms: []string{"eddsa"}}, nil).Key.Name; got != want {
				t.Errorf("got name %s, want %s", got, want)
			}
		}
		l.fails(api.OpEmulateAdd, api.EmulateAddRequest{Name: "key2"}, nil, api.CodeConflict)
		l.fails(api.OpEmulateTouch, api.EmulateNameRequest{}, nil, api.CodeInvalidRequest)
		l.fails(api.OpEmulateSet, api.EmulateSetRequest{Name: "key1", Presence: "perhaps"}, nil, api.CodeInvalidRequest)
		for range 62 {
			must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{}, nil)
		}
		l.fails(api.OpEmulateAdd, api.EmulateAddRequest{}, nil, api.CodeConflict)
	})
}

func TestEmulatedStateLasts(t *testing.T) {
	dir := t.TempDir()
	var r *registered
	for life := range 2 {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, func(cfg *daemon.Config) { cfg.StateDir = dir })
			p := &person{}
			l.fails(api.OpEmulateAdd, api.EmulateAddRequest{State: "../x"}, nil, api.CodeInvalidRequest)
			must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{State: "ci"}, nil)
			l.fails(api.OpEmulateAdd, api.EmulateAddRequest{State: "ci"}, nil, api.CodeConflict)
			if life == 0 {
				r = l.registers(creation("alice", `"residentKey":"required"`, ``), p)
			} else {
				l.asserts(request("discouraged", r), p, r)
			}
		})
	}
	info, err := os.Stat(filepath.Join(dir, "emulated"))
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("got %v, %v, want a private directory", info, err)
	}
}

func TestDamagedEmulatedStateIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "emulated", "ci")
	live := func(check func(l *lab)) {
		synctest.Test(t, func(t *testing.T) { check(newLab(t, func(cfg *daemon.Config) { cfg.StateDir = dir })) })
	}
	live(func(l *lab) { must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{State: "ci"}, nil) })
	for name, damage := range map[string]func() error{
		"contents": func() error { return os.WriteFile(path, []byte("fobd-softkey-1\n\x00and then nonsense"), 0o600) },
		"no key":   func() error { return os.Remove(softkey.KeyPath(path)) },
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		live(func(l *lab) {
			e := l.fails(api.OpEmulateAdd, api.EmulateAddRequest{State: "ci"}, nil, api.CodeConflict)
			if !strings.Contains(e.Message, path) || !strings.Contains(e.Hint, "backup") {
				t.Errorf("%s: got %+v, want the file and what to do", name, e)
			}
		})
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
			t.Errorf("%s: the file was changed, %v", name, err)
		}
	}
}

func TestEmulatedU2FKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{CTAP1Only: true}, nil)
		if got := must[api.InfoResult](l, api.OpInfo, api.KeyRequest{}, nil); got.U2FVersion != "U2F_V2" || got.Info != nil {
			t.Errorf("got %+v", got)
		}
	})
}

func TestEmulatedKeyInTheKernel(t *testing.T) {
	if _, err := os.Stat("/dev/uhid"); err == nil {
		t.Skip("this machine has /dev/uhid; the virtual machine's tests use it")
	}
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		e := l.fails(api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo", UHID: true}, nil, api.CodeUnsupported)
		if !strings.Contains(e.Message+e.Hint, "/dev/uhid") {
			t.Errorf("got %+v, want what is missing", e)
		}
		// Nothing of it is left.
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo"}, nil)
	})
}
