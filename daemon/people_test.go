package daemon_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/relyingparty"
	"github.com/fobd/fobd/daemon/statement"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/seedfile"
	"github.com/fobd/fobd/tokens/softkey"
)

// office is a lab that keeps people, with a key at hand. Everything runs in a bubble.
type office struct {
	*lab
	service *registry.Service
	key     *softkey.Authenticator
	person  *person
}

func inOffice(t *testing.T, rules string, test func(o *office), change ...func(*daemon.Config)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.db")
	synctest.Test(t, func(t *testing.T) {
		// Certificates of keys are not valid when bubbles begin, in 2000.
		time.Sleep(time.Until(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)))
		s, err := store.OpenSQLite(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sealer, err := registry.NewSealer(make([]byte, registry.KeySize), bytes.Repeat([]byte{1}, registry.KeySize))
		if err != nil {
			t.Fatal(err)
		}
		service := registry.New(registry.Config{Store: s, Sealer: sealer})
		l := newLab(t, append([]func(*daemon.Config){func(c *daemon.Config) {
			c.Registry, c.Verifier = service, relyingparty.Verifier{}
			c.Rules = setOf(t, filepath.Dir(path), rules)
		}}, change...)...)
		o := &office{lab: l, service: service, person: &person{}}
		o.key = l.soft("1", softkey.Config{})
		test(o)
		l.stop()
	})
}

