package daemon_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/tokens/nitrokeypro/softpro"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/token2/softtoken2"
)

// 12345678901234567890 in base32, the seed of the RFCs.
const rfcSeed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"

// shows is what a TOTP account with that seed shows, so many steps from now.
func shows(t testing.TB, steps int64) string {
	t.Helper()
	k, err := otp.NewKey(otp.Parameters{Kind: otp.TOTP}.Default(), []byte("12345678901234567890"))
	if err != nil {
		t.Fatal(err)
	}
	step, _ := k.Parameters().Step(time.Now())
	return k.Code(uint64(int64(step) + steps))
}

// inBubble runs a test with an engine of its own in a bubble.
func inBubble(t *testing.T, test func(l *lab, p *person), change ...func(*daemon.Config)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, change...)
		test(l, &person{})
		l.stop()
	})
}

func addAccount(l *lab, p *person, key, uri string) api.Account {
	l.t.Helper()
	r := must[api.AccountAddResult](l, api.OpAccountAdd, api.AccountAddRequest{Key: key, URI: uri}, p)
	if len(r.Added) != 1 || len(r.Failed) != 0 {
		l.t.Fatalf("got %+v", r)
	}
	return r.Added[0]
}

// All kinds of emulated tokens, from the first account to the last.
func TestAccounts(t *testing.T) {
	for _, kind := range []string{"yubikey", "neo", "canokey", "nitrokey"} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(l *lab, p *person) {
				if e := l.fails(api.OpCode, api.CodeRequest{}, p, api.CodeNoKey); e.Hint == "" {
					l.t.Errorf("%+v", e)
				}
				must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo", OATH: kind}, nil)
				keys := must[api.ListResult](l, api.OpList, api.ListRequest{}, nil).Keys
				want := "fido card"
				if kind == "yubikey" {
					want += " slots"
				}
				if kind == "nitrokey" {
					want = "fido"
				}
				if len(keys) != 1 || strings.Join(keys[0].Interfaces, " ") != want {
					l.t.Fatalf("got %+v, want one key with %s", keys, want)
				}
				a := addAccount(l, p, "", "otpauth://totp/Example:alice?secret="+rfcSeed+"&issuer=Example")
				if a.Issuer != "Example" || a.Name != "alice" || a.Kind != "totp" || a.Period != 30 || a.Key != keys[0].ID {
					l.t.Errorf("got %+v", a)
				}
				addAccount(l, p, "demo", "otpauth://hotp/Counter:bob?secret="+rfcSeed+"&issuer=Counter&counter=0")
				addAccount(l, p, "", "otpauth://totp/Minute:carol?secret="+rfcSeed+"&issuer=Minute&period=60&algorithm=SHA256&digits=8")
				l.fails(api.OpAccountAdd, api.AccountAddRequest{URI: "otpauth://totp/Example:alice?secret=" + rfcSeed + "&issuer=Example"}, p, api.CodeConflict)

				list := must[api.AccountListResult](l, api.OpAccountList, api.AccountListRequest{}, p)
				if len(list.Accounts) != 3 || len(list.Tokens) != 1 || list.Tokens[0].Way != "oath" || list.Tokens[0].Version == "" || list.Tokens[0].Protection != "" {
					l.t.Errorf("got %+v", list)
				}
				all := must[api.CodeResult](l, api.OpCode, api.CodeRequest{}, p).Codes
				if len(all) != 3 || all[0].Name != "bob" || all[0].Need != api.NeedCounter || all[0].Code != "" || all[1].Code != shows(l.t, 0) || all[1].Until == "" || len(all[2].Code) != 8 {
					l.t.Errorf("got %+v", all)
				}
				one := func(account string) string {
					l.t.Helper()
					r := must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: account}, p).Codes
					if len(r) != 1 {
						l.t.Fatalf("got %+v", r)
					}
					return r[0].Code
				}
				for _, name := range []string{"Example:alice", "example:ALICE", "alice", "Example", "xample"} {
					if got := one(name); got != shows(l.t, 0) {
						l.t.Errorf("%s: %s, want %s", name, got, shows(l.t, 0))
					}
				}
				if two := must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "alice", Two: true}, p).Codes; len(two) != 2 || two[0].Code != shows(l.t, -1) || two[1].Code != shows(l.t, 0) || two[0].Until != two[1].From {
					l.t.Errorf("two in a row: %+v", two)
				}
				// RFC 4226, appendix D; the CanoKey counts before.
				first, second := "755224", "287082"
				if kind == "canokey" {
					first, second = "287082", "359152"
				}
				if a, b := one("bob"), one("bob"); a != first || b != second {
					l.t.Errorf("got %s, %s", a, b)
				}
				l.fails(api.OpCode, api.CodeRequest{Two: true}, p, api.CodeInvalidRequest)
				l.fails(api.OpCode, api.CodeRequest{Account: "nobody"}, p, api.CodeNotFound)
				if e := l.fails(api.OpCode, api.CodeRequest{Account: "e"}, p, api.CodeInvalidRequest); !strings.Contains(e.Message, "Counter:bob on ") {
					l.t.Errorf("got %+v", e)
				}

				renamed := api.AccountRenameRequest{Account: "alice", Issuer: "Elsewhere", Name: "alice@example.org"}
				switch kind {
				case "neo":
					l.fails(api.OpAccountRename, renamed, p, api.CodeUnsupported)
				default:
					if got := must[api.AccountResult](l, api.OpAccountRename, renamed, p).Account; got.Issuer != "Elsewhere" || got.Name != "alice@example.org" {
						l.t.Errorf("got %+v", got)
					}
				}
				must[api.AccountResult](l, api.OpAccountDelete, api.AccountRequest{Account: "Minute"}, p)
				l.fails(api.OpAccountDelete, api.AccountRequest{Account: "Minute"}, p, api.CodeNotFound)
				if kind == "canokey" {
					if e := l.fails(api.OpAccountReset, api.AccountResetRequest{}, p, api.CodeUnsupported); e.Hint == "" || strings.Contains(e.Message+e.Hint, "6d00") {
						l.t.Errorf("got %+v", e)
					}
					return
				}
				must[api.AccountTokenResult](l, api.OpAccountReset, api.AccountResetRequest{}, p)
				if got := must[api.AccountListResult](l, api.OpAccountList, api.AccountListRequest{}, p).Accounts; len(got) != 0 {
					l.t.Errorf("after a reset: %+v", got)
				}
			})
		})
	}
}

