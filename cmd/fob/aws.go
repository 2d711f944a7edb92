package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/cmd/internal/aws"
	"github.com/fobd/fobd/daemon/api"
)

func (a *app) awsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "aws",
		Short: "Sign in to Amazon Web Services with the codes of a token",
		Args:  cobra.NoArgs,
		RunE:  needCommand,
	}
	cmd.AddCommand(a.awsProcessCommand(), a.awsEnrollCommand())
	return cmd
}

// codeSource is where codes come from: an account on a plugged-in token, or a registered token.
type codeSource struct {
	account, key, token string
	lastRetry, noWait   bool
}

func (s *codeSource) flags(a *app, cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.account, "account", "", "the `account` on a plugged-in token that makes the codes")
	f.StringVar(&s.token, "token", "", "the registered token with this `serial number` makes the codes")
	f.BoolVar(&s.noWait, "no-wait", false, "fail rather than wait for the next code when that of now was used")
	a.managed(cmd, &s.key, &s.lastRetry)
	cmd.MarkFlagsMutuallyExclusive("account", "token")
}

// sourcedCode is a code, the one before if that is wanted, and until when it is shown; that is zero for codes that count.
type sourcedCode struct {
	before, code, name string
	until              time.Time
}

func (a *app) awsProcessCommand() *cobra.Command {
	var source codeSource
	var profile, serial string
	var duration time.Duration
	var noCache bool
	cmd := &cobra.Command{
		Use:   "credential-process",
		Short: "Print credentials of a session, for credential_process in the AWS configuration",
		Long: `credential-process gets credentials for a profile whose mfa_serial is a token that fob has codes of. With a role_arn in the profile it assumes that
role with the keys of its source_profile; without one it gets a session for the profile's own keys. Use a profile of its own for it:

  [profile admin]
  credential_process = fob aws credential-process --profile admin-mfa

  [profile admin-mfa]
  role_arn = arn:aws:iam::123456789012:role/Admin
  source_profile = default
  mfa_serial = arn:aws:iam::123456789012:mfa/alice

The account on the token is the one that is called like the mfa_serial, or that AWS's QR code makes ("Amazon Web Services:alice@…"); name
another with --account, or a registered token with --token. The session is kept, sealed, until it expires, with a key that ends with your login. A code is
never used twice: the next one is waited for. fob speaks to AWS itself; the daemon does not.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if duration < 0 || duration%time.Second != 0 {
				return usagef("--duration must be in whole seconds, such as 1h")
			}
			p, err := aws.Load(ctx, profile, serial, duration)
			if err != nil {
				return usagef("%w", err)
			}
			cache, err := awsCache()
			if err != nil {
				return err
			}
			defer cache.Close()
			unlock, err := cache.Lock(ctx, p.ID())
			if err != nil {
				return err
			}
			defer unlock()
			session := (*aws.Session)(nil)
			if !noCache {
				session = cache.Load(p.ID(), time.Now())
			}
			if session == nil {
				if session, err = a.awsSession(ctx, p, &source, cache); err != nil {
					return err
				}
				if !noCache {
					if err := cache.Save(p.ID(), session); err != nil {
						a.note("fob: the session is not kept: %v", err)
					}
				}
			}
			// https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html
			return json.NewEncoder(a.out).Encode(map[string]any{
				"Version": 1, "AccessKeyId": session.AccessKeyID, "SecretAccessKey": session.SecretAccessKey, "SessionToken": session.Token,
				"Expiration": session.Expires.UTC().Format(time.RFC3339),
			})
		}),
	}
	f := cmd.Flags()
	f.StringVar(&profile, "profile", "", "`name` of the profile (default: AWS_PROFILE, or default)")
	f.StringVar(&serial, "serial", "", "`ARN` or serial number of the MFA device, in the place of the profile's mfa_serial")
	f.DurationVar(&duration, "duration", 0, "how `long` the session is to last (default: the profile's duration_seconds, or AWS decides)")
	f.BoolVar(&noCache, "no-cache", false, "get a new session, and do not keep it")
	source.flags(a, cmd)
	return cmd
}

// awsCache opens the cache. Its key is in the login's own folder, which ends with that; where there is none, in the home.
func awsCache() (*aws.Cache, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, fmt.Errorf("no place to note which codes were used: %w", err)
	}
	keys := os.Getenv("XDG_RUNTIME_DIR")
	if !filepath.IsAbs(keys) {
		if keys, err = os.UserConfigDir(); err != nil {
			return nil, fmt.Errorf("no place for a key: %w", err)
		}
	}
	return aws.OpenCache(filepath.Join(dir, "fob", "aws"), filepath.Join(keys, "fob", "aws.key"))
}

// awsSession gets a code, spends it, and gives what it bought.
func (a *app) awsSession(ctx context.Context, p *aws.Profile, source *codeSource, cache *aws.Cache) (*aws.Session, error) {
	c, err := a.freshCode(ctx, cache, source, func(ctx context.Context) (sourcedCode, error) { return a.sourceCode(ctx, p, source) })
	if err != nil {
		return nil, err
	}
	return p.Get(ctx, c.code)
}

// freshCode gives a code that was not used, and notes that it is now.
func (a *app) freshCode(ctx context.Context, cache *aws.Cache, source *codeSource, get func(context.Context) (sourcedCode, error)) (sourcedCode, error) {
	// As far as that is known before: nobody is asked for a touch or a PIN in vain.
	asked := "asked for as " + cmp.Or(source.account, source.token)
	if err := a.waitUntil(ctx, cache.Used(asked), cmp.Or(source.account, source.token), source.noWait); err != nil {
		return sourcedCode{}, err
	}
	for {
		c, err := get(ctx)
		if err != nil {
			return c, err
		}
		if c.until.IsZero() {
			return c, nil // it counts: there is no second time
		}
		fresh, err := cache.Spend(ctx, c.name, c.until)
		if err != nil {
			return c, err
		}
		if fresh {
			_, err := cache.Spend(ctx, asked, c.until)
			return c, err
		}
		if err := a.waitUntil(ctx, c.until, c.name, source.noWait); err != nil {
			return c, err
		}
	}
}

// waitUntil waits until a code that was used is shown no more.
func (a *app) waitUntil(ctx context.Context, until time.Time, name string, fail bool) error {
	wait := time.Until(until)
	if wait <= 0 {
		return nil
	}
	if fail {
		return fmt.Errorf("the code of %s was used; the next one comes in %d s", name, seconds(wait))
	}
	a.note("fob: the code of %s was used; waiting %d s for the next one", name, seconds(wait))
	timer := time.NewTimer(wait + time.Second/10)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func seconds(d time.Duration) int { return max(0, int(d.Round(time.Second)/time.Second)) }

// sourceCode reads a code for a profile: of the source that was named, else of the account that the profile's mfa_serial means.
func (a *app) sourceCode(ctx context.Context, p *aws.Profile, s *codeSource) (sourcedCode, error) {
	if s.account != "" || s.token != "" {
		return a.namedCode(ctx, s, false)
	}
	req := api.CodeRequest{Key: s.key, Purpose: "AWS profile " + p.Name, AllowLastRetry: s.lastRetry, TimeoutMS: a.milliseconds()}
	var r api.CodeResult
	plugged := a.do(ctx, api.OpCode, req, &r)
	if plugged == nil {
		a.failures(r.Failed)
		c, err := chooseAWS(p, r.Codes)
		switch {
		case err != nil:
			return sourcedCode{}, err
		case c != nil && c.Code != "":
			return codeOf(*c), nil
		case c != nil:
			named := codeSource{account: title(c.Account), key: c.Key, lastRetry: s.lastRetry}
			return a.namedCode(ctx, &named, false)
		}
		plugged = &api.Error{Code: api.CodeNotFound, Message: "no plugged-in token has an account for " + p.Serial, Hint: "name the account with --account, or a registered token with --token"}
	}
	// A hardware token that is registered by the number that AWS knows it by.
	if c, err := a.namedCode(ctx, &codeSource{token: p.Serial}, false); err == nil {
		return c, nil
	}
	return sourcedCode{}, plugged
}

// namedCode reads the code of the source that was named, and the one before if two are wanted.
func (a *app) namedCode(ctx context.Context, s *codeSource, two bool) (sourcedCode, error) {
	if s.token != "" {
		var r api.TokenCodeResult
		if err := a.do(ctx, api.OpTokenCode, api.TokenCodeRequest{Serial: s.token, Two: two}, &r); err != nil {
			return sourcedCode{}, err
		}
		until, _ := time.Parse(time.RFC3339, r.Until) // zero for none
		return sourcedCode{before: r.Before, code: r.Code, name: "token " + r.Serial, until: until}, nil
	}
	var r api.CodeResult
	req := api.CodeRequest{Account: s.account, Key: s.key, Two: two, Purpose: "AWS", AllowLastRetry: s.lastRetry, TimeoutMS: a.milliseconds()}
	if err := a.do(ctx, api.OpCode, req, &r); err != nil {
		return sourcedCode{}, err
	}
	c := codeOf(r.Codes[len(r.Codes)-1])
	if two {
		c.before = r.Codes[0].Code
	}
	return c, nil
}

func codeOf(c api.OneTimeCode) sourcedCode {
	until, _ := time.Parse(time.RFC3339, c.Until) // zero for none
	return sourcedCode{code: c.Code, name: title(c.Account), until: until}
}

// chooseAWS finds the account of a profile's MFA device; nil if there is none.
func chooseAWS(p *aws.Profile, codes []api.OneTimeCode) (*api.OneTimeCode, error) {
	user, account := p.User()
	fits := func(c api.OneTimeCode) int {
		issuer, name := strings.ToLower(c.Issuer), c.Name
		if plain, err := url.PathUnescape(name); err == nil {
			name = plain
		}
		amazon := strings.Contains(issuer, "amazon") || strings.Contains(issuer, "aws")
		switch {
		case title(c.Account) == p.Serial || c.Name == p.Serial:
			return 3
		case user != "" && amazon && name == user+"@"+account:
			return 2
		case user != "" && amazon && (name == user || strings.HasPrefix(name, user+"@")):
			return 1 // an alias stands in the place of the account's number
		}
		return 0
	}
	best := 0
	var found []*api.OneTimeCode
	for i := range codes {
		n := fits(codes[i])
		if n > best {
			best, found = n, nil
		}
		if n == best && n > 0 {
			found = append(found, &codes[i])
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	var names []string
	for _, c := range found {
		names = append(names, title(c.Account)+" on "+c.Key)
	}
	return nil, usagef("several accounts could be %s: %s; name one with --account, and its key with --key", p.Serial, strings.Join(names, ", "))
}

func (a *app) awsEnrollCommand() *cobra.Command {
	var source codeSource
	cmd := &cobra.Command{
		Use:   "enroll",
		Short: "Print the two codes in a row that AWS asks for when an MFA device is added",
		Long: `enroll prints two codes that follow each other, of an account on a plugged-in token or of a registered token: what the page "Add MFA device"
(virtual or hardware), or "Resync", asks for. Put the account on the token first: fob accounts add with the page's QR code. Both codes are spent by it.`,
		Example: "  fob accounts add qr.png && fob aws enroll --account 'Amazon Web Services:alice@example'",
		Args:    cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			if source.account == "" && source.token == "" {
				return usagef("name the --account on a plugged-in token, or a registered --token")
			}
			cache, err := awsCache()
			if err != nil {
				return err
			}
			defer cache.Close()
			c, err := a.freshCode(ctx, cache, &source, func(ctx context.Context) (sourcedCode, error) { return a.namedCode(ctx, &source, true) })
			if err != nil {
				return err
			}
			result := map[string]string{"code1": c.before, "code2": c.code}
			return a.answer(result, func() error {
				if !c.until.IsZero() {
					a.note("fob: %s, %d s left to enter them", c.name, seconds(time.Until(c.until)))
				}
				return table(a.out, row{"MFA code 1:", c.before}, row{"MFA code 2:", c.code})
			})
		}),
	}
	source.flags(a, cmd)
	return cmd
}
