package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

// terminal collects what is written from any goroutine.
type terminal struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(b)
}

func (t *terminal) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

func liveScreen(b *terminal, columns int) *screen {
	s := newScreen(b, nil)
	s.width = func() int { return columns }
	return s
}

// shown plays what a terminal makes of the output: the lines that remain.
func shown(t *testing.T, output string) []string {
	t.Helper()
	lines := []string{""}
	for output != "" {
		last := len(lines) - 1
		switch {
		case strings.HasPrefix(output, "\x1b[1A"):
			if last == 0 {
				t.Fatal("the cursor leaves the screen")
			}
			lines = lines[:last]
			output = output[4:]
		case strings.HasPrefix(output, "\x1b[2K"):
			lines[last] = ""
			output = output[4:]
		case output[0] == '\r':
			output = output[1:]
		case output[0] == '\n':
			lines = append(lines, "")
			output = output[1:]
		default:
			lines[last] += output[:1]
			output = output[1:]
		}
	}
	return lines[:len(lines)-1]
}

func TestPromptCountsDownAndGoesAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b terminal
		s := liveScreen(&b, 200)
		deadline := time.Now().Add(30 * time.Second).Format(time.RFC3339)
		s.Show(api.Prompt{ID: "1", Kind: api.PromptTouch, Message: "Touch Key: ssh wants it", Deadline: deadline})
		s.Show(api.Prompt{ID: "2", Kind: api.PromptTouch, Message: "Touch Other"})
		if got, want := strings.Join(shown(t, b.String()), "|"), "Touch Key: ssh wants it (30 s left)|Touch Other"; got != want {
			t.Errorf("at first: %q, want %q", got, want)
		}
		time.Sleep(3*time.Second + time.Millisecond)
		synctest.Wait()
		if got, want := strings.Join(shown(t, b.String()), "|"), "Touch Key: ssh wants it (27 s left)|Touch Other"; got != want {
			t.Errorf("after 3 s: %q, want %q", got, want)
		}
		s.Withdraw("unknown")
		s.Withdraw("1")
		if got, want := strings.Join(shown(t, b.String()), "|"), "Touch Other"; got != want {
			t.Errorf("after one is withdrawn: %q, want %q", got, want)
		}
		s.close()
		if got := shown(t, b.String()); len(got) != 0 {
			t.Errorf("at the end: %q, want an empty screen", got)
		}
	})
}

func TestPromptsMakeRoomForAQuestion(t *testing.T) {
	var b terminal
	s := liveScreen(&b, 80)
	s.pins = pinFunc(func(context.Context, api.Prompt) (api.Secret, error) {
		if got := shown(t, b.String()); len(got) != 0 {
			t.Errorf("during the question: %q, want an empty screen", got)
		}
		return api.NewSecret([]byte("1234")), nil
	})
	s.Show(api.Prompt{ID: "1", Message: "Touch"})
	pin, err := s.PIN(t.Context(), api.Prompt{})
	if err != nil || string(pin.Bytes()) != "1234" {
		t.Errorf("PIN = %s, %v", pin.Bytes(), err)
	}
	if got := strings.Join(shown(t, b.String()), "|"); got != "Touch" {
		t.Errorf("after the question: %q, want the prompt", got)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.PIN(ended, api.Prompt{}); !errors.Is(err, context.Canceled) {
		t.Errorf("PIN of a withdrawn prompt: %v, want context.Canceled", err)
	}
	s.close()
}

type pinFunc func(context.Context, api.Prompt) (api.Secret, error)

func (f pinFunc) pin(ctx context.Context, p api.Prompt) (api.Secret, error) { return f(ctx, p) }

func TestLongPromptFitsTheTerminal(t *testing.T) {
	var b terminal
	s := liveScreen(&b, 40)
	s.Show(api.Prompt{ID: "1", Message: strings.Repeat("long ", 40)})
	got := shown(t, b.String())
	if len(got) != 1 || len([]rune(got[0])) > 39 {
		t.Errorf("shown %q, want one line of at most 39 characters", got)
	}
	s.close()
}

func TestWithoutATerminalAPromptIsALine(t *testing.T) {
	var b terminal
	s := newScreen(&b, nil)
	s.Show(api.Prompt{ID: "1", Message: "Touch\x1b[2J"})
	s.Show(api.Prompt{ID: "2", Kind: "new-kind"})
	s.Withdraw("1")
	s.close()
	if got, want := b.String(), "Touch\ufffd[2J\nnew-kind\n"; got != want {
		t.Errorf("output %q, want %q", got, want)
	}
}

func TestPINsFromAFile(t *testing.T) {
	f := &filePINs{name: "file descriptor 3", r: strings.NewReader("1234\nnew pin \n\nlast")}
	for i, want := range []string{"1234", "new pin ", "", "last"} {
		pin, err := f.pin(t.Context(), api.Prompt{Key: strconv.Itoa(i), Kind: api.PromptPIN})
		if err != nil || string(pin.Bytes()) != want {
			t.Errorf("pin = %q, %v, want %q", pin.Bytes(), err, want)
		}
	}
	_, err := f.pin(t.Context(), api.Prompt{})
	if !errors.Is(err, &api.Error{Code: api.CodePINRequired}) {
		t.Errorf("at the end: %v, want pin-required", err)
	}
	long := &filePINs{name: "x", r: strings.NewReader(strings.Repeat("7", maxAnswer+1))}
	if _, err := long.pin(t.Context(), api.Prompt{}); err == nil || strings.Contains(err.Error(), "777") {
		t.Errorf("a long line: %v, want an error without the PIN", err)
	}
	broken := &filePINs{name: "x", r: errorReader{}}
	if _, err := broken.pin(t.Context(), api.Prompt{}); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a broken file: %v, want its error", err)
	}
}

