//go:build soak

package soak

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// TestStormLeavesNothingRunning compares the goroutines of a daemon after a storm with those of one that never saw one.
// The Go runtime writes them down when it gets a SIGQUIT.
func TestStormLeavesNothingRunning(t *testing.T) {
	files(t, 3*clients)
	fresh := start(t, "delay", 2*time.Millisecond)
	fresh.calm(fresh.settle())
	want := fresh.goroutines()
	d := start(t, "delay", 2*time.Millisecond)
	before := d.settle()
	d.storm(max(duration()/6, 5*time.Second)) // shorter ones have not seen it all
	d.calm(before)
	got := d.goroutines()
	n := 0
	for begun, count := range want {
		n += count
		if got[begun] == 0 {
			t.Errorf("none that was %s", begun)
		}
	}
	t.Logf("%d goroutines of %d kinds before a storm", n, len(want))
	if n < keys {
		t.Error("the goroutines were not seen")
	}
	for begun, count := range got {
		if count > want[begun] {
			t.Errorf("%d goroutines were %s, %d without a storm", count, begun, want[begun])
		}
	}
}

var createdBy = regexp.MustCompile(`(?m)^created by ([^\n]+?)(?: in goroutine \d+)?$`)

// goroutines ends the daemon and says how many goroutines it had, by what began them.
func (d *fobd) goroutines() map[string]int {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		d.t.Fatal(err)
	}
	select {
	case <-d.ended:
	case <-time.After(15 * time.Second):
		d.t.Fatal("the daemon does not end")
	}
	n := map[string]int{}
	for _, found := range createdBy.FindAllStringSubmatch(d.log.String(), -1) {
		if !strings.HasPrefix(found[1], "runtime.") { // such as the garbage collector's
			n["begun by "+found[1]]++
		}
	}
	return n
}

// TestStormIsStopped tells the daemon to end in the middle of a storm: it ends well and soon, and everyone who had begun
// something is told why it did not come to its end.
func TestStormIsStopped(t *testing.T) {
	files(t, 3*clients)
	d := start(t, "delay", 20*time.Millisecond)
	y := &tally{ends: map[string]int{}}
	storm, over := context.WithCancel(t.Context())
	defer over()
	var running sync.WaitGroup
	for i := range clients {
		p := &program{c: client.New(d.socket), random: rand.New(rand.NewPCG(0, uint64(i))), y: y, rp: fmt.Sprintf("p%d.example", i)}
		running.Go(func() { p.run(storm) })
	}
	control := client.New(d.socket)
	defer control.Close()
	for late := time.Now().Add(time.Minute); ; {
		var status api.StatusResult
		if err := control.Do(t.Context(), api.OpStatus, nil, &status, nil); err != nil {
			t.Fatal(err)
		}
		if status.Waiting > clients/2 {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("only %d wait", status.Waiting)
		}
	}
	y.mu.Lock()
	y.stopping = true
	y.mu.Unlock()
	over() // nobody begins anything new
	d.stop()
	running.Wait()
	for _, w := range y.wrong {
		t.Error(w)
	}
	told := 0
	for _, end := range slices.Sorted(maps.Keys(y.ends)) {
		t.Logf("%7d %s", y.ends[end], end)
		if strings.HasSuffix(end, " "+string(api.CodeShuttingDown)) {
			told += y.ends[end]
		}
	}
	if told < clients/4 {
		t.Errorf("%d programs were told that the daemon ends", told)
	}
}
