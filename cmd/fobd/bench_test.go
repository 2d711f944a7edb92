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

// BenchmarkIdleSubscribers measures what 1,000 programs that follow the events cost.
func BenchmarkIdleSubscribers(b *testing.B) {
	const subscribers = 1000
	program := build(b)
	var memory float64
	n := 0
	for b.Loop() {
		d := prepare(b, program).start(b)
		before := d.rss(b)
		line := make([]byte, 512)
		var open []net.Conn
		for range subscribers {
			c, err := net.Dial("unix", d.socket)
			if err != nil {
				b.Fatal(err)
			}
			open = append(open, c)
			if _, err := io.WriteString(c, "GET /v1/events HTTP/1.1\r\nHost: fobd\r\n\r\n"); err != nil {
				b.Fatal(err)
			}
			if k, err := c.Read(line); err != nil || !strings.HasPrefix(string(line[:k]), "HTTP/1.1 200") {
				b.Fatalf("got %q, %v", line[:k], err)
			}
		}
		memory += (d.rss(b) - before) * 1024 / subscribers
		n++
		for _, c := range open {
			c.Close()
		}
		d.kill(b)
	}
	b.ReportMetric(memory/float64(n), "KiB/subscriber")
}
