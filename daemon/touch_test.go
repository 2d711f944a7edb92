package daemon_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

func TestTouch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		l.plug("k1", k, toyServer)
		p := &person{}
		r := l.start(api.OpTouch, api.TouchRequest{Purpose: "deploy"}, p)
		time.Sleep(time.Second)
		open := p.now(api.PromptTouch)
		if len(open) != 1 {
			t.Fatalf("got prompts %v, want one touch prompt", p.kinds())
		}
		got := open[0]
		if got.Key != "k1" || got.KeyName != "Yubico Key k1" || got.Program != "browser" || got.PID != 4711 ||
			got.User != "alice" || got.Purpose != "deploy" || got.Operation != api.OpTouch || got.ID == "" {
			t.Errorf("prompt does not say who wants what: %+v", got)
		}
		if want := "Touch Yubico Key k1: browser wants a touch (deploy)"; got.Message != want {
			t.Errorf("got message %q, want %q", got.Message, want)
		}
		if deadline, err := time.Parse(time.RFC3339, got.Deadline); err != nil || time.Until(deadline) > daemon.DefaultTimeout {
			t.Errorf("got deadline %q", got.Deadline)
		}
		k.touches <- struct{}{}
		v, err := r.wait()
		if err != nil {
			t.Fatal(err)
		}
		if got := v.(*api.TouchResult).Key.ID; got != "k1" {
			t.Errorf("got key %q", got)
		}
		if got := p.now(api.PromptTouch); len(got) != 0 {
			t.Errorf("prompt was not withdrawn: %+v", got)
		}
		if got := p.kinds(); len(got) != 1 {
			t.Errorf("got prompts %v, want one", got)
		}
	})
}

func TestPromptEndsWhenTheKeyComputes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		k.cbor = func(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
			if ctap2.Cmd(request[0]) == ctap2.CmdGetInfo {
				return ctap2.MarshalResponse(&k.info)
			}
			for _, status := range []byte{ctap2.KeepaliveProcessing, ctap2.KeepaliveUPNeeded, ctap2.KeepaliveProcessing} {
				keepalive(status)
				time.Sleep(time.Second)
			}
			return []byte{0}, nil
		}
		l.plug("k1", k, toyServer)
		p := &person{}
		r := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(500 * time.Millisecond)
		for second, want := range []int{0, 1, 0} {
			if got := len(p.now(api.PromptTouch)); got != want || !r.running() {
				t.Errorf("in second %d: got %d prompts, want %d", second, got, want)
			}
			time.Sleep(time.Second)
		}
		if _, err := r.wait(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTouchTimesOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		l.plug("k1", k, toyServer)
		began := time.Now()
		e := l.fails(api.OpTouch, api.TouchRequest{TimeoutMS: 5000}, &person{}, api.CodeTimeout)
		if took := time.Since(began); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("gave up after %v, want 5 s", took)
		}
		if !strings.Contains(e.Message, "Key k1") || e.Hint == "" || e.Key != "k1" {
			t.Errorf("got %+v, want what happened to which key", e)
		}
		if _, cancels := k.counts(); cancels != 1 {
			t.Errorf("the key was cancelled %d times, want once", cancels)
		}
	})
}

func TestPromptIsPlainText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		k.touches <- struct{}{}
		l.plug("k1", k, toyServer)
		p := &person{}
		evil := policy.Actor{UID: alice.UID, PID: 1, Program: "a\x1b[2Jb\n"}
		request := api.TouchRequest{Purpose: "x\x1b]0;y\x07\u202ez"}
		if _, err := l.engine.Do(l.ctx, evil, api.OpTouch, decoder(request), p); err != nil {
			t.Fatal(err)
		}
		if got, want := p.seen[0].Message, "Touch Yubico Key k1: a[2Jb wants a touch (x]0;yz)"; got != want || p.seen[0].Purpose != "x]0;yz" {
			t.Errorf("got %q and %q, want %q", got, p.seen[0].Purpose, want)
		}
	})
}

func TestTimeoutTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.fails(api.OpTouch, api.TouchRequest{TimeoutMS: 1 << 30}, nil, api.CodeInvalidRequest)
		l.fails(api.OpTouch, api.TouchRequest{Purpose: strings.Repeat("x", 201)}, nil, api.CodeInvalidRequest)
	})
}

func TestHangUpLeavesTheKeyUsable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		l.plug("k1", k, toyServer)
		p := &person{}
		r := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(time.Second)
		began := time.Now()
		r.cancel()
		_, err := r.wait()
		wantCode(t, err, api.CodeCancelled)
		k.touches <- struct{}{}
		must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, p)
		if took := time.Since(began); took > time.Second {
			t.Errorf("the key was usable after %v, want at once", took)
		}
		if _, cancels := k.counts(); cancels != 1 {
			t.Errorf("the key was cancelled %d times, want once", cancels)
		}
	})
}

func TestUnplugEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.plug("k1", newToy(), toyServer)
		for _, key := range []string{"", "k1"} {
			if key != "" {
				l.plug("k1", newToy(), toyServer)
			}
			p := &person{}
			r := l.start(api.OpTouch, api.TouchRequest{Key: key}, p)
			time.Sleep(time.Second)
			began := time.Now()
			l.bus.Detach("k1")
			_, err := r.wait()
			e := wantCode(t, err, api.CodeKeyGone)
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Errorf("took %v, want no time", took)
			}
			if e.Key != "k1" || len(p.now(api.PromptTouch)) != 0 {
				t.Errorf("got %+v with open prompts %v", e, p.now(api.PromptTouch))
			}
			l.settle()
		}
	})
}

func TestSilentKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		err := l.bus.Attach(hid.Info{ID: "k1"}, func() (hid.Device, error) {
			host, key := hid.NewPipe(64, 64)
			l.wg.Go(func() {
				for report := make([]byte, 64); ; {
					if _, err := key.Read(report); err != nil {
						return
					}
				}
			})
			return host, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		l.settle()
		began := time.Now()
		l.fails(api.OpTouch, api.TouchRequest{Key: "k1"}, &person{}, api.CodeKeySilent)
		if took := time.Since(began); took > 2*ctaphid.DefaultSilenceTimeout {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestKeyThatGivesUpBlinkingIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		k.cbor = func(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
			if ctap2.Cmd(request[0]) == ctap2.CmdGetInfo {
				return ctap2.MarshalResponse(&k.info)
			}
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			if status := k.wait(ctx, keepalive); status == ctap2.StatusOK || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return []byte{byte(status)}, nil
			}
			return []byte{byte(ctap2.ErrUserActionTimeout)}, nil
		}
		l.plug("k1", k, toyServer)
		r := l.start(api.OpTouch, api.TouchRequest{}, &person{})
		time.Sleep(25 * time.Second)
		if blinks, _ := k.counts(); blinks != 3 {
			t.Errorf("the key blinked %d times in 25 s, want 3", blinks)
		}
		k.touches <- struct{}{}
		if _, err := r.wait(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestNoKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.fails(api.OpTouch, api.TouchRequest{Key: "k9"}, &person{}, api.CodeNoKey)
		l.fails(api.OpInfo, api.KeyRequest{}, &person{}, api.CodeNoKey)

		// Nobody can be asked to put one in.
		began := time.Now()
		l.fails(api.OpTouch, api.TouchRequest{}, nil, api.CodeNoKey)
		if took := time.Since(began); took != 0 {
			t.Errorf("waited %v", took)
		}
		// Nobody can be asked, but the caller said how long to wait.
		l.fails(api.OpTouch, api.TouchRequest{TimeoutMS: 3000}, nil, api.CodeNoKey)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("waited %v, want 3 s", took)
		}

		p := &person{}
		r := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(5 * time.Second)
		if len(p.now(api.PromptInsert)) != 1 {
			t.Fatalf("got prompts %v, want one to insert a key", p.kinds())
		}
		k := newToy()
		l.plug("k1", k, toyServer)
		time.Sleep(time.Second)
		if len(p.now(api.PromptInsert)) != 0 || len(p.now(api.PromptTouch)) != 1 {
			t.Errorf("got prompts %v, want only the touch one to be open", p.kinds())
		}
		k.touches <- struct{}{}
		if _, err := r.wait(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFirstTouchWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		keys := []*toy{newToy(), newToy(), newToy()}
		for i, k := range keys[:2] {
			l.plug(fmt.Sprint("k", i), k, toyServer)
		}
		p := &person{}
		r := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(time.Second)
		if got := len(p.now(api.PromptTouch)); got != 2 {
			t.Errorf("%d keys blink, want 2", got)
		}
		// One that comes late joins in, one that goes drops out.
		l.plug("k2", keys[2], toyServer)
		time.Sleep(time.Second)
		if got := len(p.now(api.PromptTouch)); got != 3 {
			t.Errorf("%d keys blink, want 3", got)
		}
		l.bus.Detach("k0")
		time.Sleep(time.Second)
		if got := len(p.now(api.PromptTouch)); got != 2 {
			t.Errorf("%d keys blink, want 2", got)
		}
		began := time.Now()
		keys[2].touches <- struct{}{}
		v, err := r.wait()
		if err != nil {
			t.Fatal(err)
		}
		if got := v.(*api.TouchResult).Key.ID; got != "k2" {
			t.Errorf("got key %s, want the touched one, k2", got)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("took %v after the touch", took)
		}
		if got := p.now(api.PromptTouch); len(got) != 0 {
			t.Errorf("open prompts: %v", got)
		}
		if _, cancels := keys[1].counts(); cancels != 1 {
			t.Errorf("the other key was cancelled %d times, want once", cancels)
		}
		// The other one is usable at once.
		keys[1].touches <- struct{}{}
		must[api.TouchResult](l, api.OpTouch, api.TouchRequest{Key: "k1"}, p)
	})
}