// A touch is asked for, and one that never comes is not an error about locks.
func TestCodeWantsATouch(t *testing.T) {
	for _, kind := range []string{"yubikey", "nitrokey"} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(l *lab, p *person) {
				must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo", OATH: kind}, nil)
				must[api.AccountAddResult](l, api.OpAccountAdd, api.AccountAddRequest{URI: "otpauth://totp/alice?secret=" + rfcSeed, Touch: true}, p)
				must[api.EmulateResult](l, api.OpEmulateSet, api.EmulateSetRequest{Presence: "manual"}, nil)
				all := must[api.CodeResult](l, api.OpCode, api.CodeRequest{}, p).Codes
				if len(all) != 1 || all[0].Need != api.NeedTouch || !all[0].Touch {
					l.t.Errorf("got %+v", all)
				}
				run := l.start(api.OpCode, api.CodeRequest{Account: "alice", Purpose: "sign in"}, p)
				time.Sleep(2 * time.Second)
				synctest.Wait()
				p.mu.Lock()
				open := p.open
				p.mu.Unlock()
				if len(open) != 1 || open[0].Kind != api.PromptTouch || !strings.HasPrefix(open[0].Message, "Touch ") || !strings.Contains(open[0].Message, "a code") || !strings.Contains(open[0].Message, "sign in") {
					l.t.Errorf("prompts: %+v", open)
				}
				must[api.EmulateResult](l, api.OpEmulateTouch, api.EmulateNameRequest{}, nil)
				v, err := run.wait()
				if err != nil {
					l.t.Fatal(err)
				}
				if got := v.(*api.CodeResult).Codes[0].Code; got != shows(l.t, 0) {
					l.t.Errorf("got %s", got)
				}
				if e := l.fails(api.OpCode, api.CodeRequest{Account: "alice"}, p, api.CodeTimeout); !strings.Contains(e.Message+e.Hint, "touch") {
					l.t.Errorf("got %+v", e)
				}
				p.mu.Lock()
				defer p.mu.Unlock()
				if len(p.open) != 0 {
					l.t.Errorf("prompts stay: %+v", p.open)
				}
			})
		})
	}
}

