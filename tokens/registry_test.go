package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
)

// key answers getInfo, and waits for ever at everything else.
type key struct {
	mu    sync.Mutex
	asked int
}

func (k *key) CBOR(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	if ctap2.Cmd(request[0]) == ctap2.CmdGetInfo {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.asked++
		return ctap2.MarshalResponse(&ctap2.Info{Versions: []string{ctap2.VersionFIDO21}})
	}
	keepalive(ctap2.KeepaliveUPNeeded)
	<-ctx.Done()
	return []byte{byte(ctap2.ErrKeepaliveCancel)}, nil
}

func (k *key) MSG(context.Context, []byte, func(byte)) ([]byte, error) { return []byte{0x6D, 0}, nil }

// attach puts a key on a bus.
func attach(t *testing.T, bus *hid.MemoryBus, info hid.Info, k *key, capabilities ctaphid.Capabilities) {
	t.Helper()
	server := ctaphid.NewServer(k, ctaphid.ServerConfig{Capabilities: capabilities})
	err := bus.Attach(info, func() (hid.Device, error) {
		host, end := hid.NewPipe(64, 64)
		go func() { _ = server.Serve(context.Background(), end) }()
		return host, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// watch runs a registry and returns what it tells.
func watch(t *testing.T, cfg tokens.Config, buses ...hid.Bus) (*tokens.Registry, func() []string) {
	t.Helper()
	var mu sync.Mutex
	var told []string
	cfg.Notify = func(e tokens.Event) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(e.Kind, " ", e.Key.ID()))
	}
	r := tokens.NewRegistry(cfg, buses...)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.Run(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(); <-done })
	return r, func() []string {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		got := told
		told = nil
		return got
	}
}

func ids(r *tokens.Registry) (ids []string) {
	for _, k := range r.Keys() {
		ids = append(ids, k.ID())
	}
	return ids
}

func TestRegistryMergesBuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := hid.NewMemoryBus(), hid.NewMemoryBus()
		attach(t, a, hid.Info{ID: "k2"}, &key{}, ctaphid.CapCBOR)
		r, told := watch(t, tokens.Config{}, a, b)
		// Known before Run has done anything.
		if got := ids(r); !slices.Equal(got, []string{"k2"}) {
			t.Errorf("got %v, want k2", got)
		}
		_, changed := r.Snapshot()
		attach(t, b, hid.Info{ID: "k1"}, &key{}, ctaphid.CapCBOR)
		attach(t, b, hid.Info{ID: "k2"}, &key{}, ctaphid.CapCBOR) // taken
		if got, want := told(), []string{"attached k2", "attached k1"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		select {
		case <-changed:
		default:
			t.Error("a snapshot was not told to be old")
		}
		if got := ids(r); !slices.Equal(got, []string{"k1", "k2"}) {
			t.Errorf("got %v, want k1, k2", got)
		}
		k, err := r.Key("k2")
		if err != nil {
			t.Fatal(err)
		}
		b.Detach("k2") // not the one we know
		a.Detach("k2")
		if got, want := told(), []string{"detached k2"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		select {
		case <-k.Gone():
		default:
			t.Error("the key does not know that it is gone")
		}
		if _, err := r.Key("k2"); !errors.Is(err, tokens.ErrNotFound) {
			t.Errorf("got %v, want ErrNotFound", err)
		}
	})
}

// shaky is a bus whose Watch fails, and which forgets to tell.
type shaky struct {
	hid.Bus
	mu    sync.Mutex
	fails int
	tries int
}

func (s *shaky) Watch(ctx context.Context, event func(hid.Event)) error {
	s.mu.Lock()
	s.tries++
	fail := s.tries <= s.fails
	s.mu.Unlock()
	if fail {
		return errors.New("no netlink")
	}
	return s.Bus.Watch(ctx, event)
}

func TestRegistryTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		s := &shaky{Bus: bus, fails: 3}
		attach(t, bus, hid.Info{ID: "old"}, &key{}, ctaphid.CapCBOR)
		r, told := watch(t, tokens.Config{}, s)
		told()
		bus.Detach("old")
		attach(t, bus, hid.Info{ID: "new"}, &key{}, ctaphid.CapCBOR)
		time.Sleep(time.Second)
		if got, want := told(), []string{"attached new", "detached old"}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if s.tries != 4 {
			t.Errorf("tried %d times in a second, want 4", s.tries)
		}
		if got := ids(r); !slices.Equal(got, []string{"new"}) {
			t.Errorf("got %v, want new", got)
		}
	})
}

func TestOpenAsksOnceForInfo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		k := &key{}
		attach(t, bus, hid.Info{ID: "k"}, k, ctaphid.CapCBOR|ctaphid.CapNMSG)
		r, _ := watch(t, tokens.Config{}, bus)
		synctest.Wait()
		for range 3 {
			c, err := r.Open(t.Context(), r.Keys()[0], nil)
			if err != nil {
				t.Fatal(err)
			}
			info, err := c.Info(t.Context())
			if err != nil || !info.Supports(ctap2.VersionFIDO21) {
				t.Fatalf("got %+v, %v", info, err)
			}
			if !c.CTAP2() || c.U2F() || c.Key().Init() == nil {
				t.Error("the capabilities are wrong")
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if err := c.Close(); err != nil {
				t.Errorf("closed again: %v", err)
			}
		}
		if k.asked != 1 {
			t.Errorf("the key was asked %d times, want once", k.asked)
		}
		c, err := r.Open(t.Context(), r.Keys()[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.Forget()
		if c.Key().Info() != nil {
			t.Error("not forgotten")
		}
		if _, err := c.Info(t.Context()); err != nil || k.asked != 2 {
			t.Errorf("asked %d times, %v", k.asked, err)
		}
	})
}

func TestInfoOfAU2FKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		attach(t, bus, hid.Info{ID: "k"}, &key{}, ctaphid.CapWink)
		r, _ := watch(t, tokens.Config{}, bus)
		c, err := r.Open(t.Context(), r.Keys()[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.Wink(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := c.Info(t.Context()); !errors.Is(err, tokens.ErrNoCBOR) {
			t.Errorf("got %v, want ErrNoCBOR", err)
		}
		if response, err := c.MSG(t.Context(), []byte{0, 3, 0, 0}, nil); err != nil || len(response) != 2 {
			t.Errorf("MSG: got %x, %v", response, err)
		}
	})
}

func TestPulledOutInMidCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		attach(t, bus, hid.Info{ID: "k"}, &key{}, ctaphid.CapCBOR)
		r, _ := watch(t, tokens.Config{}, bus)
		k := r.Keys()[0]
		c, err := r.Open(t.Context(), k, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		done := make(chan error, 1)
		go func() {
			_, err := c.CBOR(t.Context(), []byte{byte(ctap2.CmdSelection)}, nil)
			done <- err
		}()
		synctest.Wait()
		began := time.Now()
		bus.Detach("k")
		if err := <-done; !errors.Is(err, hid.ErrGone) {
			t.Errorf("got %v, want ErrGone", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
		synctest.Wait()
		if _, err := r.Open(t.Context(), k, nil); !errors.Is(err, hid.ErrGone) {
			t.Errorf("opened again: got %v, want ErrGone", err)
		}
		ctx, cancel := k.While(t.Context())
		defer cancel()
		if !errors.Is(context.Cause(ctx), hid.ErrGone) {
			t.Errorf("got cause %v, want ErrGone", context.Cause(ctx))
		}
	})
}

// teller is a bus that tells of an unplugging before its devices notice.
type teller struct {
	hid.Bus
	gone chan hid.Info
}

func (b *teller) Watch(ctx context.Context, event func(hid.Event)) error {
	select {
	case info := <-b.gone:
		event(hid.Event{Kind: hid.Detached, Info: info})
	case <-ctx.Done():
	}
	<-ctx.Done()
	return ctx.Err()
}

