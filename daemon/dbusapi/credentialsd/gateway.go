package credentialsd

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/internal/frontend"
)

// maxOptions bounds the JSON of a request, in bytes; it is far above what honest sites send.
const maxOptions = 1 << 20

// publicKey is the only type of credentials. Requests say it so, answers say publicKeyAnswer.
const (
	publicKey       = "publicKey"
	publicKeyAnswer = "public-key"
)

// gateway has the methods of the interface.
type gateway struct{ s *Server }

// CreateCredential makes a credential: the operation register.
func (g gateway) CreateCredential(_, origin, kind string, options map[string]dbus.Variant, app string, sender dbus.Sender) (uint32, map[string]dbus.Variant, *dbus.Error) {
	if kind != publicKey {
		code, results := failure{notSupportedError, fmt.Sprintf("there are no credentials of type %.64q, only of %q", kind, publicKey)}.answer()
		return code, results, nil
	}
	code, results := g.do(sender, origin, options, func(ctx context.Context, who asker) (string, error) {
		result, err := ask[api.RegisterResult](ctx, g.s, who, api.OpRegister, api.RegisterRequest{Origin: origin, Options: who.options, Purpose: purpose(app)})
		if err != nil {
			return "", err
		}
		return string(result.Credential), nil
	}, "registration_response_json")
	return code, results, nil
}

// GetCredential signs in: the operation assert.
func (g gateway) GetCredential(_, origin string, options map[string]dbus.Variant, app string, sender dbus.Sender) (uint32, map[string]dbus.Variant, *dbus.Error) {
	code, results := g.do(sender, origin, options, func(ctx context.Context, who asker) (string, error) {
		result, err := ask[api.AssertResult](ctx, g.s, who, api.OpAssert, api.AssertRequest{Origin: origin, Options: who.options, Purpose: purpose(app)})
		if err != nil {
			return "", err
		}
		return string(result.Credential), nil
	}, "authentication_response_json")
	return code, results, nil
}

// asker is who asks, and what for.
type asker struct {
	sender  string
	options json.RawMessage
}

// do answers a call. member is the name that the answer's JSON has in the results.
func (g gateway) do(sender dbus.Sender, origin string, given map[string]dbus.Variant, run func(context.Context, asker) (string, error), member string) (uint32, map[string]dbus.Variant) {
	options, wrong := parse(origin, given)
	if wrong != nil {
		return wrong.answer()
	}
	ctx, done, err := g.s.enter(string(sender))
	if err != nil {
		g.s.log.Warn("credentialsd: call refused", "sender", string(sender), "reason", err)
		return notAllowed.answer()
	}
	defer done()
	text, err := run(ctx, asker{string(sender), options})
	if err != nil {
		f := failureOf(ctx, err)
		g.s.log.Info("credentialsd: request failed", "sender", string(sender), "origin", printable(origin), "answer", f.name, "reason", err)
		return f.answer()
	}
	return responseDone, map[string]dbus.Variant{
		"type":       dbus.MakeVariant(publicKeyAnswer),
		"public_key": dbus.MakeVariant(map[string]dbus.Variant{member: dbus.MakeVariant(text)}),
	}
}

// ask runs an operation for whoever called.
func ask[Result any](ctx context.Context, s *Server, who asker, op string, request any) (*Result, error) {
	stop, err := s.conn.Watch(ctx)
	if err != nil {
		return nil, err
	}
	defer stop()
	actor, err := s.conn.Identify(ctx, who.sender)
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(request)
	if err != nil {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "public_key is not JSON: " + err.Error()}
	}
	// Nobody is behind the portal; the desk asks agents.
	v, err := s.engine.Do(ctx, actor, op, frontend.Decoder(body), nil)
	if err != nil {
		return nil, err
	}
	result, ok := v.(*Result)
	if !ok {
		return nil, fmt.Errorf("credentialsd: %s gave a %T", op, v)
	}
	return result, nil
}

// parse takes the WebAuthn options out of those of the call. Options that we do not know are left
// alone, as portals do.
func parse(origin string, given map[string]dbus.Variant) (json.RawMessage, *failure) {
	text := func(name string) (value string, there bool, wrong *failure) {
		v, there := given[name]
		value, ok := v.Value().(string)
		if there && !ok {
			return "", true, &failure{typeError, "the option " + name + " is not a string"}
		}
		return value, there, nil
	}
	// The token is for a window of ours, and there is none; still it must be one.
	if _, _, wrong := text("activation_token"); wrong != nil {
		return nil, wrong
	}
	top, _, wrong := text("top_origin")
	if wrong != nil {
		return nil, wrong
	}
	if top != "" && top != origin {
		// The client data of the daemon always say that a frame is of the page's own origin.
		return nil, &failure{notSupportedError, "requests from a frame of another origin (top_origin) are not supported"}
	}
	options, there, wrong := text("public_key")
	switch {
	case wrong != nil:
		return nil, wrong
	case !there:
		return nil, &failure{typeError, "the option public_key is missing"}
	case len(options) > maxOptions:
		return nil, &failure{typeError, fmt.Sprintf("public_key has %d bytes, at most %d are taken", len(options), maxOptions)}
	}
	return json.RawMessage(options), nil
}

// purpose is what prompts say of the program that the portal names.
func purpose(app string) string {
	if app = printable(app); app == "" {
		return "a program behind the desktop portal"
	}
	return app + ", by the word of the desktop portal"
}

// printable makes a text harmless that came over the bus, and not too long for a prompt.
func printable(text string) string {
	const most = 64
	n := 0
	return strings.Map(func(r rune) rune {
		if n++; n > most || !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, text)
}
