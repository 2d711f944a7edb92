package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
)

// settings are what authenticatorConfig can change (CTAP 2.3, section 6.11).
var settings = []struct {
	name       string
	subcommand ctap2.ConfigSubcommand
}{
	{"enterprise-attestation", ctap2.SubEnableEnterpriseAttestation},
	{"always-uv", ctap2.SubToggleAlwaysUV},
	{"min-pin", ctap2.SubSetMinPINLength},
	{"long-touch-reset", ctap2.SubEnableLongTouchForReset},
	{"vendor", ctap2.SubVendorPrototype},
}

// commands are the names of the settings that a key can change.
func commands(i *ctap2.Info) []string {
	names := []string{}
	for _, s := range settings {
		if i.ConfigCommand(s.subcommand) {
			names = append(names, s.name)
		}
	}
	return names
}

// configures gives a wish for a key that can change a setting.
func configures(setting string) wish {
	return wish{serves: func(_ context.Context, s *session) (bool, error) {
		if s.client == nil || !slices.Contains(commands(s.info), setting) {
			return false, s.lacks("does not have the setting "+setting, "config-show tells what a key has")
		}
		return true, nil
	}}
}

// configuration is what a key says of its settings.
func (s *session) configuration() *api.ConfigResult {
	i := s.info
	r := &api.ConfigResult{
		Key:                 describe(s.key),
		MaxMinPINRPIDs:      i.MaxRPIDsForSetMinPINLength,
		ForcePINChange:      i.ForcePINChange,
		PINComplexityPolicy: i.PINComplexityPolicy,
		PINComplexityURL:    printable(string(i.PINComplexityPolicyURL)),
		LongTouchForReset:   i.LongTouchForReset,
		Commands:            commands(i),
		VendorCommands:      i.VendorPrototypeConfigCommands,
	}
	if on, there := i.Option(ctap2.OptionEnterprise); there {
		r.EnterpriseAttestation = &on
	}
	if on, there := i.Option(ctap2.OptionAlwaysUV); there {
		r.AlwaysUV = &on
	}
	if _, there := i.Option(ctap2.OptionClientPIN); there {
		r.MinPINLength, r.MaxPINLength = i.MinPIN(), i.MaxPIN()
	}
	return r
}

// configShow is the operation config-show.
func (c *call) configShow(ctx context.Context, r *api.ConfigRequest) (*api.ConfigResult, error) {
	s, err := c.choose(ctx, r.Key, wish{})
	if err != nil {
		return nil, err
	}
	defer s.close()
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	return s.configuration(), nil
}

// configIdentify is the operation config-identify (CTAP 2.3, section 6.4, encIdentifier and
// encCredStoreState).
func (c *call) configIdentify(ctx context.Context, r *api.ConfigIdentifyRequest) (*api.ConfigResult, error) {
	s, err := c.choose(ctx, r.Key, wish{serves: func(_ context.Context, s *session) (bool, error) {
		if readOnly, _ := s.info.Option(ctap2.OptionCredMgmtReadOnly); s.client == nil || !readOnly {
			return false, s.lacks("does not tell who it is", "use a key of CTAP 2.3")
		}
		return true, nil
	}})
	if err != nil {
		return nil, err
	}
	defer s.close()
	token, err := s.permit(ctx, ctap2.PermissionCredentialRead, "", r.AllowLastRetry, false)
	if err != nil {
		return nil, err
	}
	defer token.Wipe()
	// Only now does the key tell.
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	result := s.configuration()
	if len(s.info.EncIdentifier) > 0 {
		if result.Identifier, err = token.Identifier(s.info); err != nil {
			return nil, &keyError{s.key, err}
		}
	}
	if len(s.info.EncCredStoreState) > 0 {
		if result.CredentialStore, err = token.CredStoreState(s.info); err != nil {
			return nil, &keyError{s.key, err}
		}
	}
	return result, nil
}

// change is one change of the settings.
type change struct {
	key, setting string
	allowLast    bool
	// question asks the person to agree to what cannot be undone; empty for nothing. It and done
	// look at the key before the person is asked for anything.
	question func(s *session) (string, error)
	done     func(s *session) bool
	do       func(f *ctap2.Configurer) error
}

