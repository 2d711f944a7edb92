package daemon

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/seedfile"
)

// registry is the service that checks one-time codes, if this daemon has one.
func (c *call) registry() (*registry.Service, error) {
	if s := c.e.cfg.Registry; s != nil {
		return s, nil
	}
	return nil, &api.Error{
		Code: api.CodeUnsupported, Message: "this daemon keeps no tokens for one-time codes", Hint: "give it a state directory, or tokens.database in its configuration",
	}
}

// registryError makes an error of the service one of the socket.
func registryError(err error) error {
	var code api.Code
	var hint string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, registry.ErrWrong):
		code, hint = api.CodeVerifyFailed, "a code is accepted once: wait for the next one; after several wrong ones, wait longer"
		err = errors.New("the code is not accepted")
	case errors.Is(err, registry.ErrState):
		code, hint = api.CodeConflict, "token-show tells its state"
	case errors.Is(err, registry.ErrTooMany):
		code, hint = api.CodeTooMany, "retire one of them"
	case errors.Is(err, store.ErrNotFound):
		code, hint = api.CodeNotFound, "token-list has the tokens"
		err = errors.New("no such token or user")
	case errors.Is(err, registry.ErrEnrolled):
		code, hint = api.CodeConflict, "token-show tells whose it is"
	case errors.Is(err, registry.ErrCopied):
		code, hint = api.CodeVerifyFailed, "token-retire ends it"
	default:
		if known := backupError(err); known != nil {
			return known
		}
		return err
	}
	return &api.Error{Code: code, Message: plain(err), Hint: hint}
}

// describeToken is a token for people, without its seed.
func describeToken(k *store.Token) api.Token {
	token := api.Token{
		Serial: k.Serial, Manufacturer: k.Manufacturer, Model: k.Model, Issuer: k.Issuer, Kind: string(k.Params.Kind), Hash: string(k.Params.Hash),
		Digits: k.Params.Digits, Period: k.Params.Period, Suite: k.Params.Suite, State: string(k.State), User: k.Owner, Counter: k.Next, Drift: k.Drift,
		Failures: k.Failures, LastUsed: stamp(k.LastUsed), Expires: stamp(k.Expires),
	}
	if f := k.Credential; f != nil {
		token.RPID, token.AAGUID, token.Firmware, token.Attestation, token.Emulated = f.RPID, f.AAGUID, f.Firmware, f.Attestation, f.Emulated
	}
	return token
}

// seeds reads a seed file, or several that go together.
func seeds(data []byte, files []api.Bytes, o seedfile.Options) (*seedfile.Result, error) {
	if len(data) > 0 {
		files = append([]api.Bytes{data}, files...)
	}
	var all bytes.Buffer
	defer func() { clear(all.Bytes()) }()
	for i, f := range files {
		texts := []string{string(f)}
		if seedfile.IsImage(f) {
			var err error
			if texts, err = seedfile.ReadImage(bytes.NewReader(f)); err != nil {
				return nil, fmt.Errorf("file %d: %w", i+1, err)
			}
		}
		if len(files) == 1 && !seedfile.IsImage(f) {
			return seedfile.Read(bytes.NewReader(f), o)
		}
		for _, text := range texts {
			all.WriteString(text + "\n")
		}
	}
	return seedfile.Read(&all, o)
}

// tokenImport is the operation token-import.
func (c *call) tokenImport(ctx context.Context, r *api.TokenImportRequest) (*api.TokenImportResult, error) {
	defer func() {
		clear(r.Data)
		clear(r.Key)
		clear(r.Passphrase)
		for _, f := range r.Files {
			clear(f)
		}
	}()
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	progress, end := c.progress()
	defer end()
	file, err := seeds(r.Data, r.Files, seedfile.Options{Format: seedfile.Format(r.Format), Key: r.Key, Passphrase: r.Passphrase, Progress: func(done int) { progress("Reading tokens", done, 0) }})
	if err != nil {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: plain(err), Hint: "nothing was imported"}
	}
	defer file.Wipe()
	result := &api.TokenImportResult{Format: string(file.Format), Lines: []api.TokenImportLine{}}
	for _, refused := range file.Refused {
		result.Lines = append(result.Lines, api.TokenImportLine{Line: refused.Line, Serial: refused.Serial, Verdict: string(registry.Refused), Reason: refused.Reason})
	}
	list := make([]registry.Seed, len(file.Tokens))
	for i := range file.Tokens {
		t := &file.Tokens[i]
		list[i] = registry.Seed{
			Serial: t.Serial, Manufacturer: t.Manufacturer, Model: t.Model, Issuer: cmp.Or(t.Issuer, t.Account), Params: t.Params, Secret: t.Seed,
			Counter: t.Counter, Drift: t.Drift, Starts: t.Start, Expires: t.Expiry,
		}
	}
	// A file is taken whole or not at all.
	lines, err := s.Import(ctx, list, registry.ImportOptions{
		Dry: r.DryRun || len(file.Refused) > 0, Progress: func(done, of int) { progress("Storing tokens", done, of) },
	})
	if err != nil && !errors.Is(err, registry.ErrImport) {
		return nil, registryError(err)
	}
	for i, line := range lines {
		result.Lines = append(result.Lines, api.TokenImportLine{
			Line: file.Tokens[i].Line, Serial: line.Serial, Verdict: string(line.Verdict), Reason: line.Reason, SameSeed: line.SameSeed,
		})
	}
	result.Imported = err == nil && !r.DryRun && len(file.Refused) == 0
	return result, nil
}

