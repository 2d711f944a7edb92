package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// build makes the daemon as it is released.
func build(b *testing.B) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "fobd")
	cmd := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	return program
}

// rss is the daemon's resident memory in MiB.
func (d *instance) rss(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib float64
		if _, err := fmt.Sscanf(line, "VmRSS: %f kB", &kib); err == nil {
			return kib / 1024
		}
	}
	b.Fatal("no VmRSS")
	return 0
}

func (d *instance) kill(b *testing.B) {
	b.Helper()
	d.http.CloseIdleConnections()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		b.Fatal(err)
	}
	if err := d.cmd.Wait(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkStartToFirstAnswer starts the released daemon with one emulated key and asks
// it for the list of keys: ns/op includes stopping it, ms-to-answer does not.
func BenchmarkStartToFirstAnswer(b *testing.B) {
	program := build(b)
	var took time.Duration
	var memory float64
	n := 0
	for b.Loop() {
		d := prepare(b, program, "--emulate=bench")
		begin := time.Now()
		d.start(b)
		status, body, err := d.post("list", "{}")
		took += time.Since(begin)
		if err != nil || status != http.StatusOK {
			b.Fatalf("got %d %s, %v", status, body, err)
		}
		memory += d.rss(b)
		n++
		d.kill(b)
	}
	b.ReportMetric(float64(took.Microseconds())/1000/float64(n), "ms-to-answer")
	b.ReportMetric(memory/float64(n), "MiB-idle")
}

// Programs that only wait cost a little memory, and nothing else: after each group has come, all is
// quiet for a while in which the daemon should not wake up more often than without them.
const quiet = 3 * time.Second

// BenchmarkSubscribers measures 10,000 programs that follow the events; the last 9,000 show the growth.
func BenchmarkSubscribers(b *testing.B) {
	const first, all = 1000, 10000
	const events = "GET /v1/events HTTP/1.1\r\nHost: fobd\r\n\r\n"
	waiting(b, nil, func(d *instance, c *crowd) map[string]float64 {
		return map[string]float64{
			"KiB/subscriber-first": c.grow(b, d, first, events, `"ready"`),
			"KiB/subscriber":       c.grow(b, d, all-first, events, `"ready"`),
		}
	})
}

// BenchmarkQueued measures 1,000 programs that want a key which another one has. That one's key says
// ten times a second that it wants a touch (CTAP 2.2, section 11.2.9.1.7), so the daemon does not sleep.
func BenchmarkQueued(b *testing.B) {
	const first, all = 100, 1000
	const body = `{"key":"manual"}`
	touch := fmt.Sprintf("POST /v1/touch HTTP/1.1\r\nHost: fobd\r\nAccept: application/x-ndjson\r\n"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	waiting(b, func(d *instance, c *crowd) { c.grow(b, d, 1, touch, `"touch"`) }, func(d *instance, c *crowd) map[string]float64 {
		return map[string]float64{
			"KiB/waiter-first": c.grow(b, d, first, touch, `"wait"`),
			"KiB/waiter":       c.grow(b, d, all-first, touch, `"wait"`),
		}
	})
}

// waiting starts daemons, and measures what they do before and after a crowd has come that only waits.
func waiting(b *testing.B, before func(*instance, *crowd), come func(*instance, *crowd) map[string]float64) {
	program := build(b)
	sum := map[string]float64{}
	n := 0
	for b.Loop() {
		d := prepare(b, program, "--log-level=warn")
		d.configure(b, "[[emulate]]\nname = \"manual\"\npresence = \"manual\"\n[timeouts]\noperation = \"10m\"\n")
		d.start(b)
		var c crowd
		if before != nil {
			before(d, &c)
		}
		switches, cpu := d.rest(b)
		for name, v := range come(d, &c) {
			sum[name] += v
		}
		more, used := d.rest(b)
		sum["wake-ups/s-before"] += switches
		sum["wake-ups/s-added"] += more - switches
		sum["cpu-µs/s-before"] += cpu
		sum["cpu-µs/s-added"] += used - cpu
		n++
		c.leave()
		d.kill(b)
	}
	for name, v := range sum {
		b.ReportMetric(v/float64(n), name)
	}
}

// crowd is programs that have sent a request, and read what comes until they leave.
type crowd struct {
	conns []net.Conn
	wg    sync.WaitGroup
}

// grow lets n more send a request, waits until each has read what says that it waits, and returns the
// daemon's growth for each, in KiB.
func (c *crowd) grow(b *testing.B, d *instance, n int, request, want string) float64 {
	b.Helper()
	before := d.rss(b)
	for range n {
		conn, err := net.Dial("unix", d.socket)
		if err != nil {
			b.Fatal(err)
		}
		c.conns = append(c.conns, conn)
		if _, err := io.WriteString(conn, request); err != nil {
			b.Fatal(err)
		}
		var got []byte
		line := make([]byte, 1024)
		for !strings.Contains(string(got), want) {
			k, err := conn.Read(line)
			if err != nil {
				b.Fatalf("got %q, %v", got, err)
			}
			got = append(got, line[:k]...)
		}
		c.wg.Go(func() { _, _ = io.Copy(io.Discard, conn) })
	}
	return (d.rss(b) - before) * 1024 / float64(n)
}

func (c *crowd) leave() {
	for _, conn := range c.conns {
		conn.Close()
	}
	c.wg.Wait()
}

// rest waits until what has begun is over (the garbage collector, news of places in the queue), and
// then measures how often the daemon wakes up in a second, and how long it computes, in µs.
func (d *instance) rest(b *testing.B) (switches, cpu float64) {
	time.Sleep(quiet)
	n, t := d.effort(b)
	time.Sleep(quiet)
	later, used := d.effort(b)
	return float64(later-n) / quiet.Seconds(), float64((used - t).Microseconds()) / quiet.Seconds()
}

// effort is how often the daemon's threads have gone to sleep, and the processor's time that it has used.
func (d *instance) effort(b *testing.B) (switches int, cpu time.Duration) {
	b.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", d.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range files {
		status, err := os.ReadFile(file)
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
	schedstat, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", d.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for _, file := range schedstat {
		text, err := os.ReadFile(file)
		var ns int64
		if _, e := fmt.Sscan(string(text), &ns); err == nil && e == nil {
			cpu += time.Duration(ns)
		}
	}
	return switches, cpu
}
