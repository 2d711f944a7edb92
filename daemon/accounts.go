package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/tokens/accounts"
	"github.com/fobd/fobd/tokens/oath"
	"github.com/fobd/fobd/tokens/token2"
)

// keeper is a token in the hands of one operation, at an interface where it keeps accounts. It is for one goroutine.
type keeper struct {
	c     *call
	key   *tokens.Key
	token accounts.Token
	close func()
	// pin is what the person has given: a PIN is good for one command, and the person is asked once for an operation.
	pin []byte

	mu       sync.Mutex // guards what follows
	withdraw func()
	shown    time.Time
}

// keepsAccounts says whether a key has an interface where it can keep accounts.
func keepsAccounts(k *tokens.Key) bool {
	return secretsApp(k) || slices.ContainsFunc(k.Sides(), func(s tokens.Side) bool { return s.Way != tokens.WaySlots })
}

// secretsApp says whether a key is a Nitrokey 3, whose accounts are behind a vendor command of CTAPHID.
func secretsApp(k *tokens.Key) bool {
	d := k.Device()
	return k.FIDO() && d.VendorID == nitrokey3Vendor && d.ProductID == nitrokey3Product
}

// keepers are the attached keys that a request means: the one that it names, or all that keep accounts.
func (c *call) keepers(name string) ([]*tokens.Key, error) {
	if g, ok := groupOf(name); ok {
		keys := slices.DeleteFunc(c.e.keys.Keys(), func(k *tokens.Key) bool { return !keepsAccounts(k) || !g.mayHave(k) })
		if len(keys) == 0 {
			return nil, &api.Error{
				Code: api.CodeNoKey, Message: "no token that keeps accounts for one-time codes is attached",
				Hint: "put one in; for smart card interfaces pcscd must be there, and let the daemon in",
			}
		}
		return keys, nil
	}
	k, err := c.e.find(name)
	if err != nil {
		return nil, err
	}
	if !keepsAccounts(k) {
		return nil, &api.Error{
			Code: api.CodeUnsupported, Message: k.Name() + " keeps no accounts for one-time codes, as far as the daemon sees",
			Hint: "its smart card interface needs pcscd, which must let the daemon in", Key: k.ID(),
		}
	}
	return []*tokens.Key{k}, nil
}

// keep opens a key where it keeps accounts. The caller closes the keeper.
func (c *call) keep(ctx context.Context, k *tokens.Key, lastTry bool) (*keeper, error) {
	link, release, err := take(ctx, c, k, nil, func(ctx context.Context, waiting func(hid.Holder)) (tokens.Link, error) {
		return c.link(ctx, k, waiting)
	})
	if err != nil {
		return nil, atKey(k, err)
	}
	p := &keeper{c: c, key: k}
	p.close = sync.OnceFunc(func() {
		p.touch(false)
		clear(p.pin)
		_ = link.Close() // nothing can be done about it
		release()
	})
	o := accounts.Options{Touch: p.touch, Ask: p.ask, LastTry: lastTry}
	if p.token, err = openAccounts(ctx, k, link, o); err != nil {
		p.close()
		return nil, atKey(k, err)
	}
	return p, nil
}

// link opens the interface of a key that is best for accounts.
func (c *call) link(ctx context.Context, k *tokens.Key, waiting func(hid.Holder)) (tokens.Link, error) {
	if secretsApp(k) {
		return c.e.keys.Open(ctx, k, waiting)
	}
	for _, s := range k.Sides() {
		if s.Way == tokens.WaySlots {
			continue
		}
		link, err := k.Connect(ctx, s, waiting)
		if err != nil {
			return nil, err
		}
		if reports, ok := link.(featureLink); ok {
			switch s.Way {
			case tokens.WayNitrokeyPro:
				return proLink{reports}, nil
			case tokens.WayToken2:
				return token2Link{reports}, nil
			}
		}
		return link, nil
	}
	return nil, hid.ErrGone
}

// featureLink is an open side with feature reports; what is spoken in them, its type says.
type (
	featureLink interface {
		tokens.Link
		hid.FeatureReports
	}
	proLink    struct{ featureLink }
	token2Link struct{ featureLink }
)

// openAccounts chooses the driver for a link.
func openAccounts(ctx context.Context, k *tokens.Key, link tokens.Link, o accounts.Options) (accounts.Token, error) {
	switch l := link.(type) {
	case *tokens.Conn:
		return accounts.OpenOATH(ctx, oath.NewCTAPHID(l.Vendor), oath.ModelNitrokey, true, o)
	case proLink:
		return accounts.OpenNitrokeyPro(ctx, l, o)
	case token2Link:
		return accounts.OpenToken2(ctx, token2.NewHID(l), o)
	case oath.Card:
		info := k.Device()
		// What YubiKeys take over USB is known; readers and cards of others get what all take.
		extended := info.VendorID == 0x1050
		return accounts.OpenOATH(ctx, l, oath.ModelOfReader(info.Product), extended, o)
	}
	return nil, accounts.ErrNoAccounts
}

