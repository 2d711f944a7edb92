package daemon

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/statement"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/daemon/webauthn"
)

// factors are sets of what a person can be asked for, the least first. What the policy allows first is asked for.
var factors = [][]policy.Factor{
	{},
	{policy.FactorKey},
	{policy.FactorCode},
	{policy.FactorKey, policy.FactorVerified},
	{policy.FactorKey, policy.FactorCode},
	{policy.FactorKey, policy.FactorVerified, policy.FactorCode},
}

// proof is a person who is being verified: what is enrolled for them, and what they have shown.
type proof struct {
	c        *call
	s        *registry.Service
	request  *api.UserVerifyRequest
	subject  policy.Actor
	keys     []*store.Token
	codes    int
	recovery bool
	// distrusted is a key of theirs whose model is not to be trusted any more.
	distrusted string

	given   []policy.Factor
	serials []string
	methods []string
}

// userVerify is the operation user-verify.
func (c *call) userVerify(ctx context.Context, r *api.UserVerifyRequest) (*api.UserVerifyResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	if err := c.aboutPerson(r.User); err != nil {
		return nil, err
	}
	if r.With != "" && r.With != "key" && r.With != "code" {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "verify with " + shorten(r.With) + "?", Hint: "want key or code"}
	}
	if len(r.Audience) > maxName || len(r.Nonce) > maxName {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: fmt.Sprintf("audience and nonce have at most %d bytes", maxName)}
	}
	if r.User != c.who.User {
		// Whether somebody else is here, and their wrong codes, are for administrators.
		if err := c.permit(ctx, policy.Action{Operation: c.op.Name, Scope: policy.ScopeAdmin}, nil); err != nil {
			return nil, err
		}
	}
	if err := c.forPeople(r.Purpose); err != nil {
		return nil, err
	}
	p, err := c.proofOf(ctx, s, r)
	if err != nil {
		return nil, err
	}
	if r.MaxAge > 0 {
		if v, ok := c.e.recent.find(c.recentKey(r.User), time.Duration(r.MaxAge)*time.Second); ok && p.still(v) && p.enough(v.given).Effect == policy.Allow {
			c.about += ": verified before"
			return p.state(ctx, v, true)
		}
	}
	if err := p.ask(ctx); err != nil {
		return nil, err
	}
	v := showing{at: time.Now(), given: p.given, serials: p.serials, methods: p.methods}
	// What was shown counts, not what was planned.
	d := p.enough(p.given)
	if d.Effect != policy.Allow {
		return nil, p.denied(d)
	}
	c.note(d, "")
	c.token = strings.Join(p.serials, ",")
	c.e.recent.put(c.recentKey(r.User), v)
	return p.state(ctx, v, false)
}

// proofOf looks at what is enrolled for a person.
func (c *call) proofOf(ctx context.Context, s *registry.Service, r *api.UserVerifyRequest) (*proof, error) {
	p := &proof{c: c, s: s, request: r}
	list, err := s.Usable(ctx, r.User)
	if err != nil {
		return nil, registryError(err)
	}
	for _, k := range list {
		switch {
		case p.distrusts(k):
			p.distrusted = k.Serial
		case k.Credential != nil:
			p.keys = append(p.keys, k)
		case registry.HasCodes(k):
			p.codes++
		}
	}
	people, err := s.People(ctx, r.User)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return nil, registryError(err)
	}
	p.recovery = len(people) == 1 && people[0].Recovery > 0
	p.subject = subject(r.User, c.who)
	return p, nil
}

// distrusts is true of a key whose model was found out to be broken after it was enrolled.
func (p *proof) distrusts(k *store.Token) bool {
	return k.Credential != nil && p.c.models().Distrusted(k.Credential.AAGUID)
}

// subject is a person as rules see them, through the program that wants to know. Who has no account here has no groups.
func subject(name string, asker policy.Actor) policy.Actor {
	who, err := actorNamed(name, nil)
	if err != nil {
		who = policy.Actor{UID: overflowUID, User: name}
	}
	who.App, who.Program, who.PID, who.Via, who.Session = asker.App, asker.Program, asker.PID, asker.Via, asker.Session
	return who
}

// enough asks the policy whether something is enough.
func (p *proof) enough(given []policy.Factor) policy.Decision {
	q := p.c.e.ask(p.subject, policy.SecondFactor, nil)
	q.Factors = policy.Factors{Given: given, Enrolled: p.enrolled(), Keys: len(p.keys), Codes: p.codes}
	return p.c.e.cfg.Rules.Decide(q)
}

