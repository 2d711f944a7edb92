package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

// tail collects events until the test ends.
type tail struct {
	mu     sync.Mutex
	events []api.Event
}

func (l *lab) tail() *tail {
	tl := &tail{}
	ctx, cancel := context.WithCancel(l.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = l.engine.Events(ctx, alice, func(e api.Event) error {
			tl.mu.Lock()
			defer tl.mu.Unlock()
			tl.events = append(tl.events, e)
			return nil
		})
	}()
	l.t.Cleanup(func() { cancel(); <-done })
	l.settle()
	return tl
}

// text says the events in short and forgets them.
func (tl *tail) text() string {
	tl.mu.Lock()
	defer tl.mu.Unlock()
	var lines []string
	for _, e := range tl.events {
		s := string(e.Type)
		if e.Key != nil {
			s += " " + e.Key.ID
		}
		if e.Type == api.EventHolder {
			s += " by nobody"
			if e.Holder != nil {
				s = strings.Replace(s, "nobody", e.Holder.Program+" for "+e.Holder.Operation, 1)
			}
		}
		if e.Prompt != nil {
			s += " " + string(e.Prompt.Kind)
		}
		if e.Code != "" {
			s += " " + string(e.Code)
		}
		if e.Lost > 0 {
			s += fmt.Sprint(" ", e.Lost)
		}
		if e.Time == "" {
			s += " without a time"
		}
		lines = append(lines, s)
	}
	tl.events = nil
	return strings.Join(lines, "; ")
}

func TestEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		l.plug("k1", k, toyServer)
		first := l.tail()
		if got, want := first.text(), "attached k1; ready"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		r := l.start(api.OpTouch, api.TouchRequest{Purpose: "deploy"}, &person{})
		time.Sleep(time.Second)
		if got, want := first.text(), "holder k1 by browser for touch; prompt touch"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		late := l.tail()
		if p := late.events[2].Prompt; p == nil || p.Purpose != "deploy" || p.Program != "browser" {
			t.Errorf("one who comes late gets the prompt %+v", p)
		}
		if got, want := late.text(), "attached k1; holder k1 by browser for touch; prompt touch; ready"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		k.touches <- struct{}{}
		if _, err := r.wait(); err != nil {
			t.Fatal(err)
		}
		l.settle()
		if got, want := first.text(), "withdrawn touch; started k1; holder k1 by nobody; finished k1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		l.bus.Detach("k1")
		l.settle()
		if got, want := first.text(), "detached k1"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestFailureIsInTheEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.plug("k1", newToy(), toyServer)
		tl := l.tail()
		l.fails(api.OpPINSet, api.KeyRequest{}, nil, api.CodeUnsupported)
		l.fails(api.OpWink, api.KeyRequest{Key: "k9"}, nil, api.CodeNoKey)
		l.settle()
		if got, want := tl.text(), "attached k1; ready; holder k1 by browser for pin-set; holder k1 by nobody"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestSlowSubscriberLosesEventsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		slow := make(chan struct{})
		var got []api.Event
		done := make(chan error, 1)
		stop := errors.New("enough")
		go func() {
			done <- l.engine.Events(l.ctx, alice, func(e api.Event) error {
				if e.Type == api.EventReady {
					<-slow
				}
				got = append(got, e)
				if e.Type == api.EventLost {
					return stop
				}
				return nil
			})
		}()
		l.settle()
		fast := l.tail()
		for range 200 {
			l.plug("k1", newToy(), toyServer)
			l.bus.Detach("k1")
			l.settle()
		}
		if n := strings.Count(fast.text(), ";"); n != 400 {
			t.Errorf("a fast subscriber got %d events, want 401", n+1)
		}
		close(slow)
		if err := <-done; !errors.Is(err, stop) {
			t.Fatalf("got error %v", err)
		}
		last := got[len(got)-1]
		if len(got) != 1+256+1 || last.Lost != 400-256 {
			t.Errorf("got %d events and %d lost, want 258 and 144", len(got), last.Lost)
		}
	})
}
