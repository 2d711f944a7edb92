package oath

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/u2f/apdu"
)

// Options are of a [Session]. The zero value works with any card.
type Options struct {
	// Model is what the caller knows of the device, see [ModelOfReader]; "" means what its answers tell.
	Model Model
	// Extended says that reader and card take extended APDUs: YubiKeys from 4 on over USB. Otherwise long commands go in
	// chains of short ones, which everything takes. Whichever is refused, the other one is tried.
	Extended bool
	// Touch, if not nil, is called with true when the device waits for a touch, or probably does, and with false when
	// it does not any more. It may be called on another goroutine, never twice at once, and not after the method
	// returned that the wait was for. It must return at once and not use the Session.
	Touch func(waiting bool)
	// Ask, if not nil, is called when a command needs the access code or PIN. What it returns is tried once and wiped;
	// then the command is sent once more. Its error ends the command.
	Ask func(ctx context.Context, i Info) ([]byte, error)
	// LastTry allows to spend the last try of a PIN.
	LastTry bool
	// Rand is where challenges come from; nil for crypto/rand. For tests.
	Rand io.Reader
}

// Protection is how a device keeps its credentials from strangers.
type Protection string

// The kinds of protection.
const (
	ProtectionNone Protection = ""
	// ProtectionCode is YKOATH's access code: until it is validated, the device answers nothing.
	ProtectionCode Protection = "code"
	// ProtectionPIN is Nitrokey's: only what is encrypted with the PIN needs it, and it is good for one command.
	ProtectionPIN Protection = "pin"
)

// Info is what a device says about itself.
type Info struct {
	Model   Model   `json:"model"`
	Version Version `json:"version"`
	// DeviceID is as Yubico's ykman shows it. It changes with a reset. A Nitrokey with a PIN does not tell it: then it
	// is empty.
	DeviceID string `json:"deviceID,omitempty"`
	// Serial is Nitrokey's serial number, in hexadecimal; empty for others.
	Serial     string     `json:"serial,omitempty"`
	Protection Protection `json:"protection,omitempty"`
	// Unlocked says that nothing is in the way: there is no protection, or the access code was validated. With a PIN
	// it is true from [Session.Unlock] to the end of the next command.
	Unlocked bool `json:"unlocked"`
	// Tries is how many tries the PIN has left, -1 where there is none.
	Tries int `json:"tries"`
}

// Session is a conversation with the applet, from its selection on. It is for one goroutine at a time. It has no end of
// its own: the card is the caller's.
type Session struct {
	card        Card
	o           Options
	overCTAPHID bool
	extended    bool
	workaround  bool
	longSince   time.Time // when the last response came, if it was a long one

	info      Info
	salt      []byte
	challenge []byte   // the card's, nil when it was used
	hash      otp.Hash // of the access code
	missed    time.Time
}

