//go:build soak

package soak

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

// codes are what a request may fail with in a storm. Not among them are faults of the daemon, and
// requests that are wrong.
var codes = map[api.Code]bool{
	api.CodeBusy: true, api.CodeTimeout: true, api.CodeNoKey: true, api.CodeKeyGone: true, api.CodeKeySilent: true, api.CodeKeyError: true,
	api.CodeNoCredentials: true, api.CodeCancelled: true, api.CodeNotFound: true,
	api.CodeUnsupported: true, // what a key says of a command whose number arrived as another one
}

// tally counts how requests end.
type tally struct {
	ledger

	mu     sync.Mutex
	ends   map[string]int
	wrong  []string
	longer time.Duration // the longest that one lasted
	later  time.Duration // the most that one came after its deadline
	// stopping is when the daemon was told to end: then a request may meet a closed door, if it has not begun.
	stopping bool
	places   int // how often somebody heard of a place in a queue
}

// place checks what a request hears of its places in the queues, last by key: all are of one user, so nobody can come
// before it who was behind it.
func (y *tally) place(last map[string]int, p api.Prompt) {
	if p.Kind != api.PromptWait || p.Position == 0 { // 0 is for a program outside the daemon
		return
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	y.places++
	before, again := last[p.Key]
	if (again && p.Position > before || p.Position > p.Waiting) && len(y.wrong) < 20 {
		y.wrong = append(y.wrong, fmt.Sprintf("%s at %s is told that it is number %d of %d, after number %d", p.Operation, p.Key, p.Position, p.Waiting, before))
	}
	last[p.Key] = p.Position
}

// end notes how a request ended that had so long, and took so long; begun says that the daemon had shown something.
func (y *tally) end(op string, had, took time.Duration, begun bool, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	wrong := func(what string) {
		if len(y.wrong) < 20 {
			y.wrong = append(y.wrong, fmt.Sprintf("%s after %v: %s: %v", op, took, what, err))
		}
	}
	if took > had+grace {
		wrong("outlived its deadline")
	}
	y.longer, y.later = max(y.longer, took), max(y.later, took-had)
	var known *api.Error
	switch {
	case y.stopping && errors.Is(err, &api.Error{Code: api.CodeShuttingDown}):
		y.ends[op+" "+string(api.CodeShuttingDown)]++
	case y.stopping && !begun && err != nil && !errors.As(err, &known) && !errors.Is(err, errHungUp):
		y.ends[op+" not begun"]++
	case err == nil:
		y.ends[op+" ok"]++
	case errors.Is(err, errHungUp):
		y.ends[op+" hung up"]++
	case errors.As(err, &known):
		y.ends[op+" "+string(known.Code)]++
		if !codes[known.Code] || known.Message == "" {
			wrong("no reason that a program can use")
		}
	default:
		wrong("neither a result nor a reason")
	}
}