func TestKeysOfOtherProtocolsCanBeTouched(t *testing.T) {
	old := func(change func(*ctap2.Info), answer ctap2.Status) *toy {
		k := newToy()
		k.info.Versions = []string{ctap2.VersionFIDO20}
		change(&k.info)
		k.cbor = func(ctx context.Context, request []byte, keepalive func(byte)) ([]byte, error) {
			switch ctap2.Cmd(request[0]) {
			case ctap2.CmdGetInfo:
				return ctap2.MarshalResponse(&k.info)
			case ctap2.CmdMakeCredential:
				if status := k.wait(ctx, keepalive); status != ctap2.StatusOK {
					return []byte{byte(status)}, nil
				}
				return []byte{byte(answer)}, nil
			}
			return []byte{byte(ctap2.ErrInvalidCommand)}, nil
		}
		return k
	}
	for _, test := range []struct {
		name   string
		set    bool
		answer ctap2.Status
	}{
		{"PIN not set", false, ctap2.ErrPINNotSet},
		{"PIN set", true, ctap2.ErrPINAuthInvalid},
		{"PIN set, as 2.0 says it", true, ctap2.ErrPINInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				k := old(func(i *ctap2.Info) { i.Options = map[string]bool{ctap2.OptionClientPIN: test.set} }, test.answer)
				l.plug("k1", k, toyServer)
				r := l.start(api.OpTouch, api.TouchRequest{}, &person{})
				time.Sleep(time.Second)
				if !r.running() {
					t.Fatal("did not wait for the touch")
				}
				k.touches <- struct{}{}
				if _, err := r.wait(); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

func TestQueueIsFirstComeFirstServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		l.plug("k1", k, toyServer)
		var mu sync.Mutex
		var order []int
		var people []*person
		var runs []*later
		for i := range 5 {
			p := &person{onShow: func(p api.Prompt) {
				if p.Kind == api.PromptTouch {
					mu.Lock()
					order = append(order, i)
					mu.Unlock()
				}
			}}
			people = append(people, p)
			runs = append(runs, l.start(api.OpTouch, api.TouchRequest{Key: "k1"}, p))
			time.Sleep(100 * time.Millisecond)
		}
		if got := must[api.StatusResult](l, api.OpStatus, api.StatusRequest{}, nil); got.Running != 5 || got.Waiting != 4 {
			t.Errorf("status says %d run and %d wait, want 5 and 4", got.Running, got.Waiting)
		}
		wait := people[3].now(api.PromptWait)
		if len(wait) != 1 || wait[0].Holder == nil || wait[0].Holder.Program != "browser" || wait[0].Holder.PID != alice.PID ||
			wait[0].Holder.Operation != api.OpTouch || wait[0].Holder.Outside || wait[0].Holder.Since == "" {
			t.Errorf("one in the queue sees %+v, want who has the key", wait)
		}
		busy := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil).Keys[0].Busy
		if busy == nil || busy.Operation != api.OpTouch {
			t.Errorf("list says busy %+v", busy)
		}
		// One in the middle gives up.
		runs[2].cancel()
		_, err := runs[2].wait()
		wantCode(t, err, api.CodeCancelled)
		for _, i := range []int{0, 1, 3, 4} {
			k.touches <- struct{}{}
			if _, err := runs[i].wait(); err != nil {
				t.Fatalf("run %d: %v", i, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
		if want := []int{0, 1, 3, 4}; !slices.Equal(order, want) {
			t.Errorf("got order %v, want %v", order, want)
		}
		for i, p := range people {
			if open := p.now(api.PromptWait); len(open) != 0 {
				t.Errorf("%d still sees %v", i, open)
			}
		}
	})
}

func TestBusyUntilTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.plug("k1", newToy(), toyServer)
		first := l.start(api.OpTouch, api.TouchRequest{}, &person{})
		time.Sleep(time.Second)
		for _, key := range []string{"k1", ""} {
			e := l.fails(api.OpTouch, api.TouchRequest{Key: key, TimeoutMS: 2000}, &person{}, api.CodeBusy)
			if e.Holder == nil || e.Holder.PID != alice.PID || e.Holder.Operation != api.OpTouch || e.Holder.User != "alice" {
				t.Errorf("got holder %+v", e.Holder)
			}
		}
		first.cancel()
		_, _ = first.wait()
	})
}

func TestOutsideHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		l.plug("k1", k, toyServer)
		outside, err := l.bus.Open(l.ctx, "k1", nil)
		if err != nil {
			t.Fatal(err)
		}
		e := l.fails(api.OpTouch, api.TouchRequest{TimeoutMS: 2000}, &person{}, api.CodeBusy)
		if e.Holder == nil || !e.Holder.Outside || e.Holder.PID != os.Getpid() {
			t.Errorf("got holder %+v, want an outside one", e.Holder)
		}
		p := &person{}
		r := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(time.Second)
		if wait := p.now(api.PromptWait); len(wait) != 1 || !wait[0].Holder.Outside {
			t.Errorf("got prompts %+v, want one to wait", wait)
		}
		outside.Close()
		time.Sleep(time.Second)
		if len(p.now(api.PromptWait)) != 0 || len(p.now(api.PromptTouch)) != 1 {
			t.Errorf("got prompts %v", p.kinds())
		}
		k.touches <- struct{}{}
		if _, err := r.wait(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestGracefulStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		k := newToy()
		l.plug("k1", k, toyServer)
		p := &person{}
		ctx := context.WithoutCancel(l.ctx) // the clients do not hang up
		var all []*later
		for range 3 { // one blinks, two wait
			r := &later{done: make(chan struct{}), cancel: func() {}}
			go func() {
				defer close(r.done)
				r.result, r.err = l.do(ctx, api.OpTouch, api.TouchRequest{}, p)
			}()
			all = append(all, r)
			time.Sleep(time.Second)
		}
		l.stop()
		synctest.Wait()
		for _, r := range all {
			if r.running() {
				t.Error("an operation goes on after Run has returned")
			}
			_, err := r.wait()
			wantCode(t, err, api.CodeShuttingDown)
		}
		if _, cancels := k.counts(); cancels != 1 {
			t.Errorf("the key was cancelled %d times, want once", cancels)
		}
		_, err := l.do(ctx, api.OpList, api.ListRequest{}, nil)
		wantCode(t, err, api.CodeShuttingDown)
	})
}
