package client_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// hijack takes the connection of a request over.
func hijack(t *testing.T, w http.ResponseWriter) *net.UnixConn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return nil
	}
	t.Cleanup(func() { conn.Close() })
	return conn.(*net.UnixConn)
}

func TestLeaseReports(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\nConnection: close\r\n\r\n{}\n"
	pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = syscall.Close(pair[0]), syscall.Close(pair[1]) }()
	var fds atomic.Int32
	fds.Store(1)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost || r.URL.Path != "/v1/lease-reports" || r.Header.Get("Content-Type") != "application/json" {
			problem(w, 400, &api.Error{Code: api.CodeInvalidRequest, Message: "no"})
			return
		}
		var rights []byte
		if n := fds.Load(); n > 0 {
			rights = syscall.UnixRights(append([]int{pair[1]}, make([]int, n-1)...)...)
		}
		conn := hijack(t, w)
		// In two pieces: the descriptor comes with the first.
		if _, _, err := conn.WriteMsgUnix([]byte(answer[:20]), rights, nil); err != nil {
			t.Error(err)
		}
		if _, err := conn.Write([]byte(answer[20:])); err != nil {
			t.Error(err)
		}
	})
	file, err := c.LeaseReports(t.Context(), "secret")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString("hello"); err != nil {
		t.Error(err)
	}
	file.Close()
	got := make([]byte, 10)
	if n, err := syscall.Read(pair[0], got); err != nil || string(got[:n]) != "hello" {
		t.Errorf("got %q, %v", got[:n], err)
	}
	for _, n := range []int32{0, 2} {
		fds.Store(n)
		if _, err := c.LeaseReports(t.Context(), "secret"); err == nil || !strings.Contains(err.Error(), "no file descriptor") {
			t.Errorf("%d descriptors: got %v", n, err)
		}
	}
}

func TestLeaseReportsFails(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		problem(w, 404, &api.Error{Code: api.CodeNotFound, Message: "no such lease"})
	})
	if _, err := c.LeaseReports(t.Context(), "x"); !errors.Is(err, &api.Error{Code: api.CodeNotFound}) {
		t.Errorf("got %v", err)
	}
	var failed *client.ConnectError
	if _, err := client.New(filepath.Join(t.TempDir(), "none")).LeaseReports(t.Context(), "x"); !errors.As(err, &failed) {
		t.Errorf("got %v, want a ConnectError", err)
	}
	begun := make(chan struct{})
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		hijack(t, w)
		close(begun)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	if _, err := c.LeaseReports(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