// Select selects the applet and reads what it says about itself.
func Select(ctx context.Context, card Card, o Options) (*Session, error) {
	s := &Session{card: card, o: o, extended: o.Extended}
	_, s.overCTAPHID = card.(*CTAPHID)
	s.extended = s.extended || s.overCTAPHID
	if s.o.Rand == nil {
		s.o.Rand = rand.Reader
	}
	if err := s.choose(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Info returns what the device said at the last SELECT, and what was found out since.
func (s *Session) Info() Info { return s.info }

// choose selects the applet: at the beginning, and whenever the card's challenge or state is to be read anew.
func (s *Session) choose(ctx context.Context) error {
	// Empty before the answer: SELECT ends what was unlocked.
	s.info.Unlocked = false
	r := &request{op: "select", cmd: CmdSelect, p1: 4, data: AID()}
	response, err := s.exchange(ctx, r)
	if err != nil {
		return s.fail(r, 0, err)
	}
	switch sw := response.SW; sw {
	case apdu.OK:
	case apdu.ErrNotFound, apdu.ErrInsNotSupported, apdu.ErrClaNotSupported, apdu.ErrWrongP1P2:
		return s.fail(r, sw, ErrNoApplet)
	default:
		return s.fail(r, sw, ErrRefused)
	}
	if err := s.selected(response.Data); err != nil {
		return s.fail(r, 0, err)
	}
	return nil
}

// selected reads SELECT's response.
func (s *Session) selected(b []byte) error {
	tlvs, err := ParseTLVs(b)
	if err != nil {
		return err
	}
	i := Info{Model: s.o.Model, Tries: -1}
	var salt, challenge []byte
	algorithm := algorithmSHA1
	version := false
	for _, t := range tlvs {
		n := len(t.Value)
		switch {
		case t.Tag == TagVersion && n == len(i.Version):
			i.Version, version = Version(t.Value), true
		case t.Tag == TagName && n > 0:
			salt = append(salt[:0], t.Value...)
		case t.Tag == TagChallenge && n > 0:
			challenge = append(challenge[:0], t.Value...)
		case t.Tag == TagAlgorithm && n == 1:
			algorithm = t.Value[0]
		case t.Tag == TagSerial && n == 4:
			i.Serial = fmt.Sprintf("%08x", binary.BigEndian.Uint32(t.Value))
		case t.Tag == TagTries && n == 1:
			i.Tries = int(t.Value[0])
		case t.Tag >= TagName && t.Tag <= TagTouch, t.Tag == TagSerial, t.Tag == TagTries:
			return fmt.Errorf("%w: tag %02x with %d bytes", ErrMalformed, t.Tag, n)
		}
	}
	if !version {
		return fmt.Errorf("%w: no version", ErrMalformed)
	}
	if i.Serial != "" || i.Tries >= 0 {
		i.Model = ModelNitrokey
	}
	i.Model = cmp.Or(i.Model, ModelYubiKey)
	switch {
	case i.Tries >= 0:
		i.Protection = ProtectionPIN
	case len(challenge) > 0:
		i.Protection = ProtectionCode
	default:
		i.Unlocked = true
	}
	if len(salt) == 0 && i.Model != ModelNitrokey {
		return fmt.Errorf("%w: no salt", ErrMalformed)
	}
	if len(salt) > 0 {
		sum := sha256.Sum256(salt)
		i.DeviceID = base64.RawStdEncoding.EncodeToString(sum[:16])
	}
	if s.hash = newCredential("", algorithm).Hash; s.hash == "" {
		return fmt.Errorf("%w: algorithm %02x", ErrMalformed, algorithm)
	}
	s.info, s.salt, s.challenge = i, salt, challenge
	s.workaround = s.yubikey() && i.Version.within(Version{4, 2, 0}, Version{4, 2, 7})
	return nil
}

func (s *Session) yubikey() bool  { return s.info.Model == ModelYubiKey }
func (s *Session) nitrokey() bool { return s.info.Model == ModelNitrokey }

// do sends a command that may need the access code or PIN, and returns its response's data.
func (s *Session) do(ctx context.Context, r *request) ([]byte, error) {
	asked := false
	if !s.info.Unlocked && (s.info.Protection == ProtectionCode || r.pin && s.info.Protection == ProtectionPIN) {
		asked = true
		if err := s.ask(ctx, r); err != nil {
			return nil, err
		}
	}
	data := slices.Clone(r.data)
	defer clear(data)
	for {
		unlocked := s.info.Unlocked
		response, err := s.exchange(ctx, r)
		if s.info.Protection == ProtectionPIN {
			s.info.Unlocked = false // it was good for this command
		}
		if err != nil {
			return nil, s.fail(r, 0, err)
		}
		if response.SW == apdu.OK {
			return response.Data, nil
		}
		// A Nitrokey says of what is encrypted with the PIN that it is not there.
		hidden := s.info.Protection == ProtectionPIN && !unlocked && r.account != "" && response.SW == apdu.ErrNotFound
		if hidden && s.o.Ask != nil && !asked {
			asked = true
			if err := s.ask(ctx, r); err != nil {
				return nil, err
			}
			r.data = slices.Clone(data)
			continue
		}
		if hidden && !asked {
			return nil, s.fail(r, response.SW, fmt.Errorf("%w, or unlock the device with its PIN: accounts that need it do not show without", ErrNotFound))
		}
		return nil, s.refuse(r, response.SW, unlocked)
	}
}

// ask gets the access code or PIN from the caller and unlocks the device.
func (s *Session) ask(ctx context.Context, r *request) error {
	if s.o.Ask == nil {
		return s.fail(r, 0, ErrLocked)
	}
	secret, err := s.o.Ask(ctx, s.info)
	defer clear(secret)
	if err != nil {
		return s.fail(r, 0, err)
	}
	return s.Unlock(ctx, secret)
}

// fail makes the error of a command. Wrong arguments and what the device refuses are told by it alike.
func (s *Session) fail(r *request, sw apdu.SW, err error) error {
	var done *Error
	if errors.As(err, &done) {
		return err
	}
	return &Error{Op: r.op, Account: valid(r.account), SW: sw, Tries: -1, Err: err}
}
