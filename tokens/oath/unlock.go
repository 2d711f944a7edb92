package oath

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"fmt"
	"io"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/u2f/apdu"
)

// The derivation of the access code's key.
const (
	keyRounds = 1000
	keySize   = 16
)

// challengeSize is that of a challenge to the card, which takes 8 bytes and more.
const challengeSize = 8

// Unlock unlocks the device with its access code or PIN. secret is the caller's, to be wiped. An access code opens all
// until the applet is selected again; a PIN is good for the next command only, and the device asks for a touch before it looks
// at it. A wrong PIN costs a try: with one left, Unlock returns [ErrLastTry] unless Options.LastTry is set.
func (s *Session) Unlock(ctx context.Context, secret []byte) error {
	switch s.info.Protection {
	case ProtectionCode:
		key, err := s.AccessKey(secret)
		if err != nil {
			return err
		}
		defer clear(key)
		return s.UnlockKey(ctx, key)
	case ProtectionPIN:
		return s.verifyPIN(ctx, secret)
	}
	return s.fail(&request{op: "unlock"}, 0, ErrNotProtected)
}

// AccessKey derives the key from an access code: PBKDF2 with HMAC-SHA1, the salt of SELECT and 1000 rounds. Whoever has it
// unlocks the device as with the code, until the next reset; the caller wipes it.
func (s *Session) AccessKey(code []byte) ([]byte, error) {
	r := &request{op: "unlock"}
	if len(code) == 0 {
		return nil, s.fail(r, 0, fmt.Errorf("%w: the access code is empty", ErrArgument))
	}
	if len(s.salt) == 0 {
		return nil, s.fail(r, 0, unsupported("it has a PIN in the place of an access code"))
	}
	key, err := pbkdf2.Key(sha1.New, string(code), s.salt, keyRounds, keySize)
	if err != nil {
		return nil, s.fail(r, 0, err)
	}
	return key, nil
}

// UnlockKey is [Session.Unlock] with a key of [Session.AccessKey].
func (s *Session) UnlockKey(ctx context.Context, key []byte) error {
	r := &request{op: "unlock", cmd: CmdValidate}
	if s.info.Protection != ProtectionCode {
		return s.fail(r, 0, ErrNotProtected)
	}
	if s.challenge == nil {
		// Each SELECT makes a new one; what was answered once must do no more.
		if err := s.choose(ctx); err != nil {
			return err
		}
		if s.info.Protection != ProtectionCode {
			return s.fail(r, 0, ErrNotProtected)
		}
	}
	own, err := s.random()
	if err != nil {
		return s.fail(r, 0, err)
	}
	r.data = AppendTLV(r.data, TagResponse, mac(s.hash, key, s.challenge))
	r.data = AppendTLV(r.data, TagChallenge, own)
	s.challenge = nil
	response, err := s.exchange(ctx, r)
	if err != nil {
		return s.fail(r, 0, err)
	}
	if response.SW != apdu.OK {
		return s.refuse(r, response.SW, false)
	}
	proof, err := only(response.Data, TagResponse)
	if err != nil {
		return s.fail(r, 0, err)
	}
	if !hmac.Equal(proof, mac(s.hash, key, own)) {
		return s.fail(r, 0, ErrImpostor)
	}
	s.info.Unlocked = true
	return nil
}

// SetCode sets the access code, or changes it where the session is unlocked, and unlocks the device with it. code is the
// caller's, to be wiped. Who forgets it can only reset the device.
func (s *Session) SetCode(ctx context.Context, code []byte) error {
	if s.nitrokey() {
		return s.fail(&request{op: "set access code"}, 0, unsupported("it has a PIN in the place of an access code"))
	}
	key, err := s.AccessKey(code)
	if err != nil {
		return err
	}
	defer clear(key)
	return s.setKey(ctx, key, otp.SHA1)
}

// setKey sets the access code's key. ykman knows SHA1 only, so that is what SetCode takes.
func (s *Session) setKey(ctx context.Context, key []byte, h otp.Hash) error {
	r := &request{op: "set access code", cmd: CmdSetCode}
	own, err := s.random()
	if err != nil {
		return s.fail(r, 0, err)
	}
	typed := append([]byte{typeTOTP | algorithmOf(h)}, key...)
	defer clear(typed)
	r.data = make([]byte, 0, 128) // grown, it would leave copies of the key
	r.data = AppendTLV(r.data, TagKey, typed)
	r.data = AppendTLV(r.data, TagChallenge, own)
	r.data = AppendTLV(r.data, TagResponse, mac(h, key, own))
	if _, err := s.do(ctx, r); err != nil {
		return err
	}
	// A NEO and a CanoKey are locked from here on, others are not. This is right for both, and proves the code.
	if err := s.choose(ctx); err != nil {
		return err
	}
	return s.UnlockKey(ctx, key)
}

// RemoveCode takes the access code away. FIPS series devices refuse.
func (s *Session) RemoveCode(ctx context.Context) error {
	if s.info.Protection != ProtectionCode {
		return s.fail(&request{op: "remove access code"}, 0, ErrNotProtected)
	}
	if _, err := s.do(ctx, &request{op: "remove access code", cmd: CmdSetCode, data: AppendTLV(nil, TagKey, nil)}); err != nil {
		return err
	}
	return s.choose(ctx)
}

func (s *Session) random() ([]byte, error) {
	b := make([]byte, challengeSize)
	_, err := io.ReadFull(s.o.Rand, b)
	return b, err
}

func mac(h otp.Hash, key, message []byte) []byte {
	m := hmac.New(h.New(), key)
	m.Write(message)
	return m.Sum(nil)
}

func algorithmOf(h otp.Hash) byte {
	switch h {
	case otp.SHA256:
		return algorithmSHA256
	case otp.SHA512:
		return algorithmSHA512
	}
	return algorithmSHA1
}
