package daemon_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens/softkey"
)

// Faults of every kind on the wire between the daemon and its keys, ten thousand and more
// of them, while operations come, wait, are given up and meet each other: every operation
// ends within its time, and at the end no lock is held, no goroutine is left (synctest
// fails if one is) and no descriptor.
func TestRandomFaults(t *testing.T) {
	const (
		want   = 10_000
		rounds = 90
		keys   = 3
	)
	before := descriptors(t)
	var injected, succeeded, failed atomic.Int64
	codes := make(map[api.Code]int)
	for round := range rounds {
		synctest.Test(t, func(t *testing.T) {
			l := newLab(t, func(cfg *daemon.Config) { cfg.Timeout = 20 * time.Second })
			for i := range keys {
				faultyKey(l, fmt.Sprint("k", i), uint64(round*keys+i), &injected)
			}
			chaos(l, uint64(round), func(err error) {
				if err == nil {
					succeeded.Add(1)
					return
				}
				failed.Add(1)
				codes[daemon.ErrorOf(err).Code]++
			})
			status := must[api.StatusResult](l, api.OpStatus, api.StatusRequest{}, nil)
			if status.Running != 0 || status.Waiting != 0 {
				t.Errorf("round %d: %d operations run and %d wait", round, status.Running, status.Waiting)
			}
			for _, k := range must[api.ListResult](l, api.OpList, api.ListRequest{}, nil).Keys {
				if k.Busy != nil {
					t.Errorf("round %d: %s is still taken by %+v", round, k.ID, k.Busy)
				}
			}
			// A fresh key on the same engine works as ever.
			l.soft("fresh", softkey.Config{})
			must[api.TouchResult](l, api.OpTouch, api.TouchRequest{Key: "fresh"}, nil)
		})
	}
	if n := injected.Load(); n < want {
		t.Errorf("only %d faults were injected, want %d", n, want)
	}
	if succeeded.Load() == 0 || failed.Load() == 0 {
		t.Errorf("%d operations succeeded and %d failed: the test shows nothing", succeeded.Load(), failed.Load())
	}
	if n := codes[api.CodeInternal]; n > 0 {
		t.Errorf("%d operations ended with %s", n, api.CodeInternal)
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors are open, %d were before", after, before)
	}
	t.Logf("%d faults; %d operations succeeded, %d failed: %v", injected.Load(), succeeded.Load(), failed.Load(), codes)
}

// faultyKey plugs in a key on whose wire one report in eight goes wrong.
func faultyKey(l *lab, id string, seed uint64, injected *atomic.Int64) {
	l.t.Helper()
	auth, err := softkey.New(softkey.Config{Seed: []byte(id), CTAP1Only: seed%4 == 3})
	if err != nil {
		l.t.Fatal(err)
	}
	if seed%4 == 1 {
		if err := ctap2.NewClient(auth, nil).SetPIN(l.ctx, 2, []byte("1234")); err != nil {
			l.t.Fatal(err)
		}
	}
	server := both
	if seed%4 == 3 {
		server = u2fOnly
	}
	opened := seed << 20
	l.plugDevice(id, auth, server, func(host hid.Device) hid.Device {
		opened++
		const reports = 60
		faults := hid.RandomFaults(opened, reports, 0.12, 200*time.Millisecond,
			hid.Drop, hid.Delay, hid.Duplicate, hid.Corrupt, hid.Reorder)
		if opened%17 == 0 {
			faults = append(faults, hid.Fault{Kind: hid.Disconnect, After: int(opened % 7)})
		}
		return &counting{Device: hid.NewFaulty(host, opened, faults...), faults: faults, injected: injected}
	})
}

// counting counts the faults that happened: those planned for reports that passed.
type counting struct {
	hid.Device
	faults        []hid.Fault
	injected      *atomic.Int64
	reads, writes atomic.Int64
	closed        atomic.Bool
}

func (c *counting) Read(report []byte) (int, error) {
	n, err := c.Device.Read(report)
	if err == nil {
		c.reads.Add(1)
	}
	return n, err
}

func (c *counting) Write(report []byte) (int, error) {
	n, err := c.Device.Write(report)
	if err == nil {
		c.writes.Add(1)
	}
	return n, err
}

func (c *counting) Close() error {
	if !c.closed.Swap(true) {
		for _, f := range c.faults {
			passed := c.writes.Load()
			if f.Direction == hid.FromDevice {
				passed = c.reads.Load()
			}
			if int64(f.After) < passed {
				c.injected.Add(1)
			}
		}
	}
	return c.Device.Close()
}

// chaos runs operations at random moments, some of which are given up, and waits for them.
func chaos(l *lab, seed uint64, report func(error)) {
	random := rand.New(rand.NewPCG(seed, 7))
	var runs []*later
	for range 120 {
		p := &person{pins: []string{"1234", "1234"}}
		key := ""
		if random.IntN(3) > 0 {
			key = fmt.Sprint("k", random.IntN(3))
		}
		var r *later
		switch random.IntN(6) {
		case 0:
			r = l.start(api.OpInfo, api.KeyRequest{Key: key}, p)
		case 1:
			r = l.start(api.OpTouch, api.TouchRequest{Key: key}, p)
		case 2:
			r = l.start(api.OpPINStatus, api.KeyRequest{Key: key}, p)
		case 3:
			other := &registered{ID: api.Bytes("of no key")}
			r = l.start(api.OpAssert, api.AssertRequest{Key: key, Origin: origin, Options: request("preferred", other)}, p)
		case 4:
			r = l.start(api.OpWink, api.KeyRequest{Key: key}, p)
		default:
			r = l.start(api.OpRegister, api.RegisterRequest{Key: key, Origin: origin, Options: creation("alice", ``, ``)}, p)
		}
		runs = append(runs, r)
		time.Sleep(time.Duration(random.IntN(400)) * time.Millisecond)
		if random.IntN(4) == 0 {
			runs[random.IntN(len(runs))].cancel()
		}
	}
	// No operation outlives its time by more than the key's last answer takes.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for i, r := range runs {
		select {
		case <-r.done:
			r.cancel()
			report(r.err)
		case <-ctx.Done():
			buffer := make([]byte, 1<<20)
			l.t.Fatalf("operation %d hangs past its deadline\n%s", i, buffer[:runtime.Stack(buffer, true)])
		}
	}
}

// descriptors counts this process's open files.
func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("no /proc")
	}
	return len(entries)
}
