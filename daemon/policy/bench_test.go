package policy_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/policy"
)

// BenchmarkDecide decides about a touch: with the rules that are built in, with a thousand more about
// others, and with a thousand that could all apply; each also where rules look at the hour, and at the time as
// it is, so that no decision can be kept.
func BenchmarkDecide(b *testing.B) {
	var others, all strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&others, "permit (principal in Group::\"team%d\", action == Action::\"assert\", resource) when { context.rp in RelyingParty::\"site%d.example\" };\n", i, i)
		fmt.Fprintf(&all, "permit (principal, action, resource) when { context.rp in RelyingParty::\"site%d.example\" };\n", i)
	}
	const (
		hour  = "forbid (principal, action, resource) when { context.hour > 24 };\n"
		clock = "forbid (principal, action, resource) when { context.now < datetime(\"2000-01-01\") };\n"
	)
	for _, test := range []struct{ name, rules string }{
		{"default", ""},
		{"others-1000", others.String()},
		{"all-1000", all.String()},
		{"default-hour", hour},
		{"all-1000-hour", hour + all.String()},
		{"default-clock", clock},
		{"others-1000-clock", clock + others.String()},
		{"all-1000-clock", clock + all.String()},
	} {
		b.Run(test.name, func(b *testing.B) {
			s := newSet(b, policy.Config{}, test.rules)
			r := policy.Request{Actor: user("alice", "users", "wheel", "fobd"), Action: touch, Key: real, Session: seated, Time: time.Now()}
			b.ReportAllocs()
			for b.Loop() {
				if s.Decide(r).Effect != policy.Allow {
					b.Fatal("denied")
				}
			}
		})
	}
}