// configure changes a setting.
func (c *call) configure(ctx context.Context, what change) (*api.ConfigResult, error) {
	s, err := c.choose(ctx, what.key, configures(what.setting))
	if err != nil {
		return nil, err
	}
	defer s.close()
	// Other programs change settings too.
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	if what.done != nil && what.done(s) {
		return s.configuration(), nil
	}
	if what.question != nil {
		question, err := what.question(s)
		if err != nil {
			return nil, err
		}
		if question != "" {
			if err := s.confirm(ctx, question); err != nil {
				return nil, err
			}
		}
	}
	// CTAP 2.3, section 6.11, step 2: a key that verifies nobody wants no token.
	token, err := s.permit(ctx, ctap2.PermissionConfig, "", what.allowLast, true)
	if err != nil {
		return nil, err
	}
	if token != nil {
		defer token.Wipe()
	}
	configurer, err := s.client.Configurer(s.info, token)
	if err != nil {
		return nil, &keyError{s.key, err}
	}
	_, err = exchange(s, api.PromptTouch, func() (struct{}, error) { return struct{}{}, what.do(configurer) })
	s.forget()
	if err != nil {
		return nil, err
	}
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	return s.configuration(), nil
}

// askThat makes a question of a sentence with one %s for the key.
func askThat(sentence string) func(*session) (string, error) {
	return func(s *session) (string, error) { return fmt.Sprintf(sentence, s.key.Name()), nil }
}

// configEnterprise is the operation config-enterprise-attestation (CTAP 2.3, section 6.11.1).
func (c *call) configEnterprise(ctx context.Context, r *api.ConfigEnterpriseRequest) (*api.ConfigResult, error) {
	return c.configure(ctx, change{
		key: r.Key, setting: "enterprise-attestation", allowLast: r.AllowLastRetry,
		done:     func(s *session) bool { on, _ := s.info.Option(ctap2.OptionEnterprise); return on },
		question: askThat("Let %s tell some sites which single key it is? Only a reset, which erases the key, takes this back."),
		do:       func(f *ctap2.Configurer) error { return f.EnableEnterpriseAttestation(ctx) },
	})
}

// configAlwaysUV is the operation config-always-uv (CTAP 2.3, section 6.11.2).
func (c *call) configAlwaysUV(ctx context.Context, r *api.ConfigAlwaysUVRequest) (*api.ConfigResult, error) {
	result, err := c.configure(ctx, change{
		key: r.Key, setting: "always-uv", allowLast: r.AllowLastRetry,
		done: func(s *session) bool { on, _ := s.info.Option(ctap2.OptionAlwaysUV); return on == r.On },
		do:   func(f *ctap2.Configurer) error { return f.ToggleAlwaysUV(ctx) },
	})
	if errors.Is(err, ctap2.ErrOperationDenied) {
		told := *ErrorOf(err)
		told.Code, told.Message, told.Hint = api.CodeUnsupported, "the key does not let this be turned off", ""
		return nil, &told
	}
	return result, err
}

// configMinPIN is the operation config-min-pin (CTAP 2.3, section 6.11.4).
func (c *call) configMinPIN(ctx context.Context, r *api.ConfigMinPINRequest) (*api.ConfigResult, error) {
	params := ctap2.SetMinPINLengthParams{NewMinPINLength: r.MinLength, MinPINLengthRPIDs: r.RPIDs}
	yes := true
	if r.ForceChange {
		params.ForceChangePIN = &yes
	}
	if r.Complexity {
		params.PINComplexityPolicy = &yes
	}
	if r.MinLength == nil && len(r.RPIDs) == 0 && !r.ForceChange && !r.Complexity {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "the request changes nothing", Hint: "give minLength, rpIds, forceChange or complexity"}
	}
	return c.configure(ctx, change{
		key: r.Key, setting: "min-pin", allowLast: r.AllowLastRetry,
		question: func(s *session) (string, error) { return s.pinRules(r) },
		do:       func(f *ctap2.Configurer) error { return f.SetMinPINLength(ctx, params) },
	})
}

