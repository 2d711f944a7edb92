package ctap2_test

import (
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
)

// transportFunc is an authenticator of one line.
type transportFunc func(request []byte) ([]byte, error)

func (f transportFunc) CBOR(_ context.Context, request []byte, _ func(byte)) ([]byte, error) {
	return f(request)
}

// pinKey is the part of an authenticator that knows a PIN: clientPIN with every subcommand,
// and hmac-secret.
type pinKey struct {
	t       *testing.T
	priv    *ecdh.PrivateKey
	pinHash []byte
	pin     string // the last that was set
	retries uint
	locked  bool // until replugged
	uv      bool // what built-in user verification will say
	uvLeft  uint
	token   []byte
	granted ctap2.Permission
	rpID    string

	commands []string // what was asked
}

func newPINKey(t *testing.T, token int) *pinKey {
	t.Helper()
	priv, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &pinKey{t: t, priv: priv, retries: 8, uvLeft: 3, token: repeat(0x5A, token)}
}

func (k *pinKey) CBOR(_ context.Context, request []byte, _ func(byte)) ([]byte, error) {
	resp, err := k.answer(ctap2.Cmd(request[0]), request[1:])
	if err != nil {
		return []byte{byte(ctap2.StatusOf(err))}, nil
	}
	return ctap2.MarshalResponse(resp)
}

func (k *pinKey) answer(cmd ctap2.Cmd, data []byte) (any, error) {
	if err := ctap2.Canonical(data); err != nil {
		k.t.Errorf("%v: %v", cmd, err)
	}
	if cmd == ctap2.CmdGetAssertion {
		return k.assert(data)
	}
	var r ctap2.ClientPINRequest
	if err := ctap2.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	p := r.PINUVAuthProtocol
	var secret []byte
	if r.KeyAgreement != nil {
		var err error
		if secret, err = p.Decapsulate(k.priv, r.KeyAgreement); err != nil {
			return nil, ctap2.ErrInvalidParameter
		}
	}
	name := map[ctap2.ClientPINSubcommand]string{1: "retries", 2: "agree", 3: "set", 4: "change", 5: "legacy token", 6: "uv token", 7: "uv retries", 9: "pin token"}
	k.commands = append(k.commands, name[r.Subcommand])
	switch r.Subcommand {
	case ctap2.SubGetPINRetries:
		resp := &ctap2.ClientPINResponse{PINRetries: new(k.retries)}
		if k.locked {
			resp.PowerCycleState = new(true)
		}
		return resp, nil
	case ctap2.SubGetUVRetries:
		return &ctap2.ClientPINResponse{UVRetries: new(k.uvLeft)}, nil
	case ctap2.SubGetKeyAgreement:
		return &ctap2.ClientPINResponse{KeyAgreement: pinuv.PublicKey(k.priv)}, nil
	case ctap2.SubSetPIN:
		if !p.Verify(secret, r.NewPINEnc, r.PINUVAuthParam) || k.pinHash != nil {
			return nil, ctap2.ErrPINAuthInvalid
		}
		return nil, k.store(p, secret, r.NewPINEnc)
	case ctap2.SubChangePIN:
		if !p.Verify(secret, append(bytes.Clone(r.NewPINEnc), r.PINHashEnc...), r.PINUVAuthParam) {
			return nil, ctap2.ErrPINAuthInvalid
		}
		if err := k.check(p, secret, r.PINHashEnc); err != nil {
			return nil, err
		}
		return nil, k.store(p, secret, r.NewPINEnc)
	case ctap2.SubGetPINToken, ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions:
		if err := k.check(p, secret, r.PINHashEnc); err != nil {
			return nil, err
		}
	case ctap2.SubGetPINUVAuthTokenUsingUVWithPermissions:
		if !k.uv {
			k.uvLeft--
			return nil, ctap2.ErrUVInvalid
		}
	default:
		return nil, ctap2.ErrInvalidSubcommand
	}
	k.granted, k.rpID = 0, r.RPID
	if r.Permissions != nil {
		k.granted = *r.Permissions
	}
	enc, err := p.Encrypt(secret, k.token)
	return &ctap2.ClientPINResponse{PINUVAuthToken: enc}, err
}

func (k *pinKey) store(p pinuv.Protocol, secret, enc []byte) error {
	padded, err := p.Decrypt(secret, enc)
	if err != nil {
		return ctap2.ErrInvalidParameter
	}
	pin, err := pinuv.UnpadPIN(padded)
	if err != nil || len(pin) < 4 {
		return ctap2.ErrPINPolicyViolation
	}
	hash := pinuv.PINHash(pin)
	k.pin, k.pinHash = string(pin), hash[:]
	return nil
}

func (k *pinKey) check(p pinuv.Protocol, secret, enc []byte) error {
	if k.locked {
		return ctap2.ErrPINAuthBlocked
	}
	k.retries--
	got, err := p.Decrypt(secret, enc)
	if err != nil || !hmac.Equal(got, k.pinHash) {
		if k.locked = k.retries == 5; k.locked {
			return ctap2.ErrPINAuthBlocked
		}
		return ctap2.ErrPINInvalid
	}
	k.retries = 8
	return nil
}

// assert answers with the HMACs of the salts under a key of zeros.
func (k *pinKey) assert(data []byte) (any, error) {
	var r ctap2.GetAssertionRequest
	if err := ctap2.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	a := ctap2.AuthData{Flags: ctap2.FlagUP}
	if r.Extensions != nil && r.Extensions.HMACSecret != nil {
		in := r.Extensions.HMACSecret
		p := max(in.PINUVAuthProtocol, pinuv.One)
		secret, err := p.Decapsulate(k.priv, &in.KeyAgreement)
		if err != nil || !p.Verify(secret, in.SaltEnc, in.SaltAuth) {
			return nil, ctap2.ErrPINAuthInvalid
		}
		salts, err := p.Decrypt(secret, in.SaltEnc)
		if err != nil {
			return nil, err
		}
		var out []byte
		for ; len(salts) > 0; salts = salts[32:] {
			out = append(out, hmacSecret(salts[:32])...)
		}
		enc, err := p.Encrypt(secret, out)
		if err != nil {
			return nil, err
		}
		a.Flags |= ctap2.FlagED
		if a.Extensions, err = ctap2.Marshal(ctap2.GetAssertionOutputs{HMACSecret: enc}); err != nil {
			return nil, err
		}
	}
	authData, err := a.Marshal()
	return &ctap2.GetAssertionResponse{AuthData: authData, Signature: []byte{1}}, err
}

func hmacSecret(salt []byte) []byte {
	h := hmac.New(sha256.New, make([]byte, 32))
	h.Write(salt)
	return h.Sum(nil)
}
