package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// demoTimeout bounds the whole demonstration when --timeout does not.
const demoTimeout = 30 * time.Second

// demoSite is the site of the demonstration; the name is reserved (RFC 2606, section 3).
const demoSite = "example.org"

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show the main job with an emulated key: register, touch, sign in, verify",
		Long: `demo starts a daemon of its own (the fobd beside this program, or the one in PATH) with an
emulated key in a temporary directory, registers a credential for a site, signs in with it,
and checks both as the site does. It needs no key and leaves nothing behind. With --json the
steps go to the standard error and a summary to the standard output.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(ctx context.Context, _ []string) error {
			timeout := a.timeout
			if timeout == 0 {
				timeout = demoTimeout
			}
			ctx, cancel := context.WithTimeoutCause(ctx, timeout, errTimeout)
			defer cancel()
			return a.demo(ctx)
		}),
	}
}

// demo runs the demonstration and cleans up, also when a step fails.
func (a *app) demo(ctx context.Context) (err error) {
	dir, err := os.MkdirTemp("", "fob-demo-")
	if err != nil {
		return err
	}
	defer func() {
		if e := os.RemoveAll(dir); err == nil {
			err = e
		}
	}()
	t := &transcript{app: a}
	t.step("Start a daemon with an emulated key that waits for a touch")
	child, err := startDaemon(ctx, dir)
	if err != nil {
		return err
	}
	s := &demonstration{transcript: t, client: client.New(child.socket)}
	err = s.run(ctx)
	s.client.Close()
	if err == nil {
		t.step("Stop the daemon and remove its directory")
	}
	if e := child.stop(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(demoResult{OK: true, Steps: t.steps, Site: demoSite, Key: s.key, Registered: s.registered}, "")
	}
	return a.say("Done: every check said what it should.")
}

// demoResult is what demo prints with --json.
type demoResult struct {
	OK         bool           `json:"ok"`
	Steps      []string       `json:"steps"`
	Site       string         `json:"site"`
	Key        api.Key        `json:"key"`
	Registered api.Registered `json:"registered"`
}

// transcript prints the numbered steps.
type transcript struct {
	app   *app
	steps []string
}

func (t *transcript) line(format string, args ...any) {
	w := t.app.out
	if t.app.json {
		w = t.app.err
	}
	fmt.Fprintln(w, clean(fmt.Sprintf(format, args...)))
}

func (t *transcript) step(title string) {
	t.steps = append(t.steps, title)
	t.line("%d. %s", len(t.steps), title)
}

func (t *transcript) detail(format string, args ...any) { t.line("   "+format, args...) }

// demonstration is what the steps know of each other.
type demonstration struct {
	*transcript
	client     *client.Client
	key        api.Key
	name       string // of the emulated key
	registered api.Registered
}

func (d *demonstration) run(ctx context.Context) error {
	if err := d.findKey(ctx); err != nil {
		return err
	}
	origin := "https://" + demoSite

	d.step("The site wants a credential for alice: register")
	create := encode(newCreation(demoSite, "alice", "preferred", false))
	var made api.RegisterResult
	if err := d.touched(ctx, api.OpRegister, api.RegisterRequest{Origin: origin, Options: create, Purpose: "new account alice"}, &made); err != nil {
		return fmt.Errorf("register: %w", err)
	}

	d.step("The site checks the registration (go-webauthn)")
	var kept api.CheckResult
	if err := d.client.Do(ctx, api.OpCheck, api.CheckRequest{
		Origin: origin, CreationOptions: create, Credential: made.Credential,
	}, &kept, nil); err != nil {
		return fmt.Errorf("verify the registration: %w", err)
	}
	d.registered = kept.Registered
	d.detail("valid: attestation %s, credential %s", strings.TrimSpace(kept.Format+" "+kept.Attestation), short(kept.Registered.CredentialID))

	d.step("Alice comes back and the site sends a challenge: assert")
	get := encode(newRequest(demoSite, "preferred", []api.Bytes{kept.Registered.CredentialID}))
	var signed api.AssertResult
	if err := d.touched(ctx, api.OpAssert, api.AssertRequest{Origin: origin, Options: get, Purpose: "sign in as alice"}, &signed); err != nil {
		return fmt.Errorf("assert: %w", err)
	}

	d.step("The site checks the assertion (go-webauthn)")
	check := api.CheckRequest{Origin: origin, RequestOptions: get, Credential: signed.Credential, Registered: &kept.Registered}
	var again api.CheckResult
	if err := d.client.Do(ctx, api.OpCheck, check, &again, nil); err != nil {
		return fmt.Errorf("verify the assertion: %w", err)
	}
	d.registered = again.Registered
	d.detail("valid: alice was %s, counter %d", presence(again), again.Registered.SignCount)

	d.step("Someone changes one bit of the signature, and the site checks again")
	forged, err := tamper(signed.Credential)
	if err != nil {
		return err
	}
	check.Credential = forged
	err = d.client.Do(ctx, api.OpCheck, check, nil, nil)
	var refused *api.Error
	switch {
	case err == nil:
		return errors.New("the changed signature was accepted")
	case !errors.As(err, &refused) || refused.Code != api.CodeVerifyFailed:
		return fmt.Errorf("verify the changed assertion: %w", err)
	}
	d.detail("refused, as it must be: %s", refused.Message)
	return nil
}

// findKey looks up the emulated key and lets it wait for a touch of its own.
func (d *demonstration) findKey(ctx context.Context) error {
	var emulated api.EmulateListResult
	if err := d.client.Do(ctx, api.OpEmulateList, struct{}{}, &emulated, nil); err != nil {
		return fmt.Errorf("list the emulated keys: %w", err)
	}
	if len(emulated.Keys) != 1 {
		return fmt.Errorf("the daemon emulates %d keys, want 1", len(emulated.Keys))
	}
	d.name = emulated.Keys[0].Name
	set := api.EmulateSetRequest{Name: d.name, Presence: "manual"}
	if err := d.client.Do(ctx, api.OpEmulateSet, set, nil, nil); err != nil {
		return fmt.Errorf("let the key wait for a touch: %w", err)
	}
	var list api.ListResult
	if err := d.client.Do(ctx, api.OpList, api.ListRequest{}, &list, nil); err != nil {
		return fmt.Errorf("list the keys: %w", err)
	}
	if len(list.Keys) != 1 {
		return fmt.Errorf("the daemon has %d keys, want 1", len(list.Keys))
	}
	d.key = list.Keys[0]
	d.detail("%s", keyName(d.key))
	return nil
}

// touched runs an operation, shows its prompts and touches the key once it blinks.
func (d *demonstration) touched(ctx context.Context, op string, request, result any) error {
	touched := make(chan error, 1)
	finger := &finger{demonstration: d, touch: func() {
		touched <- d.client.Do(ctx, api.OpEmulateTouch, api.EmulateNameRequest{Name: d.name}, nil, nil)
	}}
	if err := d.client.Do(ctx, op, request, result, finger); err != nil {
		return err
	}
	if !finger.asked {
		return errors.New("nobody was asked for a touch")
	}
	return <-touched
}

// finger is the person of the demonstration: it sees the prompt, then touches.
type finger struct {
	*demonstration
	touch func()
	asked bool
}

// Show implements client.Prompter.
func (f *finger) Show(p api.Prompt) {
	f.detail("on the screen: %s", p.Message)
	if p.Kind != api.PromptTouch || f.asked {
		return
	}
	f.asked = true
	f.detail("asked by:      %s, process %d of %s", p.Program, p.PID, p.User)
	f.detail("for:           %s at %s (%s)", p.Operation, p.RPID, p.Purpose)
	f.detail("… and the key is touched")
	go f.touch()
}

// Withdraw implements client.Prompter.
func (f *finger) Withdraw(string) {}

var errUnexpected = errors.New("the daemon asked a question that a demonstration does not answer")

// PIN implements client.Prompter.
func (f *finger) PIN(context.Context, api.Prompt) (api.Secret, error) {
	return api.Secret{}, errUnexpected
}

// Choose implements client.Prompter.
func (f *finger) Choose(context.Context, api.Prompt) (int, error) { return 0, errUnexpected }

// Confirm implements client.Prompter.
func (f *finger) Confirm(context.Context, api.Prompt) (bool, error) { return false, errUnexpected }

// encode is for values whose encoding cannot fail.
func encode(v any) json.RawMessage {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return data
}

// tamper changes one bit in the signature of an AuthenticationResponseJSON.
func tamper(credential json.RawMessage) (json.RawMessage, error) {
	var c, response map[string]json.RawMessage
	var signature api.Bytes
	if err := json.Unmarshal(credential, &c); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(c["response"], &response); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(response["signature"], &signature); err != nil {
		return nil, err
	}
	if len(signature) == 0 {
		return nil, errors.New("the assertion has no signature")
	}
	signature[len(signature)-1] ^= 1
	response["signature"] = encode(signature)
	c["response"] = encode(response)
	return encode(c), nil
}

func presence(r api.CheckResult) string {
	switch {
	case r.UserVerified:
		return "present and verified"
	case r.UserPresent:
		return "present"
	}
	return "absent"
}

// short is the beginning of a long identifier.
func short(b api.Bytes) string {
	const n = 16
	if s := b.String(); len(s) > n {
		return s[:n] + "…"
	}
	return b.String()
}

// socketPath gives a path for a socket in dir, which must be short (unix(7)).
func socketPath(dir string) (string, error) {
	path := filepath.Join(dir, "s")
	if len(path) > 107 {
		return "", fmt.Errorf("%s is too long for a socket: set TMPDIR to a shorter path", path)
	}
	return path, nil
}
