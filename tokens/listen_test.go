package tokens_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
)

// deafBus is a bus on which nothing can be listened to.
type deafBus struct{ hid.Bus }

func TestForeign(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		attach(t, bus, hid.Info{ID: "k"}, &key{}, ctaphid.CapCBOR)
		r := tokens.NewRegistry(tokens.Config{}, bus)
		k, err := r.Key("k")
		if err != nil {
			t.Fatal(err)
		}
		if !k.On(bus) || k.On(hid.NewMemoryBus()) {
			t.Error("On does not know the key's bus")
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		var told []bool
		ended := make(chan error)
		listen := func() {
			go func() { ended <- k.Foreign(ctx, func(on bool) { told = append(told, on) }) }()
			synctest.Wait()
		}
		want := func(what string, want ...bool) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(told, want) {
				t.Errorf("%s: told %v, want %v", what, told, want)
			}
			told = nil
		}
		// wait has a program outside wait for a touch.
		wait := func() func() {
			t.Helper()
			dev, err := bus.Open(t.Context(), "k", nil)
			if err != nil {
				t.Fatal(err)
			}
			ch, err := ctaphid.Open(t.Context(), dev)
			if err != nil {
				t.Fatal(err)
			}
			patience, cancel := context.WithCancel(t.Context())
			done := make(chan bool)
			go func() {
				_, _ = ch.CBOR(patience, []byte{0x0B}, nil)
				dev.Close()
				close(done)
			}()
			time.Sleep(2 * time.Second)
			return func() { cancel(); <-done }
		}
		listen()
		giveUp := wait()
		want("another program waits", true)
		if h := k.Holder(); h.PID == 0 {
			t.Errorf("holder is %v, want this process", h)
		}
		giveUp()
		want("it gives up", false)

		conn, err := r.Open(t.Context(), k, nil)
		if err != nil {
			t.Fatal(err)
		}
		patience, stop := context.WithTimeout(t.Context(), 2*time.Second)
		defer stop()
		if _, err := conn.CBOR(patience, []byte{0x0B}, nil); err == nil {
			t.Error("the key that is never touched answers")
		}
		conn.Close()
		want("a Conn waits")

		giveUp = wait()
		over := errors.New("over")
		cancel(over)
		if err := <-ended; !errors.Is(err, over) {
			t.Errorf("when the context ends: %v, want its cause", err)
		}
		want("nobody listens any more", true, false)
		giveUp()

		ctx = t.Context()
		listen()
		wait()
		bus.Detach("k")
		r.Refresh()
		if err := <-ended; !errors.Is(err, hid.ErrGone) {
			t.Errorf("when the key is pulled out: %v, want %v", err, hid.ErrGone)
		}
		want("the key is pulled out", true, false)
		if err := k.Foreign(ctx, nil); !errors.Is(err, hid.ErrGone) {
			t.Errorf("listening to a key that is gone: %v, want %v", err, hid.ErrGone)
		}
	})
}

func TestForeignNeedsABusThatListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus := hid.NewMemoryBus()
		attach(t, bus, hid.Info{ID: "k"}, &key{}, ctaphid.CapCBOR)
		k, err := tokens.NewRegistry(tokens.Config{}, deafBus{bus}).Key("k")
		if err != nil {
			t.Fatal(err)
		}
		if err := k.Foreign(t.Context(), nil); !errors.Is(err, tokens.ErrDeaf) {
			t.Errorf("got %v, want %v", err, tokens.ErrDeaf)
		}
		if h := k.Holder(); h != (hid.Holder{}) {
			t.Errorf("holder is %v, want none", h)
		}
	})
}