// setOf are the default rules with some more, and with alice as an administrator.
func setOf(t *testing.T, dir, rules string) policy.Decider {
	t.Helper()
	rules += `@id("alice") permit (principal == User::"alice", action in [Action::"read", Action::"use", Action::"admin"], resource);`
	if err := os.WriteFile(filepath.Join(dir, "test.cedar"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := policy.New(policy.Config{Actions: daemon.Actions(), Owner: uint32(os.Getuid()), Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// enroll enrols the key that is there for somebody.
func (o *office) enroll(user string) api.Token {
	o.t.Helper()
	return must[api.UserEnrollResult](o.lab, api.OpUserEnroll, api.UserEnrollRequest{User: user}, o.person).Token
}

// app gives somebody an authenticator app, and is what it shows.
func (o *office) app(user string) func() string {
	o.t.Helper()
	made := must[api.TokenCreateResult](o.lab, api.OpTokenCreate, api.TokenCreateRequest{User: user}, nil)
	token, err := seedfile.ParseURI(string(made.URI))
	if err != nil {
		o.t.Fatal(err)
	}
	if texts, err := seedfile.ReadImage(bytes.NewReader(made.PNG)); err != nil || len(texts) != 1 || texts[0] != string(made.URI) || made.Text == "" || made.Inverted == made.Text {
		o.t.Errorf("the picture says %d texts, %v", len(texts), err)
	}
	k, err := otp.NewKey(token.Params, token.Seed)
	if err != nil {
		o.t.Fatal(err)
	}
	step := func() uint64 { n, _ := token.Params.Step(time.Now()); return n }
	must[api.TokenResult](o.lab, api.OpTokenEnroll, api.TokenCodesRequest{User: user, Serial: made.Token.Serial, Code1: k.Code(step() - 1), Code2: k.Code(step())}, nil)
	return func() string {
		time.Sleep(time.Minute)
		synctest.Wait()
		return k.Code(step())
	}
}

func (o *office) verify(r api.UserVerifyRequest) *api.UserVerifyResult {
	o.t.Helper()
	return must[api.UserVerifyResult](o.lab, api.OpUserVerify, r, o.person)
}

// says checks a result and its statement.
func (o *office) says(got *api.UserVerifyResult, methods string, tokens ...string) {
	o.t.Helper()
	if strings.Join(got.Methods, " ") != methods || !slices.Equal(got.Tokens, tokens) {
		o.t.Errorf("verified by %v with %v, want %s with %v", got.Methods, got.Tokens, methods, tokens)
	}
	keys, err := json.Marshal(must[api.StatementKeysResult](o.lab, api.OpStatementKeys, nil, nil))
	if err != nil {
		o.t.Fatal(err)
	}
	claims, err := statement.Check(got.Statement, keys, "", time.Now())
	if err != nil || claims.Subject != got.User || claims.AuthTime.UTC().Format(time.RFC3339) != got.AuthTime || claims.Issuer != "fobd" {
		o.t.Errorf("the statement says %+v, %v", claims, err)
	}
}

func TestEnrollAndVerifyAKey(t *testing.T) {
	inOffice(t, "", func(o *office) {
		k := o.enroll("alice")
		if k.Kind != "fido" || k.State != "active" || k.User != "alice" || k.RPID != "fobd.invalid" || k.AAGUID == "" || !strings.HasPrefix(k.Serial, "key-") {
			o.t.Errorf("%+v", k)
		}
		if e := o.fails(api.OpUserEnroll, api.UserEnrollRequest{User: "alice"}, o.person, api.CodeConflict); !strings.Contains(e.Message, "already") {
			o.t.Errorf("twice: %v", e)
		}
		got := o.verify(api.UserVerifyRequest{User: "alice", Nonce: "n", Purpose: "backup"})
		o.says(got, "hwk user", k.Serial)
		for _, p := range o.person.seen {
			if p.Kind == api.PromptTouch && p.Operation == api.OpUserVerify && !strings.Contains(p.Message, "wants to know that alice is here (backup)") {
				o.t.Errorf("the prompt says %q", p.Message)
			}
		}
		checked := must[api.StatementCheckResult](o.lab, api.OpStatementCheck, api.StatementCheckRequest{Statement: got.Statement, User: "alice"}, nil)
		if checked.User != "alice" || checked.Nonce != "n" {
			o.t.Errorf("%+v", checked)
		}
		o.fails(api.OpStatementCheck, api.StatementCheckRequest{Statement: got.Statement, User: "bob"}, nil, api.CodeVerifyFailed)
		time.Sleep(6 * time.Minute)
		o.fails(api.OpStatementCheck, api.StatementCheckRequest{Statement: got.Statement}, nil, api.CodeVerifyFailed)

		// Lost: the key is not taken any more.
		must[api.RecoveryCodesResult](o.lab, api.OpTokenLost, api.TokenLostRequest{Serial: k.Serial}, nil)
		if e := o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "alice"}, o.person, api.CodeVerifyFailed); !strings.Contains(e.Message, "nothing is enrolled for alice") {
			o.t.Errorf("%v", e)
		}
	})
}

func TestVerifyByCodeAndRecovery(t *testing.T) {
	inOffice(t, "", func(o *office) {
		show := o.app("alice")
		code := show()
		o.person.pins = []string{"000000", code}
		got := o.verify(api.UserVerifyRequest{User: "alice"})
		o.says(got, "otp", got.Tokens[0])
		if kinds := o.person.seen; len(kinds) != 2 || kinds[0].Kind != api.PromptCode || !strings.HasPrefix(kinds[1].Message, "That code is not accepted. ") {
			o.t.Errorf("asked %+v", kinds)
		}
		o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "alice", Code: code}, nil, api.CodeVerifyFailed) // once
		if e := o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "alice"}, nil, api.CodeVerifyFailed); !strings.Contains(e.Message, "nobody can be asked") {
			o.t.Errorf("without a person: %v", e)
		}
		o.says(o.verify(api.UserVerifyRequest{User: "alice", Code: show()}), "otp", got.Tokens[0])
		// The token is lost: recovery codes stand in.
		lost := must[api.RecoveryCodesResult](o.lab, api.OpTokenLost, api.TokenLostRequest{Serial: got.Tokens[0], Codes: 1}, nil)
		o.says(o.verify(api.UserVerifyRequest{User: "alice", Code: lost.Codes[0]}), "otp")
		o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "alice", Code: lost.Codes[0]}, nil, api.CodeVerifyFailed)
	})
}

func TestVerifyReusesWhatIsRecent(t *testing.T) {
	inOffice(t, "", func(o *office) {
		k := o.enroll("alice")
		first := o.verify(api.UserVerifyRequest{User: "alice", MaxAge: 60})
		time.Sleep(30 * time.Second)
		again := o.verify(api.UserVerifyRequest{User: "alice", MaxAge: 60, Audience: ""})
		if !again.Reused || again.AuthTime != first.AuthTime || again.Statement == first.Statement {
			o.t.Errorf("after 30 s: %+v", again)
		}
		o.says(again, "hwk user", k.Serial)
		time.Sleep(31 * time.Second)
		if later := o.verify(api.UserVerifyRequest{User: "alice", MaxAge: 60}); later.Reused {
			o.t.Error("after 61 s it is taken still")
		}
		// For another user's program it does not count.
		bob := policy.Actor{UID: 1001, PID: 5, User: "bob", Groups: ",fobd-admin,", Via: "socket"}
		v, err := o.engine.Do(o.ctx, bob, api.OpUserVerify, decoder(api.UserVerifyRequest{User: "alice", MaxAge: 60}), o.person)
		if err != nil || v.(*api.UserVerifyResult).Reused {
			o.t.Errorf("another user's: %+v, %v", v, err)
		}
		must[api.TokenResult](o.lab, api.OpTokenDisable, api.TokenRequest{Serial: k.Serial}, nil)
		o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "alice", MaxAge: 3600}, o.person, api.CodeVerifyFailed)
	})
}

