package httpapi_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
	"github.com/fobd/fobd/daemon/httpapi"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

// LeaseReports makes engine one that knows no leases.
func (e engine) LeaseReports(policy.Actor, string) (*os.File, error) {
	return nil, &api.Error{Code: api.CodeNotFound, Message: "no such lease"}
}

// Authorize makes engine one that lets everybody do everything.
func (e engine) Authorize(policy.Actor, policy.Action) error { return nil }

// holder is the program that has a lease.
type holder struct{ lease chan string }

func (h holder) Show(p api.Prompt) {
	if p.Kind == api.PromptLease {
		h.lease <- p.Lease
	}
}
func (holder) Withdraw(string) {}
func (holder) PIN(context.Context, api.Prompt) (api.Secret, error) {
	return api.Secret{}, errors.New("nobody")
}
func (holder) Choose(context.Context, api.Prompt) (int, error)   { return 0, errors.New("nobody") }
func (holder) Confirm(context.Context, api.Prompt) (bool, error) { return false, errors.New("nobody") }

func TestLeaseReports(t *testing.T) {
	e, err := daemon.New(daemon.Config{Rules: policy.Rules{Owner: uint32(os.Getuid())}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	s := serve(t, e, httpapi.Config{})
	c := client.New(s.socket)
	t.Cleanup(c.Close)
	if err := c.Do(t.Context(), api.OpEmulateAdd, api.EmulateAddRequest{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	h := holder{lease: make(chan string, 1)}
	ended := make(chan error, 1)
	var result api.LeaseResult
	go func() { ended <- c.Do(t.Context(), api.OpLease, api.LeaseRequest{}, &result, h) }()
	var id string
	select {
	case id = <-h.lease:
	case err := <-ended:
		t.Fatal(err)
	}
	if _, err := c.LeaseReports(t.Context(), "guessed"); !errors.Is(err, &api.Error{Code: api.CodeNotFound}) {
		t.Errorf("got %v, want %s", err, api.CodeNotFound)
	}
	file, err := c.LeaseReports(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	channel, err := ctaphid.Open(t.Context(), hid.NewPackets(conn, hid.DefaultReportSize, hid.DefaultReportSize))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := ctap2.NewClient(channel, nil).GetInfo(t.Context()); err != nil || !info.Supports(ctap2.VersionFIDO21) {
		t.Errorf("got %+v, %v", info, err)
	}
	if err := c.Do(t.Context(), api.OpLeaseEnd, api.LeaseEndRequest{Lease: id}, nil, nil); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil || result.Ended != api.LeaseReleased {
		t.Errorf("got %+v, %v", result, err)
	}
	if _, err := conn.Read(make([]byte, 64)); !errors.Is(err, io.EOF) {
		t.Errorf("after the lease: got %v, want %v", err, io.EOF)
	}
}

func TestLeaseReportsRefuses(t *testing.T) {
	s := serve(t, engine{}, httpapi.Config{})
	const path = "/v1/lease-reports"
	s.fails(t, request{path: path, body: `{"lease":"x"}`, headers: []string{"Content-Type: text/plain"}}, http.StatusUnsupportedMediaType, api.CodeInvalidRequest, "Content-Type")
	s.fails(t, request{path: path, body: `{"laese":"x"}`, headers: []string{"Content-Type: application/json"}}, http.StatusBadRequest, api.CodeInvalidRequest, "laese")
	s.fails(t, request{path: path, body: `{"lease":"x"}`, headers: []string{"Content-Type: application/json"}}, http.StatusNotFound, api.CodeNotFound, "no such lease")
	s.fails(t, request{path: path, method: http.MethodGet}, http.StatusMethodNotAllowed, api.CodeInvalidRequest, "POST")
}
