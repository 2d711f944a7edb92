package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/fobd/fobd/daemon/api"
)

// screen shows prompts to the person at the terminal. On a terminal a prompt shows the
// time left and disappears when it is over; elsewhere it is one line.
type screen struct {
	out  io.Writer
	pins pinSource
	yes  bool // every yes-or-no question is answered by yes
	// width gives the columns of the terminal; nil when out is none.
	width func() int

	asking sync.Mutex // held while one question is asked

	mu      sync.Mutex // guards the following
	open    []api.Prompt
	drawn   int // lines on the screen that belong to open
	paused  bool
	samples int           // of a finger, so far
	stop    chan struct{} // ends the ticking; nil when nothing ticks
	done    chan struct{}
}

func newScreen(out io.Writer, pins pinSource) *screen {
	s := &screen{out: out, pins: pins}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		s.width = func() int {
			if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
				return w
			}
			return 80
		}
	}
	return s
}

// close takes everything off the screen and ends the ticking.
func (s *screen) close() {
	s.mu.Lock()
	s.open = nil
	s.draw()
	stop, done := s.stop, s.done
	s.stop = nil
	s.mu.Unlock()
	if stop != nil {
		close(stop)
		<-done
	}
}

// Show implements client.Prompter.
func (s *screen) Show(p api.Prompt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.width == nil {
		s.open = append(s.open, p)
		if p.Kind == api.PromptProgress {
			return // only something for a screen
		}
		fmt.Fprintln(s.out, sentence(p, time.Now()))
		return
	}
	if p.Kind == api.PromptSample && p.Sample != "" {
		s.sampled(p)
	}
	s.open = append(s.open, p)
	s.draw()
	if p.Deadline != "" && s.stop == nil {
		s.stop, s.done = make(chan struct{}), make(chan struct{})
		go s.tick(s.stop, s.done)
	}
}

// Withdraw implements client.Prompter.
func (s *screen) Withdraw(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.open {
		if p.ID == id {
			s.open = append(s.open[:i:i], s.open[i+1:]...)
			s.draw()
			return
		}
	}
}

// tick redraws once a second, for the time left.
func (s *screen) tick(stop <-chan struct{}, done chan<- struct{}) {
	defer close(done)
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-stop:
			return
		case <-t.C:
			s.mu.Lock()
			s.draw()
			s.mu.Unlock()
		}
	}
}

// draw puts the open prompts where the earlier ones were. The caller holds s.mu.
func (s *screen) draw() {
	if s.width == nil {
		return
	}
	var b strings.Builder
	for range s.drawn {
		b.WriteString("\x1b[1A\x1b[2K")
	}
	b.WriteString("\r")
	s.drawn = 0
	if !s.paused {
		columns := s.width()
		for _, p := range s.open {
			// A line that wraps could not be taken away again.
			fmt.Fprintf(&b, "%s\n", cut(sentence(p, time.Now()), columns-1))
			s.drawn++
		}
	}
	_, _ = io.WriteString(s.out, b.String())
}

// sampled leaves a line about the last sample on the screen, above the open prompts. The caller
// holds s.mu.
func (s *screen) sampled(p api.Prompt) {
	open := s.open
	s.open = nil
	s.draw()
	s.samples++
	line := fmt.Sprintf("sample %d: %s", s.samples, strings.ReplaceAll(clean(p.Sample), "-", " "))
	if p.Remaining != nil {
		line += fmt.Sprintf("; %d more", *p.Remaining)
	}
	fmt.Fprintln(s.out, line)
	s.open = open
}

// cut shortens s to n characters; the end, with the time left, matters most.
func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n || n < 12 {
		return s
	}
	r := []rune(s)
	const tail = 10
	return string(r[:n-tail-1]) + "…" + string(r[len(r)-tail:])
}

// sentence is a prompt in one line: the daemon's words, and the time left.
func sentence(p api.Prompt, now time.Time) string {
	s := clean(p.Message)
	if s == "" {
		s = clean(string(p.Kind))
	}
	if p.Kind == api.PromptProgress {
		return s + progressBar(p.Done, p.Of)
	}
	if t, err := time.Parse(time.RFC3339, p.Deadline); err == nil {
		left := max(0, t.Sub(now)).Round(time.Second)
		s += fmt.Sprintf(" (%d s left)", int(left.Seconds()))
	}
	return s
}

// progressWidth is how many characters a bar has.
const progressWidth = 30

// progressBar is how far something is.
func progressBar(done, of int) string {
	if of <= 0 {
		return fmt.Sprintf(": %d", done)
	}
	full := progressWidth * min(done, of) / of
	return fmt.Sprintf(" [%s%s] %d of %d", strings.Repeat("#", full), strings.Repeat(".", progressWidth-full), done, of)
}

// pause takes the prompts off the screen while a question is asked, one question at a
// time, and returns the function that puts them back.
func (s *screen) pause() (resume func()) {
	s.asking.Lock()
	s.mu.Lock()
	s.paused = true
	s.draw()
	s.mu.Unlock()
	return func() {
		s.mu.Lock()
		s.paused = false
		s.draw()
		s.mu.Unlock()
		s.asking.Unlock()
	}
}

// PIN implements client.Prompter.
func (s *screen) PIN(ctx context.Context, p api.Prompt) (api.Secret, error) {
	defer s.pause()()
	if ctx.Err() != nil {
		return api.Secret{}, ctx.Err()
	}
	return s.pins.pin(ctx, p)
}

// Choose implements client.Prompter.
func (s *screen) Choose(ctx context.Context, p api.Prompt) (int, error) {
	defer s.pause()()
	f, err := openTTY()
	if err != nil {
		return 0, nobody(p)
	}
	defer f.Close()
	for {
		fmt.Fprintln(f, clean(p.Message))
		for i, c := range p.Choices {
			fmt.Fprintf(f, "%3d  %s  %s\n", i+1, clean(c.Name), clean(c.Detail))
		}
		line, err := readTTY(ctx, f, fmt.Sprintf("Which one (1-%d)? ", len(p.Choices)), true)
		if err != nil {
			return 0, err
		}
		if n, err := strconv.Atoi(strings.TrimSpace(string(line))); err == nil && n >= 1 && n <= len(p.Choices) {
			return n - 1, nil
		}
	}
}

// Confirm implements client.Prompter.
func (s *screen) Confirm(ctx context.Context, p api.Prompt) (bool, error) {
	if s.yes {
		return true, nil
	}
	defer s.pause()()
	return confirm(ctx, p)
}

// confirm asks a yes-or-no question at the terminal; only a whole "yes" is one.
func confirm(ctx context.Context, p api.Prompt) (bool, error) {
	f, err := openTTY()
	if err != nil {
		e := nobody(p)
		e.Hint += "; where something is to be deleted or erased, --yes answers"
		return false, e
	}
	defer f.Close()
	line, err := readTTY(ctx, f, p.Message+" Type yes: ", true)
	return strings.TrimSpace(string(line)) == "yes", err
}

// nobody says that a question cannot be asked.
func nobody(p api.Prompt) *api.Error {
	return &api.Error{
		Code: api.CodeCancelled, Key: p.Key,
		Message: "there is no terminal to ask at: " + p.Message,
		Hint:    "run it in a terminal",
	}
}