// Rules say what is enough.
func TestSecondFactorPolicy(t *testing.T) {
	rules := `
@id("keys-for-all") @reason("sign in with your key") forbid (principal, action == Action::"second-factor", resource)
unless { context.given.contains("key") || principal == User::"guest" || principal == User::"kiosk" || principal == User::"carol" };
@id("carol-shows-two") forbid (principal == User::"carol", action == Action::"second-factor", resource) unless { context.kinds >= 2 };
@id("dave-pin") forbid (principal == User::"dave", action == Action::"second-factor", resource) unless { context.given.contains("verification") };
@id("guest-optional") permit (principal == User::"guest", action == Action::"second-factor", resource) when { context.enrolled.isEmpty() };
@id("kiosk-off") permit (principal == User::"kiosk", action == Action::"second-factor", resource);
@id("erin-two-keys") forbid (principal == User::"erin", action == Action::"second-factor", resource) unless { context.keys >= 2 };
`
	inOffice(t, rules, func(o *office) {
		// bob has an app, and must have a key.
		show := o.app("bob")
		e := o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "bob", Code: show()}, nil, api.CodeVerifyFailed)
		if !strings.Contains(e.Message, "sign in with your key") {
			o.t.Errorf("%v", e)
		}
		// guest has nothing, and needs nothing until there is something.
		o.says(o.verify(api.UserVerifyRequest{User: "guest"}), "")
		o.app("guest")
		o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "guest", Code: "000000"}, nil, api.CodeVerifyFailed)
		o.app("kiosk")
		o.says(o.verify(api.UserVerifyRequest{User: "kiosk"}), "")
		// carol's key has a PIN by now, dave's too.
		k := o.enroll("carol")
		must[api.KeyResult](o.lab, api.OpPINSet, api.KeyRequest{}, always())
		o.person.pins = []string{always().pins[0]}
		carol := o.verify(api.UserVerifyRequest{User: "carol"})
		o.says(carol, "hwk user pin mfa", k.Serial)
		o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "carol", With: "code"}, o.person, api.CodeVerifyFailed)
		o.app("carol")
		o.person.pins = []string{always().pins[0]}
		o.says(o.verify(api.UserVerifyRequest{User: "carol", With: "key"}), "hwk user pin mfa", k.Serial)

		why := func(user string, given ...string) *api.PolicyExplainResult {
			return must[api.PolicyExplainResult](o.lab, api.OpPolicyExplain, api.PolicyExplainRequest{Operation: "second-factor", User: user, Groups: []string{"staff"}, Given: given}, nil)
		}
		for _, c := range []struct {
			user, given, want, rule string
		}{
			{"bob", "code", "deny", "keys-for-all"},
			{"bob", "key", "allow", "one-factor"},
			{"carol", "key", "deny", "carol-shows-two"},
			{"carol", "key code", "allow", "one-factor"},
			{"dave", "key code", "deny", "dave-pin"},
			{"dave", "key verification", "allow", "one-factor"},
			{"kiosk", "", "allow", "kiosk-off"},
			{"erin", "key", "deny", "erin-two-keys"},
		} {
			got := why(c.user, strings.Fields(c.given)...)
			if got.Decision != c.want || len(got.Rules) == 0 || got.Rules[0].ID != c.rule {
				o.t.Errorf("%s with %q: %s by %+v, want %s by %s", c.user, c.given, got.Decision, got.Rules, c.want, c.rule)
			}
		}
		if got := why("carol"); got.Request["enrolled"] != "code, key, verification" || got.Request["keys"] != "1" {
			o.t.Errorf("asked was %v", got.Request)
		}
	})
}