// tokenCode is the operation token-code.
func (c *call) tokenCode(ctx context.Context, r *api.TokenCodeRequest) (*api.TokenCodeResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	c.token = r.Serial
	before, code, from, until, err := s.Codes(ctx, r.Serial)
	if err != nil {
		return nil, registryError(err)
	}
	if !r.Two {
		before = ""
	}
	return &api.TokenCodeResult{Serial: r.Serial, Code: code, From: from.UTC().Format(time.RFC3339), Until: until.UTC().Format(time.RFC3339), Before: before}, nil
}

// maxTokens bounds the tokens of an answer.
const maxTokens = 1000

// tokenList is the operation token-list.
func (c *call) tokenList(ctx context.Context, r *api.TokenListRequest) (*api.TokenListResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	limit := maxTokens
	if r.Limit > 0 {
		limit = min(limit, r.Limit)
	}
	list, err := s.Tokens(ctx, store.Filter{State: store.State(r.State), Owner: r.User, After: r.After, Limit: limit + 1})
	if err != nil {
		return nil, registryError(err)
	}
	result := &api.TokenListResult{Tokens: []api.Token{}, More: len(list) > limit}
	for _, k := range list[:min(len(list), limit)] {
		result.Tokens = append(result.Tokens, describeToken(k))
	}
	return result, nil
}

// tokenShow is the operation token-show.
func (c *call) tokenShow(ctx context.Context, r *api.TokenRequest) (*api.TokenResult, error) {
	return c.changed(ctx, r.Serial, func(*registry.Service) error { return nil })
}

// changed does something with a token, and gives it as it is then.
func (c *call) changed(ctx context.Context, serial string, do func(*registry.Service) error) (*api.TokenResult, error) {
	c.token = printable(serial)
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	if serial == "" {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "the request names no token", Hint: "token-list has their serial numbers"}
	}
	if err := do(s); err != nil {
		return nil, registryError(err)
	}
	k, err := s.Token(ctx, serial)
	if err != nil {
		return nil, registryError(err)
	}
	return &api.TokenResult{Token: describeToken(k)}, nil
}

// tokenAssign is the operation token-assign.
func (c *call) tokenAssign(ctx context.Context, r *api.TokenAssignRequest) (*api.TokenResult, error) {
	c.about = "for " + printable(r.User)
	return c.changed(ctx, r.Serial, func(s *registry.Service) error { return s.Assign(ctx, r.Serial, r.User) })
}

// tokenEnroll is the operation token-enroll.
func (c *call) tokenEnroll(ctx context.Context, r *api.TokenCodesRequest) (*api.TokenResult, error) {
	c.about = "for " + printable(r.User)
	return c.changed(ctx, r.Serial, func(s *registry.Service) error {
		_, err := s.Enroll(ctx, r.User, r.Serial, r.Code1, r.Code2)
		return err
	})
}

// tokenResync is the operation token-resync.
func (c *call) tokenResync(ctx context.Context, r *api.TokenCodesRequest) (*api.TokenResult, error) {
	return c.changed(ctx, r.Serial, func(s *registry.Service) error {
		_, err := s.Resync(ctx, r.Serial, r.Code1, r.Code2)
		return err
	})
}

