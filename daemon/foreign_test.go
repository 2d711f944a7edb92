package daemon_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

func foreignOn(cfg *daemon.Config) { cfg.Foreign = true }

// outside is a program that goes around the daemon.
type outside struct {
	dev hid.Device
	ch  *ctaphid.Channel
}

func (l *lab) outside(id string) outside {
	l.t.Helper()
	dev, err := l.bus.Open(l.ctx, id, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	ch, err := ctaphid.Open(l.ctx, dev)
	if err != nil {
		l.t.Fatal(err)
	}
	return outside{dev, ch}
}

// last gives the newest event of a type.
func (tl *tail) last(kind api.EventType) (found api.Event) {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	for _, e := range tl.events {
		if e.Type == kind {
			found = e
		}
	}
	return found
}

// selection is the request for a touch (CTAP 2.2, section 6.9).
var selection = []byte{0x0B}

func TestForeignTouchIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, foreignOn)
		k := newToy()
		l.plug("k1", k, toyServer)
		l.plug("k2", newToy(), toyServer)
		tl := l.tail()
		tl.text()
		other := l.outside("k1")
		done := make(chan error, 1)
		began := time.Now()
		go func() {
			_, err := other.ch.CBOR(l.ctx, selection, nil)
			done <- err
		}()
		time.Sleep(5 * time.Second)
		e := tl.last(api.EventForeign)
		if got, want := tl.text(), "foreign k1"; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
		want := api.Holder{PID: os.Getpid(), Outside: true, Since: began.Format(time.RFC3339), User: e.Holder.User}
		if *e.Holder != want || e.Holder.User == "" {
			t.Errorf("holder is %+v, want %+v and its user", *e.Holder, want)
		}
		late := l.tail()
		if got, want := late.text(), "attached k1; attached k2; foreign k1; ready"; got != want {
			t.Errorf("who comes late gets %q, want %q", got, want)
		}
		k.touches <- struct{}{}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		l.settle()
		if got, want := tl.text(), "foreign-over k1"; got != want {
			t.Errorf("after the touch: got %q, want %q", got, want)
		}
		if got, want := l.tail().text(), "attached k1; attached k2; ready"; got != want {
			t.Errorf("who comes later gets %q, want %q", got, want)
		}
		other.dev.Close()
	})
}

// A program that hangs up without a cancel: the touch is over when the key falls silent.
func TestForeignTouchEndsWithSilenceAndUnplugging(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, foreignOn)
		l.plug("k1", newToy(), toyServer)
		tl := l.tail()
		wait := func() outside {
			other := l.outside("k1")
			go func() { _, _ = other.ch.CBOR(l.ctx, selection, nil) }()
			time.Sleep(time.Second)
			return other
		}
		other := wait()
		tl.text()
		other.dev.Close()
		time.Sleep(500 * time.Millisecond)
		if got := tl.text(); got != "" {
			t.Errorf("half a second after the last keepalive: got %q, want nothing yet", got)
		}
		time.Sleep(time.Second)
		if got, want := tl.text(), "foreign-over k1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		wait()
		tl.text()
		l.bus.Detach("k1")
		time.Sleep(time.Second)
		if got, want := tl.text(), "foreign-over k1; detached k1"; got != want {
			t.Errorf("unplugged: got %q, want %q", got, want)
		}
		// Plugged in again, it is listened to again.
		l.plug("k1", newToy(), toyServer)
		other = wait()
		if got, want := tl.text(), "attached k1; foreign k1"; got != want {
			t.Errorf("plugged in again: got %q, want %q", got, want)
		}
		other.dev.Close()
	})
}

func TestForeignU2FTouchIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, foreignOn)
		k := &u2fToy{answer: []byte{0x69, 0x85}}
		l.plug("k1", k, ctaphid.ServerConfig{})
		tl := l.tail()
		tl.text()
		other := l.outside("k1")
		poll := func() {
			t.Helper()
			if _, err := other.ch.MSG(l.ctx, []byte{0, 2, 3, 0, 0, 0, 0}, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(250 * time.Millisecond)
		}
		for range 8 {
			poll()
		}
		if got, want := tl.text(), "foreign k1"; got != want {
			t.Errorf("while it polls: got %q, want %q", got, want)
		}
		k.answer = []byte{1, 0, 0, 0, 0, 0x90, 0}
		poll()
		if got, want := tl.text(), "foreign-over k1"; got != want {
			t.Errorf("touched: got %q, want %q", got, want)
		}
		other.dev.Close()
	})
}

