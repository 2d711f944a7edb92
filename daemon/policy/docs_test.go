package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/fobd/fobd/daemon/policy"
)

// The rules in the documentation are rules, beside the built-in ones and each other.
func TestRulesInTheDocumentation(t *testing.T) {
	text, err := os.ReadFile("../../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []string
	for _, after := range strings.Split(string(text), "```cedar\n")[1:] {
		block, _, ok := strings.Cut(after, "```")
		if !ok {
			t.Fatal("a block has no end")
		}
		blocks = append(blocks, block)
	}
	if len(blocks) < 2 {
		t.Fatalf("%d blocks", len(blocks))
	}
	s := newSet(t, policy.Config{}, blocks...)
	// What the example of the shift promises.
	decide := func(exe, origin string) policy.Decision {
		who := browser(user("t1", "tills", "fobd"), exe)
		return s.Decide(policy.Request{Actor: who, Action: policy.ClaimOrigin, Key: real, Origin: origin, RPID: strings.TrimPrefix(origin, "https://")})
	}
	if d := decide("/opt/pos/pos", "https://till.example.com"); d.Effect != policy.Ask || len(d.Grants) == 0 || d.Grants[0] != policy.GrantLock {
		t.Errorf("the till: %+v", d)
	}
	if d := decide("/opt/pos/pos", "https://elsewhere.example.com"); d.Effect != policy.Deny || ids(d.Rules) != "till-only" {
		t.Errorf("the till, elsewhere: %+v", d)
	}
}