// tokenDisable is the operation token-disable.
func (c *call) tokenDisable(ctx context.Context, r *api.TokenRequest) (*api.TokenResult, error) {
	return c.changed(ctx, r.Serial, func(s *registry.Service) error { return s.Disable(ctx, r.Serial) })
}

// tokenEnable is the operation token-enable.
func (c *call) tokenEnable(ctx context.Context, r *api.TokenRequest) (*api.TokenResult, error) {
	return c.changed(ctx, r.Serial, func(s *registry.Service) error { return s.Enable(ctx, r.Serial) })
}

// tokenRetire is the operation token-retire.
func (c *call) tokenRetire(ctx context.Context, r *api.TokenRequest) (*api.TokenResult, error) {
	return c.changed(ctx, r.Serial, func(s *registry.Service) error { return s.Retire(ctx, r.Serial) })
}

// tokenLost is the operation token-lost.
func (c *call) tokenLost(ctx context.Context, r *api.TokenLostRequest) (*api.RecoveryCodesResult, error) {
	c.token = printable(r.Serial)
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	expires, err := expiry(r.Hours)
	if err != nil {
		return nil, err
	}
	list, err := s.Lost(ctx, r.Serial, r.Codes, expires)
	if err != nil {
		return nil, registryError(err)
	}
	return recoveryResult(list, expires), nil
}

// maxHours bounds how long recovery codes hold: a year.
const maxHours = 365 * 24

// expiry is when recovery codes expire; 0 hours are a day.
func expiry(hours int) (time.Time, error) {
	if hours < 0 || hours > maxHours {
		return time.Time{}, &api.Error{
			Code: api.CodeInvalidRequest, Message: fmt.Sprintf("recovery codes for %d hours", hours), Hint: fmt.Sprintf("ask for 1 to %d hours", maxHours),
		}
	}
	return time.Now().Add(time.Duration(cmp.Or(hours, 24)) * time.Hour), nil
}

func recoveryResult(list []string, expires time.Time) *api.RecoveryCodesResult {
	result := &api.RecoveryCodesResult{Codes: list}
	if len(list) > 0 {
		result.Expires = expires.UTC().Format(time.RFC3339)
	}
	return result
}

// recoveryCodes is the operation recovery-codes.
func (c *call) recoveryCodes(ctx context.Context, r *api.RecoveryCodesRequest) (*api.RecoveryCodesResult, error) {
	c.about = "for " + printable(r.User)
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	expires, err := expiry(r.Hours)
	if err != nil {
		return nil, err
	}
	list, err := s.RecoveryCodes(ctx, r.User, cmp.Or(r.Codes, 8), expires)
	if err != nil {
		return nil, registryError(err)
	}
	return recoveryResult(list, expires), nil
}

// tokenFind is the operation token-find.
func (c *call) tokenFind(ctx context.Context, r *api.TokenFindRequest) (*api.TokenListResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	if len(otp.Clean(r.Code)) < 5 {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "that is no code", Hint: "type the code that the token shows now"}
	}
	serials, err := s.Find(ctx, r.Code)
	if err != nil {
		return nil, registryError(err)
	}
	result := &api.TokenListResult{Tokens: []api.Token{}}
	for _, serial := range serials {
		k, err := s.Token(ctx, serial)
		if err != nil {
			return nil, registryError(err)
		}
		result.Tokens = append(result.Tokens, describeToken(k))
	}
	return result, nil
}

// tokenVerify is the operation token-verify. Why a code is not accepted, only the audit log says.
func (c *call) tokenVerify(ctx context.Context, r *api.TokenVerifyRequest) (*api.TokenVerifyResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	if r.User == "" {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "the request names no user"}
	}
	got, err := s.Verify(ctx, r.User, r.Code)
	c.token, c.about = got.Serial, "for "+printable(r.User)
	if err != nil {
		if got.Outcome != "" {
			c.about += ": " + string(got.Outcome)
		}
		return nil, registryError(err)
	}
	return &api.TokenVerifyResult{User: r.User, Serial: got.Serial, Recovery: got.Recovery, Drift: got.Drift}, nil
}

// userUnlock is the operation user-unlock.
func (c *call) userUnlock(ctx context.Context, r *api.UserRequest) (*api.UserResult, error) {
	c.about = printable(r.User)
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	if err := s.Unlock(ctx, r.User); err != nil {
		return nil, registryError(fmt.Errorf("user: %w", err))
	}
	return &api.UserResult{User: r.User}, nil
}

