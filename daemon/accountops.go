package daemon

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/accounts"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/seedfile"
)

// code is the operation code.
func (c *call) code(ctx context.Context, r *api.CodeRequest) (*api.CodeResult, error) {
	if r.Account == "" && r.Two {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "two codes in a row are given of one account", Hint: "name the account"}
	}
	c.purpose = r.Purpose
	if r.Account == "" {
		return c.codes(ctx, r)
	}
	p, a, err := c.chosen(ctx, r.Account, r.Key, r.AllowLastRetry)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if !a.Kind.Codes() {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: fmt.Sprintf("the account %s on %s makes no codes", shorten(a.Title()), p.key.Name()), Hint: "account-list shows what the accounts are", Key: p.key.ID()}
	}
	times := []time.Time{time.Now()}
	if r.Two {
		// Those that count give the next two.
		times = []time.Time{times[0].Add(-time.Duration(a.Period) * time.Second), times[0]}
	}
	result := &api.CodeResult{}
	for _, at := range times {
		code, err := p.token.Code(ctx, a, at)
		p.touch(false)
		if err != nil {
			return nil, atKey(p.key, err)
		}
		result.Codes = append(result.Codes, describeCode(p, accounts.Reading{Account: a, Code: code}))
	}
	return result, nil
}

// codes reads all codes that can be read without a person.
func (c *call) codes(ctx context.Context, r *api.CodeRequest) (*api.CodeResult, error) {
	result := &api.CodeResult{Codes: []api.OneTimeCode{}}
	var mu sync.Mutex
	var err error
	result.Failed, err = c.each(ctx, r.Key, r.AllowLastRetry, func(ctx context.Context, p *keeper, _ bool) (bool, error) {
		list, err := p.token.Read(ctx, time.Now())
		if err != nil {
			return false, err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, reading := range list {
			if reading.Kind.Codes() && !reading.Hidden {
				result.Codes = append(result.Codes, describeCode(p, reading))
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(result.Codes, func(a, b api.OneTimeCode) int { return compareAccounts(a.Account, b.Account) })
	return result, nil
}

func compareAccounts(a, b api.Account) int {
	return cmp.Or(
		strings.Compare(strings.ToLower(a.Issuer), strings.ToLower(b.Issuer)), strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)),
		strings.Compare(a.Key, b.Key),
	)
}

func describeCode(p *keeper, r accounts.Reading) api.OneTimeCode {
	code := api.OneTimeCode{Account: describeAccount(p.key, r.Account), Code: r.Code.Value, Need: string(r.Code.Need)}
	if !r.Code.Until.IsZero() {
		code.From, code.Until = r.Code.From.UTC().Format(time.RFC3339), r.Code.Until.UTC().Format(time.RFC3339)
	}
	return code
}

// accountList is the operation account-list.
func (c *call) accountList(ctx context.Context, r *api.AccountListRequest) (*api.AccountListResult, error) {
	result := &api.AccountListResult{Accounts: []api.Account{}, Tokens: []api.AccountToken{}}
	var mu sync.Mutex
	var err error
	result.Failed, err = c.each(ctx, r.Key, r.AllowLastRetry, func(ctx context.Context, p *keeper, _ bool) (bool, error) {
		list, err := p.token.List(ctx)
		if err != nil {
			return false, err
		}
		mu.Lock()
		defer mu.Unlock()
		for _, a := range list {
			if !a.Hidden {
				result.Accounts = append(result.Accounts, describeAccount(p.key, a))
			}
		}
		result.Tokens = append(result.Tokens, p.describe())
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(result.Accounts, compareAccounts)
	slices.SortFunc(result.Tokens, func(a, b api.AccountToken) int { return strings.Compare(a.Key, b.Key) })
	return result, nil
}

// accountAdd is the operation account-add.
func (c *call) accountAdd(ctx context.Context, r *api.AccountAddRequest) (*api.AccountAddResult, error) {
	files := r.Files
	if r.URI != "" {
		files = append([]api.Bytes{[]byte(r.URI)}, files...)
	}
	if len(files) == 0 {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "there is no account to be added", Hint: "give an otpauth URI, or pictures of QR codes"}
	}
	defer func() {
		for _, f := range files {
			clear(f)
		}
	}()
	read, err := seeds(nil, files, seedfile.Options{})
	if err != nil {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "no account can be read: " + plain(err), Hint: "no account was added; give an otpauth URI, an app's export, or pictures of QR codes"}
	}
	defer read.Wipe()
	switch {
	case len(read.Refused) > 0:
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "an account cannot be read: " + read.Refused[0].Reason, Hint: "no account was added"}
	case len(read.Tokens) == 0:
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "there is no account in it", Hint: "give an otpauth URI, or pictures of QR codes"}
	}
	p, err := c.only(ctx, r.Key, r.AllowLastRetry)
	if err != nil {
		return nil, err
	}
	defer p.close()
	result := &api.AccountAddResult{Added: []api.Account{}}
	var first error
	for i := range read.Tokens {
		t := &read.Tokens[i]
		a := accounts.New{
			Issuer: t.Issuer, Name: cmp.Or(t.Account, t.Serial), Params: t.Params, Counter: t.Counter, Touch: r.Touch, PIN: r.PIN, Overwrite: r.Overwrite,
		}
		made, err := p.add(ctx, a, t)
		if err != nil {
			err = atKey(p.key, err)
			if first == nil {
				first = err
			}
			result.Failed = append(result.Failed, api.AccountFailure{Issuer: printable(a.Issuer), Name: printable(a.Name), Error: ErrorOf(err)})
			if errors.Is(err, accounts.ErrLocked) || ctx.Err() != nil {
				break
			}
			continue
		}
		result.Added = append(result.Added, describeAccount(p.key, made))
		c.about = "account " + printable(made.Title())
	}
	if len(result.Added) == 0 {
		return nil, first
	}
	return result, nil
}

func (p *keeper) add(ctx context.Context, a accounts.New, t *seedfile.Token) (accounts.Account, error) {
	defer p.touch(false)
	if a.Params.Kind == otp.OCRA {
		return accounts.Account{}, accounts.ErrUnsupported
	}
	return p.token.Add(ctx, a, t.Seed)
}

// accountDelete is the operation account-delete.
func (c *call) accountDelete(ctx context.Context, r *api.AccountRequest) (*api.AccountResult, error) {
	p, a, err := c.chosen(ctx, r.Account, r.Key, r.AllowLastRetry)
	if err != nil {
		return nil, err
	}
	defer p.close()
	question := fmt.Sprintf("Delete the account %s from %s? Its seed cannot be brought back.", printable(a.Title()), p.key.Name())
	if err := p.confirm(ctx, question); err != nil {
		return nil, atKey(p.key, err)
	}
	if err := p.token.Delete(ctx, a); err != nil {
		return nil, atKey(p.key, err)
	}
	return &api.AccountResult{Account: describeAccount(p.key, a)}, nil
}

// accountRename is the operation account-rename.
func (c *call) accountRename(ctx context.Context, r *api.AccountRenameRequest) (*api.AccountResult, error) {
	if strings.TrimSpace(r.Name) == "" {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "an account needs a name", Hint: "give the new name"}
	}
	p, a, err := c.chosen(ctx, r.Account, r.Key, r.AllowLastRetry)
	if err != nil {
		return nil, err
	}
	defer p.close()
	renamed, err := p.token.Rename(ctx, a, r.Issuer, r.Name)
	if err != nil {
		return nil, atKey(p.key, err)
	}
	return &api.AccountResult{Account: describeAccount(p.key, renamed)}, nil
}

