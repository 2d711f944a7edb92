//go:build soak

package soak

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// chaos pulls keys out, puts them in again, and lets them fail, until ctx ends; then all is well again.
func chaos(ctx context.Context, t testing.TB, c *client.Client, seed uint64) (unplugs, faults int) {
	do := func(op string, request any) {
		if err := c.Do(context.WithoutCancel(ctx), op, request, nil, nil); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
	bad := []string{
		"hang=any:once", "slow=any:50ms:3", "garble=makeCredential:once", "truncate=getAssertion:once", "status=any:OTHER:once",
		"report-busy=in:2:once", "report-drop=in:3:once", "report-corrupt=out:1:once", "report-disconnect=in:5:once", "report-duplicate=in:1:once",
	}
	var running sync.WaitGroup
	running.Go(func() {
		random := rand.New(rand.NewPCG(seed, 1<<32))
		for ; ctx.Err() == nil; unplugs++ {
			name := keyName(random.IntN(keys))
			do(api.OpEmulatePower, api.EmulatePowerRequest{Name: name})
			wait(ctx, 20*time.Millisecond)
			do(api.OpEmulatePower, api.EmulatePowerRequest{Name: name, On: true})
			wait(ctx, 200*time.Millisecond)
		}
	})
	random := rand.New(rand.NewPCG(seed, 1<<33))
	for ; ctx.Err() == nil; faults++ {
		name := keyName(random.IntN(keys))
		do(api.OpEmulateFault, api.EmulateFaultRequest{Name: name, On: []string{bad[faults%len(bad)]}})
		wait(ctx, 100*time.Millisecond)
		do(api.OpEmulateFault, api.EmulateFaultRequest{Name: name, Clear: true})
		wait(ctx, 100*time.Millisecond)
	}
	running.Wait()
	return unplugs, faults
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// TestStorm lets a storm go over the daemon twice: what the second one leaves behind that the first one
// did not has leaked.
func TestStorm(t *testing.T) {
	files(t, 3*clients)                                             // leases have two connections
	d := start(t, "delay", 2*time.Millisecond, "GODEBUG=gctrace=1") // it says how much memory is in use
	before := d.settle()
	d.fill()
	d.storm(duration() / 2)
	first, used := d.calm(before), d.heap()
	d.storm(duration() / 2)
	second, later := d.calm(before), d.heap()
	t.Logf("before: %v; after the first storm: %v, %d MB in use; after the second: %v, %d MB in use", before, first, used, second, later)
	if later > used+2 {
		t.Errorf("memory in use grew from %d to %d MB from the first storm to the second", used, later)
	}
	if second.rss > 2*first.rss {
		t.Errorf("memory grew from %d to %d KiB from the first storm to the second", first.rss, second.rss)
	}
	if second.threads > first.threads+4 {
		t.Errorf("threads grew from %d to %d", first.threads, second.threads)
	}
	d.stop()
	for _, l := range d.ledgers {
		d.audited(l)
	}
}

// collected is what the Go runtime writes of a garbage collection (package runtime, gctrace).
var collected = regexp.MustCompile(`(?m)^gc \d+ @.* \d+->\d+->(\d+) MB, .*\n`)

// fill makes the emulated keys remember as much as they ever do: they keep the last 1,024 private keys that they used, and
// the last 1,024 things that they were asked (softkey.MaxObservations).
func (d *fobd) fill() {
	const programs, each = 4, 300
	y := &tally{ends: map[string]int{}}
	var running sync.WaitGroup
	for i := range keys * programs {
		running.Go(func() {
			p := &program{c: client.New(d.socket), y: y, rp: "fill.example"}
			defer p.c.Close()
			for range each {
				_ = p.register(d.t.Context(), keyName(i%keys))
			}
		})
	}
	running.Wait()
	if n := y.ends["register ok"]; n != keys*programs*each {
		d.t.Errorf("%d registrations, %v", n, y.wrong)
	}
}

// heap has the daemon collect garbage, by making some, until nothing more goes away, and says how many MB are in use then.
// What is kept for use again (sync.Pool) goes away only after some collections.
func (d *fobd) heap() int {
	d.t.Helper()
	const collections = 12
	c := client.New(d.socket)
	defer c.Close()
	seen := len(collected.FindAllString(d.log.String(), -1))
	for late := time.Now().Add(time.Minute); ; {
		for range 200 {
			if err := c.Do(d.t.Context(), api.OpList, nil, nil, nil); err != nil {
				d.t.Fatal(err)
			}
		}
		all := collected.FindAllStringSubmatch(d.log.String(), -1)
		if len(all) < seen+collections {
			if time.Now().After(late) {
				d.t.Fatal("the daemon collects no garbage")
			}
			continue
		}
		least := math.MaxInt
		for _, one := range all[seen+1:] { // the first one may have begun before
			n, err := strconv.Atoi(one[1])
			if err != nil {
				d.t.Fatal(err)
			}
			least = min(least, n)
		}
		return least
	}
}

func (d *fobd) storm(long time.Duration) {
	t := d.t
	control := client.New(d.socket)
	defer control.Close()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	y := &tally{ends: map[string]int{}}
	d.ledgers = append(d.ledgers, &y.ledger)
	o := order{last: map[string]int{}}
	watching, stopWatching := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	var lost atomic.Uint64
	watchers.Go(func() {
		c := client.New(d.socket)
		defer c.Close()
		_ = c.Events(watching, func(e api.Event) error {
			o.event(e)
			lost.Add(e.Lost) // a request whose event is lost is not judged
			return nil
		})
	})
	storm, over := context.WithTimeout(t.Context(), long)
	defer over()
	var running sync.WaitGroup
	for i := range clients {
		p := &program{c: client.New(d.socket), random: rand.New(rand.NewPCG(seed, uint64(i))), y: y, rp: fmt.Sprintf("p%d.example", i)}
		running.Go(func() { p.run(storm) })
	}
	for i := range keys {
		running.Go(func() {
			c := client.New(d.socket)
			defer c.Close()
			convoy(storm, c, i, y)
		})
	}
	unplugs, faults := chaos(storm, t, control, seed)
	t.Logf("at the peak: %v", d.usage())
	running.Wait()
	stopWatching()
	watchers.Wait()

	for _, w := range y.wrong {
		t.Error(w)
	}
	total, failed := 0, 0
	for _, end := range slices.Sorted(maps.Keys(y.ends)) {
		n := y.ends[end]
		total += n
		t.Logf("%7d %s", n, end)
		if !strings.HasSuffix(end, " ok") {
			failed += n
		}
	}
	t.Logf("%d requests of %d programs, %d of them not done, each with a reason; the longest took %v, none ended more than %v after its deadline; %d unplugs, %d faults",
		total, clients, failed, y.longer, max(y.later, 0), unplugs, faults)
	for _, end := range []string{
		"touch ok", "register ok", "assert ok", "lease ok", "lease-send ok", "touch-any ok", "convoy ok",
		"left-touch hung up", "left-touch-any hung up", "left-register hung up", "left-lease hung up", "events hung up",
	} {
		if y.ends[end] == 0 {
			t.Errorf("not one %s: the storm was none", end)
		}
	}
	if unplugs == 0 || faults == 0 {
		t.Error("nothing was pulled out or failed")
	}
	for _, code := range []api.Code{api.CodeKeyGone, api.CodeKeyError, api.CodeNoKey, api.CodeBusy} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(y.ends)), func(end string) bool { return strings.HasSuffix(end, " "+string(code)) }) {
			t.Errorf("no request failed with %s: the storm was none", code)
		}
	}
	if y.places == 0 {
		t.Error("nobody heard of its place")
	}
	t.Logf("%d requests got their keys in the order in which they came, %d events lost; %d places in queues were told, none of them further behind than before",
		o.checked, lost.Load(), y.places)
	if o.checked < 10 {
		t.Error("the order was not seen")
	}
	for _, w := range o.wrong {
		t.Error("not first in, first out: " + w)
	}
}

