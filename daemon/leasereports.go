package daemon

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/u2f/apdu"
)

// maxLeaseFiles bounds the file descriptors of one lease.
const maxLeaseFiles = 16

// LeaseReports gives who's lease as a file, for programs that speak CTAPHID themselves: a socket of
// type SEQPACKET, each of whose packets is a report of 64 bytes (CTAP 2.2, section 11.2.4). What goes
// through it meets the same policy and prompts as what [api.OpLeaseSend] sends. At the end of the
// lease there is nothing more to read. The caller closes the file, which does not end the lease.
func (e *Engine) LeaseReports(who policy.Actor, lease string) (*os.File, error) {
	if err := e.Authorize(who, policy.Action{Operation: api.OpLeaseSend, Scope: policy.ScopeUse}); err != nil {
		return nil, err
	}
	l, err := e.leases.find(lease, who)
	if err != nil {
		return nil, err
	}
	if err := l.enter(); err != nil {
		return nil, err
	}
	ours, theirs, err := packetPair()
	if err != nil {
		l.leave()
		return nil, fmt.Errorf("daemon: socket for a lease: %w", err)
	}
	dev := hid.NewPackets(ours, hid.DefaultReportSize, hid.DefaultReportSize)
	server := ctaphid.NewServer(leaseKey{l, who}, ctaphid.ServerConfig{
		DeviceVersion: l.init.DeviceVersion,
		Capabilities:  l.init.Capabilities &^ ctaphid.CapWink,
	})
	go func() {
		defer l.leave()
		// Its end is that of the lease, or the program's; neither is a fault.
		_ = server.Serve(l.hold, dev)
		_ = dev.Close()
	}()
	return theirs, nil
}

// enter counts a file in.
func (l *lease) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.closed:
		return l.explain(context.Cause(l.hold))
	case l.files >= maxLeaseFiles:
		return &api.Error{
			Code: api.CodeTooMany, Message: "the lease on " + l.key.Name() + " has too many files",
			Hint: "close some of them", Key: l.key.ID(),
		}
	}
	l.files++
	l.readers.Add(1)
	return nil
}

func (l *lease) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files--
	l.readers.Done()
}

// leaseKey is a leased key as a [ctaphid.Server] has it.
type leaseKey struct {
	l   *lease
	who policy.Actor
}

// CBOR implements [ctaphid.Authenticator]. What the daemon refuses is answered with a status that tells
// programs of CTAP what to make of it.
func (k leaseKey) CBOR(ctx context.Context, request []byte, keepalive func(status byte)) ([]byte, error) {
	response, err := k.l.send(ctx, leaseMessage{who: k.who, body: request, keepalive: keepalive})
	if err == nil {
		return response, nil
	}
	status := ctap2.ErrOther
	var denied *policy.DeniedError
	switch {
	case ctx.Err() != nil:
		status = ctap2.ErrKeepaliveCancel
	case errors.As(err, &denied):
		status = ctap2.ErrOperationDenied
	case errors.Is(err, errLeaseSecret):
		status = ctap2.ErrUnsupportedExtension
	case errors.Is(err, errLeaseLastRetry):
		status = ctap2.ErrPINAuthBlocked
	}
	return []byte{byte(status)}, nil
}

// MSG implements [ctaphid.Authenticator].
func (k leaseKey) MSG(ctx context.Context, message []byte, keepalive func(status byte)) ([]byte, error) {
	response, err := k.l.send(ctx, leaseMessage{who: k.who, body: message, u2f: true, keepalive: keepalive})
	var denied *policy.DeniedError
	if errors.As(err, &denied) {
		return []byte{byte(apdu.ErrCommandNotAllowed >> 8), byte(apdu.ErrCommandNotAllowed & 0xFF)}, nil
	}
	return response, err
}