func TestAccountsAreProtected(t *testing.T) {
	inBubble(t, func(l *lab, p *person) {
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo"}, nil)
		addAccount(l, p, "", "otpauth://totp/alice?secret="+rfcSeed)
		p.pins = []string{"open sesame"}
		if got := must[api.AccountTokenResult](l, api.OpAccountProtect, api.AccountProtectRequest{}, p).Token; got.Protection != "code" {
			l.t.Errorf("got %+v", got)
		}
		if e := l.fails(api.OpCode, api.CodeRequest{Account: "alice"}, nil, api.CodePINRequired); strings.Contains(fmt.Sprint(e), "sesame") {
			l.t.Errorf("got %+v", e)
		}
		p.pins = []string{"wrong"}
		l.fails(api.OpCode, api.CodeRequest{Account: "alice"}, p, api.CodePINInvalid)
		p.pins = []string{"open sesame"}
		if got := must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "alice"}, p).Codes[0].Code; got != shows(l.t, 0) {
			l.t.Errorf("got %s", got)
		}
		if last := p.seen[len(p.seen)-1]; last.Kind != api.PromptPIN || !strings.HasPrefix(last.Message, "Enter the access code of ") {
			l.t.Errorf("asked by %+v", last)
		}
		p.pins = []string{"open sesame"}
		if got := must[api.AccountTokenResult](l, api.OpAccountProtect, api.AccountProtectRequest{Remove: true}, p).Token; got.Protection != "" {
			l.t.Errorf("got %+v", got)
		}
		must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "alice"}, nil)
	})
}

// A PIN has tries; the last one is not spent.
func TestAccountsHaveAPIN(t *testing.T) {
	inBubble(t, func(l *lab, p *person) {
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo", OATH: "nitrokey"}, nil)
		p.pins = []string{"123456"}
		must[api.AccountTokenResult](l, api.OpAccountProtect, api.AccountProtectRequest{}, p)
		p.pins = []string{"123456"}
		must[api.AccountAddResult](l, api.OpAccountAdd, api.AccountAddRequest{URI: "otpauth://totp/alice?secret=" + rfcSeed, PIN: true}, p)
		p.pins = []string{"123456"}
		if got := must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "alice"}, p).Codes[0].Code; got != shows(l.t, 0) {
			l.t.Errorf("got %s", got)
		}
		for range 7 {
			p.pins = []string{"000000"}
			l.fails(api.OpCode, api.CodeRequest{Account: "alice"}, p, api.CodePINInvalid)
		}
		p.pins = []string{"123456"}
		l.fails(api.OpCode, api.CodeRequest{Account: "alice"}, p, api.CodePINLastRetry)
		p.pins = []string{"123456"}
		must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "alice", AllowLastRetry: true}, p)
	})
}

// Accounts outlive the daemon, and stand in nobody's log.
func TestAccountsAreKept(t *testing.T) {
	dir := t.TempDir()
	state := func(c *daemon.Config) { c.StateDir = dir }
	inBubble(t, func(l *lab, p *person) {
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo", State: "demo"}, nil)
		addAccount(l, p, "", "otpauth://hotp/alice?secret="+rfcSeed+"&counter=0")
		must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "alice"}, p)
		clone := must[api.EmulateResult](l, api.OpEmulateClone, api.EmulateCloneRequest{Name: "demo", Clone: "copy"}, nil).Key
		if clone.Accounts != 1 || clone.OATH != "yubikey" {
			l.t.Errorf("got %+v", clone)
		}
	}, state)
	inBubble(t, func(l *lab, p *person) {
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo", State: "demo"}, nil)
		if got := must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "alice"}, p).Codes[0].Code; got != "287082" {
			l.t.Errorf("got %s, want the second code", got)
		}
		l.fails(api.OpEmulateAdd, api.EmulateAddRequest{State: "x.oath"}, nil, api.CodeInvalidRequest)
		l.fails(api.OpEmulateAdd, api.EmulateAddRequest{OATH: "abacus"}, nil, api.CodeInvalidRequest)
		none := must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "none", OATH: "none"}, nil).Key
		l.fails(api.OpCode, api.CodeRequest{Key: none.Key}, nil, api.CodeUnsupported)
	}, state)
	found, err := filepath.Glob(filepath.Join(dir, "emulated", "*"))
	if err != nil || len(found) < 2 {
		t.Errorf("files: %v, %v", found, err)
	}
}

