//go:build soak

package soak

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

const (
	subscribers, waiters = 10000, 1000
	// window is how long a daemon must do nothing at all.
	window = 5 * time.Second
)

// TestIdle has programs that only wait: first those that want a key which another one has, then those that follow the
// events, then both. Each costs the daemon a little memory, and together they do not wake it up.
func TestIdle(t *testing.T) {
	files(t, subscribers+waiters+500)
	t.Run("waiters", func(t *testing.T) {
		d := start(t, "grant", 0)
		before := d.settle()
		c := newCrowd(d)
		c.hold()
		held := d.settle()
		c.queue()
		after := d.settle()
		d.idle()
		t.Logf("%d keys that are held, one lease each: %s each", keys, growth(before, held, keys))
		t.Logf("%d requests that wait, half of them told of their places: %s each", waiters, growth(held, after, waiters))
		if each := (after.rss - held.rss) / waiters; each > 100 {
			t.Errorf("a waiter costs %d KiB", each)
		}
		c.letGo()
		d.stop()
	})
	t.Run("subscribers", func(t *testing.T) {
		d := start(t, "grant", 0)
		before := d.settle()
		c := newCrowd(d)
		c.follow()
		after := d.settle()
		d.idle()
		t.Logf("%d who follow the events: %s each", subscribers, growth(before, after, subscribers))
		if each := (after.rss - before.rss) / subscribers; each > 50 {
			t.Errorf("a subscriber costs %d KiB", each)
		}
		c.hold()
		c.queue()
		both := d.settle()
		d.idle()
		t.Logf("%d who follow the events and %d requests that wait: %v", subscribers, waiters, both)
		c.stop()
	})
}

// files sees to it that this process and the daemons that it starts can have so many open.
func files(t testing.TB, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur >= n {
		return
	}
	// Root may have more than the hard limit.
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: max(limit.Max, n)}); err != nil {
		t.Fatalf("%d open files are needed, the limit is %d: %v", n, limit.Max, err)
	}
}

// growth is how much more resident memory there is for each of n.
func growth(before, after usage, n int) string {
	return fmt.Sprintf("%.1f KiB", float64(after.rss-before.rss)/float64(n))
}

// crowd is programs that wait.
type crowd struct {
	d       *fobd
	ctx     context.Context
	hangUp  context.CancelFunc
	running sync.WaitGroup
	control *client.Client

	mu     sync.Mutex // guards leases
	leases []string
	queued chan error // how those who wait for a key end
	heard  chan error // how those who follow the events end
}

func newCrowd(d *fobd) *crowd {
	c := &crowd{d: d, queued: make(chan error, waiters), heard: make(chan error, subscribers), control: client.New(d.socket)}
	c.ctx, c.hangUp = context.WithCancel(d.t.Context())
	d.t.Cleanup(func() {
		c.hangUp()
		c.running.Wait()
	})
	return c
}

// hold takes each key for a lease: a key that blinks would have the daemon hear ten times a second that it does.
func (c *crowd) hold() {
	c.d.t.Helper()
	for i := range keys {
		began := make(chan string, 1)
		ended := make(chan error, 1)
		c.running.Go(func() {
			p := client.New(c.d.socket)
			defer p.Close()
			ended <- p.Do(c.ctx, api.OpLease, api.LeaseRequest{Key: keyName(i), DurationMS: 300_000, TimeoutMS: 600_000}, nil, silent{func(p api.Prompt) {
				if p.Kind == api.PromptLease {
					began <- p.Lease
				}
			}})
		})
		select {
		case id := <-began:
			c.mu.Lock()
			c.leases = append(c.leases, id)
			c.mu.Unlock()
		case err := <-ended:
			c.d.t.Fatalf("no lease of %s: %v", keyName(i), err)
		}
	}
	c.control.Close()
}

// queue lets programs wait for the keys, every other one of which wants to hear of its place.
func (c *crowd) queue() {
	c.d.t.Helper()
	waits := make(chan struct{}, waiters)
	for i := range waiters {
		var ui client.Prompter
		if i/keys%2 == 0 {
			ui = silent{func(p api.Prompt) {
				if p.Kind == api.PromptWait {
					select {
					case waits <- struct{}{}:
					default: // it heard of its place before
					}
				}
			}}
		}
		c.running.Go(func() {
			p := client.New(c.d.socket)
			defer p.Close()
			c.queued <- p.Do(c.ctx, api.OpTouch, api.TouchRequest{Key: keyName(i % keys), TimeoutMS: 600_000}, nil, ui)
		})
	}
	// The daemon counts them; nobody is told when the last one has come.
	for late := time.Now().Add(time.Minute); ; {
		var status api.StatusResult
		if err := c.control.Do(c.ctx, api.OpStatus, nil, &status, nil); err != nil {
			c.d.t.Fatal(err)
		}
		if status.Waiting == waiters {
			break
		}
		if time.Now().After(late) {
			c.d.t.Fatalf("%d wait, want %d", status.Waiting, waiters)
		}
	}
	if len(waits) == 0 {
		c.d.t.Error("nobody was told that it waits")
	}
	c.control.Close()
}

