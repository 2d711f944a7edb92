package daemon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

func TestOneLineForEachOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := newLab(t, func(cfg *daemon.Config) { cfg.Log = slog.New(slog.NewJSONHandler(&out, nil)) })
		l.soft("k1", softkey.Config{Presence: softkey.PresenceDelay, Delay: time.Second})
		const pin = "5551212secret"
		p := &person{pins: []string{pin, "8675309wrong", pin}}
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		l.registers(creation("alice", `"userVerification":"required"`, ``), p)
		l.fails(api.OpTouch, api.TouchRequest{TimeoutMS: 500}, p, api.CodeTimeout)

		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("got %d lines, want 3:\n%s", len(lines), out.String())
		}
		for i, want := range []map[string]any{
			{"operation": "pin-set", "result": "ok", "key": "k1", "level": "INFO"},
			{"operation": "register", "result": "ok", "key": "k1", "rp": "example.org", "program": "browser", "uid": 1000.0, "took": float64(time.Second)},
			{"operation": "touch", "result": "timeout"},
		} {
			var got map[string]any
			if err := json.Unmarshal([]byte(lines[i]), &got); err != nil {
				t.Fatal(err)
			}
			for name, v := range want {
				if name == "took" {
					if took, ok := got[name].(float64); !ok || took < v.(float64) || took > 2*v.(float64) {
						t.Errorf("line %d: got %s %v, want about %v", i, name, got[name], v)
					}
				} else if got[name] != v {
					t.Errorf("line %d: got %s %v, want %v", i, name, got[name], v)
				}
			}
		}
		for _, secret := range []string{pin, "8675309", "Y2hhbGxlbmdl", "5551212"} {
			if strings.Contains(out.String(), secret) {
				t.Errorf("the log tells %q", secret)
			}
		}
	})
}

func TestErrorsAndPromptsKeepSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		p := &person{pins: []string{"5551212"}}
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		tl := l.tail()
		p.pins = []string{"8675309", "8675309", "8675309"}
		_, err := l.do(l.ctx, api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", ``, ``)}, p)
		l.settle()
		all := fmt.Sprintf("%v %+v %#v %+v %+v", err, err, daemon.ErrorOf(err), p.seen, tl.events)
		for _, secret := range []string{"8675309", "5551212"} {
			if strings.Contains(all, secret) {
				t.Errorf("a PIN is in %s", all)
			}
		}
	})
}