// touch shows and withdraws the prompt for a touch.
func (p *keeper) touch(waiting bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case waiting && p.withdraw == nil:
		p.withdraw, p.shown = p.c.show(p.c.prompt(api.PromptTouch, p.key)), time.Now()
	case !waiting && p.withdraw != nil:
		p.withdraw()
		p.withdraw = nil
		p.c.e.cfg.Observer.Touched(time.Since(p.shown))
	}
}

// ask asks the person for the access code or PIN of the token.
func (p *keeper) ask(ctx context.Context, q accounts.Question) ([]byte, error) {
	if p.pin != nil {
		return slices.Clone(p.pin), nil
	}
	prompt := p.c.prompt(api.PromptPIN, p.key)
	if q.Protection == accounts.AccessCode {
		prompt.Message = strings.Replace(prompt.Message, "Enter the PIN of", "Enter the access code of", 1)
	}
	if q.Tries >= 0 {
		tries := uint(q.Tries)
		prompt.Retries = &tries
	}
	pin, err := p.secret(ctx, prompt)
	p.pin = slices.Clone(pin)
	return pin, err
}

// secret asks the person for something.
func (p *keeper) secret(ctx context.Context, prompt api.Prompt) ([]byte, error) {
	secret, err := askAbout(ctx, p.c, p.key, prompt, p.c.ui.PIN)
	return secret.Bytes(), err
}

// confirm has the person agree to something that cannot be undone.
func (p *keeper) confirm(ctx context.Context, question string) error {
	prompt := p.c.prompt(api.PromptConfirm, p.key)
	prompt.Message = question + " This is what " + asker(&prompt) + " wants."
	yes, err := askAbout(ctx, p.c, p.key, prompt, p.c.ui.Confirm)
	if err != nil || yes {
		return err
	}
	return &api.Error{Code: api.CodeDenied, Message: "the person said no; nothing was changed on " + p.key.Name(), Key: p.key.ID()}
}

// atKey says which key an error is about, where that is not said yet.
func atKey(k *tokens.Key, err error) error {
	var at *keyError
	if err == nil || errors.As(err, &at) {
		return err
	}
	return &keyError{k, err}
}

// describeAccount is an account as it crosses the socket.
func describeAccount(k *tokens.Key, a accounts.Account) api.Account {
	return api.Account{
		Key: k.ID(), KeyName: k.Name(), Issuer: printable(a.Issuer), Name: printable(a.Name), Kind: string(a.Kind), Hash: string(a.Hash), Digits: a.Digits,
		Period: a.Period, Touch: a.Touch, PIN: a.PIN,
	}
}

// describe is the token as it crosses the socket.
func (p *keeper) describe() api.AccountToken {
	a := p.token.About()
	t := api.AccountToken{
		Key: p.key.ID(), KeyName: p.key.Name(), Way: a.Way, Version: a.Version, Serial: a.Serial, Protection: string(a.Protection), Unseen: a.Unseen,
	}
	if a.Tries >= 0 {
		t.Tries = &a.Tries
	}
	return t
}

// each does something with all tokens that a request means, at the same time. Of one that was named, or of the only one, an error is that of the
// operation; others that fail are listed, unless all do. do, which hears whether the token is the only one, says whether it has taken over
// the keeper, which is closed otherwise.
func (c *call) each(ctx context.Context, name string, lastTry bool, do func(ctx context.Context, p *keeper, alone bool) (taken bool, err error)) ([]*api.Error, error) {
	keys, err := c.keepers(name)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(keys))
	var wg sync.WaitGroup
	for i, k := range keys {
		wg.Go(func() {
			p, err := c.keep(ctx, k, lastTry)
			if err == nil {
				var taken bool
				if taken, err = do(ctx, p, len(keys) == 1); !taken {
					p.close()
				}
			}
			errs[i] = atKey(k, err)
		})
	}
	wg.Wait()
	if len(keys) == 1 {
		c.took(keys[0])
	}
	var failed []*api.Error
	for _, err := range errs {
		if e := ErrorOf(err); e != nil {
			failed = append(failed, e)
		}
	}
	if len(failed) == len(keys) {
		return nil, errs[0]
	}
	return failed, nil
}

// match is an account that a request may mean, and how well its name fits.
type match struct {
	key     *tokens.Key
	account accounts.Account
	fits    int
	// keeper has the token, if it is the only one. Of several, none is held while another one is waited for: two operations would
	// wait for each other.
	keeper *keeper
	// pin is what the person has given for the token, to be wiped.
	pin []byte
}

