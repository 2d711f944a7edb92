package ctap2

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrTooLarge says that something is larger than the authenticator takes, by what it said in
// getInfo; it has not been sent.
var ErrTooLarge = errors.New("ctap2: larger than the authenticator takes")

// Config sends one authenticatorConfig request as it is (CTAP 2.3, section 6.11).
func (c *Client) Config(ctx context.Context, r *ConfigRequest) error {
	return c.do(ctx, command{cmd: CmdConfig, sub: uint(r.Subcommand), params: r}, nil)
}

// Configurer changes how an authenticator behaves (CTAP 2.3, section 6.11). Its methods are one
// command each; one that the authenticator does not have is [ErrNotSupported].
type Configurer struct {
	c     *Client
	info  *Info
	token *Token
}

// Configurer gives the configurer of an authenticator that answered GetInfo with info. token has the
// permission acfg; the caller keeps it and wipes it after the last use. It may be nil where nothing
// protects the authenticator: no PIN set, no built-in user verification configured and alwaysUv off
// (CTAP 2.3, section 6.11, step 4). The error is [ErrNotSupported] when there is no such command.
func (c *Client) Configurer(info *Info, token *Token) (*Configurer, error) {
	if !info.isOn(OptionConfig) {
		return nil, fmt.Errorf("%w: configuration", ErrNotSupported)
	}
	return &Configurer{c: c, info: info, token: token}, nil
}

// ConfigCommand reports whether the authenticator has a subcommand of authenticatorConfig. From
// CTAP 2.3 on it lists them (section 6.4, authenticatorConfigCommands); before, other members of
// getInfo say so.
func (i *Info) ConfigCommand(sub ConfigSubcommand) bool {
	if !i.isOn(OptionConfig) {
		return false
	}
	if i.Supports(VersionFIDO23) || i.AuthenticatorConfigCommands != nil {
		return slices.Contains(i.AuthenticatorConfigCommands, uint(sub))
	}
	switch sub {
	case SubEnableEnterpriseAttestation:
		_, ok := i.Option(OptionEnterprise)
		return ok
	case SubToggleAlwaysUV:
		_, ok := i.Option(OptionAlwaysUV)
		return ok
	case SubSetMinPINLength:
		return i.isOn(OptionSetMinPINLength)
	case SubEnableLongTouchForReset:
		return i.LongTouchForReset != nil
	case SubVendorPrototype:
		return i.VendorPrototypeConfigCommands != nil
	}
	return false
}

// EnableEnterpriseAttestation allows enterprise attestation until the next reset (CTAP 2.3, section
// 6.11.1).
func (f *Configurer) EnableEnterpriseAttestation(ctx context.Context) error {
	return f.send(ctx, SubEnableEnterpriseAttestation, nil)
}

// ToggleAlwaysUV turns the option alwaysUv over (CTAP 2.3, section 6.11.2).
func (f *Configurer) ToggleAlwaysUV(ctx context.Context) error {
	return f.send(ctx, SubToggleAlwaysUV, nil)
}

// SetMinPINLength changes what the authenticator asks of a PIN (CTAP 2.3, section 6.11.4). The minimum
// can only grow, until the next reset. More RP IDs than the authenticator keeps are [ErrTooLarge].
func (f *Configurer) SetMinPINLength(ctx context.Context, p SetMinPINLengthParams) error {
	if limit := f.info.MaxRPIDsForSetMinPINLength; limit != nil && uint(len(p.MinPINLengthRPIDs)) > *limit {
		return fmt.Errorf("%w: %d RP IDs, it keeps %d", ErrTooLarge, len(p.MinPINLengthRPIDs), *limit)
	}
	return f.send(ctx, SubSetMinPINLength, p)
}

// EnableLongTouchForReset makes a reset need a touch of ten seconds (CTAP 2.3, section 6.11).
func (f *Configurer) EnableLongTouchForReset(ctx context.Context) error {
	return f.send(ctx, SubEnableLongTouchForReset, nil)
}

// VendorPrototype sends a command of the vendor's (CTAP 2.3, section 6.11.3). One that is not among
// vendorPrototypeConfigCommands is [ErrNotSupported].
func (f *Configurer) VendorPrototype(ctx context.Context, p VendorPrototypeParams) error {
	if !slices.Contains(f.info.VendorPrototypeConfigCommands, p.VendorCommandID) {
		return fmt.Errorf("%w: vendor command %#x", ErrNotSupported, p.VendorCommandID)
	}
	return f.send(ctx, SubVendorPrototype, p)
}

func (f *Configurer) send(ctx context.Context, sub ConfigSubcommand, params any) error {
	if !f.info.ConfigCommand(sub) {
		return fmt.Errorf("%w: config %#02x", ErrNotSupported, uint(sub))
	}
	r := &ConfigRequest{Subcommand: sub}
	if params != nil {
		raw, err := Marshal(params)
		if err != nil {
			return err
		}
		r.SubcommandParams = raw
	}
	if f.token != nil {
		r.Authorize(f.token)
	}
	return f.c.Config(ctx, r)
}
