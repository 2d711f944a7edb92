package policy_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon/policy"
)

func TestRules(t *testing.T) {
	what := policy.Action{Operation: "touch", Scope: policy.ScopeUse}
	for _, test := range []struct {
		owner, uid uint32
		want       bool
	}{
		{1000, 1000, true},
		{1000, 0, true},
		{1000, 1001, false},
		{0, 0, true},
		{0, 1000, false},
		{1000, 1<<32 - 1, false},
	} {
		who := policy.Actor{UID: test.uid, PID: 7, User: "u", Program: "p"}
		err := policy.Authorize(policy.Rules{Owner: test.owner}, policy.Request{Actor: who, Action: what})
		if (err == nil) != test.want {
			t.Errorf("daemon of %d, caller %d: got %v", test.owner, test.uid, err)
		}
		if err == nil {
			continue
		}
		var denied *policy.DeniedError
		if !errors.As(err, &denied) || denied.Actor != who || denied.Action != what {
			t.Errorf("got %#v, want who and what", err)
		}
		if text := err.Error(); !strings.Contains(text, "p (process 7 of u)") || !strings.Contains(text, "touch") {
			t.Errorf("got %q", text)
		}
	}
	admin := policy.Request{Actor: policy.Actor{UID: 7, Vouched: true}, Action: policy.Action{Operation: "reset", Scope: policy.ScopeAdmin}}
	if err := policy.Authorize(policy.Rules{Owner: 1}, admin); err != nil {
		t.Errorf("polkit vouches: got %v", err)
	}
	admin.Action = what
	if err := policy.Authorize(policy.Rules{Owner: 1}, admin); err == nil {
		t.Error("polkit vouches for administration only")
	}
}

func TestActorWithoutAProgram(t *testing.T) {
	if got := (policy.Actor{PID: 7, User: "u"}).String(); got != "process 7 of u" {
		t.Errorf("got %q", got)
	}
}