func (p *proof) enrolled() (list []policy.Factor) {
	if len(p.keys) > 0 {
		list = append(list, policy.FactorKey, policy.FactorVerified)
	}
	if p.codes > 0 {
		list = append(list, policy.FactorCode)
	}
	if p.recovery {
		list = append(list, policy.FactorRecovery)
	}
	return list
}

// plans are the sets of factors that the person has, that the request lets be, and that are enough: the least first.
func (p *proof) plans() (plans [][]policy.Factor, last policy.Decision) {
	for _, plan := range factors {
		key, code := slices.Contains(plan, policy.FactorKey), slices.Contains(plan, policy.FactorCode)
		switch {
		case key && len(p.keys) == 0, code && p.codes == 0 && !p.recovery:
			continue
		case p.request.With == "key" && !key && len(plan) > 0, p.request.With == "code" && !code && len(plan) > 0:
			continue
		}
		if code && p.codes == 0 {
			plan = slices.Clone(plan)
			plan[slices.Index(plan, policy.FactorCode)] = policy.FactorRecovery
		}
		if last = p.enough(plan); last.Effect == policy.Allow {
			plans = append(plans, plan)
		}
	}
	return plans, last
}

// ask has the person show as much as the policy wants.
func (p *proof) ask(ctx context.Context) error {
	plans, last := p.plans()
	if len(plans) == 0 {
		return p.denied(last)
	}
	plan := plans[0]
	hasCode := func(plan []policy.Factor) bool {
		return slices.Contains(plan, policy.FactorCode) || slices.Contains(plan, policy.FactorRecovery)
	}
	if len(plan) > 0 && !hasCode(plan) {
		// Where a code is as good: it is wanted when one was given, or when no key is there.
		if other := slices.IndexFunc(plans, hasCode); other >= 0 && (p.request.Code != "" || len(p.c.e.fidoKeys()) == 0 && p.request.Key == "") {
			plan = plans[other]
		}
	}
	if slices.Contains(plan, policy.FactorKey) {
		err := p.key(ctx, slices.Contains(plan, policy.FactorVerified))
		alone := slices.IndexFunc(plans, func(plan []policy.Factor) bool { return hasCode(plan) && !slices.Contains(plan, policy.FactorKey) })
		switch {
		case err == nil:
		case errors.Is(err, ctap2.ErrNoCredentials) && !hasCode(plan) && alone >= 0:
			// None of the keys that are there is theirs.
			plan = plans[alone]
		default:
			return err
		}
	}
	if hasCode(plan) {
		return p.code(ctx)
	}
	return nil
}

// denied says why somebody does not count as verified.
func (p *proof) denied(d policy.Decision) error {
	p.c.note(d, "")
	switch {
	case len(p.enrolled()) == 0 && p.distrusted != "":
		return &api.Error{
			Code: api.CodeVerifyFailed, Message: fmt.Sprintf("the model of %s, %s's key, is not to be trusted any more", p.distrusted, p.request.User),
			Hint: "an administrator enrols another key with user-enroll, and retires this one with token-retire",
		}
	case len(p.enrolled()) == 0:
		return &api.Error{Code: api.CodeVerifyFailed, Message: "nothing is enrolled for " + p.request.User, Hint: "an administrator enrols a key with user-enroll, or a token with token-enroll"}
	}
	reason := (&policy.DeniedError{Actor: p.subject, Action: policy.SecondFactor, Decision: d}).Reason()
	if len(d.Rules) == 0 {
		reason = "what they can show is not enough"
	}
	return &api.Error{
		Code: api.CodeVerifyFailed, Message: p.request.User + " does not count as verified: " + reason,
		Hint: "policy-explain second-factor says what is wanted; user-show what is enrolled",
	}
}

