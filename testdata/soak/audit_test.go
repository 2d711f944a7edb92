//go:build soak

package soak

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/audit"
)

// ledger is what programs know of their requests, to be compared with the audit log.
type ledger struct {
	ends sync.Map // of a purpose: whether the daemon answered, bool
}

// last is the number of the last request of all.
var last atomic.Uint64

// marked gives a request a purpose that no other one has.
func (l *ledger) marked(request any) (any, string) {
	purpose := fmt.Sprintf("request %d", last.Add(1))
	switch r := request.(type) {
	case api.TouchRequest:
		r.Purpose = purpose
		return r, purpose
	case api.RegisterRequest:
		r.Purpose = purpose
		return r, purpose
	case api.AssertRequest:
		r.Purpose = purpose
		return r, purpose
	case api.LeaseRequest:
		r.Purpose = purpose
		return r, purpose
	}
	return request, ""
}

// ended notes whether the daemon answered, with a result or a reason.
func (l *ledger) ended(purpose string, err error) {
	if purpose != "" {
		var known *api.Error
		l.ends.Store(purpose, err == nil || errors.As(err, &known))
	}
}

// audited compares the audit log of a daemon that has ended with what the programs know: the chain is
// whole, every request that was answered stands in it once, and none stands in it twice.
func (d *fobd) audited(l *ledger) {
	t := d.t
	t.Helper()
	files := os.DirFS(filepath.Join(filepath.Dir(d.socket), "audit"))
	report, err := audit.Verify(t.Context(), files)
	if err != nil {
		t.Fatalf("the audit log: %v", err)
	}
	seen := map[string]int{}
	for e, err := range audit.Read(t.Context(), files, audit.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		// A message in a lease stands there with the purpose of the lease.
		if e.Purpose != "" && e.FrontEnd != audit.FrontEndLease {
			seen[e.Purpose]++
		}
		if e.FrontEnd == audit.FrontEndSocket && e.Decision == "" {
			t.Errorf("line %d says nothing of the policy", e.Seq)
		}
	}
	answered, left := 0, 0
	l.ends.Range(func(purpose, answer any) bool {
		name, _ := purpose.(string)
		switch n := seen[name]; {
		case answer == true && n != 1:
			t.Errorf("%s was answered and stands %d times in the audit log", name, n)
		case n > 1:
			t.Errorf("%s stands %d times in the audit log", name, n)
		}
		if answer == true {
			answered++
		} else {
			left++
		}
		return true
	})
	t.Logf("the audit log: %d lines in %d files, the chain is whole; each of %d requests stands in it once, of %d more the programs heard nothing", report.Lines, report.Files, answered, left)
	if answered == 0 || report.Gaps > 0 || report.Torn > 0 {
		t.Errorf("got %+v", report)
	}
}
