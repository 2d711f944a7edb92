package oath

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/fobd/fobd/tokens/otp"
)

// Account is a credential to be added. Its seed goes apart.
type Account struct {
	Issuer, Account string
	// Params are HOTP, TOTP or Steam, with 6 to 8 digits; what they do not say is [otp.Parameters.Default]. A TOTP account's
	// period goes into its name.
	Params otp.Parameters
	// Kind is for what Params cannot say: [ReverseHOTP] with Params of HOTP; [HMAC] and [Password] without. "" is what
	// Params say.
	Kind Kind
	// Counter is that of the first HOTP code, below 2^32. A CanoKey's first one is 1.
	Counter uint64
	// Touch asks for a touch for every code.
	Touch bool
	// PIN encrypts the account with the PIN. Nitrokey's.
	PIN bool
	// Overwrite replaces an account of the same name, on YubiKeys. Others refuse: delete it there.
	Overwrite bool
	// Fields are kept with the account. Nitrokey's.
	Fields Fields
}

// Limits of accounts.
const (
	minDigits = 6
	maxDigits = 8
	minSeed   = 2   // bytes, as ykman has it
	maxSeed   = 512 // bytes; a longer one than a hash's block is hashed
	// hmacSeed is how long a seed must be, at least, on the device. Zeros behind it do not change an HMAC; in front
	// of it they would.
	hmacSeed = 14
	// slotSeed is how long the seed of Nitrokey's HMAC is, always.
	slotSeed = 20
)

// Put adds an account. seed is the caller's, to be wiped. Unless a.Overwrite is set, an account of the same name is an
// [ErrExists], on all devices. It returns the credential as [Session.List] would.
func (s *Session) Put(ctx context.Context, a Account, seed []byte) (Credential, error) {
	r := &request{op: "add", account: name{issuer: a.Issuer, account: a.Account}.String(), cmd: CmdPut}
	p, err := s.plan(a, seed)
	if err != nil {
		return Credential{}, s.fail(r, 0, err)
	}
	defer clear(p.seed)
	r.account, r.pin = p.credential.ID, a.PIN || p.credential.Kind == ReverseHOTP
	// Its PUT refuses a name that exists, and must follow the PIN at once.
	if !s.nitrokey() && (!a.Overwrite || s.prefixFault()) {
		if err := s.mayAdd(ctx, r.account, a.Overwrite); err != nil {
			return Credential{}, s.fail(r, 0, err)
		}
	}
	if s.nitrokey() {
		r.touch = s.each(p.credential)
	}
	r.data = p.encode()
	if _, err := s.do(ctx, r); err != nil {
		return Credential{}, err
	}
	return p.credential, nil
}

// prefixFault says whether the device is one of those that take an account for another one whose name begins the same:
// YubiKeys 4 before 4.3.5.
func (s *Session) prefixFault() bool {
	return s.yubikey() && s.info.Version.within(Version{4, 0, 0}, Version{4, 3, 5})
}

// mayAdd looks for what is in the way of a new name.
func (s *Session) mayAdd(ctx context.Context, id string, overwrite bool) error {
	there, err := s.List(ctx)
	if err != nil {
		return err
	}
	for _, c := range there {
		switch {
		case c.ID == id && !overwrite:
			return ErrExists
		case c.ID != id && strings.HasPrefix(c.ID, id) && s.prefixFault():
			return ErrPrefix
		}
	}
	return nil
}

// plan is what PUT will say.
type plan struct {
	credential Credential
	typed      byte // kind and hash
	digits     byte
	seed       []byte
	properties byte
	counter    uint32
	fields     Fields
}

// plan checks an account against what the device can.
func (s *Session) plan(a Account, seed []byte) (*plan, error) {
	kind := cmp.Or(a.Kind, Kind(a.Params.Kind))
	params := a.Params
	if kind == HMAC || kind == Password {
		params = otp.Parameters{Kind: otp.HOTP}
	}
	params = params.Default()
	if err := params.Check(); err != nil {
		return nil, err
	}
	p := &plan{typed: algorithmOf(params.Hash), digits: byte(params.Digits), fields: a.Fields}
	n := name{issuer: a.Issuer, account: a.Account}
	switch {
	case kind == HOTP && params.Kind == otp.HOTP:
		p.typed |= typeHOTP
	case kind == TOTP && params.Kind == otp.TOTP:
		p.typed |= typeTOTP
		n.period = params.Period
		if n.issuer == steamIssuer {
			return nil, fmt.Errorf("%w: the issuer Steam makes Steam's letters of a code; give parameters of Steam, or another issuer", ErrName)
		}
	case kind == Steam && params.Kind == otp.Steam:
		p.typed |= typeTOTP
		p.digits = minDigits // the device's, for what does not know of the letters
		n.period = params.Period
		if n.issuer = cmp.Or(n.issuer, steamIssuer); n.issuer != steamIssuer {
			return nil, fmt.Errorf("%w: Steam's codes are known by the issuer Steam", ErrName)
		}
	case kind == ReverseHOTP && params.Kind == otp.HOTP && s.nitrokey():
		p.typed |= typeReverse
	case kind == HMAC && s.nitrokey():
		p.typed |= typeHMAC
	case kind == Password && s.nitrokey():
		p.typed |= typePassword
	case kind == ReverseHOTP || kind == HMAC || kind == Password:
		return nil, unsupported("accounts of that kind are Nitrokey's")
	default:
		return nil, fmt.Errorf("%w: an account of kind %.20q with parameters of %.20q", ErrArgument, string(kind), string(params.Kind))
	}
	if err := s.can(kind, params, a); err != nil {
		return nil, err
	}
	limit := maxName
	if s.nitrokey() {
		limit = maxNameNitrokey
	}
	if err := n.check(limit); err != nil {
		return nil, err
	}
	if a.Touch {
		p.properties |= PropertyTouch
	}
	if a.PIN {
		p.properties |= PropertyPIN
	}
	p.counter = s.firstCounter(kind, a.Counter)
	var err error
	if p.seed, err = prepare(kind, params.Hash, seed); err != nil {
		return nil, err
	}
	p.credential = newCredential(n.String(), p.typed)
	p.credential.Touch, p.credential.PIN, p.credential.Data = TouchNever, a.PIN, !a.Fields.empty()
	if a.Touch {
		p.credential.Touch = TouchAlways
	}
	switch kind {
	case Steam, HMAC, Password:
	default:
		p.credential.Digits = params.Digits
	}
	return p, nil
}