// key has one of the person's keys sign (WebAuthn Level 3, section 7.2), with its PIN or a finger if verify is true.
func (p *proof) key(ctx context.Context, verify bool) error {
	c, people := p.c, &p.c.e.cfg.People
	verification := "discouraged"
	if verify {
		verification = "required"
	}
	options, err := json.Marshal(map[string]any{
		"challenge": challenge(), "rpId": people.RPID, "allowCredentials": descriptors(p.keys), "userVerification": verification,
	})
	if err != nil {
		return err
	}
	parsed, err := webauthn.ParseRequestOptions(options)
	if err != nil {
		return err
	}
	got, info, err := c.get(ctx, &api.AssertRequest{Key: p.request.Key, Origin: people.origin(), Options: options, AllowLastRetry: p.request.AllowLastRetry}, parsed, people.RPID)
	if err != nil {
		return err
	}
	var credential struct {
		ID api.Bytes `json:"rawId"`
	}
	if err := json.Unmarshal(got.Credential, &credential); err != nil {
		return fmt.Errorf("daemon: %w", err)
	}
	at := slices.IndexFunc(p.keys, func(k *store.Token) bool { return string(k.Credential.ID) == string(credential.ID) })
	if at < 0 || c.e.cfg.Verifier == nil {
		return &api.Error{Code: api.CodeVerifyFailed, Message: "a credential that was not asked for", Key: got.Key.ID}
	}
	k := p.keys[at]
	checked, err := c.e.cfg.Verifier.Verify(ctx, &api.CheckRequest{
		Origin: people.origin(), RequestOptions: options, Credential: got.Credential, Registered: &api.Registered{
			CredentialID: k.Credential.ID, PublicKey: k.Credential.PublicKey, UserID: k.Credential.UserHandle, SignCount: uint32(k.Next),
			AAGUID: k.Credential.AAGUID, BackupEligible: k.Credential.BackupEligible,
		},
	})
	if err != nil {
		return err
	}
	if err := p.s.UsedKey(ctx, p.request.User, k.Serial, checked.Registered.SignCount); err != nil {
		return registryError(err)
	}
	p.serials = append(p.serials, k.Serial)
	p.given = append(p.given, policy.FactorKey)
	method := statement.HardwareKey
	if k.Credential.Emulated {
		method = statement.SoftwareKey
	}
	p.methods = append(p.methods, method, statement.UserPresence)
	if checked.UserVerified {
		p.given = append(p.given, policy.FactorVerified)
		p.methods = append(p.methods, verifiedBy(info), statement.Multiple)
	}
	return nil
}

// verifiedBy is how a key has verified the person, as far as it tells: by a finger if it knows some.
func verifiedBy(info *ctap2.Info) string {
	if enrolled, _ := info.Option(ctap2.OptionBioEnroll); enrolled {
		if able, _ := info.Option(ctap2.OptionUV); able {
			return statement.Fingerprint
		}
	}
	return statement.PIN
}

// tries is how often a code is asked for; the registry slows down who guesses.
const tries = 3

// code asks for a code, and spends it.
func (p *proof) code(ctx context.Context) error {
	code := p.request.Code
	for n := 1; ; n++ {
		if p.request.Code == "" {
			var err error
			if code, err = p.typed(ctx, n > 1); err != nil {
				return err
			}
		}
		got, err := p.s.Verify(ctx, p.request.User, code)
		switch {
		case err == nil && got.Recovery:
			p.given = append(p.given, policy.FactorRecovery)
		case err == nil:
			p.given, p.serials = append(p.given, policy.FactorCode), append(p.serials, got.Serial)
		case errors.Is(err, registry.ErrWrong) && got.Outcome != registry.Throttled && p.request.Code == "" && n < tries:
			continue
		default:
			if got.Outcome != "" {
				p.c.about += ": " + string(got.Outcome)
			}
			return registryError(err)
		}
		p.methods = append(p.methods, statement.OneTimeCode)
		if len(p.methods) > 1 && !slices.Contains(p.methods, statement.Multiple) {
			p.methods = append(p.methods, statement.Multiple)
		}
		return nil
	}
}

// typed asks the person for a code.
func (p *proof) typed(ctx context.Context, again bool) (string, error) {
	prompt := p.c.prompt(api.PromptCode, nil)
	if again {
		prompt.Message = "That code is not accepted. " + prompt.Message
	}
	p.c.e.events.prompt(prompt)
	defer p.c.e.events.withdraw(prompt)
	secret, err := p.c.ui.PIN(ctx, prompt)
	if err != nil {
		var says *api.Error
		if errors.As(err, &says) && says.Code == api.CodePINRequired {
			return "", &api.Error{Code: api.CodeVerifyFailed, Message: "a code is needed and nobody can be asked for it", Hint: "give the code with the request; " + nobodyHint}
		}
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			err = context.Cause(ctx)
		}
		return "", err
	}
	defer secret.Wipe()
	return string(secret.Bytes()), nil
}

// showing is what a person has shown, and when.
type showing struct {
	at      time.Time
	given   []policy.Factor
	serials []string
	methods []string
}

// still says whether all that a verification was made with still counts.
func (p *proof) still(v showing) bool {
	list, err := p.s.Usable(p.c.whole, p.request.User)
	if err != nil {
		return false
	}
	for _, serial := range v.serials {
		if !slices.ContainsFunc(list, func(k *store.Token) bool { return k.Serial == serial && !p.distrusts(k) }) {
			return false
		}
	}
	return true
}