// calm checks that nothing is left of a storm, and returns what the daemon has of the machine.
func (d *fobd) calm(before usage) usage {
	t := d.t
	t.Helper()
	control := client.New(d.socket)
	defer control.Close()
	// What was left by those who hung up is over soon.
	for late := time.Now().Add(10 * time.Second); ; {
		var status api.StatusResult
		if err := control.Do(t.Context(), api.OpStatus, nil, &status, nil); err != nil {
			t.Fatal(err)
		}
		if status.Waiting == 0 && status.Running == 0 {
			break
		}
		if time.Now().After(late) {
			t.Errorf("%d still run, %d wait", status.Running, status.Waiting)
			break
		}
	}
	var list api.ListResult
	if err := control.Do(t.Context(), api.OpList, nil, &list, nil); err != nil || len(list.Keys) != keys {
		t.Fatalf("got %d keys, %v", len(list.Keys), err)
	}
	var leases api.LeaseListResult
	if err := control.Do(t.Context(), api.OpLeaseList, nil, &leases, nil); err != nil || len(leases.Leases) > 0 {
		t.Errorf("got %d leases, %v", len(leases.Leases), err)
	}
	for _, k := range list.Keys {
		if k.Busy != nil {
			t.Errorf("%s is still taken by %+v", k.Name, k.Busy)
		}
		if err := control.Do(t.Context(), api.OpTouch, api.TouchRequest{Key: k.ID, TimeoutMS: 5000}, nil, nil); err != nil {
			t.Errorf("%s after the storm: %v", k.Name, err)
		}
	}
	control.Close()
	after := d.settle()
	if after.files > before.files {
		t.Errorf("%d files are open, %d were before", after.files, before.files)
	}
	return after
}