// can says why the device, with its firmware, cannot have an account.
func (s *Session) can(kind Kind, p otp.Parameters, a Account) error {
	v := s.info.Version
	switch {
	case p.Epoch != 0:
		return unsupported("it has no place for a clock that does not begin in 1970")
	case kind != Steam && p.Digits > maxDigits:
		return unsupported("codes have 6 to 8 digits there")
	case a.Counter > math.MaxUint32:
		return unsupported("counters have 32 bits there")
	case a.Counter != 0 && kind != HOTP && kind != ReverseHOTP:
		return fmt.Errorf("%w: a counter for an account without", ErrArgument)
	case (a.PIN || !a.Fields.empty()) && !s.nitrokey():
		return unsupported("PINs and passwords of accounts are Nitrokey's")
	case (!a.Fields.empty() || kind == HMAC || kind == Password) && v.Before(4, 11, 0):
		return unsupported("passwords and HMAC need firmware 4.11 of its secrets app")
	case kind == Password && a.Fields.empty():
		return fmt.Errorf("%w: a password account without login, password and notes", ErrArgument)
	case a.PIN && s.info.Protection != ProtectionPIN:
		return fmt.Errorf("%w: the account should be encrypted with it", ErrNotProtected)
	case p.Hash == otp.SHA512 && (s.nitrokey() || v.Before(4, 3, 1) || s.yubikey() && v.within(Version{4, 4, 0}, Version{4, 5, 0})):
		return unsupported("SHA-512 needs a YubiKey with firmware 4.3.1, not of the FIPS series")
	case a.Touch && !s.nitrokey() && v.Before(4, 2, 6):
		return unsupported("a touch for each code needs firmware 4.2.6")
	}
	return a.Fields.check()
}

// firstCounter is what to send so that the first code is that of counter. A CanoKey counts before it makes one.
func (s *Session) firstCounter(kind Kind, counter uint64) uint32 {
	if s.info.Model == ModelCanoKey && kind == HOTP && counter > 0 {
		counter--
	}
	return uint32(counter)
}

// prepare makes a copy of the seed as devices take it: hashed where it is longer than a block (RFC 2104), filled up with
// zeros behind where it is short.
func prepare(kind Kind, h otp.Hash, seed []byte) ([]byte, error) {
	switch kind {
	case Password:
		if len(seed) != 0 {
			return nil, fmt.Errorf("%w: a seed for a password", ErrArgument)
		}
		return make([]byte, slotSeed), nil // PUT must have one
	case HMAC:
		if len(seed) != slotSeed {
			return nil, fmt.Errorf("%w: a seed of %d bytes, HMAC takes %d", ErrArgument, len(seed), slotSeed)
		}
	}
	if len(seed) < minSeed || len(seed) > maxSeed {
		return nil, fmt.Errorf("%w: a seed of %d bytes, want %d to %d", ErrArgument, len(seed), minSeed, maxSeed)
	}
	sum := h.New()()
	b := make([]byte, 0, max(len(seed), hmacSeed, sum.Size()))
	if len(seed) > sum.BlockSize() {
		sum.Write(seed)
		b = sum.Sum(b)
	} else {
		b = append(b, seed...)
	}
	for len(b) < hmacSeed {
		b = append(b, 0)
	}
	return b, nil
}

func (p *plan) encode() []byte {
	size := len(p.credential.ID) + len(p.seed) + p.fields.size() + 32
	key := append(append(make([]byte, 0, size), p.typed, p.digits), p.seed...)
	defer clear(key)
	b := make([]byte, 0, size) // grown, it would leave copies of the seed
	b = AppendTLV(b, TagName, []byte(p.credential.ID))
	b = AppendTLV(b, TagKey, key)
	if p.properties != 0 {
		b = append(b, TagProperty, p.properties) // no length here, alone of all tags
	}
	if p.counter != 0 {
		b = AppendTLV(b, TagIMF, binary.BigEndian.AppendUint32(nil, p.counter))
	}
	return p.fields.append(b)
}
