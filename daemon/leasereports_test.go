package daemon_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/u2f"
)

// teller is a person who passes on what is shown.
type teller struct {
	nobody
	lease chan string
}

type nobody struct{}

func (nobody) PIN(context.Context, api.Prompt) (api.Secret, error) {
	return api.Secret{}, errors.New("nobody")
}
func (nobody) Choose(context.Context, api.Prompt) (int, error)   { return 0, errors.New("nobody") }
func (nobody) Confirm(context.Context, api.Prompt) (bool, error) { return false, errors.New("nobody") }

func (p teller) Show(prompt api.Prompt) func() {
	if prompt.Kind == api.PromptLease {
		p.lease <- prompt.Lease
	}
	return func() {}
}

// leasedOutside is an engine with an emulated key and a lease on it. Sockets do not live in bubbles.
func leasedOutside(t testing.TB) (engine *daemon.Engine, id string, ended <-chan error) {
	t.Helper()
	engine, err := daemon.New(daemon.Config{Rules: policy.Rules{Owner: alice.UID}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- engine.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
	if _, err := engine.Do(t.Context(), alice, api.OpEmulateAdd, decoder(api.EmulateAddRequest{}), nil); err != nil {
		t.Fatal(describeError(err))
	}
	p := teller{lease: make(chan string, 1)}
	over := make(chan error, 1)
	go func() {
		_, err := engine.Do(t.Context(), alice, api.OpLease, decoder(api.LeaseRequest{}), p)
		over <- err
	}()
	select {
	case id = <-p.lease:
	case err := <-over:
		t.Fatal(describeError(err))
	}
	return engine, id, over
}

func endLease(t *testing.T, engine *daemon.Engine, id string) {
	t.Helper()
	if _, err := engine.Do(t.Context(), alice, api.OpLeaseEnd, decoder(api.LeaseEndRequest{Lease: id}), nil); err != nil {
		t.Fatal(describeError(err))
	}
}

// reportsOf is the device that a lease is as a file.
func reportsOf(t testing.TB, engine *daemon.Engine, id string) (hid.Device, net.Conn) {
	t.Helper()
	file, err := engine.LeaseReports(alice, id)
	if err != nil {
		t.Fatal(describeError(err))
	}
	defer file.Close()
	conn, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return hid.NewPackets(conn, hid.DefaultReportSize, hid.DefaultReportSize), conn
}

func TestLeaseReports(t *testing.T) {
	engine, id, ended := leasedOutside(t)
	dev, conn := reportsOf(t, engine, id)
	channel, err := ctaphid.Open(t.Context(), dev)
	if err != nil {
		t.Fatal(err)
	}
	c := ctap2.NewClient(channel, nil)
	if _, err := c.MakeCredential(t.Context(), makes()); err != nil {
		t.Error(err)
	}
	if v, err := (&u2f.Client{Transport: channel}).Version(t.Context()); err != nil || v != "U2F_V2" {
		t.Errorf("got %q, %v", v, err)
	}
	// What cannot go through a lease.
	h, err := c.HMACSecret(t.Context(), pinuv.Two, make([]byte, 32), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{
		RPID: "example.org", ClientDataHash: make([]byte, 32), Extensions: &ctap2.GetAssertionExtensions{HMACSecret: h.Input},
	})
	if !errors.Is(err, ctap2.ErrUnsupportedExtension) {
		t.Errorf("hmac-secret: got %v, want %v", err, ctap2.ErrUnsupportedExtension)
	}
	if _, err := channel.Vendor(t.Context(), byte(ctaphid.CmdVendorFirst), nil, nil); !errors.Is(err, ctaphid.ErrInvalidCmd) {
		t.Errorf("a vendor's command: got %v, want %v", err, ctaphid.ErrInvalidCmd)
	}
	// A second one is another connection to the same key.
	again, _ := reportsOf(t, engine, id)
	if other, err := ctaphid.Open(t.Context(), again); err != nil {
		t.Error(err)
	} else if _, err := ctap2.NewClient(other, nil).GetInfo(t.Context()); err != nil {
		t.Error(err)
	}
	endLease(t, engine, id)
	if err := <-ended; err != nil {
		t.Error(describeError(err))
	}
	if _, err := conn.Read(make([]byte, 64)); !errors.Is(err, io.EOF) {
		t.Errorf("after the lease: got %v, want %v", err, io.EOF)
	}
	_, err = engine.LeaseReports(alice, id)
	wantCode(t, err, api.CodeNotFound)
}

func TestLeaseReportsAskThePolicy(t *testing.T) {
	engine, id, _ := leasedOutside(t)
	_, err := engine.LeaseReports(policy.Actor{UID: 7, User: "eve"}, id)
	wantCode(t, err, api.CodeDenied)
	_, err = engine.LeaseReports(policy.Actor{UID: 0, User: "root"}, id)
	wantCode(t, err, api.CodeNotFound)
	dev, _ := reportsOf(t, engine, id)
	channel, err := ctaphid.Open(t.Context(), dev)
	if err != nil {
		t.Fatal(err)
	}
	daemon.Disown(engine)
	if _, err := ctap2.NewClient(channel, nil).MakeCredential(t.Context(), makes()); !errors.Is(err, ctap2.ErrOperationDenied) {
		t.Errorf("got %v, want %v", err, ctap2.ErrOperationDenied)
	}
	if _, err := (&u2f.Client{Transport: channel}).Version(t.Context()); err == nil {
		t.Error("U2F goes past the policy")
	}
}

func TestLeaseReportsAreBounded(t *testing.T) {
	engine, id, _ := leasedOutside(t)
	var files []*os.File
	for {
		file, err := engine.LeaseReports(alice, id)
		if err != nil {
			wantCode(t, err, api.CodeTooMany)
			break
		}
		if files = append(files, file); len(files) > 100 {
			t.Fatal("there is no limit")
		}
	}
	for _, file := range files {
		file.Close()
	}
	endLease(t, engine, id)
}