func TestPulledOutSaysTheBus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		attach(t, bus, hid.Info{ID: "k"}, &key{}, ctaphid.CapCBOR)
		b := &teller{Bus: bus, gone: make(chan hid.Info)}
		r, _ := watch(t, tokens.Config{}, b)
		k := r.Keys()[0]
		c, err := r.Open(t.Context(), k, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		began := time.Now()
		go func() { b.gone <- k.Device() }()
		if _, err := c.CBOR(t.Context(), []byte{byte(ctap2.CmdSelection)}, nil); !errors.Is(err, hid.ErrGone) {
			t.Errorf("got %v, want ErrGone", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %v", took)
		}
	})
}

func TestOpenFindsOutThatAKeyIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		attach(t, bus, hid.Info{ID: "k"}, &key{}, ctaphid.CapCBOR)
		r := tokens.NewRegistry(tokens.Config{}, bus) // nobody watches
		k := r.Keys()[0]
		bus.Detach("k")
		if _, err := r.Open(t.Context(), k, nil); !errors.Is(err, hid.ErrGone) {
			t.Errorf("got %v, want ErrGone", err)
		}
		if got := ids(r); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
		attach(t, bus, hid.Info{ID: "k"}, &key{}, ctaphid.CapCBOR)
		r.Refresh()
		if got := r.Keys(); len(got) != 1 || got[0] == k {
			t.Errorf("got %v, want the new attachment", got)
		}
	})
}

func TestOpenGivesUpWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		attach(t, bus, hid.Info{ID: "k"}, &key{}, ctaphid.CapCBOR)
		r, _ := watch(t, tokens.Config{}, bus)
		c, err := r.Open(t.Context(), r.Keys()[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		waited := 0
		if _, err := r.Open(ctx, r.Keys()[0], func(hid.Holder) { waited++ }); !errors.Is(err, why) {
			t.Errorf("got %v, want the cause", err)
		}
		if waited != 1 {
			t.Errorf("told %d times who has the key, want once", waited)
		}
	})
}

func TestNames(t *testing.T) {
	for want, info := range map[string]hid.Info{
		"Yubico YubiKey OTP+FIDO": {Manufacturer: "Yubico", Product: "YubiKey OTP+FIDO"},
		"Nitrokey 3":              {Manufacturer: "Nitrokey", Product: "Nitrokey 3"},
		"YubiKey 5":               {Product: "YubiKey 5"},
		"Yubico key 1050:0407":    {VendorID: 0x1050, ProductID: 0x0407},
		"Yubico 5C":               {VendorID: 0x1050, Product: "5C"},
		"key 1234:5678":           {VendorID: 0x1234, ProductID: 0x5678},
		"key at /dev/hidraw3":     {Path: "/dev/hidraw3"},
		"key x":                   {ID: "x"},
		"Evil [31mKey":            {Manufacturer: "Evil\x1b", Product: "\x1b[31mKey\u202e\n"},
	} {
		bus := hid.NewMemoryBus()
		if info.ID == "" {
			info.ID = "id"
		}
		if err := bus.Attach(info, nil); err != nil {
			t.Fatal(err)
		}
		k := tokens.NewRegistry(tokens.Config{}, bus).Keys()[0]
		if got := k.Name(); got != want {
			t.Errorf("%+v: got %q, want %q", info, got, want)
		}
		if !k.Same(k) {
			t.Error("a key is not the same as itself")
		}
	}
}

func TestSame(t *testing.T) {
	bus := hid.NewMemoryBus()
	for _, info := range []hid.Info{
		{ID: "a", VendorID: 1, ProductID: 2, Serial: "s"},
		{ID: "b", VendorID: 1, ProductID: 2, Serial: "s"},
		{ID: "c", VendorID: 1, ProductID: 2, Serial: "t"},
		{ID: "d", VendorID: 1, ProductID: 3, Serial: "s"},
	} {
		if err := bus.Attach(info, nil); err != nil {
			t.Fatal(err)
		}
	}
	keys := tokens.NewRegistry(tokens.Config{}, bus).Keys()
	for i, want := range []bool{true, true, false, false} {
		if got := keys[0].Same(keys[i]); got != want {
			t.Errorf("a and %s: got %v, want %v", keys[i].ID(), got, want)
		}
	}
}
