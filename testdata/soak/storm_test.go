//go:build soak

package soak

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

const (
	clients = 1000
	// patience is the time-out of a request, grace what an answer may come later.
	patience, grace = 20 * time.Second, 10 * time.Second
)

var errNobody = errors.New("nobody")

// errHungUp is why a program gives up in mid-operation.
var errHungUp = errors.New("hung up")

// codes are what a request may fail with in a storm. Not among them are faults of the daemon, and
// requests that are wrong.
var codes = map[api.Code]bool{
	api.CodeBusy: true, api.CodeTimeout: true, api.CodeNoKey: true, api.CodeKeyGone: true, api.CodeKeySilent: true, api.CodeKeyError: true,
	api.CodeNoCredentials: true, api.CodeCancelled: true, api.CodeNotFound: true, api.CodeConflict: true, api.CodeDenied: true,
	api.CodeUnsupported: true, // what a key says of a command whose number arrived as another one
}

// tally counts how requests end.
type tally struct {
	mu     sync.Mutex
	ends   map[string]int
	wrong  []string
	longer time.Duration // the longest that one lasted
}

func (y *tally) end(op string, took time.Duration, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	wrong := func(what string) {
		if len(y.wrong) < 20 {
			y.wrong = append(y.wrong, fmt.Sprintf("%s after %v: %s: %v", op, took, what, err))
		}
	}
	if took > patience+grace {
		wrong("outlived its deadline")
	}
	y.longer = max(y.longer, took)
	var known *api.Error
	switch {
	case err == nil:
		y.ends[op+" ok"]++
	case errors.Is(err, errHungUp):
		y.ends[op+" hung up"]++
	case errors.As(err, &known):
		y.ends[op+" "+string(known.Code)]++
		if !codes[known.Code] || known.Message == "" {
			wrong("no reason that a program can use")
		}
	default:
		wrong("neither a result nor a reason")
	}
}

func creation(rp string) json.RawMessage {
	return json.RawMessage(`{"rp":{"id":"` + rp + `","name":"soak"},"user":{"id":"dXNlcg","name":"soak","displayName":"soak"},
		"challenge":"Y2hhbGxlbmdlIDEyMzQ1Ng","pubKeyCredParams":[{"type":"public-key","alg":-7}],"timeout":20000,
		"authenticatorSelection":{"userVerification":"discouraged"}}`)
}

func request(rp string, id []byte) json.RawMessage {
	return json.RawMessage(`{"rpId":"` + rp + `","challenge":"Y2hhbGxlbmdlIDEyMzQ1Ng","userVerification":"discouraged","timeout":20000,
		"allowCredentials":[{"type":"public-key","id":"` + base64.RawURLEncoding.EncodeToString(id) + `"}]}`)
}

// program is one of many. It has a connection of its own, and a credential on one of the keys.
type program struct {
	c          *client.Client
	random     *rand.Rand
	y          *tally
	ask        client.Prompter // of register and assert
	key        string
	rp         string
	credential []byte
}

// run does one operation after the other until ctx ends.
func (p *program) run(ctx context.Context) {
	defer p.c.Close()
	for ctx.Err() == nil {
		p.once(ctx)
	}
}

// do runs an operation and notes its end.
func (p *program) do(ctx context.Context, name, op string, request, result any, ui client.Prompter) error {
	begin := time.Now()
	err := p.c.Do(ctx, op, request, result, ui)
	p.y.end(name, time.Since(begin), err)
	return err
}

func (p *program) once(outer context.Context) {
	// A program that has begun gets its answer, also at the end.
	ctx := context.WithoutCancel(outer)
	key := keyName(p.random.IntN(keys))
	timeout := uint32(patience.Milliseconds())
	switch n := p.random.IntN(100); {
	case n < 35:
		_ = p.do(ctx, "touch", api.OpTouch, api.TouchRequest{Key: key, TimeoutMS: timeout}, nil, p.ui(n))
	case n < 55:
		p.ask = p.ui(n)
		_ = p.register(ctx, key)
	case n < 75 && p.credential != nil:
		p.ask = p.ui(n)
		_ = p.assert(ctx, p.key)
	case n < 82:
		_ = p.do(ctx, "list", api.OpList, nil, nil, nil)
	case n < 84:
		_ = p.do(ctx, "touch-any", api.OpTouch, api.TouchRequest{TimeoutMS: timeout}, nil, p.ui(n))
	case n < 88:
		p.lease(ctx, key)
	case n < 92:
		ctx, hangUp := context.WithTimeoutCause(ctx, time.Duration(p.random.IntN(50))*time.Millisecond, errHungUp)
		defer hangUp()
		err := p.c.Events(ctx, func(api.Event) error { return nil })
		if !errors.Is(err, errHungUp) && ctx.Err() == nil {
			p.y.end("events", 0, err)
		}
	default:
		ctx, hangUp := context.WithTimeoutCause(ctx, time.Duration(p.random.IntN(2000))*time.Millisecond, errHungUp)
		defer hangUp()
		_ = p.do(ctx, "left", api.OpTouch, api.TouchRequest{Key: key, TimeoutMS: timeout}, nil, p.ui(n))
	}
}

