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

// Who waits hears of each new place in the queue; all others hear once that it waits, for a thousand
// who wait would tell a thousand times at each step.
func TestPlacesInTheQueueAreForThoseWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		l.plug("k1", k, toyServer)
		tl := l.tail()
		var waits []*later
		var people []*person
		for range 4 {
			p := &person{}
			people = append(people, p)
			waits = append(waits, l.start(api.OpTouch, api.TouchRequest{}, p))
			time.Sleep(time.Second)
		}
		for _, w := range waits {
			k.touches <- struct{}{}
			if _, err := w.wait(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		l.settle()
		var places []string
		for _, p := range people[3].seen {
			if p.Kind == api.PromptWait {
				places = append(places, fmt.Sprintf("%d of %d", p.Position, p.Waiting))
			}
		}
		if got, want := strings.Join(places, ", "), "3 of 3, 2 of 2, 1 of 1"; got != want {
			t.Errorf("the last one heard %s, want %s", got, want)
		}
		text := tl.text()
		if got := strings.Count(text, "prompt wait"); got != 3 {
			t.Errorf("others heard of %d that wait, want 3: %s", got, text)
		}
		if got := strings.Count(text, "withdrawn wait"); got != 3 {
			t.Errorf("others heard of %d that wait no more, want 3: %s", got, text)
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