// pinRules refuses what the key would, and asks for agreement to what cannot be taken back.
func (s *session) pinRules(r *api.ConfigMinPINRequest) (question string, err error) {
	refuse := func(code api.Code, message, hint string) (string, error) {
		return "", &api.Error{Code: code, Message: message, Hint: hint, Key: s.key.ID()}
	}
	least, most := s.info.MinPIN(), s.info.MaxPIN()
	set, _ := s.info.Option(ctap2.OptionClientPIN)
	switch n := s.info.MaxRPIDsForSetMinPINLength; {
	case r.MinLength != nil && *r.MinLength < least:
		return refuse(api.CodePINPolicy, fmt.Sprintf("%s wants PINs of %d characters already, and the minimum does not get smaller", s.key.Name(), least),
			"only a reset, which erases the key, takes it back")
	case r.MinLength != nil && *r.MinLength > most:
		return refuse(api.CodePINPolicy, fmt.Sprintf("%s takes PINs of at most %d characters", s.key.Name(), most), "ask for less")
	case n != nil && uint(len(r.RPIDs)) > *n:
		return refuse(api.CodeTooLarge, fmt.Sprintf("%s has room for %s, not %d", s.key.Name(), plural(*n, "site", "sites"), len(r.RPIDs)), "name fewer")
	case n == nil && len(r.RPIDs) > 0:
		return refuse(api.CodeUnsupported, s.key.Name()+" tells no site about its PIN", "leave rpIds out")
	case r.Complexity && s.info.PINComplexityPolicy == nil:
		return refuse(api.CodeUnsupported, s.key.Name()+" has no rules for how simple a PIN may be", "leave complexity out")
	case r.ForceChange && !set:
		return refuse(api.CodePINNotSet, s.key.Name()+" has no PIN to be changed", "set one with pin-set")
	}
	var what string
	if r.MinLength != nil && *r.MinLength > least {
		what = fmt.Sprintf("PINs of at least %d characters", *r.MinLength)
	}
	if r.Complexity && !*s.info.PINComplexityPolicy {
		if what != "" {
			what += " and "
		}
		what += "PINs that are not too simple"
	}
	if what == "" {
		return "", nil
	}
	return fmt.Sprintf("Make %s want %s? Only a reset, which erases the key, takes this back.", s.key.Name(), what), nil
}

// configLongTouch is the operation config-long-touch-reset (CTAP 2.3, section 6.11.5).
func (c *call) configLongTouch(ctx context.Context, r *api.ConfigLongTouchRequest) (*api.ConfigResult, error) {
	return c.configure(ctx, change{
		key: r.Key, setting: "long-touch-reset", allowLast: r.AllowLastRetry,
		done:     func(s *session) bool { return *s.info.LongTouchForReset },
		question: askThat("Make every reset of %s need a long touch? Only a reset, which erases the key, takes this back."),
		do:       func(f *ctap2.Configurer) error { return f.EnableLongTouchForReset(ctx) },
	})
}

// configVendor is the operation config-vendor (CTAP 2.3, section 6.11.3).
func (c *call) configVendor(ctx context.Context, r *api.ConfigVendorRequest) (*api.ConfigResult, error) {
	if len(r.Data) > 0 && ctap2.Canonical(r.Data) != nil {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "data is not one item of canonical CBOR", Hint: "leave data out for a command without parameters"}
	}
	return c.configure(ctx, change{
		key: r.Key, setting: "vendor", allowLast: r.AllowLastRetry,
		question: func(s *session) (string, error) {
			if !slices.Contains(s.info.VendorPrototypeConfigCommands, r.Command) {
				return "", s.lacks(fmt.Sprintf("has no vendor command %#x", r.Command), "config-show lists those that it has")
			}
			return fmt.Sprintf("Send the vendor's command %#x to %s? fobd does not know what it does, and whether it can be undone.", r.Command, s.key.Name()), nil
		},
		do: func(f *ctap2.Configurer) error {
			return f.VendorPrototype(ctx, ctap2.VendorPrototypeParams{VendorCommandID: r.Command, Data: ctap2.RawMessage(r.Data)})
		},
	})
}