// Of several tokens, one that cannot be asked is told, and does not stand in the way of the others.
func TestAccountsOfSeveralTokens(t *testing.T) {
	inBubble(t, func(l *lab, p *person) {
		for _, name := range []string{"one", "two"} {
			must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: name}, nil)
			addAccount(l, p, name, "otpauth://totp/"+name+":alice?secret="+rfcSeed)
		}
		if e := l.fails(api.OpAccountAdd, api.AccountAddRequest{URI: "otpauth://totp/x?secret=" + rfcSeed}, p, api.CodeInvalidRequest); !strings.Contains(e.Hint, "name the key") {
			l.t.Errorf("got %+v", e)
		}
		l.fails(api.OpCode, api.CodeRequest{Account: "alice"}, p, api.CodeInvalidRequest)
		must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "alice", Key: "two"}, p)
		must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "two"}, p)
		p.pins = []string{"secret"}
		must[api.AccountTokenResult](l, api.OpAccountProtect, api.AccountProtectRequest{Key: "one"}, p)
		r := must[api.CodeResult](l, api.OpCode, api.CodeRequest{}, nil)
		if len(r.Codes) != 1 || len(r.Failed) != 1 || r.Failed[0].Code != api.CodePINRequired {
			l.t.Errorf("got %+v", r)
		}
		// Pulled out in the middle.
		must[api.EmulateResult](l, api.OpEmulateRemove, api.EmulateNameRequest{Name: "one"}, nil)
		must[api.AccountAddResult](l, api.OpAccountAdd, api.AccountAddRequest{URI: "otpauth://totp/slow?secret=" + rfcSeed, Touch: true}, p)
		must[api.EmulateResult](l, api.OpEmulateSet, api.EmulateSetRequest{Name: "two", Presence: "manual"}, nil)
		run := l.start(api.OpCode, api.CodeRequest{Account: "slow"}, p)
		time.Sleep(time.Second)
		must[api.EmulateResult](l, api.OpEmulatePower, api.EmulatePowerRequest{Name: "two"}, nil)
		_, err := run.wait()
		wantCode(l.t, err, api.CodeKeyGone)
	})
}

// A token that is full says so, and keeps what it has.
func TestTokenIsFull(t *testing.T) {
	for kind, room := range map[string]int{"yubikey": 32, "neo": 28, "canokey": 100, "nitrokey": 50} {
		t.Run(kind, func(t *testing.T) {
			inBubble(t, func(l *lab, p *person) {
				must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo", OATH: kind}, nil)
				for n := range room {
					addAccount(l, p, "", fmt.Sprintf("otpauth://totp/n%03d?secret=%s", n, rfcSeed))
				}
				if e := l.fails(api.OpAccountAdd, api.AccountAddRequest{URI: "otpauth://totp/last?secret=" + rfcSeed}, p, api.CodeKeyFull); !strings.Contains(e.Message, "no room for another account") || !strings.Contains(e.Message+e.Hint, "delete") {
					l.t.Errorf("got %+v", e)
				}
				if got := must[api.AccountListResult](l, api.OpAccountList, api.AccountListRequest{}, p).Accounts; len(got) != room {
					l.t.Errorf("%d accounts, want %d", len(got), room)
				}
				must[api.AccountResult](l, api.OpAccountDelete, api.AccountRequest{Account: "n000"}, p)
				addAccount(l, p, "", "otpauth://totp/last?secret="+rfcSeed)
				if got := must[api.CodeResult](l, api.OpCode, api.CodeRequest{}, p).Codes; len(got) != room {
					l.t.Errorf("%d codes, want %d", len(got), room)
				}
			})
		})
	}
}