// chosen finds the one account that a text names among all of the attached tokens. The caller closes the keeper.
func (c *call) chosen(ctx context.Context, text, name string, lastTry bool) (*keeper, accounts.Account, error) {
	if strings.TrimSpace(text) == "" {
		return nil, accounts.Account{}, &api.Error{Code: api.CodeInvalidRequest, Message: "no account is named", Hint: "account-list shows those that there are"}
	}
	found, failed, err := c.matches(ctx, text, name, lastTry, accounts.Token.List)
	if err == nil && len(found) == 0 && len(failed) == 0 && c.hides(name) {
		found, failed, err = c.matches(ctx, text, name, lastTry, accounts.Token.Reveal)
	}
	defer func() {
		for _, m := range found {
			clear(m.pin)
		}
	}()
	var m match
	if err == nil {
		m, err = choose(found, failed, text)
	}
	if err == nil && ctx.Err() != nil && len(failed) > 0 {
		err = failed[0] // the time went by with that one
	}
	if err == nil && m.keeper == nil {
		if m.keeper, err = c.keep(ctx, m.key, lastTry); err == nil {
			m.keeper.pin = slices.Clone(m.pin)
		}
	}
	if err != nil {
		for _, m := range found {
			if m.keeper != nil { // that of all of them
				m.keeper.close()
			}
		}
		return nil, accounts.Account{}, err
	}
	c.took(m.key)
	c.about = "account " + printable(m.account.Title())
	return m.keeper, m.account, nil
}

// hides says whether a token that a request means may have accounts that show with its PIN only.
func (c *call) hides(name string) bool {
	keys, err := c.keepers(name)
	return err == nil && slices.ContainsFunc(keys, secretsApp)
}

// fullName is how well a text fits that names an account in full; see [accounts.Account.Is].
const fullName = 3

// courtesy is how long other tokens have, that are in use or want a code, when the account that was named in full has been found. It is for
// reading codes only: what changes an account wants to know of all that it could be.
const courtesy = time.Second

// errEnough ends the wait for them.
var errEnough = errors.New("daemon: another token has the account")

// matches finds the accounts that a text may name in the lists of all tokens that a request means.
func (c *call) matches(ctx context.Context, text, name string, lastTry bool, list func(accounts.Token, context.Context) ([]accounts.Account, error)) (found []match, failed []*api.Error, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var enough *time.Timer
	defer func() {
		if enough != nil {
			enough.Stop()
		}
	}()
	var mu sync.Mutex
	failed, err = c.each(ctx, name, lastTry, func(ctx context.Context, p *keeper, alone bool) (taken bool, err error) {
		list, err := list(p.token, ctx)
		if err != nil {
			return false, err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, a := range list {
			fits := a.Is(text)
			if fits == 0 {
				continue
			}
			m := match{key: p.key, account: a, fits: fits, pin: slices.Clone(p.pin)}
			if alone {
				m.keeper, taken = p, true
			}
			found = append(found, m)
			if fits >= fullName && c.op.Name == api.OpCode && enough == nil {
				enough = time.AfterFunc(courtesy, func() { cancel(errEnough) })
			}
		}
		return taken, nil
	})
	return found, failed, err
}

// choose takes the match that fits best, if there is one.
func choose(found []match, failed []*api.Error, text string) (match, error) {
	best := 0
	for _, m := range found {
		best = max(best, m.fits)
	}
	var likely []match
	for _, m := range found {
		if m.fits == best {
			likely = append(likely, m)
		}
	}
	switch {
	case len(likely) == 1:
		return likely[0], nil
	case len(likely) == 0 && len(failed) > 0:
		return match{}, failed[0]
	case len(likely) == 0:
		return match{}, &api.Error{Code: api.CodeNotFound, Message: "no attached token has an account " + shorten(text), Hint: "account-list shows those that there are"}
	}
	names := make([]string, 0, len(likely))
	for _, m := range likely {
		names = append(names, fmt.Sprintf("%s on %s", printable(m.account.Title()), m.key.ID()))
	}
	slices.Sort(names)
	return match{}, &api.Error{
		Code: api.CodeInvalidRequest, Message: fmt.Sprintf("%s names several accounts: %s", shorten(text), strings.Join(names[:min(8, len(names))], ", ")),
		Hint: "give the name in full, and the key if several have it",
	}
}

// only is the one token that a request means, for what is not about an account that is there. The caller closes the keeper.
func (c *call) only(ctx context.Context, name string, lastTry bool) (*keeper, error) {
	keys, err := c.keepers(name)
	if err != nil {
		return nil, err
	}
	if len(keys) > 1 {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: fmt.Sprintf("%d tokens that keep accounts are attached", len(keys)), Hint: "name the key, by its id as list shows it"}
	}
	c.took(keys[0])
	return c.keep(ctx, keys[0], lastTry)
}
