package main

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/tokens/softkey"
)

func median(d []time.Duration) float64 {
	slices.Sort(d)
	return float64(d[len(d)/2])
}

// BenchmarkGetAssertionOverSocket asks the same key in turns inside the program and over a Unix
// socket with CTAPHID framing. A ratio of 3 is a third of the rate, the least that is good.
func BenchmarkGetAssertionOverSocket(b *testing.B) {
	key, err := softkey.New(softkey.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer key.Close()
	made, err := ctap2.NewClient(key, nil).MakeCredential(b.Context(), makeRequest(cose.ES256, false))
	if err != nil {
		b.Fatal(err)
	}
	data, err := ctap2.ParseAuthData(made.AuthData)
	if err != nil {
		b.Fatal(err)
	}
	request, err := ctap2.MarshalRequest(ctap2.CmdGetAssertion, &ctap2.GetAssertionRequest{
		RPID: "example.org", ClientDataHash: bytes.Repeat([]byte{1}, 32),
		AllowList: []ctap2.CredentialDescriptor{{Type: ctap2.TypePublicKey, ID: data.CredentialID}},
	})
	if err != nil {
		b.Fatal(err)
	}

	l, err := address{kind: "unix", at: filepath.Join(b.TempDir(), "key")}.listen()
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	go func() {
		d, err := l.Accept()
		if err != nil {
			return
		}
		var faults reports // none, but the program is always ready for some
		_ = ctaphid.NewServer(key, ctaphid.ServerConfig{}).Serve(b.Context(), faults.wrap(d))
	}()
	conn, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	host := hid.NewStream(conn, 0, 0)
	defer host.Close()
	channel, err := ctaphid.Open(b.Context(), host)
	if err != nil {
		b.Fatal(err)
	}

	ask := func(transport ctap2.Transport) time.Duration {
		start := time.Now()
		response, err := transport.CBOR(b.Context(), request, nil)
		if err != nil || response[0] != 0 {
			b.Fatalf("%x, %v", response, err)
		}
		return time.Since(start)
	}
	var inside, outside []time.Duration
	b.ReportAllocs()
	for b.Loop() {
		inside = append(inside, ask(key))
		outside = append(outside, ask(channel))
	}
	b.ReportMetric(median(inside), "inside-ns")
	b.ReportMetric(median(outside), "socket-ns")
	b.ReportMetric(median(outside)/median(inside), "ratio")
}

// BenchmarkReady starts the released program: how long until the key can be asked.
func BenchmarkReady(b *testing.B) {
	program := filepath.Join(b.TempDir(), "fobkey")
	build := exec.CommandContext(b.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	at := filepath.Join(b.TempDir(), "key")
	var took []time.Duration
	for b.Loop() {
		cmd := exec.CommandContext(b.Context(), program, "--listen", at)
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		took = append(took, time.Since(start))
		if err != nil || !strings.HasPrefix(line, "ready ") {
			b.Fatalf("%q, %v", line, err)
		}
		_ = cmd.Process.Signal(os.Interrupt)
		if err := cmd.Wait(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(median(took)/1e6, "ms-to-ready")
}
