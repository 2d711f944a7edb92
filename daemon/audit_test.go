package daemon_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/audit"
)

// audited makes an engine with an audit log, and returns its lines without the log's own.
func audited(t testing.TB, more string, change ...func(*daemon.Config)) (*lab, func() []audit.Entry) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	log, err := audit.Open(audit.Config{Dir: dir, Sync: audit.SyncNever})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	l := ruled(t, more, append(change, func(c *daemon.Config) {
		c.Audit.Log, c.Audit.Files = log, os.DirFS(dir)
	})...)
	return l, func() []audit.Entry {
		t.Helper()
		var entries []audit.Entry
		for e, err := range audit.Read(t.Context(), os.DirFS(dir), audit.Query{}) {
			if err != nil {
				t.Fatal(err)
			}
			if e.Operation != audit.OpBegin {
				entries = append(entries, e)
			}
		}
		if report, err := audit.Verify(t.Context(), os.DirFS(dir)); err != nil {
			t.Errorf("the chain: %v, %+v", err, report)
		}
		return entries
	}
}

func TestAudit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, lines := audited(t, `@id("safe") forbid (principal, action, resource == Key::"serial-k2");`)
		l.plugSoftkey("k1")
		l.plugSoftkey("k2")
		var seen []api.Prompt
		l.consents(1, &seen)
		request := registration()
		request.Key, request.Purpose = "k1", "a test"
		for range 2 {
			if err := l.as(member("mail"), api.OpRegister, request); err != nil {
				t.Fatal(describeError(err))
			}
		}
		wantCode(t, l.as(member("mail"), api.OpTouch, api.TouchRequest{Key: "k2"}), api.CodeDenied)
		got := lines()
		if len(got) != 3 {
			t.Fatalf("got %d lines: %+v", len(got), got)
		}
		first := got[0]
		if first.Operation != api.OpRegister || first.User != "alice" || *first.UID != 1000 || first.PID != 4711 || first.Program != "mail" || first.Exe != "/opt/mail" ||
			first.Session != "3" || first.FrontEnd != audit.FrontEndSocket || first.Key != "k1" || first.Serial != "serial-k1" || first.AAGUID == "" || first.Emulated ||
			first.RPID != "example.org" || first.Origin != origin || first.Purpose != "a test" || first.Result != audit.ResultOK || !first.UserPresent || first.UserVerified {
			t.Errorf("got %+v", first)
		}
		if first.Decision != audit.DecisionConsent || strings.Join(first.Policies, ",") != "group-fobd,ask-for-origins" {
			t.Errorf("got %s by %q", first.Decision, first.Policies)
		}
		if second := got[1]; second.Decision != audit.DecisionGrant || !strings.HasPrefix(second.Detail, "grant ") || second.Detail != strings.TrimPrefix(first.Detail, "consent, ") {
			t.Errorf("got %s %s, after %s", second.Decision, second.Detail, first.Detail)
		}
		if third := got[2]; third.Decision != audit.DecisionDeny || third.Result != string(api.CodeDenied) || strings.Join(third.Policies, ",") != "safe" || third.Operation != api.OpTouch {
			t.Errorf("got %+v", third)
		}
	})
}

// What a person types or a key signs has no place in the log.
func TestAuditHoldsNoSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, lines := audited(t, "")
		l.plugSoftkey("k1")
		p := &person{pins: []string{"135790"}}
		if _, err := l.engine.Do(l.ctx, alice, api.OpPINSet, decoder(api.PINSetRequest{}), p); err == nil {
			t.Fatal("alice is nobody here")
		}
		if _, err := l.engine.Do(l.ctx, member("fob"), api.OpPINSet, decoder(api.PINSetRequest{}), p); err != nil {
			t.Fatal(describeError(err))
		}
		for _, e := range lines() {
			if text := e.Detail + e.Purpose + e.Program + strings.Join(e.Policies, ""); strings.Contains(text, "135790") {
				t.Errorf("the PIN is in %+v", e)
			}
		}
	})
}

func TestAuditThatIsRequired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, required := range []bool{false, true} {
			l, _ := audited(t, "", func(c *daemon.Config) { c.Audit.Required = required })
			if err := daemon.AuditOf(l.engine).Close(); err != nil {
				t.Fatal(err)
			}
			err := l.as(member("a"), api.OpList, api.ListRequest{})
			if e := daemon.ErrorOf(err); (e != nil) != required || required && !strings.Contains(e.Message, "the audit log cannot be written") {
				t.Errorf("required %v: got %v", required, err)
			}
			l.stop()
		}
	})
}
