// Package token2 is the client of the one-time-code application on Token2's PIN+ keys, over the feature reports of their FIDO interface. The
// emulated one is package softtoken2.
//
// Written from the protocol, as the makers of keyroost have described it, not yet seen with a device. Where the description leaves something
// open, a comment says what is assumed. The mask of the key's interfaces is never written: a wrong one makes the key unusable.
package token2

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/fobd/fobd/u2f/apdu"
)

// AID names the application.
func AID() []byte { return []byte{0xF0, 0x00, 0x00, 0x01, 0x4F, 0x74, 0x70, 0x01} }

// Class and instruction of all commands; P1 and P2 say which.
const (
	CLA = 0x80
	INS = 0xC5

	PublicKey = 0x0100
	Enumerate = 0x0500
	Continue  = 0x0501
	WriteSeed = 0x0502

	// What Enumerate asks for.
	One byte = 0x01
	All byte = 0x03
)

// IV is that of encrypted entries; the key is another one each time.
var IV = [aes.BlockSize]byte{0x9d, 0xd8, 0x91, 0x8e, 0x34, 0xf3, 0xcc, 0xab, 0x08, 0xcb, 0x75, 0x18, 0xf7, 0x19, 0x38, 0xf1}

// What can be wrong. Each says what to do next.
var (
	ErrMalformed = errors.New("token2: malformed answer from the key; unplug it and try again")
	ErrSilent    = errors.New("token2: the key does not go on; unplug it and plug it in again")
	ErrNotFound  = errors.New("token2: there is no such account; list the accounts")
	ErrFull      = errors.New("token2: the key has no room for another account; delete one first")
	ErrButton    = errors.New("token2: nobody pressed the key's button in time; try again and press it when it blinks")
	ErrNoApplet  = errors.New("token2: the key has no application for one-time codes")
	ErrRefused   = errors.New("token2: the key refuses")
	ErrArgument  = errors.New("token2: invalid argument")
)

// Status words with meanings of their own.
const (
	swNone   apdu.SW = 0x6A83
	swButton apdu.SW = 0x6FF9
)

// Card sends a command APDU and returns the response with its status word.
type Card interface {
	Transmit(ctx context.Context, command []byte) ([]byte, error)
}

// Entry is an account.
type Entry struct {
	Timed   bool // TOTP, else HOTP
	SHA256  bool
	Period  uint16 // seconds
	Digits  byte
	Button  bool
	App     string
	Account string
	// Code is empty where a button, or a counter, stands before it.
	Code string
}

// Limits.
const (
	maxText    = 64
	maxSeed    = 64
	maxPages   = 256
	maxEntries = 512
)

const (
	typeTimed   = 0x01
	hashSHA1    = 0xC1
	hashSHA256  = 0xC2
	morePages   = 0x80
	fixedFields = 6
)

// Append appends the entry's bytes, and a text behind them: the code in what a key says, the seed in what it is told.
func (e *Entry) Append(b, last []byte) []byte {
	kind, hash, button := byte(0), byte(hashSHA1), byte(0)
	if e.Timed {
		kind = typeTimed
	}
	if e.SHA256 {
		hash = hashSHA256
	}
	if e.Button {
		button = 1
	}
	b = append(b, kind, hash)
	b = binary.BigEndian.AppendUint16(b, e.Period)
	b = append(b, e.Digits, button)
	for _, text := range []string{e.App, e.Account} {
		b = append(append(b, byte(len(text))), text...)
	}
	return append(append(b, byte(len(last))), last...)
}

// Cut reads an entry, and what is behind it. withCode says that there is a code: of TOTP without a button, and of an entry that was asked for
// alone. The error is an [ErrMalformed].
func Cut(b []byte, withCode func(*Entry) bool) (e *Entry, last, rest []byte, err error) {
	if len(b) < fixedFields || b[0] > typeTimed || b[1] != hashSHA1 && b[1] != hashSHA256 || b[4] < 4 || b[4] > 10 {
		return nil, nil, nil, fmt.Errorf("%w: an entry of %d bytes", ErrMalformed, len(b))
	}
	e = &Entry{Timed: b[0] == typeTimed, SHA256: b[1] == hashSHA256, Period: binary.BigEndian.Uint16(b[2:]), Digits: b[4], Button: b[5] != 0}
	if e.Timed && e.Period == 0 {
		return nil, nil, nil, fmt.Errorf("%w: a period of 0 s", ErrMalformed)
	}
	b = b[fixedFields:]
	text := func() (s []byte, ok bool) {
		if len(b) == 0 || int(b[0]) > len(b)-1 {
			return nil, false
		}
		s, b = b[1:1+int(b[0])], b[1+int(b[0]):]
		return s, true
	}
	app, one := text()
	account, two := text()
	three := true
	if withCode(e) {
		last, three = text()
	}
	if !one || !two || !three {
		return nil, nil, nil, fmt.Errorf("%w: texts of an entry", ErrMalformed)
	}
	e.App, e.Account = string(app), string(account)
	return e, last, b, nil
}