// tokenCreate is the operation token-create.
func (c *call) tokenCreate(ctx context.Context, r *api.TokenCreateRequest) (*api.TokenCreateResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	if err := c.aboutPerson(r.User); err != nil {
		return nil, err
	}
	p := otp.Parameters{Kind: otp.Kind(cmp.Or(r.Kind, string(otp.TOTP))), Hash: otp.Hash(r.Hash), Digits: r.Digits, Period: r.Period}.Default()
	if p.Kind != otp.TOTP && p.Kind != otp.HOTP {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "no app makes codes of the kind " + shorten(r.Kind), Hint: "want totp or hotp"}
	}
	if err := p.Check(); err != nil {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: plain(err)}
	}
	token := seedfile.Token{Issuer: cmp.Or(printable(r.Issuer), c.e.cfg.People.Issuer), Account: r.User, Params: p, Seed: make([]byte, p.Hash.New()().Size())}
	defer token.Wipe()
	_, _ = rand.Read(token.Seed) // never fails
	k, err := s.Create(ctx, r.User, registry.Seed{Issuer: token.Issuer, Params: p, Secret: token.Seed})
	if err != nil {
		return nil, registryError(err)
	}
	c.token = k.Serial
	uri := token.URI()
	code, err := seedfile.QR(uri)
	if err != nil {
		return nil, fmt.Errorf("daemon: %w", err)
	}
	return &api.TokenCreateResult{Token: describeToken(k), URI: api.Bytes(uri), PNG: code.PNG(), Text: code.Terminal(false), Inverted: code.Terminal(true)}, nil
}

// tokenExport is the operation token-export.
func (c *call) tokenExport(ctx context.Context, r *api.TokenExportRequest) (*api.TokenExportResult, error) {
	defer func() { clear(r.Key); clear(r.Passphrase) }()
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	invalid := func(message, hint string) error {
		return &api.Error{Code: api.CodeInvalidRequest, Message: message, Hint: hint}
	}
	switch {
	case (len(r.Serials) == 0) == !r.All:
		return nil, invalid("name tokens, or ask for all", "token-list has their serial numbers")
	case len(r.Serials) > maxTokens:
		return nil, invalid(fmt.Sprintf("%d tokens at once", len(r.Serials)), fmt.Sprintf("name at most %d, or ask for all", maxTokens))
	case (len(r.Key) == 0) == (len(r.Passphrase) == 0):
		return nil, invalid("an export is encrypted: with a key or with a passphrase", "a key has 16, 24 or 32 bytes")
	}
	c.token = printable(strings.Join(r.Serials, ","))
	if r.All {
		c.about = "all tokens"
	}
	var result *api.TokenExportResult
	err = s.Export(ctx, r.Serials, func(seeds []registry.Seed) error {
		list := make([]seedfile.Token, len(seeds))
		for i, d := range seeds {
			list[i] = seedfile.Token{
				Serial: d.Serial, Manufacturer: d.Manufacturer, Model: d.Model, Issuer: d.Issuer, Params: d.Params, Seed: d.Secret,
				Counter: d.Counter, Drift: d.Drift, Start: d.Starts, Expiry: d.Expires,
			}
		}
		var b bytes.Buffer
		if err := seedfile.WritePSKC(&b, list, seedfile.WriteOptions{Key: r.Key, Passphrase: r.Passphrase}); err != nil {
			return invalid(plain(err), "nothing was exported")
		}
		result = &api.TokenExportResult{Data: b.Bytes(), Tokens: len(list)}
		return nil
	})
	if err != nil {
		return nil, registryError(err)
	}
	return result, nil
}

// tokenChallenge is the operation token-challenge.
func (c *call) tokenChallenge(ctx context.Context, r *api.TokenRequest) (*api.TokenChallengeResult, error) {
	c.token = printable(r.Serial)
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	question, expires, err := s.Challenge(ctx, r.Serial)
	if err != nil {
		return nil, registryError(err)
	}
	return &api.TokenChallengeResult{Serial: r.Serial, Challenge: question, Expires: stamp(expires)}, nil
}

// tokenAnswer is the operation token-answer.
func (c *call) tokenAnswer(ctx context.Context, r *api.TokenAnswerRequest) (*api.TokenResult, error) {
	return c.changed(ctx, r.Serial, func(s *registry.Service) error {
		got, err := s.Answer(ctx, r.Serial, r.Code)
		if got.Outcome != "" && got.Outcome != registry.Accepted {
			c.about = string(got.Outcome)
		}
		return err
	})
}
