package tokens_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/tokens/pcsc"
)

type link struct{}

func (link) Close() error { return nil }

func side(id, device string, way tokens.Way) tokens.Side {
	return tokens.Side{
		Info: hid.Info{ID: id, Device: device, Product: "token " + id}, Way: way,
		Connect: func(context.Context, func(hid.Holder)) (tokens.Link, error) { return link{}, nil },
	}
}

// shown is the list of keys, each with its interfaces.
func shown(r *tokens.Registry) string {
	var words []string
	for _, k := range r.Keys() {
		word := k.ID()
		if k.FIDO() {
			word += "+fido"
		}
		for _, s := range k.Sides() {
			word += "+" + string(s.Way)
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// One token with several interfaces is one key, in whatever order they come and go.
func TestInterfacesAreOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bus, sides := hid.NewMemoryBus(), &tokens.MemorySides{}
		var events []string
		r := tokens.NewRegistry(tokens.Config{
			Notify: func(e tokens.Event) { events = append(events, fmt.Sprint(e.Kind, " ", e.Key.ID())) },
			Sides:  []tokens.Sides{sides},
		}, bus)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		want := func(what string) {
			t.Helper()
			synctest.Wait()
			if got := shown(r); got != what {
				t.Errorf("got %q, want %q; events %q", got, what, events)
			}
		}
		// What is without a FIDO interface is a key when it has been so for a while.
		settles := func(what string) {
			t.Helper()
			before := shown(r)
			time.Sleep(400 * time.Millisecond)
			want(before)
			time.Sleep(200 * time.Millisecond)
			want(what)
		}
		want("")
		sides.Attach(side("card", "usb-1-5", tokens.WayCard))
		want("")
		settles("card+card")
		sides.Attach(side("slots", "usb-1-5", tokens.WaySlots))
		want("card+card+slots")
		lone, err := r.Key("card")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Open(ctx, lone, nil); !errors.Is(err, tokens.ErrNoFIDO) {
			t.Errorf("got %v", err)
		}
		// The FIDO interface comes last, and takes the others to itself.
		attach(t, bus, hid.Info{ID: "usb-1-5.1", Device: "usb-1-5"}, &key{}, ctaphid.CapCBOR)
		want("usb-1-5.1+fido+card+slots")
		if link, err := lone.Connect(ctx, lone.Sides()[0], nil); !errors.Is(err, hid.ErrGone) {
			t.Errorf("the key that was: %v, %v", link, err)
		}
		k, err := r.Key("usb-1-5.1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Connect(ctx, k.Sides()[0], nil); err != nil {
			t.Error(err)
		}
		// Another token, and one whose serial number says it.
		sides.Attach(side("other", "usb-1-6", tokens.WayCard))
		settles("other+card usb-1-5.1+fido+card+slots")
		sides.Detach("other")
		attach(t, bus, hid.Info{ID: "emu", Serial: "abc", VendorID: 1}, &key{}, ctaphid.CapCBOR)
		named := side("named", "", tokens.WayCard)
		named.Info.Serial, named.Info.VendorID = "abc", 1
		sides.Attach(named)
		want("emu+fido+card usb-1-5.1+fido+card+slots")
		sides.Detach("slots")
		want("emu+fido+card usb-1-5.1+fido+card")
		// All of a token goes at once.
		bus.Detach("usb-1-5.1")
		synctest.Wait()
		want("emu+fido+card")
		settles("emu+fido+card")
		// Its source may be slower to notice, or to show a new one's FIDO interface: that is nobody's key.
		sides.Attach(side("card", "usb-1-7", tokens.WayCard))
		want("emu+fido+card")
		time.Sleep(400 * time.Millisecond)
		attach(t, bus, hid.Info{ID: "usb-1-7.1", Device: "usb-1-7"}, &key{}, ctaphid.CapCBOR)
		want("emu+fido+card usb-1-7.1+fido+card")
		settles("emu+fido+card usb-1-7.1+fido+card")
		cancel()
		<-done
		lonely := 0
		for _, e := range events {
			switch {
			case strings.HasSuffix(e, " slots"):
				t.Errorf("an interface was shown as a key of its own: %q", events)
			case strings.HasSuffix(e, " card"):
				lonely++
			}
		}
		if lonely != 2 { // it came and went
			t.Errorf("%q", events)
		}
	})
}

func TestSourcesThatFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := failing{errors.New("broken")}
		sides := &tokens.MemorySides{}
		r := tokens.NewRegistry(tokens.Config{Sides: []tokens.Sides{broken, sides}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- r.Run(ctx) }()
		sides.Attach(side("card", "", tokens.WayCard))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := shown(r); got != "card+card" {
			t.Errorf("got %q", got)
		}
		k := r.Keys()[0]
		gone := side("x", "", tokens.WayCard)
		gone.Connect = func(context.Context, func(hid.Holder)) (tokens.Link, error) { return nil, hid.ErrNotFound }
		if _, err := k.Connect(ctx, gone, nil); !errors.Is(err, hid.ErrGone) {
			t.Errorf("got %v", err)
		}
		cancel()
		<-done
	})
}

type failing struct{ err error }

func (f failing) Sides() ([]tokens.Side, error)           { return nil, f.err }
func (f failing) Watch(_ context.Context, _ func()) error { return f.err }

func TestCardInUse(t *testing.T) {
	for want, by := range map[string][]hid.Holder{
		"in use by another program": nil,
		"in use by scdaemon (process 7); close it (scdaemon by gpgconf --kill scda": {{PID: 7, Program: "scdaemon"}},
		"in use by firefox (process 8) or process 9; close it, then try again":      {{PID: 8, Program: "firefox"}, {PID: 9}},
	} {
		err := &tokens.InUseError{By: by, Err: pcsc.ErrSharing}
		if !strings.Contains(err.Error(), want) || !errors.Is(err, pcsc.ErrSharing) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
