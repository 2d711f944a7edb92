// Package softtoken2 is an emulated Token2 key with its one-time-code application behind feature reports, for the tests of package token2 and
// of what is built on it. Written from the protocol, as that.
package softtoken2

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/token2"
	"github.com/fobd/fobd/u2f/apdu"
)

type entry struct {
	token2.Entry
	seed    []byte
	counter uint64
}

// Key is the device. Its fields are set before it is used.
type Key struct {
	// Capacity bounds the accounts, PageSize how many an answer has.
	Capacity, PageSize int
	// Pressed says whether the person presses the button. Busy is how often the key is busy before it answers, -1 for ever.
	Pressed bool
	Busy    int
	// Fail, if not nil, is what the transport says.
	Fail error

	mu      sync.Mutex // guards what follows
	private *ecdh.PrivateKey
	entries []*entry
	at      int // of the enumeration
	in      token2.Collector
	out     [][token2.ReportSize]byte
	busy    int
	chosen  bool
}

// New plugs in a key without accounts, whose button is pressed at once.
func New() (*Key, error) {
	private, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("softtoken2: %w", err)
	}
	return &Key{Capacity: 50, PageSize: 4, Pressed: true, private: private}, nil
}

var errSize = errors.New("softtoken2: a feature report has 64 bytes")

// SetFeature takes a part of a command.
func (k *Key) SetFeature(report []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Fail != nil {
		return k.Fail
	}
	if len(report) != token2.ReportSize {
		return errSize
	}
	done, _, err := k.in.Add([token2.ReportSize]byte(report))
	switch {
	case err != nil:
		k.in = token2.Collector{}
		k.answer(nil, apdu.ErrWrongLength)
	case done:
		message := k.in.Message()
		k.in = token2.Collector{}
		k.answer(k.run(message))
	}
	return nil
}

func (k *Key) answer(data []byte, sw apdu.SW) {
	k.out, k.busy = token2.Reports(apdu.Response{Data: data, SW: sw}.Marshal()), k.Busy
}

// GetFeature gives a part of the answer.
func (k *Key) GetFeature(report []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.Fail != nil:
		return 0, k.Fail
	case len(report) < token2.ReportSize:
		return 0, errSize
	case k.busy != 0 || len(k.out) == 0:
		k.busy = max(-1, k.busy-1)
		busy := [token2.ReportSize]byte{0x21, 0xC0}
		return copy(report, busy[:]), nil
	}
	r := k.out[0]
	k.out = k.out[1:]
	return copy(report, r[:]), nil
}

func (k *Key) run(message []byte) ([]byte, apdu.SW) {
	c, _, err := apdu.ParseCommand(message)
	switch {
	case err != nil:
		return nil, apdu.ErrWrongLength
	case c.CLA == 0 && c.INS == 0xA4:
		k.chosen = string(c.Data) == string(token2.AID())
		if !k.chosen {
			return nil, apdu.ErrNotFound
		}
		return nil, apdu.OK
	case !k.chosen || c.CLA != token2.CLA:
		return nil, apdu.ErrClaNotSupported
	case c.INS != token2.INS:
		return nil, apdu.ErrInsNotSupported
	}
	switch uint16(c.P1)<<8 | uint16(c.P2) {
	case token2.PublicKey:
		return k.private.PublicKey().Bytes()[1:], apdu.OK
	case token2.Enumerate:
		return k.enumerate(c.Data)
	case token2.Continue:
		if len(c.Data) != 8 {
			return nil, apdu.ErrWrongLength
		}
		return k.page(c.Data)
	case token2.WriteSeed:
		return nil, k.write(c.Data)
	}
	return nil, apdu.ErrWrongP1P2
}

func (k *Key) enumerate(data []byte) ([]byte, apdu.SW) {
	switch {
	case len(data) == 9 && data[0] == token2.All:
		if len(k.entries) == 0 {
			return nil, apdu.SW(0x6A83)
		}
		k.at = 0
		return k.page(data[1:])
	case len(data) < 11 || data[0] != token2.One:
		return nil, apdu.ErrWrongData
	}
	names := data[9:]
	n := int(names[0])
	if 1+n >= len(names) || 2+n+int(names[1+n]) != len(names) {
		return nil, apdu.ErrWrongData
	}
	e := k.find(string(names[1:1+n]), string(names[2+n:]))
	switch {
	case e == nil:
		return nil, apdu.SW(0x6A83)
	case e.Button && !k.Pressed:
		return nil, apdu.SW(0x6FF9)
	}
	code := e.code(binary.BigEndian.Uint64(data[1:9]))
	if !e.Timed {
		e.counter++
	}
	return e.Append([]byte{0}, []byte(code)), apdu.OK
}

// page is the next part of the list.
func (k *Key) page(now []byte) ([]byte, apdu.SW) {
	b := []byte{0}
	for n := 0; n < k.PageSize && k.at < len(k.entries); n++ {
		e := k.entries[k.at]
		k.at++
		if e.Timed && !e.Button {
			b = e.Append(b, []byte(e.code(binary.BigEndian.Uint64(now))))
		} else {
			b = e.Append(b, nil)
			b = b[:len(b)-1] // no code, and no length of one
		}
	}
	if k.at < len(k.entries) {
		b[0] = 0x80
	}
	return b, apdu.OK
}

func (k *Key) find(app, account string) *entry {
	for _, e := range k.entries {
		if e.App == app && e.Account == account {
			return e
		}
	}
	return nil
}

func (k *Key) write(blob []byte) apdu.SW {
	made, seed, err := token2.Open(k.private, blob)
	if err != nil {
		return apdu.ErrWrongData
	}
	old := k.find(made.App, made.Account)
	switch {
	case len(seed) == 0 && old == nil:
		return apdu.SW(0x6A83)
	case len(seed) == 0:
		kept := k.entries[:0]
		for _, e := range k.entries {
			if e != old {
				kept = append(kept, e)
			}
		}
		k.entries = kept
	case old != nil:
		*old = entry{Entry: *made, seed: seed}
	case len(k.entries) >= k.Capacity:
		return apdu.ErrNoSpace
	default:
		k.entries = append(k.entries, &entry{Entry: *made, seed: seed})
	}
	return apdu.OK
}

func (e *entry) code(unix uint64) string {
	p := otp.Parameters{Kind: otp.HOTP, Digits: int(e.Digits)}
	if e.SHA256 {
		p.Hash = otp.SHA256
	}
	counter := e.counter
	if e.Timed {
		p = otp.Parameters{Kind: otp.TOTP, Digits: p.Digits, Hash: p.Hash, Period: int64(e.Period)}
		counter, _ = p.Default().Step(time.Unix(int64(unix&(1<<62-1)), 0))
	}
	o, err := otp.NewKey(p.Default(), e.seed)
	if err != nil {
		return ""
	}
	return o.Code(counter)
}
