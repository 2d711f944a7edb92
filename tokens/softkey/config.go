package softkey

import (
	"bytes"
	"slices"

	"github.com/fobd/fobd/ctap2"
)

// config answers authenticatorConfig; the steps are those of CTAP 2.3, section 6.11.
func (a *Authenticator) config(_ *command, r *ctap2.ConfigRequest) ([]byte, error) {
	if !a.traits.has(ctap2.OptionConfig) {
		return nil, ctap2.ErrInvalidCommand
	}
	// Step 1, that there is a subcommand, was the decoder's. Step 2; the status is that of section 8.2.
	if !a.configures(r.Subcommand) {
		return nil, ctap2.ErrInvalidSubcommand
	}
	// Step 3: alwaysUv that came from the factory can be switched off on a key that is not protected yet.
	free := r.Subcommand == ctap2.SubToggleAlwaysUV && !a.protected()
	// Step 4.
	if !free && (a.protected() || a.alwaysUV()) {
		message := slices.Concat(bytes.Repeat([]byte{0xFF}, 32), []byte{byte(ctap2.CmdConfig), byte(r.Subcommand)}, r.SubcommandParams)
		if _, err := a.authorized(r.PINUVAuthProtocol, message, r.PINUVAuthParam, ctap2.PermissionConfig); err != nil {
			return nil, err
		}
	}
	// Step 5.
	var err error
	switch r.Subcommand {
	case ctap2.SubEnableEnterpriseAttestation:
		err = a.enableEnterprise()
	case ctap2.SubToggleAlwaysUV:
		err = a.toggleAlwaysUV()
	case ctap2.SubSetMinPINLength:
		err = a.setMinPINLength(r.SubcommandParams)
	case ctap2.SubEnableLongTouchForReset:
		err = a.enableLongTouch()
	default:
		err = a.vendorPrototype(r.SubcommandParams)
	}
	if err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(nil)
}

// configures says whether the key has a subcommand of authenticatorConfig.
func (a *Authenticator) configures(s ctap2.ConfigSubcommand) bool {
	if s == ctap2.SubVendorPrototype {
		return len(a.cfg.VendorCommands) > 0 // section 6.11.3
	}
	return a.traits.configSubcommand(s)
}

// configured returns the configuration for a change that saveConfig makes.
func (a *Authenticator) configured() configState {
	c := a.state.config
	c.MinPINLengthRPIDs = slices.Clone(c.MinPINLengthRPIDs)
	return c
}

func (a *Authenticator) saveConfig(c configState) error { return a.save(&record{Config: &c}) }

// enableEnterprise: CTAP 2.3, section 6.11.1. It can't be taken back but by a reset.
func (a *Authenticator) enableEnterprise() error {
	c := a.configured()
	if c.Enterprise {
		return nil
	}
	c.Enterprise = true
	return a.saveConfig(c)
}

// toggleAlwaysUV: CTAP 2.3, section 6.11.2. The option makeCredUvNotRqd follows it in getInfo.
func (a *Authenticator) toggleAlwaysUV() error {
	on := !a.alwaysUV()
	if !on && a.cfg.LockAlwaysUV {
		return ctap2.ErrOperationDenied // step 2.2: disabling is not supported
	}
	c := a.configured()
	c.AlwaysUV = &on
	return a.saveConfig(c)
}

// setMinPINLength: CTAP 2.3, section 6.11.4.
func (a *Authenticator) setMinPINLength(raw ctap2.RawMessage) error {
	var params ctap2.SetMinPINLengthParams
	if raw != nil {
		if err := ctap2.Unmarshal(raw, &params); err != nil {
			return err
		}
	}
	c := a.configured()
	// Step 1.
	least := a.minPIN()
	if params.NewMinPINLength != nil {
		least = *params.NewMinPINLength
	}
	// Step 2.
	if params.MinPINLengthRPIDs != nil && !a.traits.extension(ctap2.ExtensionMinPINLength) && !a.traits.extension(ctap2.ExtensionPINComplexityPolicy) {
		return ctap2.ErrInvalidParameter
	}
	// Step 3: never less. What no PIN could have is no policy either.
	if least < a.minPIN() || least > maxPINLength {
		return ctap2.ErrPINPolicyViolation
	}
	// Step 4.
	if set(params.ForceChangePIN) {
		if !a.state.pin.set() {
			return ctap2.ErrPINNotSet
		}
		c.ForcePINChange = true
	}
	// Step 5: where the key tells pinComplexityPolicy. Whether the PIN follows the policy is not known
	// any more.
	if set(params.PINComplexityPolicy) && a.traits.extension(ctap2.ExtensionPINComplexityPolicy) && !a.complexPIN() {
		c.PINComplexityPolicy = true
		c.ForcePINChange = c.ForcePINChange || a.state.pin.set()
	}
	// Step 6: a PIN that is too short now.
	if a.state.pin.set() && a.state.pin.Length < least {
		c.ForcePINChange = true
	}
	// Step 8, before anything is stored: a list replaces the one before; an empty one is none.
	if len(params.MinPINLengthRPIDs) > 0 {
		if len(params.MinPINLengthRPIDs) > a.traits.maxRPIDs {
			return ctap2.ErrKeyStoreFull
		}
		c.MinPINLengthRPIDs = params.MinPINLengthRPIDs
	}
	if params.NewMinPINLength != nil {
		c.MinPINLength = least
	}
	if err := a.saveConfig(c); err != nil {
		return err
	}
	// Step 7: resetPinUvAuthToken for all protocols.
	if c.ForcePINChange {
		a.endTokens()
	}
	return nil
}

// endTokens is resetPinUvAuthToken for all protocols (CTAP 2.3, section 6.5.5.1).
func (a *Authenticator) endTokens() {
	for _, t := range a.volatile.tokens {
		clear(t.value)
		t.inUse = false
	}
	clear(a.volatile.tokens)
}

// enableLongTouch: CTAP 2.3, section 6.11, enableLongTouchForReset. It can't be taken back but by a reset.
func (a *Authenticator) enableLongTouch() error {
	c := a.configured()
	if c.LongTouchForReset {
		return nil
	}
	c.LongTouchForReset = true
	return a.saveConfig(c)
}

// vendorPrototype: CTAP 2.3, section 6.11.3.
func (a *Authenticator) vendorPrototype(raw ctap2.RawMessage) error {
	if raw == nil {
		return ctap2.ErrMissingParameter
	}
	var params struct {
		ID   *uint64          `cbor:"1,keyasint"`
		Data ctap2.RawMessage `cbor:"2,keyasint"`
	}
	if err := ctap2.Unmarshal(raw, &params); err != nil {
		return err
	}
	if params.ID == nil {
		return ctap2.ErrMissingParameter
	}
	run := a.cfg.VendorCommands[*params.ID]
	if run == nil {
		return ctap2.ErrInvalidParameter
	}
	return run(params.Data)
}
