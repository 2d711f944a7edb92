package touchdetector_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/touchdetector"
)

func prompt(kind api.PromptKind, id string) api.Event {
	return api.Event{Type: api.EventPrompt, Prompt: &api.Prompt{ID: id, Kind: kind}}
}

func withdrawn(id string) api.Event {
	return api.Event{Type: api.EventWithdrawn, Prompt: &api.Prompt{ID: id}}
}

func about(kind api.EventType, key string) api.Event {
	return api.Event{Type: kind, Key: &api.Key{ID: key}}
}

var ready = api.Event{Type: api.EventReady}

func TestState(t *testing.T) {
	for _, tt := range []struct {
		name   string
		events []api.Event
		want   string
	}{
		{"a touch", []api.Event{prompt(api.PromptTouch, "1"), withdrawn("1")}, "U2F_1 U2F_0"},
		{"two keys blink", []api.Event{prompt(api.PromptTouch, "1"), prompt(api.PromptTouch, "2"), withdrawn("1"), withdrawn("2")}, "U2F_1 U2F_0"},
		{"a finger", []api.Event{prompt(api.PromptVerify, "1"), withdrawn("1"), prompt(api.PromptSample, "2"), withdrawn("2")}, "U2F_1 U2F_0 U2F_1 U2F_0"},
		{"nothing to touch", []api.Event{prompt(api.PromptPIN, "1"), prompt(api.PromptWait, "2"), prompt(api.PromptInsert, "3"), withdrawn("1")}, ""},
		{"another program", []api.Event{about(api.EventForeign, "k"), about(api.EventForeignOver, "k")}, "U2F_1 U2F_0"},
		{"another program's key goes", []api.Event{about(api.EventForeign, "k"), about(api.EventDetached, "k")}, "U2F_1 U2F_0"},
		{"ours and another's", []api.Event{about(api.EventForeign, "k"), prompt(api.PromptTouch, "1"), about(api.EventForeignOver, "k"), withdrawn("1")}, "U2F_1 U2F_0"},
		{"told twice", []api.Event{about(api.EventForeign, "k"), about(api.EventForeign, "k"), about(api.EventForeignOver, "k"), about(api.EventForeignOver, "k")}, "U2F_1 U2F_0"},
		{"events without what they are about", []api.Event{{Type: api.EventPrompt}, {Type: api.EventForeign}, {Type: api.EventWithdrawn}}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var s touchdetector.State
			var got []string
			for _, e := range tt.events {
				if c, changed := s.Event(e); changed {
					if c.On != s.On() {
						t.Errorf("change %v and state %v", c.On, s.On())
					}
					got = append(got, c.Message())
				}
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// streams gives one stream of events after the other.
type streams struct {
	lists [][]api.Event
	after error
}

func (s *streams) Events(_ context.Context, _ policy.Actor, send func(api.Event) error) error {
	if len(s.lists) == 0 {
		return s.after
	}
	list := s.lists[0]
	s.lists = s.lists[1:]
	for _, e := range list {
		if err := send(e); err != nil {
			return err
		}
	}
	return s.after
}

func TestFollow(t *testing.T) {
	lost := api.Event{Type: api.EventLost, Lost: 3}
	end := errors.New("the engine stopped")
	for _, tt := range []struct {
		name  string
		lists [][]api.Event
		want  string
	}{
		{"what was there before", [][]api.Event{{prompt(api.PromptTouch, "1"), ready, withdrawn("1")}}, "U2F_1 U2F_0"},
		{"the end", [][]api.Event{{ready, prompt(api.PromptTouch, "1")}}, "U2F_1 U2F_0"},
		{"lost, and still on", [][]api.Event{{ready, prompt(api.PromptTouch, "1"), lost}, {prompt(api.PromptTouch, "2"), ready, withdrawn("2")}}, "U2F_1 U2F_0"},
		{"lost, and over", [][]api.Event{{ready, prompt(api.PromptTouch, "1"), lost}, {ready, prompt(api.PromptTouch, "3")}}, "U2F_1 U2F_0 U2F_1 U2F_0"},
		{"lost, and begun", [][]api.Event{{ready, lost}, {about(api.EventForeign, "k"), ready}}, "U2F_1 U2F_0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			err := touchdetector.Follow(t.Context(), &streams{tt.lists, end}, policy.Actor{}, func(c touchdetector.Change) { got = append(got, c.Message()) })
			if !errors.Is(err, end) {
				t.Errorf("error %v, want %v", err, end)
			}
			if got := strings.Join(got, " "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