func TestAccountRequests(t *testing.T) {
	inBubble(t, func(l *lab, p *person) {
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo"}, nil)
		for _, r := range []api.AccountAddRequest{{}, {URI: "x"}, {URI: "otpauth://totp/?secret=!"}, {URI: "otpauth-migration://offline?data=AA"}, {Files: []api.Bytes{[]byte("\x89PNG\r\n\x1a\n")}}} {
			if e := l.fails(api.OpAccountAdd, r, p, api.CodeInvalidRequest); e.Hint == "" || strings.Contains(e.Message, "seedfile") {
				l.t.Errorf("%+v", e)
			}
		}
		l.fails(api.OpAccountRename, api.AccountRenameRequest{Account: "x"}, p, api.CodeInvalidRequest)
		l.fails(api.OpAccountDelete, api.AccountRequest{}, p, api.CodeInvalidRequest)
		// A full token takes no more, and says which ones it has taken.
		var uris strings.Builder
		for n := range 34 {
			fmt.Fprintf(&uris, "otpauth://totp/Site:user%02d?secret=%s\n", n, rfcSeed)
		}
		r := must[api.AccountAddResult](l, api.OpAccountAdd, api.AccountAddRequest{Files: []api.Bytes{[]byte(uris.String())}}, p)
		if len(r.Added) != 32 || len(r.Failed) != 2 || r.Failed[0].Error.Code != api.CodeKeyFull {
			l.t.Errorf("%d added, %+v", len(r.Added), r.Failed)
		}
		if e := l.fails(api.OpAccountAdd, api.AccountAddRequest{URI: "otpauth://totp/more?secret=" + rfcSeed}, p, api.CodeKeyFull); e.Hint == "" || e.Key == "" {
			l.t.Errorf("%+v", e)
		}
	})
}

// Accounts share the queue of their key with its FIDO interface, and the rules.
func TestAccountsShareTheKey(t *testing.T) {
	inBubble(t, func(l *lab, p *person) {
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo"}, nil)
		addAccount(l, p, "", "otpauth://totp/alice?secret="+rfcSeed)
		must[api.EmulateResult](l, api.OpEmulateSet, api.EmulateSetRequest{Presence: "manual"}, nil)
		first := l.start(api.OpTouch, api.TouchRequest{}, p)
		time.Sleep(time.Second)
		waits := &person{}
		second := l.start(api.OpCode, api.CodeRequest{Account: "alice"}, waits)
		third := l.start(api.OpSlotShow, api.SlotShowRequest{}, &person{})
		time.Sleep(time.Second)
		synctest.Wait()
		waits.mu.Lock()
		if len(waits.open) != 1 || waits.open[0].Kind != api.PromptWait || waits.open[0].Holder == nil || waits.open[0].Holder.Operation != api.OpTouch {
			l.t.Errorf("prompts: %+v", waits.open)
		}
		waits.mu.Unlock()
		must[api.EmulateResult](l, api.OpEmulateTouch, api.EmulateNameRequest{}, nil)
		for _, run := range []interface{ wait() (any, error) }{first, second, third} {
			if _, err := run.wait(); err != nil {
				l.t.Error(err)
			}
		}
	})
}

// Two operations that look at the same tokens do not wait for each other, and a token in use does not keep the code of another one.
func TestCodesOfTokensInUse(t *testing.T) {
	inBubble(t, func(l *lab, p *person) {
		for _, name := range []string{"one", "two"} {
			must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: name}, nil)
			addAccount(l, p, name, "otpauth://totp/"+name+":alice?secret="+rfcSeed)
		}
		// Each has one of the two tokens first.
		hold := func(name string) *later {
			must[api.EmulateResult](l, api.OpEmulateSet, api.EmulateSetRequest{Name: name, Presence: "manual"}, nil)
			run := l.start(api.OpTouch, api.TouchRequest{Key: name}, p)
			time.Sleep(10 * time.Millisecond)
			return run
		}
		one, two := hold("one"), hold("two")
		began := time.Now()
		var runs []*later
		for range 50 { // both tokens have an alice, so that no operation is done with one of them
			runs = append(runs, l.start(api.OpAccountDelete, api.AccountRequest{Account: "alice"}, &person{}))
		}
		time.Sleep(10 * time.Millisecond)
		touch := func(name string, run *later) {
			must[api.EmulateResult](l, api.OpEmulateTouch, api.EmulateNameRequest{Name: name}, nil)
			if _, err := run.wait(); err != nil {
				l.t.Error(err)
			}
		}
		touch("one", one)
		time.Sleep(100 * time.Millisecond)
		touch("two", two)
		for _, run := range runs {
			_, err := run.wait()
			wantCode(l.t, err, api.CodeInvalidRequest)
		}
		if d := time.Since(began); d > 5*time.Second {
			l.t.Errorf("they took %s", d)
		}
		// One is in use for long, the other one has the account.
		two = hold("two")
		began = time.Now()
		r := must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: "one:alice"}, p)
		if d := time.Since(began); len(r.Codes) != 1 || r.Codes[0].Code == "" || d > 2*time.Second {
			l.t.Errorf("got %+v after %s", r, d)
		}
		if e := l.fails(api.OpAccountRename, api.AccountRenameRequest{TimeoutMS: 3000, Account: "one:alice", Issuer: "one", Name: "bob"}, p, api.CodeBusy); !strings.Contains(e.Message, "two") {
			l.t.Errorf("got %+v", e)
		}
		touch("two", two)
	})
}

