// Package softpro is an emulated Nitrokey Pro: feature reports in and out, for the tests of package nitrokeypro and of what is
// built on it. Written from the protocol, as that.
package softpro

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/fobd/fobd/tokens/nitrokeypro"
	"github.com/fobd/fobd/tokens/otp"
)

// Slot is what the device keeps in a slot.
type Slot struct {
	Name   string
	Seed   []byte
	Config byte
	// Value is HOTP's next counter, or TOTP's period.
	Value uint64
}

// Format prints no seed.
func (s Slot) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "{%q [secret]}", s.Name) }

// Key is the device. The zero value is none: see [New].
type Key struct {
	mu sync.Mutex // guards what follows

	// AdminPIN and UserPIN are compared as they are; tries go down from 3.
	AdminPIN, UserPIN         string
	AdminRetries, UserRetries int
	// Protected wants the user's PIN for codes.
	Protected bool
	// Time is the latest that it was told.
	Time  uint64
	Slots map[byte]*Slot
	// Busy is how often it is busy before it answers; -1 for ever. Damage damages so many answers. Fail, if not nil, is what
	// the transport says.
	Busy, Damage int
	Fail         error

	admin, user []byte // temporary passwords
	name, seed  [64]byte
	answer      nitrokeypro.Response
	busy        int
}

// New plugs in a device with the PINs of the factory, and nothing in its slots.
func New() *Key {
	return &Key{AdminPIN: "12345678", UserPIN: "123456", AdminRetries: 3, UserRetries: 3, Slots: map[byte]*Slot{}}
}

var errSize = errors.New("softpro: a feature report has 64 bytes")

// SetFeature takes a command.
func (k *Key) SetFeature(report []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Fail != nil {
		return k.Fail
	}
	if len(report) != nitrokeypro.ReportSize {
		return errSize
	}
	cmd, payload, crc, err := nitrokeypro.ParseRequest([nitrokeypro.ReportSize]byte(report))
	k.answer = nitrokeypro.Response{Cmd: cmd, CRC: crc, Status: nitrokeypro.StatusCRC}
	k.busy = k.Busy
	if err == nil {
		k.answer.Status = k.run(cmd, payload[:])
	}
	return nil
}

// GetFeature gives the answer, when it is there.
func (k *Key) GetFeature(report []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.Fail != nil {
		return 0, k.Fail
	}
	if len(report) < nitrokeypro.ReportSize {
		return 0, errSize
	}
	r := k.answer
	if k.busy != 0 {
		k.busy--
		r = nitrokeypro.Response{Device: nitrokeypro.DeviceBusy}
	}
	b := r.Marshal()
	if k.Damage > 0 {
		k.Damage--
		b[10] ^= 0xFF
	}
	return copy(report, b[:]), nil
}

func (k *Key) known(temporary, given []byte) bool {
	return temporary != nil && bytes.Equal(temporary, given[:25])
}

// run does what a command says.
func (k *Key) run(cmd nitrokeypro.Cmd, p []byte) nitrokeypro.Status {
	out := k.answer.Payload[:]
	switch cmd {
	case nitrokeypro.CmdStatus:
		out[0], out[1] = 14, 0
		binary.LittleEndian.PutUint32(out[2:], 0x5F11)
	case nitrokeypro.CmdReadSlot, nitrokeypro.CmdSlotName:
		s := k.Slots[p[0]]
		switch {
		case !valid(p[0]):
			return nitrokeypro.StatusWrongSlot
		case s == nil:
			return nitrokeypro.StatusNotProgrammed
		}
		copy(out[:15], s.Name)
		if cmd == nitrokeypro.CmdReadSlot {
			out[15] = s.Config
			binary.LittleEndian.PutUint64(out[29:], s.Value)
		}
	case nitrokeypro.CmdGetCode:
		return k.code(p, out)
	case nitrokeypro.CmdSetTime:
		at := binary.LittleEndian.Uint64(p[1:])
		if p[0] == 0 && at < k.Time {
			return nitrokeypro.StatusTimestamp
		}
		k.Time = at
	case nitrokeypro.CmdAdminRetries:
		out[0] = byte(k.AdminRetries)
	case nitrokeypro.CmdUserRetries:
		out[0] = byte(k.UserRetries)
	case nitrokeypro.CmdAdminAuth:
		return authenticate(k.AdminPIN, &k.AdminRetries, &k.admin, p)
	case nitrokeypro.CmdUserAuth:
		return authenticate(k.UserPIN, &k.UserRetries, &k.user, p)
	case nitrokeypro.CmdOTPData, nitrokeypro.CmdWriteSlot:
		if !k.known(k.admin, p) {
			return nitrokeypro.StatusNotAuthorized
		}
		return k.write(cmd, p[25:])
	case nitrokeypro.CmdEraseSlot:
		switch {
		case !k.known(k.admin, p[1:]):
			return nitrokeypro.StatusNotAuthorized
		case !valid(p[0]):
			return nitrokeypro.StatusWrongSlot
		}
		delete(k.Slots, p[0])
	default:
		return nitrokeypro.StatusUnknown
	}
	return nitrokeypro.StatusOK
}