// Session is a conversation with the application. It is for one goroutine at a time.
type Session struct {
	card Card
	// Rand makes keys; crypto/rand unless a test says otherwise.
	Rand io.Reader
}

// Select begins a Session.
func Select(ctx context.Context, card Card) (*Session, error) {
	s := &Session{card: card, Rand: rand.Reader}
	c := apdu.Command{INS: 0xA4, P1: 4, Data: AID()}
	r, err := s.exchange(ctx, c)
	if err != nil {
		return nil, err
	}
	if r.SW != apdu.OK {
		return nil, fmt.Errorf("%w (%04x)", ErrNoApplet, uint16(r.SW))
	}
	return s, nil
}

func (s *Session) exchange(ctx context.Context, c apdu.Command) (apdu.Response, error) {
	b, err := c.Extended()
	if len(c.Data) <= apdu.MaxShortData && c.Le <= apdu.MaxShortLe {
		b, err = c.Short()
	}
	if err != nil {
		return apdu.Response{}, fmt.Errorf("%w: %w", ErrArgument, err)
	}
	defer clear(b)
	answer, err := s.card.Transmit(ctx, b)
	if err != nil {
		return apdu.Response{}, err
	}
	r, err := apdu.ParseResponse(answer)
	if err != nil {
		return apdu.Response{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return r, nil
}

// do sends one of the application's commands.
func (s *Session) do(ctx context.Context, which uint16, data []byte) ([]byte, error) {
	r, err := s.exchange(ctx, apdu.Command{CLA: CLA, INS: INS, P1: byte(which >> 8), P2: byte(which), Data: data, Le: apdu.MaxShortLe})
	if err != nil {
		return nil, err
	}
	switch r.SW {
	case apdu.OK:
		return r.Data, nil
	case apdu.ErrWrongData, swNone:
		return nil, ErrNotFound
	case apdu.ErrNoSpace:
		return nil, ErrFull
	case swButton:
		return nil, ErrButton
	}
	return nil, fmt.Errorf("%w (%04x)", ErrRefused, uint16(r.SW))
}

// List reads all entries, with the codes of those that need no button and count nothing. A key without any says that it finds none.
func (s *Session) List(ctx context.Context, at time.Time) ([]Entry, error) {
	now := binary.BigEndian.AppendUint64(nil, uint64(at.Unix()))
	b, err := s.do(ctx, Enumerate, append([]byte{All}, now...))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	var list []Entry
	for page := 0; ; page++ {
		if err != nil {
			return nil, err
		}
		more := len(b) > 0 && b[0]&morePages != 0
		// Assumed: the first byte of a page says only whether there are more; entries begin behind it.
		for rest := b[min(1, len(b)):]; len(rest) > 0; {
			var e *Entry
			var code []byte
			if e, code, rest, err = Cut(rest, func(e *Entry) bool { return e.Timed && !e.Button }); err != nil {
				return nil, err
			}
			e.Code = digits(code)
			if list = append(list, *e); len(list) > maxEntries {
				return nil, fmt.Errorf("%w: more than %d entries", ErrMalformed, maxEntries)
			}
		}
		if !more {
			return list, nil
		}
		if page == maxPages {
			return nil, fmt.Errorf("%w: more than %d pages", ErrMalformed, maxPages)
		}
		b, err = s.do(ctx, Continue, now)
	}
}

// digits is a code if it is one.
func digits(b []byte) string {
	for _, c := range b {
		if c < '0' || c > '9' {
			return ""
		}
	}
	return string(b)
}

// Code reads the code of one entry, after a press of the button if it wants one. One of HOTP counts.
func (s *Session) Code(ctx context.Context, e *Entry, at time.Time) (string, error) {
	data := binary.BigEndian.AppendUint64([]byte{One}, uint64(at.Unix()))
	data = append(append(data, byte(len(e.App))), e.App...)
	data = append(append(data, byte(len(e.Account))), e.Account...)
	b, err := s.do(ctx, Enumerate, data)
	if err != nil {
		return "", err
	}
	if len(b) == 0 {
		return "", fmt.Errorf("%w: nothing", ErrMalformed)
	}
	got, code, rest, err := Cut(b[1:], func(*Entry) bool { return true })
	switch {
	case err != nil:
		return "", err
	case len(rest) > 0 || got.App != e.App || got.Account != e.Account || len(code) != int(got.Digits) || digits(code) == "":
		return "", fmt.Errorf("%w: a code of another account, or none", ErrMalformed)
	}
	return string(code), nil
}

// Write puts an account on the key, in the place of one of the same name. seed is the caller's, to be wiped.
func (s *Session) Write(ctx context.Context, e *Entry, seed []byte) error {
	if len(e.App) > maxText || len(e.Account) > maxText || len(e.Account) == 0 || len(seed) == 0 || len(seed) > maxSeed {
		return fmt.Errorf("%w: names of %d and %d bytes, a seed of %d; there is room for %d each", ErrArgument, len(e.App), len(e.Account), len(seed), maxText)
	}
	return s.write(ctx, e, seed)
}

// Delete takes an account away. Assumed: an entry that is written without a seed is deleted.
func (s *Session) Delete(ctx context.Context, e *Entry) error { return s.write(ctx, e, nil) }

// write sends an entry, encrypted for the key: ECDH on P-256 with a key pair of this once, SHA-256 of X, AES-256 in CBC.
func (s *Session) write(ctx context.Context, e *Entry, seed []byte) error {
	b, err := s.do(ctx, PublicKey, nil)
	if err != nil {
		return err
	}
	theirs, err := ecdh.P256().NewPublicKey(append([]byte{4}, b...))
	if err != nil {
		return fmt.Errorf("%w: its public key: %w", ErrMalformed, err)
	}
	ours, err := ecdh.P256().GenerateKey(s.Rand)
	if err != nil {
		return fmt.Errorf("token2: %w", err)
	}
	plain := pad(e.Append(make([]byte, 0, 512), seed))
	defer clear(plain)
	mode, err := crypter(ours, theirs, cipher.NewCBCEncrypter)
	if err != nil {
		return err
	}
	mode.CryptBlocks(plain, plain)
	_, err = s.do(ctx, WriteSeed, append(ours.PublicKey().Bytes()[1:], plain...))
	return err
}

func crypter(ours *ecdh.PrivateKey, theirs *ecdh.PublicKey, mode func(cipher.Block, []byte) cipher.BlockMode) (cipher.BlockMode, error) {
	x, err := ours.ECDH(theirs)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	defer clear(x)
	key := sha256.Sum256(x)
	defer clear(key[:])
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("token2: %w", err)
	}
	return mode(block, IV[:]), nil
}

// pad is PKCS#7's (RFC 5652, section 6.3).
func pad(b []byte) []byte {
	n := aes.BlockSize - len(b)%aes.BlockSize
	for range n {
		b = append(b, byte(n))
	}
	return b
}

// Open decrypts what [Session.Write] sends, on the key's side. The error is an [ErrMalformed].
func Open(ours *ecdh.PrivateKey, blob []byte) (e *Entry, seed []byte, err error) {
	if len(blob) < 64+aes.BlockSize || (len(blob)-64)%aes.BlockSize != 0 {
		return nil, nil, fmt.Errorf("%w: a blob of %d bytes", ErrMalformed, len(blob))
	}
	theirs, err := ecdh.P256().NewPublicKey(append([]byte{4}, blob[:64]...))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	mode, err := crypter(ours, theirs, cipher.NewCBCDecrypter)
	if err != nil {
		return nil, nil, err
	}
	plain := append([]byte(nil), blob[64:]...)
	mode.CryptBlocks(plain, plain)
	n := int(plain[len(plain)-1])
	if n == 0 || n > aes.BlockSize {
		return nil, nil, fmt.Errorf("%w: padding", ErrMalformed)
	}
	e, seed, rest, err := Cut(plain[:len(plain)-n], func(*Entry) bool { return true })
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes behind an entry", ErrMalformed, len(rest))
	}
	return e, seed, err
}