// Others are verified by administrators only.
func TestVerifyOfOthers(t *testing.T) {
	inOffice(t, "", func(o *office) {
		o.enroll("alice")
		mallory := policy.Actor{UID: 1002, PID: 6, User: "mallory", Groups: ",fobd,", Via: "socket"}
		for _, r := range []api.UserVerifyRequest{{User: "alice"}, {User: "alice", Code: "000000"}, {User: "nobody"}} {
			if _, err := o.engine.Do(o.ctx, mallory, api.OpUserVerify, decoder(r), o.person); daemon.ErrorOf(err).Code != api.CodeDenied {
				o.t.Errorf("%+v: %v", r, err)
			}
		}
		if _, err := o.engine.Do(o.ctx, mallory, api.OpUserVerify, decoder(api.UserVerifyRequest{User: "mallory"}), o.person); daemon.ErrorOf(err).Code != api.CodeVerifyFailed {
			o.t.Errorf("herself: %v", err)
		}
		for _, name := range []string{"", " x", "a\nb", strings.Repeat("x", 257), "\xff"} {
			o.fails(api.OpUserVerify, api.UserVerifyRequest{User: name}, nil, api.CodeInvalidRequest)
		}
		o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "alice", With: "luck"}, nil, api.CodeInvalidRequest)
	})
}

// A copy of a key is found out by the signature counter, and so is who pulls a key out half-way.
func TestVerifyNoticesACopy(t *testing.T) {
	inOffice(t, "", func(o *office) {
		k := o.enroll("alice")
		o.verify(api.UserVerifyRequest{User: "alice"})
		if err := o.service.UsedKey(o.ctx, "alice", k.Serial, 1<<31); err != nil { // elsewhere, with the other one
			o.t.Fatal(err)
		}
		if e := o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "alice"}, o.person, api.CodeVerifyFailed); !strings.Contains(e.Message, "copied") {
			o.t.Errorf("%v", e)
		}
	})
}

// A key that is not theirs is not asked to blink where a code will do.
func TestVerifyWithSomebodyElsesKey(t *testing.T) {
	inOffice(t, "", func(o *office) {
		show := o.app("alice")
		k := o.enroll("alice")
		o.bus.Detach("1")
		o.settle()
		o.soft("2", softkey.Config{})
		o.person.pins = []string{show()}
		got := o.verify(api.UserVerifyRequest{User: "alice"})
		if len(got.Tokens) != 1 || got.Tokens[0] == k.Serial || got.Methods[0] != "otp" {
			o.t.Errorf("%+v", got)
		}
		o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "alice", With: "key"}, o.person, api.CodeNoCredentials)
	})
}

func TestPeopleAndInventory(t *testing.T) {
	inOffice(t, "", func(o *office) {
		o.app("bob")
		k := o.enroll("alice")
		must[api.TokenImportResult](o.lab, api.OpTokenImport, api.TokenImportRequest{Data: []byte(seedFile)}, nil)
		list := must[api.UserListResult](o.lab, api.OpUserList, nil, nil)
		if len(list.Users) != 2 || list.Users[0].Name != "alice" || len(list.Users[0].Tokens) != 1 {
			o.t.Errorf("%+v", list)
		}
		all := func(r api.InventoryRequest) string {
			var lines []string
			for _, i := range must[api.InventoryResult](o.lab, api.OpInventory, r, nil).Items {
				lines = append(lines, strings.TrimSpace(i.User+" "+i.Kind+" "+i.State+" "+strings.Join(i.Notes, ",")))
			}
			return strings.Join(lines, "; ")
		}
		if got, want := all(api.InventoryRequest{}), "alice fido active never used; bob totp active; totp imported"; got != want {
			o.t.Errorf("got %s, want %s", got, want)
		}
		time.Sleep(100 * 24 * time.Hour)
		o.verify(api.UserVerifyRequest{User: "alice"})
		if got, want := all(api.InventoryRequest{Unused: 90}), "bob totp active unused for 100 days; totp imported unused for 100 days"; got != want {
			o.t.Errorf("got %s, want %s", got, want)
		}
		if got := all(api.InventoryRequest{User: "alice"}); got != "alice fido active" {
			o.t.Errorf("got %s", got)
		}
		o.fails(api.OpInventory, api.InventoryRequest{Unused: -1}, nil, api.CodeInvalidRequest)
		gone := must[api.UserRemoveResult](o.lab, api.OpUserRemove, api.UserRequest{User: "alice"}, nil)
		if len(gone.Retired) != 1 || gone.Retired[0] != k.Serial {
			o.t.Errorf("%+v", gone)
		}
		o.fails(api.OpUserShow, api.UserRequest{User: "alice"}, nil, api.CodeNotFound)
		o.enroll("alice") // anew
	})
}