// state makes the statement.
func (p *proof) state(ctx context.Context, v showing, reused bool) (*api.UserVerifyResult, error) {
	keys, err := p.s.SigningKeys(ctx)
	if err != nil {
		return nil, registryError(err)
	}
	defer wipeKeys(keys)
	people, now := &p.c.e.cfg.People, time.Now()
	claims := statement.Claims{
		Issuer: people.Issuer, Subject: p.request.User, Audience: p.request.Audience, Nonce: p.request.Nonce,
		AuthTime: v.at, IssuedAt: now, Expires: now.Add(people.Lifetime), Methods: v.methods, Tokens: v.serials,
		Recovery: slices.Contains(v.given, policy.FactorRecovery),
	}
	text, err := statement.Sign(claims, keys[0].ID, keys[0].Private)
	if err != nil {
		return nil, err
	}
	return &api.UserVerifyResult{
		User: p.request.User, Statement: text, Expires: claims.Expires.UTC().Format(time.RFC3339), AuthTime: v.at.UTC().Format(time.RFC3339),
		Methods: append([]string{}, v.methods...), Tokens: v.serials, Reused: reused,
	}, nil
}

func wipeKeys(keys []registry.SigningKey) {
	for _, k := range keys {
		clear(k.Private)
	}
}

// recent are the people who were verified a short while ago, by who asked. They are kept in memory.
type recent struct {
	mu    sync.Mutex // guards people
	known map[recentKey]showing
}

// recentKey is a person, and who asked: programs of one user in one login session.
type recentKey struct {
	person  string
	uid     uint32
	session string
}

func (c *call) recentKey(person string) recentKey {
	return recentKey{person, c.who.UID, c.who.Session}
}

const (
	// maxRecent bounds how many are kept, and recentTime how long.
	maxRecent  = 4096
	recentTime = 24 * time.Hour
)

func (r *recent) find(k recentKey, age time.Duration) (showing, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.known[k]
	return v, ok && time.Since(v.at) <= age
}

func (r *recent) put(k recentKey, v showing) {
	if len(v.given) == 0 {
		return // nothing was shown
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[recentKey]showing{}
	}
	if len(r.known) >= maxRecent {
		for old, v := range r.known {
			if time.Since(v.at) > recentTime {
				delete(r.known, old)
			}
		}
		if len(r.known) >= maxRecent {
			clear(r.known)
		}
	}
	r.known[k] = v
}

// forget drops a person.
func (r *recent) forget(person string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.known {
		if k.person == person {
			delete(r.known, k)
		}
	}
}

// keySet are the public keys that statements are checked with.
func (c *call) keySet(ctx context.Context) (*statement.Set, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	keys, err := s.SigningKeys(ctx)
	if err != nil {
		return nil, registryError(err)
	}
	defer wipeKeys(keys)
	set := &statement.Set{}
	for _, k := range keys {
		public, _ := k.Private.Public().(ed25519.PublicKey)
		set.Keys = append(set.Keys, statement.Public(k.ID, slices.Clone(public)))
	}
	return set, nil
}

// statementKeys is the operation statement-keys.
func (c *call) statementKeys(ctx context.Context, _ *api.StatementKeysRequest) (*api.StatementKeysResult, error) {
	set, err := c.keySet(ctx)
	if err != nil {
		return nil, err
	}
	result := &api.StatementKeysResult{}
	for _, k := range set.Keys {
		data, err := json.Marshal(k)
		if err != nil {
			return nil, fmt.Errorf("daemon: %w", err)
		}
		result.Keys = append(result.Keys, data)
	}
	return result, nil
}

// statementCheck is the operation statement-check.
func (c *call) statementCheck(ctx context.Context, r *api.StatementCheckRequest) (*api.StatementCheckResult, error) {
	set, err := c.keySet(ctx)
	if err != nil {
		return nil, err
	}
	keys, err := json.Marshal(set)
	if err != nil {
		return nil, fmt.Errorf("daemon: %w", err)
	}
	claims, err := statement.Check(strings.TrimSpace(r.Statement), keys, r.Audience, time.Now())
	if err == nil && r.User != "" && claims.Subject != r.User {
		err = fmt.Errorf("%w: it is about somebody else", statement.ErrInvalid)
	}
	if err != nil {
		return nil, &api.Error{Code: api.CodeVerifyFailed, Message: "this statement is not to be trusted: " + plain(err), Hint: "ask for a new one with user-verify"}
	}
	return &api.StatementCheckResult{
		User: claims.Subject, Issuer: claims.Issuer, AuthTime: claims.AuthTime.UTC().Format(time.RFC3339), Expires: claims.Expires.UTC().Format(time.RFC3339),
		Methods: claims.Methods, Nonce: claims.Nonce, Tokens: claims.Tokens,
	}, nil
}