func (p *program) register(ctx context.Context, key string) error {
	var got api.RegisterResult
	if err := p.do(ctx, "register", api.OpRegister, api.RegisterRequest{Key: key, Origin: "https://" + p.rp, Options: creation(p.rp)}, &got, p.ask); err != nil {
		return err
	}
	var credential struct {
		RawID string `json:"rawId"`
	}
	if err := json.Unmarshal(got.Credential, &credential); err != nil {
		return err
	}
	var err error
	p.credential, err = base64.RawURLEncoding.DecodeString(credential.RawID)
	p.key = key
	return err
}

func (p *program) assert(ctx context.Context, key string) error {
	return p.do(ctx, "assert", api.OpAssert, api.AssertRequest{Key: key, Origin: "https://" + p.rp, Options: request(p.rp, p.credential)}, nil, p.ask)
}

// ui is a person for every other operation.
func (p *program) ui(n int) client.Prompter {
	if n%2 == 0 {
		return nil
	}
	return silent{}
}

func (p *program) lease(ctx context.Context, key string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var sent sync.WaitGroup
	defer sent.Wait()
	_ = p.do(ctx, "lease", api.OpLease, api.LeaseRequest{Key: key, DurationMS: 1000, TimeoutMS: uint32(patience.Milliseconds())}, nil, silent{func(prompt api.Prompt) {
		if prompt.Kind != api.PromptLease {
			return
		}
		sent.Go(func() {
			_ = p.do(ctx, "lease-send", api.OpLeaseSend, api.LeaseSendRequest{Lease: prompt.Lease, CBOR: api.Bytes{4}}, nil, nil)
			_ = p.do(ctx, "lease-end", api.OpLeaseEnd, api.LeaseEndRequest{Lease: prompt.Lease}, nil, nil)
		})
	}})
}

