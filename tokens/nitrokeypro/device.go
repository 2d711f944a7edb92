package nitrokeypro

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/fobd/fobd/tokens/internal/pause"
)

// FeatureReports are the device's: 64 bytes without a number, such as hid.FeatureDevice has them.
type FeatureReports interface {
	SetFeature(report []byte) error
	GetFeature(report []byte) (int, error)
}

// Times of the conversation.
const (
	pollTime = 30 * time.Millisecond
	// patience is how long a device may be busy: erasing and PINs go through its smart card.
	patience = 6 * time.Second
)

// Slots, by the number that the protocol has for them.
const (
	FirstHOTP = 0x10
	HOTPSlots = 3
	FirstTOTP = 0x20
	TOTPSlots = 15
	// NameSize is the longest name, in bytes.
	NameSize = 15
	// SecretSize is the longest seed, in bytes.
	SecretSize   = 40
	passwordSize = 25
	chunkSize    = 30 // of OTP data
)

// Slot is what a slot is configured for.
type Slot struct {
	Number byte
	Name   string
	// Eight says that codes have 8 digits, else 6. Period is in seconds, 0 for HOTP; Counter is HOTP's next.
	Eight   bool
	Period  int64
	Counter uint64
}

// Device speaks to a Nitrokey. It is for one goroutine at a time.
type Device struct{ dev FeatureReports }

// New returns a Device.
func New(dev FeatureReports) *Device { return &Device{dev} }

// do sends a command and returns what it is answered with.
func (d *Device) do(ctx context.Context, cmd Cmd, payload []byte) (*Response, error) {
	request, err := Request(cmd, payload)
	if err != nil {
		return nil, err
	}
	defer clear(request[:])
	crc := binary.LittleEndian.Uint32(request[crcAt:])
	if err := d.dev.SetFeature(request[:]); err != nil {
		return nil, err
	}
	for began := time.Now(); ; {
		var b [ReportSize]byte
		n, err := d.dev.GetFeature(b[:])
		if err != nil {
			return nil, err
		}
		if n != ReportSize {
			return nil, fmt.Errorf("%w: a report of %d bytes", ErrMalformed, n)
		}
		// One that was read while it was being made is read again.
		r, err := ParseResponse(b)
		clear(b[:])
		if err == nil && r.Device == DeviceOK && r.Cmd == cmd && r.CRC == crc {
			return r, r.Status.err()
		}
		if err == nil && r.Device == DeviceError {
			return nil, fmt.Errorf("%w: it is in a state of error", ErrRefused)
		}
		if time.Since(began) > patience {
			if err == nil {
				err = ErrSilent
			}
			return nil, err
		}
		if err := pause.For(ctx, pollTime); err != nil {
			return nil, err
		}
	}
}

// Status tells the firmware's version and the number of the smart card inside.
func (d *Device) Status(ctx context.Context) (version string, serial uint32, err error) {
	r, err := d.do(ctx, CmdStatus, nil)
	if err != nil {
		return "", 0, err
	}
	return fmt.Sprintf("%d.%d", r.Payload[1], r.Payload[0]), binary.LittleEndian.Uint32(r.Payload[2:]), nil
}

// Read reads what a slot is configured for. The error is [ErrNotProgrammed] for an empty one.
func (d *Device) Read(ctx context.Context, number byte) (*Slot, error) {
	r, err := d.do(ctx, CmdReadSlot, []byte{number})
	if err != nil {
		return nil, err
	}
	name, _, _ := bytes.Cut(r.Payload[:NameSize], []byte{0})
	s := &Slot{Number: number, Name: string(name), Eight: r.Payload[NameSize]&1 != 0}
	value := binary.LittleEndian.Uint64(r.Payload[NameSize+1+13:])
	if number >= FirstTOTP {
		s.Period = int64(value & 0xFFFF)
		if s.Period == 0 {
			return nil, fmt.Errorf("%w: a slot with a period of 0 s", ErrMalformed)
		}
	} else {
		s.Counter = value
	}
	return s, nil
}

// SetTime tells the device the time. It takes an earlier one than it has seen, with an [ErrTimestamp], only with reset, which wants the administrator's word: its
// temporary password.
func (d *Device) SetTime(ctx context.Context, at time.Time, reset bool) error {
	payload := make([]byte, 9)
	if reset {
		payload[0] = 1
	}
	binary.LittleEndian.PutUint64(payload[1:], uint64(at.Unix()))
	_, err := d.do(ctx, CmdSetTime, payload)
	return err
}