// accountProtect is the operation account-protect.
func (c *call) accountProtect(ctx context.Context, r *api.AccountProtectRequest) (*api.AccountTokenResult, error) {
	p, err := c.only(ctx, r.Key, r.AllowLastRetry)
	if err != nil {
		return nil, err
	}
	defer p.close()
	var fresh []byte
	defer func() { clear(fresh) }()
	if !r.Remove {
		prompt := c.prompt(api.PromptNewPIN, p.key)
		if p.token.About().Protection != accounts.PIN {
			prompt.Message = strings.Replace(prompt.Message, "Enter a new PIN for", "Enter a new access code for", 1)
		}
		if fresh, err = p.secret(ctx, prompt); err != nil {
			return nil, atKey(p.key, err)
		}
		if len(bytes.TrimSpace(fresh)) == 0 {
			return nil, &api.Error{Code: api.CodePINPolicy, Message: "the new one is empty", Hint: "give one with a few characters at least", Key: p.key.ID()}
		}
	}
	if err := p.token.Protect(ctx, fresh); err != nil {
		return nil, atKey(p.key, err)
	}
	return &api.AccountTokenResult{Token: p.describe()}, nil
}

// accountReset is the operation account-reset.
func (c *call) accountReset(ctx context.Context, r *api.AccountResetRequest) (*api.AccountTokenResult, error) {
	p, err := c.only(ctx, r.Key, false)
	if err != nil {
		return nil, err
	}
	defer p.close()
	question := fmt.Sprintf("Delete all accounts for one-time codes from %s, and what protects them? They cannot be brought back.", p.key.Name())
	if err := p.confirm(ctx, question); err != nil {
		return nil, atKey(p.key, err)
	}
	if err := p.token.Reset(ctx); err != nil {
		return nil, atKey(p.key, err)
	}
	return &api.AccountTokenResult{Token: p.describe()}, nil
}