// chaos pulls keys out, puts them in again, and lets them fail, until ctx ends; then all is well again.
func chaos(ctx context.Context, t testing.TB, c *client.Client, random *rand.Rand) (unplugs, faults int) {
	do := func(op string, request any) {
		if err := c.Do(context.WithoutCancel(ctx), op, request, nil, nil); err != nil {
			t.Errorf("%s: %v", op, err)
		}
	}
	bad := []string{
		"hang=any:once", "slow=any:50ms:3", "garble=makeCredential:once", "truncate=getAssertion:once", "status=any:OTHER:once",
		"report-busy=in:2:once", "report-drop=in:3:once", "report-corrupt=out:1:once", "report-disconnect=in:5:once", "report-duplicate=in:1:once",
	}
	for ctx.Err() == nil {
		name := keyName(random.IntN(keys))
		if random.IntN(2) == 0 {
			do(api.OpEmulatePower, api.EmulatePowerRequest{Name: name})
			unplugs++
			wait(ctx, 20*time.Millisecond)
			do(api.OpEmulatePower, api.EmulatePowerRequest{Name: name, On: true})
		} else {
			do(api.OpEmulateFault, api.EmulateFaultRequest{Name: name, On: []string{bad[random.IntN(len(bad))]}})
			faults++
			wait(ctx, 100*time.Millisecond)
			do(api.OpEmulateFault, api.EmulateFaultRequest{Name: name, Clear: true})
		}
		wait(ctx, 100*time.Millisecond)
	}
	return unplugs, faults
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// convoy sends requests for one key that enter its queue one after the other: each one begins when the
// one before has heard that it waits, or has ended. Their RP IDs count.
func convoy(ctx context.Context, c *client.Client, key int, y *tally) {
	var running sync.WaitGroup
	defer running.Wait()
	limit := make(chan struct{}, 20)
	for n := 0; ctx.Err() == nil; n++ {
		limit <- struct{}{}
		entered := make(chan struct{})
		once := sync.OnceFunc(func() { close(entered) })
		running.Go(func() {
			defer func() { <-limit }()
			defer once()
			begin := time.Now()
			rp := fmt.Sprintf("n%d.key%d.example", n, key)
			err := c.Do(context.WithoutCancel(ctx), api.OpRegister, api.RegisterRequest{Key: keyName(key), Origin: "https://" + rp, Options: creation(rp)}, nil,
				silent{func(p api.Prompt) {
					if p.Kind == api.PromptWait || p.Kind == api.PromptTouch {
						once()
					}
				}})
			y.end("convoy", time.Since(begin), err)
		})
		<-entered
	}
}

// order checks that the requests of convoys got their keys in the order in which they entered.
type order struct {
	mu      sync.Mutex
	last    [keys]int
	checked int
	wrong   []string
}

func (o *order) event(e api.Event) {
	if e.Type != api.EventStarted {
		return
	}
	var n, key int
	if _, err := fmt.Sscanf(e.RPID, "n%d.key%d.example", &n, &key); err != nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.checked++
	if n <= o.last[key] && n > 0 && len(o.wrong) < 10 {
		o.wrong = append(o.wrong, fmt.Sprintf("key %d: request %d after %d", key, n, o.last[key]))
	}
	o.last[key] = n
}

// TestStorm lets a storm go over the daemon twice: what the second one leaves behind that the first one
// did not has leaked.
func TestStorm(t *testing.T) {
	d := start(t, "delay", 2*time.Millisecond)
	before := d.usage()
	d.storm(duration() / 2)
	first := d.calm(before)
	d.storm(duration() / 2)
	second := d.calm(before)
	t.Logf("before: %v; after the first storm: %v; after the second: %v", before, first, second)
	if second.rss > first.rss+first.rss/4 {
		t.Errorf("memory grew from %d to %d KiB from the first storm to the second", first.rss, second.rss)
	}
	if second.threads > first.threads+4 {
		t.Errorf("threads grew from %d to %d", first.threads, second.threads)
	}
	d.stop()
}

func (d *fobd) storm(long time.Duration) {
	t := d.t
	control := client.New(d.socket)
	defer control.Close()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	y := &tally{ends: map[string]int{}}
	var o order
	watching, stopWatching := context.WithCancel(t.Context())
	var watchers sync.WaitGroup
	var lost atomic.Uint64
	watchers.Go(func() {
		c := client.New(d.socket)
		defer c.Close()
		_ = c.Events(watching, func(e api.Event) error {
			o.event(e)
			lost.Add(e.Lost)
			return nil
		})
	})
	storm, over := context.WithTimeout(t.Context(), long)
	defer over()
	var running sync.WaitGroup
	for i := range clients {
		p := &program{c: client.New(d.socket), random: rand.New(rand.NewPCG(seed, uint64(i))), y: y, rp: fmt.Sprintf("p%d.example", i)}
		running.Go(func() { p.run(storm) })
	}
	for i := range keys {
		running.Go(func() {
			c := client.New(d.socket)
			defer c.Close()
			convoy(storm, c, i, y)
		})
	}
	unplugs, faults := chaos(storm, t, control, rand.New(rand.NewPCG(seed, 1<<32)))
	t.Logf("at the peak: %v", d.usage())
	running.Wait()
	stopWatching()
	watchers.Wait()

	for _, w := range y.wrong {
		t.Error(w)
	}
	total, failed := 0, 0
	for _, end := range slices.Sorted(maps.Keys(y.ends)) {
		n := y.ends[end]
		total += n
		t.Logf("%7d %s", n, end)
		if !strings.HasSuffix(end, " ok") {
			failed += n
		}
	}
	t.Logf("%d requests of %d programs, %d of them not done, each with a reason; the longest took %v; %d unplugs, %d faults", total, clients, failed, y.longer, unplugs, faults)
	for _, end := range []string{"touch ok", "register ok", "assert ok", "lease ok", "lease-send ok", "touch-any ok", "left hung up", "convoy ok"} {
		if y.ends[end] == 0 {
			t.Errorf("not one %s: the storm was none", end)
		}
	}
	if unplugs == 0 || faults == 0 {
		t.Error("nothing was pulled out or failed")
	}
	t.Logf("%d of the convoys got their keys in the order in which they came; %d events lost", o.checked, lost.Load())
	if o.checked < 10 {
		t.Error("the order was not seen")
	}
	for _, w := range o.wrong {
		t.Error("not first in, first out: " + w)
	}
}

// calm checks that nothing is left of a storm, and returns what the daemon has of the machine.
func (d *fobd) calm(before usage) usage {
	t := d.t
	t.Helper()
	control := client.New(d.socket)
	defer control.Close()
	var list api.ListResult
	if err := control.Do(t.Context(), api.OpList, nil, &list, nil); err != nil || len(list.Keys) != keys {
		t.Fatalf("got %d keys, %v", len(list.Keys), err)
	}
	for _, k := range list.Keys {
		if k.Busy != nil {
			t.Errorf("%s is still taken by %+v", k.Name, k.Busy)
		}
		if err := control.Do(t.Context(), api.OpTouch, api.TouchRequest{Key: k.ID, TimeoutMS: 5000}, nil, nil); err != nil {
			t.Errorf("%s after the storm: %v", k.Name, err)
		}
	}
	var status api.StatusResult
	if err := control.Do(t.Context(), api.OpStatus, nil, &status, nil); err != nil {
		t.Fatal(err)
	}
	if status.Waiting != 0 || status.Running > 1 {
		t.Errorf("%d still run, %d wait", status.Running, status.Waiting)
	}
	after := d.usage()
	if after.files > before.files+2 {
		t.Errorf("%d files are open, %d were before", after.files, before.files)
	}
	return after
}