// follow lets programs subscribe to the events.
func (c *crowd) follow() {
	c.d.t.Helper()
	ready := make(chan struct{}, subscribers)
	for range subscribers {
		c.running.Go(func() {
			p := client.New(c.d.socket)
			defer p.Close()
			c.heard <- p.Events(c.ctx, func(e api.Event) error {
				if e.Type == api.EventReady {
					ready <- struct{}{}
				}
				return nil
			})
		})
	}
	for range subscribers {
		select {
		case <-ready:
		case err := <-c.heard:
			c.d.t.Fatalf("a subscriber ended: %v", err)
		}
	}
}

// letGo ends the leases: everyone who waits must get its key.
func (c *crowd) letGo() {
	c.d.t.Helper()
	for _, id := range c.leases {
		if err := c.control.Do(c.ctx, api.OpLeaseEnd, api.LeaseEndRequest{Lease: id}, nil, nil); err != nil {
			c.d.t.Error(err)
		}
	}
	c.control.Close()
	for range waiters {
		if err := <-c.queued; err != nil {
			c.d.t.Errorf("a request that waited: %v", err)
		}
	}
}

// stop ends the daemon under everyone who waits: each must hear why.
func (c *crowd) stop() {
	c.d.t.Helper()
	c.d.stop()
	for range waiters {
		if err := <-c.queued; !errors.Is(err, &api.Error{Code: api.CodeShuttingDown}) {
			c.d.t.Errorf("a request that waited: got %v, want %s", err, api.CodeShuttingDown)
		}
	}
	for range subscribers {
		if err := <-c.heard; !errors.Is(err, io.ErrUnexpectedEOF) {
			c.d.t.Errorf("a subscriber: got %v, want the end of the stream", err)
		}
	}
}

// effort is how often the threads of the daemon went to sleep of their own, and how long they have computed.
func (d *fobd) effort() (switches int, cpu time.Duration) {
	d.t.Helper()
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", d.cmd.Process.Pid))
	if err != nil || len(tasks) == 0 {
		d.t.Fatalf("%d threads, %v", len(tasks), err)
	}
	for _, task := range tasks {
		status, err := os.ReadFile(task)
		if err != nil {
			continue // a thread that has ended
		}
		for line := range strings.Lines(string(status)) {
			var n int
			if _, err := fmt.Sscanf(line, "voluntary_ctxt_switches: %d", &n); err == nil {
				switches += n
			}
		}
	}
	return switches, d.usage().cpu
}

// still says how much the daemon does in a while.
func (d *fobd) still(long time.Duration) (switches int, cpu time.Duration) {
	n, before := d.effort()
	<-time.After(long)
	later, after := d.effort()
	return later - n, after - before
}

// settle waits until what has begun is over, garbage collection included, and says what the daemon has then.
func (d *fobd) settle() usage {
	d.t.Helper()
	begin := time.Now()
	for {
		n, cpu := d.still(time.Second)
		if n == 0 && cpu == 0 {
			u := d.usage()
			d.t.Logf("still after %v: %v", time.Since(begin).Round(time.Second), u)
			return u
		}
		if time.Since(begin) > 3*time.Minute {
			d.t.Fatalf("the daemon does not come to rest: %d wake-ups and %v of the processor in a second", n, cpu)
		}
	}
}

// idle checks that the daemon does nothing at all. The Go runtime collects garbage once in two minutes when nothing else
// made it do so (runtime.forcegcperiod), which may happen meanwhile: there is a second try.
func (d *fobd) idle() {
	d.t.Helper()
	var n int
	var cpu time.Duration
	for range 2 {
		n, cpu = d.still(window)
		d.t.Logf("in %v: %d wake-ups, %v of the processor", window, n, cpu)
		if n == 0 && cpu == 0 {
			return
		}
	}
	d.t.Errorf("an idle daemon woke up %d times in %v and used the processor for %v", n, window, cpu)
}
