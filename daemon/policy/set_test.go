package policy_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/policy"
)

var (
	touch  = policy.Action{Operation: "touch", Scope: policy.ScopeUse}
	assert = policy.Action{Operation: "assert", Scope: policy.ScopeUse}
	list   = policy.Action{Operation: "list", Scope: policy.ScopeRead}
	reset  = policy.Action{Operation: "reset", Scope: policy.ScopeAdmin}
	table  = []policy.Action{touch, assert, list, reset}
)

func newSet(t testing.TB, cfg policy.Config, files ...string) *policy.Set {
	t.Helper()
	s, err := load(t, cfg, files...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// load makes a set from files, whose names are 0.cedar, 1.cedar and so on.
func load(t testing.TB, cfg policy.Config, files ...string) (*policy.Set, error) {
	t.Helper()
	cfg.Actions = table
	cfg.Dir = t.TempDir()
	if cfg.Owner == 0 {
		cfg.Owner = uint32(os.Getuid())
	}
	for i, text := range files {
		write(t, filepath.Join(cfg.Dir, fmt.Sprintf("%d.cedar", i)), text)
	}
	return policy.New(cfg)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// ids are the names of rules.
func ids(rules []policy.Rule) string {
	var names []string
	for _, r := range rules {
		names = append(names, r.ID)
	}
	return strings.Join(names, ",")
}

var (
	real     = &policy.Key{ID: "k1", Serial: "1234", AAGUID: "aaaa"}
	emulated = &policy.Key{ID: "e1", Serial: "test", Emulated: true}
	seated   = policy.Session{Active: true, Local: true}
)

func user(name string, groups ...string) policy.Actor {
	return policy.Actor{UID: 4000, User: name, Groups: "," + strings.Join(groups, ",") + ",", Via: "socket"}
}

func browser(a policy.Actor, exe string) policy.Actor {
	a.App.Exe = exe
	return a
}

// Each line is what default.cedar says in its comments.
func TestDefaultRules(t *testing.T) {
	vouched := user("alice")
	vouched.Vouched = true
	flatpak := user("alice")
	flatpak.App = policy.App{Exe: "/app/bin/firefox", Flatpak: "org.mozilla.firefox"}
	snap := user("alice")
	snap.App = policy.App{Snap: "firefox"}
	portal := browser(user("alice"), "/usr/libexec/xdg-desktop-portal")
	portal.Via = "dbus"
	owner := user("owner")
	owner.UID = 4711
	claim := policy.ClaimOrigin
	for _, test := range []struct {
		name string
		r    policy.Request
		want policy.Effect
		by   string
	}{
		{"root uses", policy.Request{Actor: policy.Actor{User: "toor"}, Action: touch, Key: real}, policy.Allow, "root"},
		{"root administers", policy.Request{Actor: policy.Actor{}, Action: reset, Key: real}, policy.Allow, "root"},
		{"a user named root is not root", policy.Request{Actor: user("Root"), Action: touch}, policy.Deny, ""},
		{"the owner", policy.Request{Actor: owner, Action: reset}, policy.Allow, "owner"},
		{"at the machine, uses", policy.Request{Actor: user("alice"), Action: touch, Key: real, Session: seated}, policy.Allow, "people-at-the-machine"},
		{"at the machine, reads", policy.Request{Actor: user("alice"), Action: list, Session: seated}, policy.Allow, "people-at-the-machine"},
		{"at the machine, administers", policy.Request{Actor: user("alice"), Action: reset, Session: seated}, policy.Deny, ""},
		{"in the background", policy.Request{Actor: user("alice"), Action: touch, Session: policy.Session{Local: true}}, policy.Deny, ""},
		{"over the network", policy.Request{Actor: user("alice"), Action: touch, Session: policy.Session{Active: true, Remote: true}}, policy.Deny, ""},
		{"of no session", policy.Request{Actor: user("alice"), Action: touch}, policy.Deny, ""},
		{"in the group fobd", policy.Request{Actor: user("alice", "users", "fobd"), Action: touch}, policy.Allow, "group-fobd"},
		{"in a group named like it", policy.Request{Actor: user("alice", "fobd-x"), Action: touch}, policy.Deny, ""},
		{"in the group fobd, administers", policy.Request{Actor: user("alice", "fobd"), Action: reset}, policy.Deny, ""},
		{"in the group fobd-admin", policy.Request{Actor: user("alice", "fobd-admin"), Action: reset}, policy.Allow, "administrators"},
		{"polkit vouches", policy.Request{Actor: vouched, Action: reset}, policy.Allow, "polkit"},
		{"polkit vouches for no use", policy.Request{Actor: vouched, Action: touch}, policy.Deny, ""},
		{"a browser's site", policy.Request{Actor: browser(user("alice"), "/usr/lib/firefox/firefox"), Action: claim, Key: real}, policy.Allow, "browsers,ask-for-origins"},
		{"a flatpak's", policy.Request{Actor: flatpak, Action: claim, Key: real}, policy.Allow, "browsers,ask-for-origins"},
		{"a snap's", policy.Request{Actor: snap, Action: claim, Key: real}, policy.Allow, "browsers,ask-for-origins"},
		{"of another program", policy.Request{Actor: browser(user("alice"), "/home/alice/firefox"), Action: claim, Key: real}, policy.Ask, "ask-for-origins"},
		{"of root's program", policy.Request{Actor: policy.Actor{}, Action: claim, Key: real}, policy.Allow, "root-origins,ask-for-origins"},
		{"of the portal", policy.Request{Actor: portal, Action: claim, Key: real}, policy.Allow, "portals,ask-for-origins"},
		{"with an emulated key", policy.Request{Actor: user("alice"), Action: claim, Key: emulated}, policy.Allow, "emulated-keys,ask-for-origins"},
	} {
		s := newSet(t, policy.Config{Owner: 4711, OwnerRules: true})
		test.r.Time = time.Now()
		d := s.Decide(test.r)
		got := ids(d.Rules)
		if d.Effect != test.want || got != test.by {
			t.Errorf("%s: got %s by %s, want %s by %s", test.name, d.Effect, got, test.want, test.by)
		}
		if again := s.Decide(test.r); again.Effect != d.Effect || ids(again.Rules) != got {
			t.Errorf("%s: the same again: got %+v", test.name, again)
		}
	}
}

func TestGrantsOfAQuestion(t *testing.T) {
	s := newSet(t, policy.Config{})
	d := s.Decide(policy.Request{Actor: user("alice"), Action: policy.ClaimOrigin, Key: real})
	if want := []string{"once", "15m", "lock", "unplug"}; d.Effect != policy.Ask || !slices.Equal(d.Grants, want) {
		t.Errorf("got %+v, want %v", d, want)
	}
}

func TestOwnRules(t *testing.T) {
	s := newSet(t, policy.Config{NoDefault: true}, `
// Signing in is for the site's own people.
@id("staff")
permit (principal in Group::"staff", action == Action::"assert", resource)
when { context.rp in RelyingParty::"example.org" };

@id("backup") @reason("the backup key stays in the safe")
forbid (principal, action, resource == Key::"1234") unless { principal == User::"root" };
`, `permit (principal == User::"night", action in Action::"use", resource) when { context.hour >= 22 || context.weekday > 5 };
permit (principal, action == Action::"touch", resource) when { context.origin like "https://*" && context.app.unit == "mail.service" };`)
	other := &policy.Key{ID: "k2", Serial: "5678"}
	at := func(text string) time.Time {
		v, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	mail := user("bob")
	mail.App.Unit = "mail.service"
	for _, test := range []struct {
		name string
		r    policy.Request
		want policy.Effect
		by   string
	}{
		{"a subdomain", policy.Request{Actor: user("alice", "staff"), Action: assert, Key: other, RPID: "login.example.org"}, policy.Allow, "staff"},
		{"the domain", policy.Request{Actor: user("alice", "staff"), Action: assert, Key: other, RPID: "example.org"}, policy.Allow, "staff"},
		{"a domain that ends so", policy.Request{Actor: user("alice", "staff"), Action: assert, Key: other, RPID: "badexample.org"}, policy.Deny, ""},
		{"no site", policy.Request{Actor: user("alice", "staff"), Action: assert, Key: other}, policy.Deny, ""},
		{"another operation", policy.Request{Actor: user("alice", "staff"), Action: touch, Key: other, RPID: "example.org"}, policy.Deny, ""},
		{"the key that is forbidden", policy.Request{Actor: user("alice", "staff"), Action: assert, Key: real, RPID: "example.org"}, policy.Deny, "backup"},
		{"at night", policy.Request{Actor: user("night"), Action: touch, Key: other, Time: at("2026-11-23 23:00:00")}, policy.Allow, "1#1"},
		{"by day", policy.Request{Actor: user("night"), Action: touch, Key: other, Time: at("2026-11-23 12:00:00")}, policy.Deny, ""},
		{"by day on Sunday", policy.Request{Actor: user("night"), Action: touch, Key: other, Time: at("2026-11-22 12:00:00")}, policy.Allow, "1#1"},
		{"a unit", policy.Request{Actor: mail, Action: touch, Key: other, Origin: "https://x"}, policy.Allow, "1#2"},
	} {
		d := s.Decide(test.r)
		if got := ids(d.Rules); d.Effect != test.want || got != test.by {
			t.Errorf("%s: got %s by %s, want %s by %s", test.name, d.Effect, got, test.want, test.by)
		}
	}
	err := policy.Authorize(s, policy.Request{Actor: user("alice"), Action: assert, Key: real})
	if err == nil || !strings.HasSuffix(err.Error(), "may not assert: the backup key stays in the safe") {
		t.Errorf("got %v", err)
	}
	err = policy.Authorize(s, policy.Request{Actor: user("alice"), Action: assert})
	if err == nil || !strings.HasSuffix(err.Error(), "no rule permits it") {
		t.Errorf("got %v", err)
	}
}

func TestWrongRules(t *testing.T) {
	for _, test := range []struct{ name, text, want string }{
		{"cut off", "forbid (principal", "0.cedar:1: column 18: want \",\", and the file ends"},
		{"another word", "forbid (principal; action", "want \",\", not \";\""},
		{"syntax", "\npermit (principal, action, resource) when { 1 = 2 };", "0.cedar:2: column"},
		{"a word that there is not", "permit (principal, action, resource) when { context.orign == \"x\" };", "0.cedar:1: rule 0#1: "},
		{"an operation that there is not", "permit (principal, action == Action::\"tuch\", resource);", "0.cedar:1: rule 0#1: "},
		{"a type that there is not", "permit (principal == Usr::\"x\", action, resource);", "0.cedar:1: rule 0#1: "},
		{"a type that does not fit", "permit (principal, action, resource) when { context.hour == \"x\" };", "0.cedar:1: rule 0#1: "},
		{"an annotation", "@idd(\"x\") permit (principal, action, resource);", "no annotation @idd"},
		{"a question that forbids", "@ask(\"\") forbid (principal, action, resource);", "@ask is for rules that permit"},
		{"a grant", "@ask(\"\") @grant(\"15\") permit (principal, action, resource);", `"15" is neither once`},
		{"a long grant", "@ask(\"\") @grant(\"25h\") permit (principal, action, resource);", `"25h" is neither once`},
		{"one name twice", "@id(\"a\") permit (principal, action, resource);\n@id(\"a\") permit (principal, action, resource);", "0.cedar:2: rule a: another rule has this @id"},
		{"a built-in name", "@id(\"owner\") permit (principal, action, resource);", "another rule has this @id: default.cedar:"},
	} {
		_, err := load(t, policy.Config{}, test.text)
		var where *policy.FileError
		if !errors.As(err, &where) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

func TestAllThatIsWrongIsSaid(t *testing.T) {
	_, err := load(t, policy.Config{}, "permit (principal, action, resource) when { context.x };\npermit (principal, action, resource) when { context.y };", "nonsense")
	for _, want := range []string{"0.cedar:1", "0.cedar:2", "1.cedar:1"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestFilesThatOthersCanWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.cedar")
	write(t, path, `permit (principal, action, resource);`)
	if err := os.Chmod(path, 0o664); err != nil {
		t.Fatal(err)
	}
	cfg := policy.Config{Actions: table, Owner: uint32(os.Getuid()), Dir: dir}
	if _, err := policy.New(cfg); err == nil || !strings.Contains(err.Error(), "others may write it (mode 0664)") {
		t.Errorf("got %v", err)
	}
	if os.Getuid() == 0 {
		if err := errors.Join(os.Chmod(path, 0o644), os.Chown(path, 65534, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := policy.New(cfg); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
			t.Errorf("got %v", err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := policy.New(cfg); err == nil || !strings.Contains(err.Error(), "is no file") {
		t.Errorf("got %v", err)
	}
}

// A broken file keeps the rules that were there.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.cedar")
	s, err := policy.New(policy.Config{Actions: table, Owner: uint32(os.Getuid()), Dir: dir, NoDefault: true})
	if err != nil {
		t.Fatal(err)
	}
	r := policy.Request{Actor: user("alice"), Action: touch, Key: real}
	expect := func(when string, want policy.Effect) {
		t.Helper()
		if got := s.Decide(r).Effect; got != want {
			t.Errorf("%s: got %s, want %s", when, got, want)
		}
	}
	expect("without files", policy.Deny)
	write(t, path, `permit (principal, action, resource);`)
	expect("before Reload", policy.Deny)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	expect("after it", policy.Allow)
	write(t, path, `forbid (principal, action, resourc);`)
	if err := s.Reload(); err == nil {
		t.Error("a broken file is taken")
	}
	expect("after a broken one", policy.Allow)
	write(t, path, `forbid (principal, action, resource);`)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	expect("after the right one", policy.Deny)
	if list := s.List(); len(list) != 1 || list[0].ID != "a#1" || !strings.Contains(list[0].Text, "forbid") {
		t.Errorf("got %+v", list)
	}
	if err := s.Check("b.cedar", []byte("permit (principal, action, resource) when { context.x };")); err == nil {
		t.Error("Check takes what Reload does not")
	}
	if err := s.Check("a.cedar", []byte(`@id("a#1") permit (principal, action, resource);`)); err != nil {
		t.Errorf("a file that takes the place of another: %v", err)
	}
	expect("after Check", policy.Deny)
}

// A rule that forbids and cannot be evaluated forbids: in Cedar it would not apply.
func TestRuleThatCannotBeEvaluatedForbids(t *testing.T) {
	s := newSet(t, policy.Config{NoDefault: true}, `permit (principal, action, resource);
@id("overflow") forbid (principal, action, resource) when { principal.uid * 9223372036854775807 > 0 };`)
	a := user("alice")
	d := s.Decide(policy.Request{Actor: a, Action: touch})
	if d.Effect != policy.Deny || ids(d.Rules) != "overflow" || !strings.Contains(d.Rules[0].Reason, "cannot be evaluated") {
		t.Errorf("got %+v", d)
	}
}

func TestExplain(t *testing.T) {
	s := newSet(t, policy.Config{NoDefault: true}, `@id("a") permit (principal == User::"alice", action, resource);
@id("b") permit (principal == User::"bob", action, resource);
@id("c") permit (principal, action == Action::"touch", resource == Key::"none");`)
	d, looked := s.Explain(policy.Request{Actor: user("alice"), Action: touch, Key: real})
	if d.Effect != policy.Allow || ids(d.Rules) != "a" || ids(looked) != "c,a" {
		t.Errorf("got %+v, looked at %s", d, ids(looked))
	}
}

// The index leaves out no rule that applies: every decision is as without it.
func TestIndexFindsEveryRule(t *testing.T) {
	var texts []string
	for _, principal := range []string{"principal", `principal == User::"alice"`, `principal in Group::"g"`, `principal is User`, `principal is User in Group::"h"`} {
		for _, action := range []string{"action", `action == Action::"touch"`, `action in [Action::"touch", Action::"use"]`, `action in Action::"use"`, `action in [Action::"read", Action::"admin"]`} {
			for _, resource := range []string{"resource", `resource == Key::"1234"`, "resource is Key"} {
				texts = append(texts, fmt.Sprintf("permit (%s, %s, %s);", principal, action, resource))
			}
		}
	}
	s := newSet(t, policy.Config{NoDefault: true}, strings.Join(texts, "\n"))
	for _, who := range []policy.Actor{user("alice"), user("bob", "g"), user("carol", "g", "h"), user("dan")} {
		for _, what := range []policy.Action{touch, list, reset} {
			for _, key := range []*policy.Key{nil, real, emulated} {
				var want []string
				for i := range texts {
					alone := newSet(t, policy.Config{NoDefault: true}, strings.Repeat("\n", i)+texts[i])
					if alone.Decide(policy.Request{Actor: who, Action: what, Key: key}).Effect == policy.Allow {
						want = append(want, fmt.Sprintf("0#%d", i+1))
					}
				}
				got := ids(s.Decide(policy.Request{Actor: who, Action: what, Key: key}).Rules)
				if got != strings.Join(want, ",") {
					t.Errorf("%s %s %v: got %s, want %v", who.User, what.Operation, key, got, want)
				}
			}
		}
	}
}

func FuzzRules(f *testing.F) {
	f.Add(`@id("x") permit (principal in Group::"a", action == Action::"touch", resource) when { context.rp in RelyingParty::"example.org" };`)
	f.Add(`forbid (principal, action, resource) unless { context.origin like "https://*.example.org" };`)
	s := newSet(f, policy.Config{})
	f.Fuzz(func(t *testing.T, text string) {
		if s.Check("fuzz.cedar", []byte(text)) == nil {
			s, err := load(t, policy.Config{NoDefault: true}, text)
			if err != nil {
				t.Skip() // it needs the names of the others
			}
			s.Decide(policy.Request{Actor: user("alice", "a"), Action: touch, Key: real, RPID: "a.example.org", Origin: "https://a.example.org"})
		}
	})
}

// Decisions are kept only for what they depend on: rules see the time go by.
func TestRulesSeeTheTime(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local)
	utc := func(second int) time.Time { return time.Date(2026, 11, 23, 12, 0, second, 0, time.UTC) }
	for name, c := range map[string]struct {
		rule        string
		first, then time.Time
	}{
		"hour":           {`forbid (principal, action, resource) when { context.hour == 13 };`, noon, noon.Add(time.Hour)},
		"weekday":        {`forbid (principal, action, resource) when { context.weekday == 2 };`, noon, noon.AddDate(0, 0, 1)},
		"now":            {`forbid (principal, action, resource) when { context.now > datetime("2026-11-23T12:00:30Z") };`, utc(1), utc(31)},
		"now, deep":      {`forbid (principal, action, resource) when { true && (if [context.now].contains(datetime("2026-11-23T12:00:31Z")) then true else false) };`, utc(1), utc(31)},
		"now, by unless": {`forbid (principal, action, resource) unless { context.now < datetime("2026-11-23T12:00:30Z") };`, utc(1), utc(31)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSet(t, policy.Config{}, c.rule)
			at := func(when time.Time) policy.Effect {
				return s.Decide(policy.Request{Actor: user("alice", "fobd"), Action: touch, Key: real, Time: when}).Effect
			}
			for range 2 {
				if got := at(c.first); got != policy.Allow {
					t.Errorf("before: %s", got)
				}
			}
			if got := at(c.then); got != policy.Deny {
				t.Errorf("after: %s", got)
			}
			if got := at(c.first); got != policy.Allow {
				t.Errorf("again: %s", got)
			}
		})
	}
}