func valid(n byte) bool {
	return n >= nitrokeypro.FirstHOTP && n < nitrokeypro.FirstHOTP+nitrokeypro.HOTPSlots || n >= nitrokeypro.FirstTOTP && n < nitrokeypro.FirstTOTP+nitrokeypro.TOTPSlots
}

// authenticate compares a PIN, and remembers the temporary password that comes with the right one.
func authenticate(pin string, retries *int, temporary *[]byte, p []byte) nitrokeypro.Status {
	given := bytes.TrimRight(p[:25], "\x00")
	if *retries == 0 || string(given) != pin {
		*retries = max(0, *retries-1)
		return nitrokeypro.StatusWrongPassword
	}
	*retries, *temporary = 3, append([]byte(nil), p[25:50]...)
	return nitrokeypro.StatusOK
}

func (k *Key) write(cmd nitrokeypro.Cmd, p []byte) nitrokeypro.Status {
	if cmd == nitrokeypro.CmdOTPData {
		to := &k.name
		if p[0] == 'S' {
			to = &k.seed
		}
		if p[1] > 1 {
			return nitrokeypro.StatusUnsupported
		}
		copy(to[int(p[1])*30:], p[2:32])
		return nitrokeypro.StatusOK
	}
	name, _, _ := bytes.Cut(k.name[:15], []byte{0})
	switch {
	case !valid(p[0]):
		return nitrokeypro.StatusWrongSlot
	case len(name) == 0:
		return nitrokeypro.StatusNoName
	}
	k.Slots[p[0]] = &Slot{Name: string(name), Seed: bytes.Clone(k.seed[:40]), Value: binary.LittleEndian.Uint64(p[1:]), Config: p[9]}
	clear(k.seed[:])
	return nitrokeypro.StatusOK
}

func (k *Key) code(p, out []byte) nitrokeypro.Status {
	s := k.Slots[p[0]]
	switch {
	case !valid(p[0]):
		return nitrokeypro.StatusWrongSlot
	case s == nil:
		return nitrokeypro.StatusNotProgrammed
	case k.Protected && !k.known(k.user, p[18:]):
		return nitrokeypro.StatusNotAuthorized
	}
	o, err := otp.NewKey(otp.Parameters{Kind: otp.HOTP, Digits: 10}.Default(), s.Seed) // zeros behind a seed do not change an HMAC
	if err != nil {
		return nitrokeypro.StatusUnsupported
	}
	counter := binary.LittleEndian.Uint64(p[1:])
	if p[0] < nitrokeypro.FirstTOTP {
		counter = s.Value
		s.Value++
	}
	value, err := strconv.ParseUint(o.Code(counter), 10, 64)
	if err != nil {
		return nitrokeypro.StatusUnsupported
	}
	modulo := uint64(1e6)
	if s.Config&1 != 0 {
		modulo = 1e8
	}
	binary.LittleEndian.PutUint32(out, uint32(value%modulo))
	out[4] = s.Config
	return nitrokeypro.StatusOK
}