func TestRulesAboutAccounts(t *testing.T) {
	dir := t.TempDir()
	rules := `@id("no-codes") @reason("codes are read at the desk") forbid (principal, action == Action::"code", resource);` +
		`@id("no-slots") forbid (principal, action == Action::"slot-set", resource);`
	inBubble(t, func(l *lab, p *person) {
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "demo"}, nil)
		addAccount(l, p, "", "otpauth://totp/alice?secret="+rfcSeed)
		if e := l.fails(api.OpCode, api.CodeRequest{Account: "alice"}, p, api.CodeDenied); !strings.Contains(e.Message, "codes are read at the desk") {
			l.t.Errorf("got %+v", e)
		}
		l.fails(api.OpSlotSet, api.SlotSetRequest{Slot: 1, Kind: "hotp", Secret: []byte("12345678901234567890")}, p, api.CodeDenied)
		must[api.AccountListResult](l, api.OpAccountList, nil, p)
	}, func(c *daemon.Config) { c.Rules = setOf(t, dir, rules) })
}

// reports is a link to a device in memory that speaks in feature reports.
type reports struct{ hid.FeatureReports }

func (reports) Close() error { return nil }

// Tokens of other kinds are tokens as all others: here none has a FIDO interface.
func TestOtherTokens(t *testing.T) {
	second, err := softtoken2.New()
	if err != nil {
		t.Fatal(err)
	}
	for way, c := range map[tokens.Way]struct {
		dev  hid.FeatureReports
		pins []string
	}{
		tokens.WayNitrokeyPro: {softpro.New(), []string{"12345678"}},
		tokens.WayToken2:      {second, nil},
	} {
		t.Run(string(way), func(t *testing.T) {
			sides := &tokens.MemorySides{}
			inBubble(t, func(l *lab, p *person) {
				sides.Attach(tokens.Side{
					Info: hid.Info{ID: "t", Product: "a token"}, Way: way,
					Connect: func(context.Context, func(hid.Holder)) (tokens.Link, error) { return reports{c.dev}, nil },
				})
				time.Sleep(time.Second) // no FIDO interface comes
				l.settle()
				p.pins = c.pins
				addAccount(l, p, "", "otpauth://totp/Ex:alice?secret="+rfcSeed+"&issuer=Ex")
				list := must[api.AccountListResult](l, api.OpAccountList, nil, p)
				if len(list.Accounts) != 1 || len(list.Tokens) != 1 || list.Tokens[0].Way != string(way) || !list.Tokens[0].Unseen {
					l.t.Errorf("got %+v", list)
				}
				for _, account := range []string{"", "Ex:alice"} {
					if got := must[api.CodeResult](l, api.OpCode, api.CodeRequest{Account: account}, p).Codes; len(got) != 1 || got[0].Code != shows(l.t, 0) || got[0].Until == "" {
						l.t.Errorf("got %+v", got)
					}
				}
				l.fails(api.OpAccountRename, api.AccountRenameRequest{Account: "alice", Name: "bob"}, p, api.CodeUnsupported)
				l.fails(api.OpTouch, api.TouchRequest{Key: "t"}, p, api.CodeUnsupported)
				l.fails(api.OpSlotShow, api.SlotShowRequest{Key: "t"}, p, api.CodeUnsupported)
				if way == tokens.WayNitrokeyPro {
					p.pins = []string{"000000"}
					l.fails(api.OpAccountDelete, api.AccountRequest{Account: "alice"}, p, api.CodePINInvalid)
					p.pins = c.pins
				}
				must[api.AccountResult](l, api.OpAccountDelete, api.AccountRequest{Account: "alice"}, p)
			}, func(cfg *daemon.Config) { cfg.Sides = []tokens.Sides{sides} })
		})
	}
}
