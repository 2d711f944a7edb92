package daemon_test

import (
	"bytes"
	"encoding/hex"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
)

const seedFile = "T-1,3132333435363738393031323334353637383930,T,6,30\n"

// withRegistry makes an engine that keeps tokens.
func withRegistry(t *testing.T) *lab {
	t.Helper()
	s, err := store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "t.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	sealer, err := registry.NewSealer(make([]byte, registry.KeySize), bytes.Repeat([]byte{1}, registry.KeySize))
	if err != nil {
		t.Fatal(err)
	}
	return newLab(t, func(c *daemon.Config) { c.Registry = registry.New(registry.Config{Store: s, Sealer: sealer}) })
}

func TestTokens(t *testing.T) {
	l := withRegistry(t)
	data := []byte(seedFile)
	imported := must[api.TokenImportResult](l, api.OpTokenImport, api.TokenImportRequest{Data: data}, nil)
	if !imported.Imported || imported.Format != "csv" || len(imported.Lines) != 1 || imported.Lines[0] != (api.TokenImportLine{Line: 1, Serial: "T-1", Verdict: "new"}) {
		t.Fatalf("got %+v", imported)
	}
	k, err := otp.NewKey(otp.Parameters{Kind: otp.TOTP}.Default(), []byte("12345678901234567890"))
	if err != nil {
		t.Fatal(err)
	}
	step, _ := k.Parameters().Step(time.Now())
	enrolled := must[api.TokenResult](l, api.OpTokenEnroll, api.TokenCodesRequest{Serial: "T-1", User: "alice", Code1: k.Code(step - 1), Code2: k.Code(step)}, nil)
	if enrolled.Token.State != "active" || enrolled.Token.User != "alice" || enrolled.Token.LastUsed == "" {
		t.Errorf("got %+v", enrolled)
	}
	if got := must[api.TokenVerifyResult](l, api.OpTokenVerify, api.TokenVerifyRequest{User: "alice", Code: k.Code(step + 1)}, nil); got.Serial != "T-1" {
		t.Errorf("got %+v", got)
	}
	// One answer, whatever the reason.
	var answers []string
	for _, r := range []api.TokenVerifyRequest{{User: "alice", Code: k.Code(step + 1)}, {User: "alice", Code: "000"}, {User: "nobody", Code: k.Code(step)}} {
		e := l.fails(api.OpTokenVerify, r, nil, api.CodeVerifyFailed)
		answers = append(answers, e.Message+e.Hint)
	}
	if answers[0] != answers[1] || answers[1] != answers[2] {
		t.Errorf("answers tell: %q", answers)
	}
	l.fails(api.OpTokenVerify, api.TokenVerifyRequest{Code: "1"}, nil, api.CodeInvalidRequest)
	l.fails(api.OpTokenShow, api.TokenRequest{}, nil, api.CodeInvalidRequest)
	l.fails(api.OpTokenShow, api.TokenRequest{Serial: "none"}, nil, api.CodeNotFound)
	for _, hours := range []int{-1, 365*24 + 1, 1 << 62} {
		l.fails(api.OpTokenLost, api.TokenLostRequest{Serial: "T-1", Codes: 1, Hours: hours}, nil, api.CodeInvalidRequest)
		l.fails(api.OpRecoveryCodes, api.RecoveryCodesRequest{User: "alice", Hours: hours}, nil, api.CodeInvalidRequest)
	}
	l.fails(api.OpTokenFind, api.TokenFindRequest{Code: "1"}, nil, api.CodeInvalidRequest)
	l.fails(api.OpTokenAssign, api.TokenAssignRequest{Serial: "T-1", User: "bob"}, nil, api.CodeConflict)
	e := l.fails(api.OpTokenImport, api.TokenImportRequest{Data: []byte("\x00\x01")}, nil, api.CodeInvalidRequest)
	if !strings.Contains(e.Hint, "nothing was imported") {
		t.Errorf("got %+v", e)
	}
	// Another seed under the same number.
	other := must[api.TokenImportResult](l, api.OpTokenImport, api.TokenImportRequest{Data: []byte(strings.Replace(seedFile, "3132", "3133", 1) + "X-1" + seedFile[3:])}, nil)
	if other.Imported || other.Lines[0].Verdict != "conflicting" || other.Lines[1].SameSeed != "T-1" {
		t.Errorf("got %+v", other)
	}
	if list := must[api.TokenListResult](l, api.OpTokenList, api.TokenListRequest{}, nil); len(list.Tokens) != 1 || list.More {
		t.Errorf("got %+v", list)
	}
}

// A token that answers challenges: asked, answered, once.
func TestChallenge(t *testing.T) {
	l := withRegistry(t)
	secret := []byte("12345678901234567890123456789012")
	const suite = "OCRA-1:HOTP-SHA256-8:QN08"
	file := "O-1," + hex.EncodeToString(secret) + ",OCRA," + suite + "\n"
	if r := must[api.TokenImportResult](l, api.OpTokenImport, api.TokenImportRequest{Data: []byte(file)}, nil); !r.Imported {
		t.Fatalf("got %+v", r)
	}
	if e := l.fails(api.OpTokenChallenge, api.TokenRequest{Serial: "O-1"}, nil, api.CodeConflict); e.Hint == "" {
		t.Errorf("nobody's token: %+v", e)
	}
	must[api.TokenResult](l, api.OpTokenAssign, api.TokenAssignRequest{Serial: "O-1", User: "alice"}, nil)
	k, err := otp.NewOCRA(suite, secret)
	if err != nil {
		t.Fatal(err)
	}
	asked := must[api.TokenChallengeResult](l, api.OpTokenChallenge, api.TokenRequest{Serial: "O-1"}, nil)
	code, err := k.Code(otp.Input{Question: asked.Challenge})
	if err != nil {
		t.Fatal(err)
	}
	if got := must[api.TokenResult](l, api.OpTokenAnswer, api.TokenAnswerRequest{Serial: "O-1", Code: code}, nil); got.Token.State != "active" {
		t.Errorf("got %+v", got)
	}
	l.fails(api.OpTokenAnswer, api.TokenAnswerRequest{Serial: "O-1", Code: code}, nil, api.CodeVerifyFailed)
}

func TestWithoutTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		for _, op := range daemon.Operations() {
			prefix, _, _ := strings.Cut(op.Name, "-")
			if slices.Contains([]string{"token", "user", "store", "statement", "inventory", "recovery"}, prefix) {
				l.fails(op.Name, struct{}{}, nil, api.CodeUnsupported)
			}
		}
	})
}
