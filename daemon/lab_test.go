package daemon_test

import (
	"context"
	"encoding/json"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

// alice owns the daemon of the tests.
var alice = policy.Actor{UID: 1000, GID: 1000, PID: 4711, User: "alice", Program: "browser"}

// lab is an engine with a bus of keys that tests make.
type lab struct {
	t      testing.TB
	bus    *hid.MemoryBus
	engine *daemon.Engine
	ctx    context.Context
	stop   func()          // ends Run and waits for it
	power  context.Context // of the keys
	wg     sync.WaitGroup
}

func newLab(t testing.TB, change ...func(*daemon.Config)) *lab {
	t.Helper()
	l := &lab{t: t, bus: hid.NewMemoryBus()}
	cfg := daemon.Config{Sources: []hid.Bus{l.bus}, Rules: policy.Rules{Owner: alice.UID}, Version: "1.2.3", Mode: "user", Socket: "/s"}
	for _, f := range change {
		f(&cfg)
	}
	engine, err := daemon.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l.engine = engine
	var cancel, off context.CancelFunc
	l.ctx, cancel = context.WithCancel(t.Context())
	l.power, off = context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- engine.Run(l.ctx) }()
	l.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
		off()
		infos, _ := l.bus.Devices()
		for _, info := range infos {
			l.bus.Detach(info.ID)
		}
		l.wg.Wait()
	})
	t.Cleanup(l.stop)
	return l
}

// plug puts a key in.
func (l *lab) plug(id string, auth ctaphid.Authenticator, cfg ctaphid.ServerConfig) {
	l.t.Helper()
	l.plugDevice(id, auth, cfg, nil)
}