func TestPINsFromAFileAreNotGuesses(t *testing.T) {
	seven := uint(7)
	r := strings.NewReader("wrong\nnew\n")
	f := &filePINs{name: "file descriptor 3", r: r}
	if _, err := f.pin(t.Context(), api.Prompt{Key: "k", Kind: api.PromptPIN}); err != nil {
		t.Fatal(err)
	}
	_, err := f.pin(t.Context(), api.Prompt{Key: "k", Kind: api.PromptPIN, Retries: &seven})
	var invalid *api.Error
	if !errors.As(err, &invalid) || invalid.Code != api.CodePINInvalid || invalid.Retries != &seven || r.Len() != 4 {
		t.Errorf("asked again: %v with %d bytes left, want pin-invalid and the next line untouched", err, r.Len())
	}
	if _, err := f.pin(t.Context(), api.Prompt{Key: "k", Kind: api.PromptNewPIN}); err != nil {
		t.Errorf("another question: %v", err)
	}
	_, err = f.pin(t.Context(), api.Prompt{Key: "k", Kind: api.PromptNewPIN, MinLength: 6})
	if !errors.Is(err, &api.Error{Code: api.CodePINPolicy}) {
		t.Errorf("the new PIN is asked for again: %v, want pin-policy", err)
	}
}

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

func TestSamplesLeaveALineEach(t *testing.T) {
	var b terminal
	s := liveScreen(&b, 80)
	two, one := uint(2), uint(1)
	for _, p := range []api.Prompt{
		{ID: "1", Kind: api.PromptSample, Message: "Touch the sensor"},
		{ID: "2", Kind: api.PromptSample, Message: "Good.", Sample: "good", Remaining: &two},
		{ID: "3", Kind: api.PromptSample, Message: "Too fast.", Sample: "too-fast\x1b", Remaining: &two},
		{ID: "4", Kind: api.PromptSample, Message: "Good.", Sample: "good", Remaining: &one},
	} {
		s.Show(p)
		if lines := shown(t, b.String()); lines[len(lines)-1] != p.Message {
			t.Errorf("with prompt %s the screen shows %q", p.ID, lines)
		}
		s.Withdraw(p.ID)
	}
	s.close()
	if got, want := strings.Join(shown(t, b.String()), "|"), "sample 1: good; 2 more|sample 2: too fast\ufffd; 2 more|sample 3: good; 1 more"; got != want {
		t.Errorf("at the end: %q, want %q", got, want)
	}
}

func TestYesNeedsNobody(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpCredentialDelete] = func(c *fakeCall) {
		c.line(api.Line{Prompt: &api.Prompt{ID: "1", Kind: api.PromptConfirm, Message: "Sure?"}})
		if answer := <-c.f.prompted; answer != "true" {
			t.Errorf("the question is answered by %q, want true", answer)
		}
		c.line(api.Line{Result: api.CredentialResult{RPID: "example.org", Key: api.Key{ID: "k"}}})
	}
	if got := f.fob(t, "", "credential", "delete", "alice", "--yes"); got.status != 0 || !strings.Contains(got.out, "example.org") {
		t.Errorf("got %+v", got)
	}
}

func TestObserveFollowsAQuietKey(t *testing.T) {
	f := newFake(t)
	asked := 0
	f.answers[api.OpEmulateObserve] = func(c *fakeCall) {
		asked++
		switch asked {
		case 1:
			_ = json.NewEncoder(c.w).Encode(api.EmulateObserveResult{Next: 3})
		case 2: // as the daemon says when nothing happens for long
			c.w.WriteHeader(http.StatusRequestTimeout)
			_ = json.NewEncoder(c.w).Encode(api.Line{Error: &api.Error{Code: api.CodeTimeout}})
		case 3:
			if got, want := string(c.request), `{"since":3,"wait":true}`; got != want {
				t.Errorf("asks %s, want %s", got, want)
			}
			_ = json.NewEncoder(c.w).Encode(api.EmulateObserveResult{Next: 4, Observations: []api.Observation{{Time: "now", Command: "getInfo", Status: "OK"}}})
		default:
			c.w.WriteHeader(http.StatusNotFound)
			_ = json.NewEncoder(c.w).Encode(api.Line{Error: &api.Error{Code: api.CodeNotFound, Message: "gone"}})
		}
	}
	if got := f.fob(t, "", "emulate", "observe", "--follow"); got.status != exitFailed || got.out != "now getInfo OK\n" || got.err != "fob: gone\n" {
		t.Errorf("got %+v", got)
	}
}
