package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/tokens/softkey"
	"github.com/fobd/fobd/u2f"
)

// leased is a lease of alice, and the transport of CTAP2 and U2F that it is.
type leased struct {
	l      *lab
	id     string
	op     *later
	holder *person
}

// lease takes a lease; with a second person, prompts are that one's.
func (l *lab) lease(r api.LeaseRequest) *leased {
	l.t.Helper()
	x := &leased{l: l, holder: always()}
	// The program does not hang up because the daemon stops.
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.ctx))
	x.op = &later{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(x.op.done)
		x.op.result, x.op.err = l.do(ctx, api.OpLease, r, x.holder)
	}()
	synctest.Wait()
	told := x.holder.now(api.PromptLease)
	if len(told) != 1 || told[0].Lease == "" {
		_, err := x.op.wait()
		l.t.Fatalf("got no lease: %s", describeError(err))
	}
	x.id = told[0].Lease
	return x
}

func (x *leased) send(ctx context.Context, r api.LeaseSendRequest) ([]byte, error) {
	v, err := x.l.do(ctx, api.OpLeaseSend, r, nil)
	if err != nil {
		return nil, err
	}
	return v.(*api.LeaseSendResult).Response, nil
}

func (x *leased) CBOR(ctx context.Context, request []byte, _ func(byte)) ([]byte, error) {
	return x.send(ctx, api.LeaseSendRequest{Lease: x.id, CBOR: request})
}

func (x *leased) MSG(ctx context.Context, apdu []byte, _ func(byte)) ([]byte, error) {
	return x.send(ctx, api.LeaseSendRequest{Lease: x.id, MSG: apdu})
}

func (x *leased) client() *ctap2.Client { return ctap2.NewClient(x, nil) }

// ended waits for the end and says which one it was.
func (x *leased) ended() (string, error) {
	x.l.t.Helper()
	v, err := x.op.wait()
	if open := x.holder.now(api.PromptLease); len(open) > 0 {
		x.l.t.Errorf("the prompt is still there: %+v", open)
	}
	if err != nil {
		return "", err
	}
	return v.(*api.LeaseResult).Ended, nil
}

func (x *leased) release() {
	x.l.t.Helper()
	must[api.LeaseEndResult](x.l, api.OpLeaseEnd, api.LeaseEndRequest{Lease: x.id}, nil)
	if got, err := x.ended(); err != nil || got != api.LeaseReleased {
		x.l.t.Errorf("got %q, %v, want %q", got, err, api.LeaseReleased)
	}
}

// makes is a request for a credential of example.org.
func makes() *ctap2.MakeCredentialRequest {
	return &ctap2.MakeCredentialRequest{
		ClientDataHash:   bytes.Repeat([]byte{1}, 32),
		RP:               ctap2.RP{ID: "example.org"},
		User:             ctap2.User{ID: []byte("alice"), Name: "alice"},
		PubKeyCredParams: []ctap2.CredentialParameter{{Type: ctap2.TypePublicKey, Alg: cose.ES256}},
	}
}