// u2fToy is a key that speaks U2F only.
type u2fToy struct{ answer []byte }

func (k *u2fToy) CBOR(context.Context, []byte, func(byte)) ([]byte, error) { return []byte{1}, nil }

func (k *u2fToy) MSG(context.Context, []byte, func(byte)) ([]byte, error) { return k.answer, nil }

// What the daemon does for its clients is no foreign touch, neither on keys of a bus nor on
// its own emulated ones.
func TestOwnTouchIsNotForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, foreignOn)
		k := newToy()
		l.plug("k1", k, toyServer)
		tl := l.tail()
		tl.text()
		for range 3 {
			r := l.start(api.OpTouch, api.TouchRequest{}, &person{})
			time.Sleep(3 * time.Second)
			k.touches <- struct{}{}
			if _, err := r.wait(); err != nil {
				t.Fatal(err)
			}
			l.settle()
			if got, want := tl.text(), "holder k1 by browser for touch; prompt touch; withdrawn touch; started k1; holder k1 by nobody; finished k1"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	})
}

func TestForeignTouchesCanBeOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.plug("k1", newToy(), toyServer)
		tl := l.tail()
		tl.text()
		other := l.outside("k1")
		go func() { _, _ = other.ch.CBOR(l.ctx, selection, nil) }()
		time.Sleep(3 * time.Second)
		if got := tl.text(); got != "" {
			t.Errorf("got %q, want no events", got)
		}
		other.dev.Close()
	})
}

// A key that is held outside: the busy answer says by whom.
func TestBusyNamesTheUserOutside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, foreignOn)
		l.plug("k1", newToy(), toyServer)
		other := l.outside("k1")
		defer other.dev.Close()
		e := l.fails(api.OpTouch, api.TouchRequest{TimeoutMS: 2000}, &person{}, api.CodeBusy)
		if e.Holder == nil || !e.Holder.Outside || e.Holder.PID != os.Getpid() || e.Holder.User == "" || e.Holder.Since != "" {
			t.Errorf("holder is %+v, want this process outside with its user, and no since", e.Holder)
		}
	})
}

// shyBus is a bus whose devices cannot be listened to at first.
type shyBus struct {
	*hid.MemoryBus
	fails int
}

func (b *shyBus) Listen(ctx context.Context, id string) (hid.Ear, error) {
	if b.fails--; b.fails >= 0 {
		return nil, fs.ErrPermission
	}
	return b.MemoryBus.Listen(ctx, id)
}

// The permissions of a node may be late: the key is tried again, and then the log says so.
func TestForeignTouchesOfAKeyThatIsShyAtFirst(t *testing.T) {
	for _, tt := range []struct {
		fails  int
		events string
		logged bool
	}{{2, "foreign k1", false}, {3, "", true}} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			var shy *shyBus
			l := newLab(t, foreignOn, func(cfg *daemon.Config) {
				bus, ok := cfg.Sources[0].(*hid.MemoryBus)
				if !ok {
					t.Fatalf("the lab has a %T", cfg.Sources[0])
				}
				shy = &shyBus{bus, tt.fails}
				cfg.Sources = []hid.Bus{shy}
				cfg.Log = slog.New(slog.NewTextHandler(&log, nil))
			})
			l.plug("k1", newToy(), toyServer)
			tl := l.tail()
			tl.text()
			time.Sleep(time.Minute)
			other := l.outside("k1")
			go func() { _, _ = other.ch.CBOR(l.ctx, selection, nil) }()
			time.Sleep(time.Second)
			if got := tl.text(); got != tt.events {
				t.Errorf("%d failures: got %q, want %q", tt.fails, got, tt.events)
			}
			other.dev.Close()
			l.stop()
			if got := strings.Contains(log.String(), "not noticed"); got != tt.logged {
				t.Errorf("%d failures: logged %v, want %v: %s", tt.fails, got, tt.logged, &log)
			}
		})
	}
}