// Code reads the code of a slot. password is the temporary one of the user, nil where the device wants none. A code of HOTP counts.
func (d *Device) Code(ctx context.Context, s *Slot, at time.Time, password []byte) (string, error) {
	payload := make([]byte, 1+8+8+1+passwordSize)
	defer clear(payload)
	payload[0] = s.Number
	if s.Period > 0 {
		binary.LittleEndian.PutUint64(payload[1:], uint64(at.Unix())/uint64(s.Period))
		binary.LittleEndian.PutUint64(payload[9:], uint64(at.Unix()))
		payload[17] = byte(min(s.Period, 255))
	}
	copy(payload[18:], password)
	r, err := d.do(ctx, CmdGetCode, payload)
	if err != nil {
		return "", err
	}
	defer clear(r.Payload[:])
	value, digits, modulo := binary.LittleEndian.Uint32(r.Payload[:]), 6, uint32(1e6)
	if r.Payload[4]&1 != 0 {
		digits, modulo = 8, 1e8
	}
	return fmt.Sprintf("%0*d", digits, value%modulo), nil
}

// Retries are how many tries the administrator's PIN has left, or the user's.
func (d *Device) Retries(ctx context.Context, admin bool) (int, error) {
	cmd := CmdUserRetries
	if admin {
		cmd = CmdAdminRetries
	}
	r, err := d.do(ctx, cmd, nil)
	if err != nil {
		return 0, err
	}
	return int(r.Payload[0]), nil
}

// Authenticate spends a try of a PIN, the administrator's or the user's, and gives a temporary password that stands for it until the
// device is unplugged. Both are the caller's, to be wiped.
func (d *Device) Authenticate(ctx context.Context, admin bool, pin []byte) ([]byte, error) {
	if len(pin) == 0 || len(pin) > passwordSize {
		return nil, fmt.Errorf("%w: a PIN of %d bytes, want 1 to %d", ErrArgument, len(pin), passwordSize)
	}
	cmd := CmdUserAuth
	if admin {
		cmd = CmdAdminAuth
	}
	payload := make([]byte, 2*passwordSize)
	defer clear(payload)
	copy(payload, pin)
	_, _ = rand.Read(payload[passwordSize:]) // never fails
	if _, err := d.do(ctx, cmd, payload); err != nil {
		return nil, err
	}
	return append([]byte(nil), payload[passwordSize:]...), nil
}

// Write configures a slot. password is the administrator's temporary one.
func (d *Device) Write(ctx context.Context, s *Slot, seed, password []byte) error {
	if len(s.Name) == 0 || len(s.Name) > NameSize || len(seed) == 0 || len(seed) > SecretSize {
		return fmt.Errorf("%w: a name of %d bytes and a seed of %d; there is room for %d and %d", ErrArgument, len(s.Name), len(seed), NameSize, SecretSize)
	}
	if err := d.data(ctx, 'N', []byte(s.Name), NameSize, password); err != nil {
		return err
	}
	if err := d.data(ctx, 'S', seed, SecretSize, password); err != nil {
		return err
	}
	payload := make([]byte, passwordSize+1+8+1+13)
	defer clear(payload)
	copy(payload, password)
	payload[passwordSize] = s.Number
	value := s.Counter
	if s.Period > 0 {
		value = uint64(s.Period)
	}
	binary.LittleEndian.PutUint64(payload[passwordSize+1:], value)
	if s.Eight {
		payload[passwordSize+9] = 1
	}
	_, err := d.do(ctx, CmdWriteSlot, payload)
	return err
}

// data sends a name or a seed in parts, filled up with zeros to its room.
func (d *Device) data(ctx context.Context, kind byte, b []byte, room int, password []byte) error {
	whole := make([]byte, room)
	defer clear(whole)
	copy(whole, b)
	for part := 0; len(whole) > 0; part++ {
		n := min(chunkSize, len(whole))
		payload := append(append(make([]byte, 0, passwordSize+2+chunkSize), password...), kind, byte(part))
		payload = append(payload, whole[:n]...)
		_, err := d.do(ctx, CmdOTPData, payload)
		clear(payload)
		if err != nil {
			return err
		}
		whole = whole[n:]
	}
	return nil
}

// Erase makes a slot empty. password is the administrator's temporary one.
func (d *Device) Erase(ctx context.Context, number byte, password []byte) error {
	payload := append([]byte{number}, password...)
	defer clear(payload)
	_, err := d.do(ctx, CmdEraseSlot, payload)
	return err
}