// message is a CTAP2 request.
func message(t testing.TB, cmd ctap2.Cmd, v any) []byte {
	t.Helper()
	b, err := ctap2.MarshalRequest(cmd, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestLeaseCarriesMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{Delay: time.Second})
		x := l.lease(api.LeaseRequest{Purpose: "to bake a cake"})
		told := x.holder.now(api.PromptLease)[0]
		if told.Message != "browser has Yubico Key k1 for itself (to bake a cake)" || told.Deadline == "" {
			t.Errorf("got %+v", told)
		}
		if info, err := x.client().GetInfo(t.Context()); err != nil || !info.Supports(ctap2.VersionFIDO21) {
			t.Errorf("got %+v, %v", info, err)
		}
		// The touch is asked for where the lease was.
		made, err := x.client().MakeCredential(t.Context(), makes())
		if err != nil {
			t.Fatal(err)
		}
		x.holder.mu.Lock()
		last := x.holder.seen[len(x.holder.seen)-1]
		x.holder.mu.Unlock()
		if last.Kind != api.PromptTouch || last.Message != "Touch Yubico Key k1: browser wants to register it with example.org (to bake a cake)" || last.Operation != api.OpRegister {
			t.Errorf("got prompt %+v", last)
		}
		if open := x.holder.now(api.PromptTouch); len(open) > 0 {
			t.Errorf("the prompt is still there: %+v", open)
		}
		if data, err := ctap2.ParseAuthData(made.AuthData); err != nil || len(data.CredentialID) == 0 {
			t.Errorf("got %+v, %v", data, err)
		}
		// U2F is the same key.
		if v, err := (&u2f.Client{Transport: x}).Version(t.Context()); err != nil || v != "U2F_V2" {
			t.Errorf("got %q, %v", v, err)
		}
		// What is no message is answered as a key would.
		if got, err := x.CBOR(t.Context(), []byte{1, 0xFF}, nil); err != nil || !bytes.Equal(got, []byte{byte(ctap2.ErrInvalidCBOR)}) {
			t.Errorf("got %x, %v", got, err)
		}
		if got, err := x.MSG(t.Context(), []byte{1}, nil); err != nil || !bytes.Equal(got, []byte{0x67, 0}) {
			t.Errorf("got %x, %v", got, err)
		}
		x.release()
		_, err = x.client().GetInfo(t.Context())
		wantCode(t, err, api.CodeNotFound)
	})
}

func TestLeaseRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		e := l.fails(api.OpLease, api.LeaseRequest{}, nil, api.CodeInvalidRequest)
		if !strings.Contains(e.Hint, "fob lease") {
			t.Errorf("got hint %q", e.Hint)
		}
		l.fails(api.OpLease, api.LeaseRequest{DurationMS: 300001}, always(), api.CodeInvalidRequest)
		l.fails(api.OpLease, api.LeaseRequest{Purpose: strings.Repeat("x", 201)}, always(), api.CodeInvalidRequest)
		l.fails(api.OpLease, api.LeaseRequest{Key: "k2"}, always(), api.CodeNoKey)
		x := l.lease(api.LeaseRequest{})
		for _, r := range []api.LeaseSendRequest{{Lease: x.id}, {Lease: x.id, CBOR: []byte{4}, MSG: []byte{4}}} {
			l.fails(api.OpLeaseSend, r, nil, api.CodeInvalidRequest)
		}
		for _, r := range []api.LeaseEndRequest{{}, {Lease: x.id, Key: "k1"}} {
			l.fails(api.OpLeaseEnd, r, nil, api.CodeInvalidRequest)
		}
		l.fails(api.OpLeaseSend, api.LeaseSendRequest{Lease: "guessed", CBOR: []byte{4}}, nil, api.CodeNotFound)
		l.fails(api.OpLeaseEnd, api.LeaseEndRequest{Lease: "guessed"}, nil, api.CodeNotFound)
		x.release()
		l.fails(api.OpLeaseEnd, api.LeaseEndRequest{Key: "k1"}, nil, api.CodeNotFound)
	})
}

func TestLeaseIsOnesOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		watcher := make(chan api.Event, 100)
		watching, stop := context.WithCancel(l.ctx)
		go func() {
			_ = l.engine.Events(watching, alice, func(e api.Event) error { watcher <- e; return nil })
			close(watcher)
		}()
		agent := make(chan api.Line, 100)
		go func() {
			_ = l.engine.Agent(watching, alice, api.Agent{Name: "test"}, func(line api.Line) error { agent <- line; return nil })
			close(agent)
		}()
		synctest.Wait()
		x := l.lease(api.LeaseRequest{Purpose: "to bake a cake"})

		// Nobody else is told its name, and nobody else can use it, not even root.
		root := policy.Actor{UID: 0, User: "root"}
		_, err := l.engine.Do(l.ctx, root, api.OpLeaseSend, decoder(api.LeaseSendRequest{Lease: x.id, CBOR: []byte{4}}), nil)
		wantCode(t, err, api.CodeNotFound)
		list := must[api.LeaseListResult](l, api.OpLeaseList, api.LeaseListRequest{}, nil)
		if len(list.Leases) != 1 || list.Leases[0].Key.ID != "k1" || list.Leases[0].Purpose != "to bake a cake" ||
			list.Leases[0].Holder.Program != "browser" || list.Leases[0].Expires == "" {
			t.Errorf("got %+v", list)
		}

		// Others wait, and hear for whom.
		p := always()
		other := l.start(api.OpTouch, api.TouchRequest{Key: "k1"}, p)
		synctest.Wait()
		if wait := p.now(api.PromptWait); len(wait) != 1 || wait[0].Holder.Operation != api.OpLease {
			t.Errorf("got %+v", wait)
		}
		// Who is not its user needs to be an administrator to end it.
		_, err = l.engine.Do(l.ctx, policy.Actor{UID: 7, User: "eve"}, api.OpLeaseEnd, decoder(api.LeaseEndRequest{Key: "k1"}), nil)
		wantCode(t, err, api.CodeDenied)
		if _, err = l.engine.Do(l.ctx, root, api.OpLeaseEnd, decoder(api.LeaseEndRequest{Key: "k1"}), nil); err != nil {
			t.Error(describeError(err))
		}
		if got, err := x.ended(); err != nil || got != api.LeaseRevoked {
			t.Errorf("got %q, %v", got, err)
		}
		if _, err := other.wait(); err != nil {
			t.Errorf("the touch after the lease: %s", describeError(err))
		}
		stop()
		prompts := 0
		for e := range watcher {
			if e.Prompt != nil {
				prompts++
				if e.Prompt.Lease != "" {
					t.Errorf("an event tells the name of the lease: %+v", e.Prompt)
				}
			}
		}
		told := 0
		for line := range agent {
			if line.Prompt != nil && line.Prompt.Kind == api.PromptLease {
				told++
				if line.Prompt.Lease != "" {
					t.Errorf("an agent is told the name of the lease: %+v", line.Prompt)
				}
			}
		}
		if prompts == 0 || told != 1 {
			t.Errorf("there were %d events of prompts, and an agent was told of %d leases", prompts, told)
		}
	})
}

func TestLeaseEnds(t *testing.T) {
	for _, tt := range []struct {
		name  string
		end   func(l *lab, x *leased)
		ended string
		code  api.Code // of the lease
		sent  api.Code // of the message that waits for a touch
	}{
		{"when its time is over", func(l *lab, _ *leased) { <-time.After(7 * time.Second) }, api.LeaseExpired, "", api.CodeNotFound},
		{"when the program gives it back", func(l *lab, x *leased) {
			must[api.LeaseEndResult](l, api.OpLeaseEnd, api.LeaseEndRequest{Lease: x.id}, nil)
		}, api.LeaseReleased, "", api.CodeNotFound},
		{"when its user takes it away", func(l *lab, _ *leased) {
			must[api.LeaseEndResult](l, api.OpLeaseEnd, api.LeaseEndRequest{Key: "k1"}, nil)
		}, api.LeaseRevoked, "", api.CodeNotFound},
		{"when the program hangs up", func(_ *lab, x *leased) { x.op.cancel() }, "", api.CodeCancelled, api.CodeNotFound},
		{"when the key is pulled out", func(l *lab, _ *leased) { l.bus.Detach("k1") }, "", api.CodeKeyGone, api.CodeKeyGone},
		{"when the daemon stops", func(l *lab, _ *leased) { l.stop() }, "", api.CodeShuttingDown, api.CodeShuttingDown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				key := newToy()
				l.plug("k1", key, toyServer)
				began := time.Now()
				x := l.lease(api.LeaseRequest{DurationMS: 7000})
				sent := make(chan error, 1)
				go func() { sent <- x.client().Selection(t.Context()) }()
				synctest.Wait()
				if open := x.holder.now(api.PromptTouch); len(open) != 1 {
					t.Errorf("got prompts %+v", open)
				}
				tt.end(l, x)
				got, err := x.ended()
				if tt.code != "" {
					wantCode(t, err, tt.code)
				} else if err != nil || got != tt.ended {
					t.Errorf("got %q, %v, want %q", got, err, tt.ended)
				}
				wantCode(t, <-sent, tt.sent)
				if took := time.Since(began); tt.ended == api.LeaseExpired && took.Round(time.Second) != 7*time.Second {
					t.Errorf("it took %v", took)
				}
				if _, cancels := key.counts(); cancels != 1 && tt.code != api.CodeKeyGone {
					t.Errorf("the key was told to stop %d times", cancels)
				}
				if open := x.holder.now(api.PromptTouch); len(open) != 0 {
					t.Errorf("still there: %+v", open)
				}
				if tt.code == "" || tt.code == api.CodeCancelled {
					list := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil)
					if list.Keys[0].Busy != nil {
						t.Errorf("the key is still taken: %+v", list.Keys[0].Busy)
					}
				}
			})
		})
	}
}

func TestLeaseOutlivesItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		x := l.lease(api.LeaseRequest{TimeoutMS: 1000, DurationMS: 300000})
		<-time.After(299 * time.Second)
		if _, err := x.client().GetInfo(t.Context()); err != nil {
			t.Error(err)
		}
		if got, err := x.ended(); err != nil || got != api.LeaseExpired {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

func TestLeaseMessagesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		key := newToy()
		l.plug("k1", key, toyServer)
		x := l.lease(api.LeaseRequest{})
		first, second := make(chan error, 1), make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { first <- x.client().Selection(ctx) }()
		synctest.Wait()
		go func() { second <- x.client().Selection(t.Context()) }()
		synctest.Wait()
		if blinks, _ := key.counts(); blinks != 1 {
			t.Errorf("the key was asked %d times", blinks)
		}
		// Who hangs up stops the own message only.
		cancel()
		if err := <-first; err == nil {
			t.Error("a message that was given up succeeded")
		}
		synctest.Wait()
		key.touches <- struct{}{}
		if err := <-second; err != nil {
			t.Error(err)
		}
		x.release()
	})
}

// What the one before has left in the key is not the next one's.
func TestLeaseBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		key := newToy()
		// It goes on with whatever it was asked last, whoever that was.
		key.cbor = func(_ context.Context, request []byte, _ func(byte)) ([]byte, error) {
			if ctap2.Cmd(request[0]) == ctap2.CmdGetInfo {
				return ctap2.MarshalResponse(&key.info)
			}
			return []byte{byte(ctap2.StatusOK)}, nil
		}
		l.plug("k1", key, toyServer)
		manage := func(sub ctap2.CredentialManagementSubcommand) []byte {
			return message(t, ctap2.CmdCredentialManagement, &ctap2.CredentialManagementRequest{Subcommand: sub})
		}
		get := message(t, ctap2.CmdGetAssertion, &ctap2.GetAssertionRequest{RPID: "example.org", ClientDataHash: bytes.Repeat([]byte{1}, 32)})
		next := []byte{byte(ctap2.CmdGetNextAssertion)}
		for _, tt := range []struct{ begin, next []byte }{
			{get, next},
			{manage(ctap2.SubEnumerateRPsBegin), manage(ctap2.SubEnumerateRPsGetNextRP)},
			{manage(ctap2.SubEnumerateCredentialsBegin), manage(ctap2.SubEnumerateCredentialsGetNext)},
		} {
			x := l.lease(api.LeaseRequest{})
			for i, step := range []struct {
				request []byte
				want    ctap2.Status
			}{
				{tt.next, ctap2.ErrNotAllowed},
				{tt.begin, ctap2.StatusOK},
				{tt.next, ctap2.StatusOK},
				{tt.next, ctap2.StatusOK},
				{[]byte{byte(ctap2.CmdSelection)}, ctap2.StatusOK},
				{tt.next, ctap2.ErrNotAllowed},
				{tt.begin, ctap2.StatusOK},
			} {
				if got, err := x.CBOR(t.Context(), step.request, nil); err != nil || !slices.Equal(got, []byte{byte(step.want)}) {
					t.Errorf("%x, step %d: got %x, %v, want %v", step.request, i, got, err, step.want)
				}
			}
			x.release()
		}
	})
}

func TestLeaseAsksThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		x := l.lease(api.LeaseRequest{})
		for _, tt := range []struct {
			cmd  ctap2.Cmd
			v    any
			want policy.Action
		}{
			{ctap2.CmdMakeCredential, makes(), policy.Action{Operation: api.OpRegister, Scope: policy.ScopeUse}},
			{ctap2.CmdReset, nil, policy.Action{Operation: api.OpReset, Scope: policy.ScopeAdmin}},
			{0x42, nil, policy.Action{Operation: api.OpConfigVendor, Scope: policy.ScopeAdmin}},
		} {
			_, err := daemon.LeaseSend(t.Context(), l.engine, x.id, policy.Actor{UID: 7, User: "eve"}, message(t, tt.cmd, tt.v))
			var denied *policy.DeniedError
			if !errors.As(err, &denied) || denied.Action != tt.want {
				t.Errorf("%v: got %v, want the policy asked for %+v", tt.cmd, err, tt.want)
			}
		}
		x.release()
	})
}

func TestLeaseOfAnOldKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{CTAP1Only: true})
		x := l.lease(api.LeaseRequest{})
		if v, err := (&u2f.Client{Transport: x}).Version(t.Context()); err != nil || v != "U2F_V2" {
			t.Errorf("got %q, %v", v, err)
		}
		_, err := x.client().GetInfo(t.Context())
		wantCode(t, err, api.CodeUnsupported)
		x.release()
	})
}

func TestLeaseShowsWhatU2FPollsFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.soft("k1", softkey.Config{Presence: softkey.PresenceManual})
		x := l.lease(api.LeaseRequest{})
		c := &u2f.Client{Transport: x}
		done := make(chan error, 1)
		go func() {
			_, err := c.Register(t.Context(), u2f.RegisterRequest{Challenge: [32]byte{1}, Application: [32]byte{2}}, nil)
			done <- err
		}()
		<-time.After(2 * time.Second)
		synctest.Wait()
		if open := x.holder.now(api.PromptTouch); len(open) != 1 || !strings.HasSuffix(open[0].Message, "browser wants a touch") {
			t.Errorf("got %+v", open)
		}
		a.Touch()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if open := x.holder.now(api.PromptTouch); len(open) != 0 {
			t.Errorf("still there: %+v", open)
		}
		x.release()
	})
}

// The log tells of each message what it amounted to, and no secret.
func TestLeaseIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newLab(t, func(cfg *daemon.Config) { cfg.Log = slog.New(slog.NewJSONHandler(&out, nil)) })
		l.protected(softkey.Config{})
		x := l.lease(api.LeaseRequest{})
		out.Reset()
		if _, err := x.client().MakeCredential(t.Context(), makes()); !errors.Is(err, ctap2.ErrPUATRequired) && err != nil {
			t.Error(err)
		}
		_, _ = x.client().PINToken(t.Context(), ctap2.TokenRequest{Protocol: 2, PIN: []byte("9999"), Permissions: ctap2.PermissionCredentialManagement})
		x.release()
		text := out.String()
		for _, want := range []string{`"operation":"register","result":"ok"`, `"rp":"example.org"`, `"operation":"lease-send","result":"pin-invalid","took"`, `"operation":"lease","result":"ok"`} {
			if !strings.Contains(text, want) {
				t.Errorf("the log does not tell %s:\n%s", want, text)
			}
		}
		if strings.Contains(text, "credential-delete") {
			t.Errorf("the log tells of what was not done:\n%s", text)
		}
		if strings.Contains(text, x.id) || strings.Contains(text, "9999") {
			t.Errorf("the log tells a secret:\n%s", text)
		}
	})
}