// plugDevice puts a key in whose wire goes through a filter.
func (l *lab) plugDevice(id string, auth ctaphid.Authenticator, cfg ctaphid.ServerConfig, filter func(hid.Device) hid.Device) {
	l.t.Helper()
	server := ctaphid.NewServer(auth, cfg)
	err := l.bus.Attach(hid.Info{ID: id, VendorID: 0x1050, ProductID: 0x0407, Manufacturer: "Yubico", Product: "Key " + id, Serial: "serial-" + id}, func() (hid.Device, error) {
		host, key := hid.NewPipe(64, 64)
		l.wg.Go(func() {
			_ = server.Serve(l.power, key)
			key.Close()
		})
		if filter != nil {
			host = filter(host)
		}
		return host, nil
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.settle()
}

// settle lets the engine notice what happened.
func (l *lab) settle() { synctest.Wait() }

// do runs an operation for alice.
func (l *lab) do(ctx context.Context, op string, request any, ui daemon.UI) (any, error) {
	return l.engine.Do(ctx, alice, op, decoder(request), ui)
}

// decoder is what a front end does with a request.
func decoder(request any) func(any) error {
	return func(v any) error {
		data, err := json.Marshal(request)
		if err != nil {
			return err
		}
		return json.Unmarshal(data, v)
	}
}

// must runs an operation that succeeds.
func must[Result any](l *lab, op string, request any, ui daemon.UI) *Result {
	l.t.Helper()
	v, err := l.do(l.ctx, op, request, ui)
	if err != nil {
		l.t.Fatalf("%s: %v", op, describeError(err))
	}
	result, ok := v.(*Result)
	if !ok {
		l.t.Fatalf("%s: got a %T", op, v)
	}
	return result
}

// fails runs an operation that ends with a code.
func (l *lab) fails(op string, request any, ui daemon.UI, code api.Code) *api.Error {
	l.t.Helper()
	v, err := l.do(l.ctx, op, request, ui)
	if err == nil {
		l.t.Fatalf("%s: got %+v, want %s", op, v, code)
	}
	return wantCode(l.t, err, code)
}

func wantCode(t testing.TB, err error, code api.Code) *api.Error {
	t.Helper()
	e := daemon.ErrorOf(err)
	if e == nil || e.Code != code {
		t.Fatalf("got %s, want code %s", describeError(err), code)
	}
	if e.Message == "" {
		t.Errorf("%s has no message", code)
	}
	return e
}

func describeError(err error) string {
	e := daemon.ErrorOf(err)
	if e == nil {
		return "no error"
	}
	return string(e.Code) + ": " + e.Message + " (" + err.Error() + ")"
}

// later runs an operation in the background.
type later struct {
	cancel context.CancelFunc
	done   chan struct{}
	result any
	err    error
}

func (l *lab) start(op string, request any, ui daemon.UI) *later {
	ctx, cancel := context.WithCancel(l.ctx)
	r := &later{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.result, r.err = l.do(ctx, op, request, ui)
	}()
	return r
}

// wait waits for the end.
func (r *later) wait() (any, error) {
	<-r.done
	r.cancel()
	return r.result, r.err
}

// running says whether it has not ended.
func (r *later) running() bool {
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// person is the one at the machine, who answers as told and remembers what was shown.
type person struct {
	mu     sync.Mutex
	open   []api.Prompt // shown and not withdrawn
	seen   []api.Prompt
	pins   []string // for pin and new-pin prompts, in this order
	choice int
	// refuses is the answer to questions.
	refuses bool
	onShow  func(api.Prompt) // called without the lock
}

func (p *person) note(prompt api.Prompt) {
	p.mu.Lock()
	p.open = append(p.open, prompt)
	p.seen = append(p.seen, prompt)
	onShow := p.onShow
	p.mu.Unlock()
	if onShow != nil {
		onShow(prompt)
	}
}

func (p *person) forget(id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, o := range p.open {
		if o.ID == id {
			p.open = append(p.open[:i:i], p.open[i+1:]...)
			return
		}
	}
}

func (p *person) Show(prompt api.Prompt) func() {
	p.note(prompt)
	return func() { p.forget(prompt.ID) }
}

func (p *person) PIN(ctx context.Context, prompt api.Prompt) (api.Secret, error) {
	p.note(prompt)
	defer p.forget(prompt.ID)
	p.mu.Lock()
	if len(p.pins) > 0 {
		pin := p.pins[0]
		p.pins = p.pins[1:]
		p.mu.Unlock()
		return api.NewSecret([]byte(pin)), nil
	}
	p.mu.Unlock()
	<-ctx.Done()
	return api.Secret{}, ctx.Err()
}

func (p *person) Choose(_ context.Context, prompt api.Prompt) (int, error) {
	p.note(prompt)
	defer p.forget(prompt.ID)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.choice, nil
}

func (p *person) Confirm(_ context.Context, prompt api.Prompt) (bool, error) {
	p.note(prompt)
	defer p.forget(prompt.ID)
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.refuses, nil
}

// kinds are the kinds of the prompts shown so far.
func (p *person) kinds() []api.PromptKind {
	p.mu.Lock()
	defer p.mu.Unlock()
	var kinds []api.PromptKind
	for _, o := range p.seen {
		kinds = append(kinds, o.Kind)
	}
	return kinds
}

// now are the prompts that are open, of one kind.
func (p *person) now(kind api.PromptKind) []api.Prompt {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []api.Prompt
	for _, o := range p.open {
		if o.Kind == kind {
			list = append(list, o)
		}
	}
	return list
}

// toy is a key with selection and nothing else; a value in touches is a touch. Keys of
// other kinds are made by replacing cbor.
type toy struct {
	info    ctap2.Info
	touches chan struct{}
	cbor    func(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error)

	mu      sync.Mutex
	blinks  int // how often it began to blink
	cancels int
}

func newToy() *toy {
	return &toy{
		info:    ctap2.Info{Versions: []string{ctap2.VersionFIDO21}, AAGUID: ctap2.AAGUID{1}},
		touches: make(chan struct{}, 1),
	}
}

func (k *toy) CBOR(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
	if k.cbor != nil {
		return k.cbor(ctx, request, keepalive)
	}
	switch ctap2.Cmd(request[0]) {
	case ctap2.CmdGetInfo:
		return ctap2.MarshalResponse(&k.info)
	case ctap2.CmdSelection:
		return []byte{byte(k.wait(ctx, keepalive))}, nil
	}
	return []byte{byte(ctap2.ErrInvalidCommand)}, nil
}

// wait blinks until the touch or the cancel.
func (k *toy) wait(ctx context.Context, keepalive func(byte)) ctap2.Status {
	k.mu.Lock()
	k.blinks++
	k.mu.Unlock()
	keepalive(ctap2.KeepaliveUPNeeded)
	select {
	case <-k.touches:
		return ctap2.StatusOK
	case <-ctx.Done():
		k.mu.Lock()
		k.cancels++
		k.mu.Unlock()
		return ctap2.ErrKeepaliveCancel
	}
}

func (k *toy) MSG(context.Context, []byte, func(byte)) ([]byte, error) {
	return []byte{0x6D, 0x00}, nil
}

func (k *toy) Wink() {}

func (k *toy) counts() (blinks, cancels int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.blinks, k.cancels
}

// toyServer is what a toy says of itself.
var toyServer = ctaphid.ServerConfig{Capabilities: ctaphid.CapCBOR | ctaphid.CapNMSG | ctaphid.CapWink, DeviceVersion: [3]byte{5, 4, 3}}
