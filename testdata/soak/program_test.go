//go:build soak

package soak

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

const (
	clients = 1000
	// patience is the time-out of most requests, grace what an answer may come later.
	patience, grace = 20 * time.Second, 5 * time.Second
)

var errNobody = errors.New("nobody")

// errHungUp is why a program gives up in mid-operation.
var errHungUp = errors.New("hung up")

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
	ask        *asker // of register and assert
	key        string
	rp         string
	credential []byte
	leaves     bool          // it is about to hang up
	hurry      time.Duration // the time that the next touch has; 0 is patience
}

// run does one operation after the other until ctx ends.
func (p *program) run(ctx context.Context) {
	defer p.c.Close()
	for ctx.Err() == nil {
		p.once(ctx)
	}
}

// asker is the person behind one request, who answers nothing. nil is nobody.
type asker struct {
	silent
	y     *tally
	last  map[string]int
	begun bool // the daemon has shown something
	lease func(id string)
}

// Show is called in the goroutine of the request.
func (a *asker) Show(p api.Prompt) {
	a.begun = true
	a.y.place(a.last, p)
	if p.Kind == api.PromptLease {
		a.lease(p.Lease)
	}
}

// ui is a person for every other operation.
func (p *program) ui(n int) *asker {
	if n%2 == 0 {
		return nil
	}
	return &asker{y: p.y, last: map[string]int{}}
}

// do runs an operation and notes its end.
func (p *program) do(ctx context.Context, name, op string, request, result any, ask *asker) error {
	var ui client.Prompter
	if ask != nil {
		ui = ask
	}
	begin := time.Now()
	request, purpose := p.y.marked(request)
	err := p.c.Do(ctx, op, request, result, ui)
	p.y.ended(purpose, err)
	p.y.end(name, cmp.Or(p.hurry, patience), time.Since(begin), ask != nil && ask.begun, err)
	return err
}

func (p *program) once(outer context.Context) {
	// A program that has begun gets its answer, also at the end.
	ctx := context.WithoutCancel(outer)
	key := keyName(p.random.IntN(keys))
	touch := func(ctx context.Context, name, key string, n int) {
		if p.random.IntN(5) == 0 {
			p.hurry = time.Duration(20+p.random.IntN(1000)) * time.Millisecond
			defer func() { p.hurry = 0 }()
		}
		timeout := cmp.Or(p.hurry, patience).Milliseconds()
		_ = p.do(ctx, p.name(name), api.OpTouch, api.TouchRequest{Key: key, TimeoutMS: uint32(timeout)}, nil, p.ui(n))
	}
	n := p.random.IntN(100)
	if n >= 88 {
		// In the queue, in mid-touch, or after it.
		var hangUp context.CancelFunc
		ctx, hangUp = context.WithTimeoutCause(ctx, time.Duration(p.random.IntN(2000))*time.Millisecond, errHungUp)
		defer hangUp()
		p.leaves = true
		defer func() { p.leaves = false }()
	}
	switch {
	case n < 35:
		touch(ctx, "touch", key, n)
	case n < 55, n >= 94 && n < 96:
		p.ask = p.ui(n)
		_ = p.register(ctx, key)
	case n < 75 && p.credential != nil:
		p.ask = p.ui(n)
		_ = p.assert(ctx, p.key)
	case n < 82:
		_ = p.do(ctx, "list", api.OpList, nil, nil, nil)
	case n < 84:
		touch(ctx, "touch-any", "", n)
	case n < 88, n >= 96 && n < 98:
		p.lease(ctx, key)
	case n < 92:
		err := p.c.Events(ctx, func(api.Event) error { return nil })
		p.y.end("events", patience, 0, false, err)
	case n < 94:
		touch(ctx, "touch-any", "", n)
	default:
		touch(ctx, "touch", key, n)
	}
}

// name is what the tally calls an operation.
func (p *program) name(op string) string {
	if p.leaves {
		return "left-" + op
	}
	return op
}

func (p *program) register(ctx context.Context, key string) error {
	var got api.RegisterResult
	if err := p.do(ctx, p.name("register"), api.OpRegister, api.RegisterRequest{Key: key, Origin: "https://" + p.rp, Options: creation(p.rp)}, &got, p.ask); err != nil {
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
	return p.do(ctx, p.name("assert"), api.OpAssert, api.AssertRequest{Key: key, Origin: "https://" + p.rp, Options: request(p.rp, p.credential)}, nil, p.ask)
}

// lease has the key for a second, and most often gives it back when it has sent something.
func (p *program) lease(ctx context.Context, key string) {
	var sent sync.WaitGroup
	defer sent.Wait()
	ask := &asker{y: p.y, last: map[string]int{}}
	ask.lease = func(id string) {
		sent.Go(func() {
			_ = p.do(ctx, p.name("lease-send"), api.OpLeaseSend, api.LeaseSendRequest{Lease: id, CBOR: api.Bytes{4}}, nil, nil)
			if !p.leaves {
				_ = p.do(ctx, "lease-end", api.OpLeaseEnd, api.LeaseEndRequest{Lease: id}, nil, nil)
			}
		})
	}
	_ = p.do(ctx, p.name("lease"), api.OpLease, api.LeaseRequest{Key: key, DurationMS: 1000, TimeoutMS: uint32(patience.Milliseconds())}, nil, ask)
}
