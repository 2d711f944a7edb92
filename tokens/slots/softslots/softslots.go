// Package softslots is the emulated side of package slots: the OTP application of a YubiKey behind its keyboard interface, feature reports
// in and out. It has the state that lasts, a person who touches it, and says what it types. It is for tests and for emulated
// tokens; before the kernel (hid/uhid) Yubico's own programs take it for a key.
package softslots

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/slots"
)

// Descriptor is the report descriptor of the keyboard interface: 8 bytes in, one out for the lights, and a feature report of 8.
func Descriptor() []byte {
	return []byte{
		0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, // keyboard
		0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75, 0x01, 0x95, 0x08, 0x81, 0x02, // modifiers
		0x95, 0x01, 0x75, 0x08, 0x81, 0x01,
		0x95, 0x05, 0x75, 0x01, 0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, // lights
		0x95, 0x06, 0x75, 0x08, 0x15, 0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, // keys
		0x09, 0x03, 0x75, 0x08, 0x95, 0x08, 0xB1, 0x02, // feature
		0xC0,
	}
}

// DefaultTouchTimeout is how long the key waits for a touch.
const DefaultTouchTimeout = 15 * time.Second

// Config says what kind of key it is. The zero value is a YubiKey 5.4.3 with empty slots, touched at once.
type Config struct {
	// Version is the firmware's; zero means 5.4.3.
	Version slots.Version
	Serial  uint32
	// Touch is the person: it returns true when the key was touched, and false when not, at the latest when ctx ends. nil touches
	// at once. It runs on a goroutine of its own.
	Touch func(ctx context.Context) bool
	// TouchTimeout is how long the key waits; 0 means [DefaultTouchTimeout].
	TouchTimeout time.Duration
	// State is what the key has at the beginning; nil for empty slots.
	State *State
	// Save, if not nil, is called with the state after each change. When it fails, the change has not happened.
	Save func(State) error
}

// State is what lasts of a key. Encoding it as JSON has all its keys, to be stored; printing and logging it has none.
type State struct {
	// Slots are the configurations, empty or 52 bytes each.
	Slots [2][]byte `json:"slots"`
	// Counters are those of the codes of HOTP that were typed, since the slot was configured.
	Counters [2]uint64 `json:"counters"`
}

// String has no key.
func (s State) String() string {
	return fmt.Sprintf("{configured=%t,%t [secret]}", len(s.Slots[0]) > 0, len(s.Slots[1]) > 0)
}

// Format prints what String says, for every verb.
func (s State) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// LogValue is for slog.
func (s State) LogValue() slog.Value { return slog.StringValue(s.String()) }

// Wipe overwrites all keys.
func (s *State) Wipe() {
	clear(s.Slots[0])
	clear(s.Slots[1])
}

func (s *State) clone() State {
	c := State{Counters: s.Counters}
	for i, b := range s.Slots {
		c.Slots[i] = append([]byte(nil), b...)
	}
	return c
}

// ErrState says that a state is none that a key can have.
var ErrState = errors.New("softslots: bad state")

// ErrReport says that a report has another size than 8.
var ErrReport = errors.New("softslots: a feature report has 8 bytes")

// Key is an emulated key that is plugged in. All methods may be called from any goroutine.
type Key struct {
	cfg Config

	mu       sync.Mutex // guards what follows
	state    State
	sequence byte
	in       slots.Assembler
	out      []slots.Report // a response that is being read
	waiting  *wait          // for a touch
	failing  int            // how many commands are refused yet
}

// wait is a command that wants a touch.
type wait struct {
	until  time.Time
	cancel context.CancelFunc
	done   chan bool // whether the key was touched
	then   func()
}

// New plugs a key in. The error is an [ErrState].
func New(cfg Config) (*Key, error) {
	if cfg.Version == (slots.Version{}) {
		cfg.Version = slots.Version{5, 4, 3}
	}
	if cfg.TouchTimeout == 0 {
		cfg.TouchTimeout = DefaultTouchTimeout
	}
	k := &Key{cfg: cfg}
	if cfg.State != nil {
		for _, b := range cfg.State.Slots {
			if len(b) != 0 && (len(b) != slots.ConfigSize || !slots.Checked(b)) {
				return nil, fmt.Errorf("%w: a configuration of %d bytes", ErrState, len(b))
			}
		}
		k.state = cfg.State.clone()
	}
	if k.configured() {
		k.sequence = 1
	}
	return k, nil
}

// Snapshot returns what lasts, with all keys. The caller wipes it.
func (k *Key) Snapshot() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state.clone()
}

// Refuse makes the next n commands fail, as after another interface of the key was used.
func (k *Key) Refuse(n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.failing = n
}

func (k *Key) configured() bool { return len(k.state.Slots[0]) > 0 || len(k.state.Slots[1]) > 0 }

// GetFeature implements [slots.Device] and hid.FeatureReports.
func (k *Key) GetFeature(report []byte) (int, error) {
	if len(report) < slots.ReportSize {
		return 0, ErrReport
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	r := k.report()
	return copy(report, r[:]), nil
}

// The bits of a report's last byte.
const (
	flagResponse = 0x40
	flagTouch    = 0x20
	maskSeconds  = 0x1F
)

func (k *Key) report() slots.Report {
	if w := k.waiting; w != nil {
		left := time.Until(w.until)
		select {
		case touched := <-w.done:
			k.waiting = nil
			w.cancel()
			if touched {
				w.then()
			}
		default:
			if left > 0 {
				return slots.Report{7: flagTouch | byte(min(maskSeconds, int(left/time.Second)+1))}
			}
			k.abort()
		}
	}
	if len(k.out) > 0 {
		r := k.out[0]
		if len(k.out) > 1 {
			k.out = k.out[1:] // the last one stays until it is reset
		}
		return r
	}
	return k.status().Report()
}

func (k *Key) status() slots.Status {
	s := slots.Status{Version: k.cfg.Version, Sequence: k.sequence}
	for i, b := range k.state.Slots {
		if len(b) == 0 {
			continue
		}
		s.Flags |= 1 << i
		if touches(b) {
			s.Flags |= 4 << i
		}
	}
	return s
}

// Offsets in a configuration, and its flags; package slots has them all.
const (
	atUID, atKey, atCode, atTkt, atCfg = 16, 22, 38, 46, 47
)

// touches says whether a slot acts at a touch: all but those that answer challenges without one.
func touches(b []byte) bool {
	return !challenges(b) || b[atCfg]&slots.CfgTouch != 0
}

// challenges says whether a slot answers challenges with an HMAC.
func challenges(b []byte) bool {
	return b[atTkt]&slots.TktOATH != 0 && b[atCfg]&slots.CfgHMAC == slots.CfgHMAC
}

// key is a slot's, of 20 bytes. The caller wipes it.
func key(b []byte) []byte {
	return append(append(make([]byte, 0, 20), b[atKey:atKey+16]...), b[atUID:atUID+4]...)
}

// SetFeature implements [slots.Device] and hid.FeatureReports.
func (k *Key) SetFeature(report []byte) error {
	if len(report) != slots.ReportSize {
		return ErrReport
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	f, reset, err := k.in.Add(slots.Report(report))
	switch {
	case reset:
		k.abort()
	case err != nil, f == nil:
		// A key says nothing of frames that it does not understand.
	default:
		defer f.Wipe()
		k.abort()
		if k.failing > 0 {
			k.failing--
			return nil
		}
		k.run(f)
	}
	return nil
}

// abort ends reading, and a wait.
func (k *Key) abort() {
	for i := range k.out {
		clear(k.out[i][:])
	}
	k.out = nil
	if k.waiting != nil {
		k.waiting.cancel()
		k.waiting = nil
	}
}

// run does what a frame says. Without a response, and without a change, it is refused.
func (k *Key) run(f *slots.Frame) {
	switch f.Cmd {
	case slots.CmdWrite1:
		k.write(0, f.Payload[:])
	case slots.CmdWrite2:
		k.write(1, f.Payload[:])
	case slots.CmdUpdate1:
		k.update(0, f.Payload[:])
	case slots.CmdUpdate2:
		k.update(1, f.Payload[:])
	case slots.CmdSwap:
		next := k.state.clone()
		next.Slots[0], next.Slots[1] = next.Slots[1], next.Slots[0]
		next.Counters[0], next.Counters[1] = next.Counters[1], next.Counters[0]
		k.change(next)
	case slots.CmdSerial:
		k.answer(binary.BigEndian.AppendUint32(nil, k.cfg.Serial))
	case slots.CmdDeviceInfo:
		k.answer(k.info())
	case slots.CmdHMAC1:
		k.respond(0, f.Payload)
	case slots.CmdHMAC2:
		k.respond(1, f.Payload)
	}
}

// answer makes a response, with its checksum.
func (k *Key) answer(b []byte) { k.out = slots.ResponseReports(slots.AppendChecked(nil, b)) }

// info are the TLVs that Yubico's programs ask for: what is on, on USB, the serial number, the shape and the version.
func (k *Key) info() []byte {
	const otpOverUSB, keychain = 0x01, 0x01
	b := []byte{0x01, 2, 0, otpOverUSB, 0x02, 4}
	b = binary.BigEndian.AppendUint32(b, k.cfg.Serial)
	b = append(b, 0x03, 2, 0, otpOverUSB, 0x04, 1, keychain, 0x05, 3)
	b = append(b, k.cfg.Version[:]...)
	b = append(b, 0x0A, 1, 0) // no configuration lock
	return append([]byte{byte(len(b))}, b...)
}

// knows says whether a frame has a slot's access code.
func (k *Key) knows(slot int, code []byte) bool {
	b := k.state.Slots[slot]
	return len(b) == 0 || subtle.ConstantTimeCompare(b[atCode:atCode+6], code) == 1
}

// write configures a slot, or makes it empty.
func (k *Key) write(slot int, payload []byte) {
	config, code := payload[:slots.ConfigSize], payload[slots.ConfigSize:slots.ConfigSize+6]
	empty := true
	for _, v := range config {
		empty = empty && v == 0
	}
	if !k.knows(slot, code) || !empty && !slots.Checked(config) {
		return
	}
	next := k.state.clone()
	next.Counters[slot], next.Slots[slot] = 0, nil
	if !empty {
		next.Slots[slot] = append([]byte(nil), config...)
	}
	k.change(next)
}

// update changes the flags of a slot that lets them be changed, and its access code.
func (k *Key) update(slot int, payload []byte) {
	config, code := payload[:slots.ConfigSize], payload[slots.ConfigSize:slots.ConfigSize+6]
	b := k.state.Slots[slot]
	if len(b) == 0 || b[45]&slots.ExtAllowUpdate == 0 || !k.knows(slot, code) || !slots.Checked(config) {
		return
	}
	next := k.state.clone()
	to := next.Slots[slot]
	copy(to[atCode:atCode+6], config[atCode:])
	to[45] = config[45]
	to[atTkt] = to[atTkt]&^slots.TktAppendCR | config[atTkt]&slots.TktAppendCR
	binary.LittleEndian.PutUint16(to[50:], ^slots.Checksum(to[:50]))
	k.change(next)
}

// change takes a new state over, and counts.
func (k *Key) change(next State) {
	if k.cfg.Save != nil {
		if err := k.cfg.Save(next.clone()); err != nil {
			return // as if it had been refused
		}
	}
	k.state.Wipe()
	k.state = next
	k.sequence++
	if !k.configured() {
		k.sequence = 0
	} else if k.sequence == 0 {
		k.sequence = 1
	}
}

// respond answers a challenge, after a touch if the slot wants one.
func (k *Key) respond(slot int, payload [slots.PayloadSize]byte) {
	b := k.state.Slots[slot]
	if len(b) == 0 || !challenges(b) {
		return
	}
	challenge := payload[:]
	if b[atCfg]&slots.CfgHMACLT64 != 0 {
		last := challenge[len(challenge)-1]
		for len(challenge) > 0 && challenge[len(challenge)-1] == last {
			challenge = challenge[:len(challenge)-1]
		}
	}
	secret := key(b)
	then := func() {
		defer clear(secret)
		m := hmac.New(sha1.New, secret)
		m.Write(challenge)
		k.answer(m.Sum(nil))
	}
	if b[atCfg]&slots.CfgTouch == 0 || k.cfg.Touch == nil {
		then()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), k.cfg.TouchTimeout)
	w := &wait{until: time.Now().Add(k.cfg.TouchTimeout), cancel: cancel, done: make(chan bool, 1), then: then}
	k.waiting = w
	go func() { w.done <- k.cfg.Touch(ctx) }()
}

// Press touches the key while it waits for nothing, and returns what it types: the code of a slot with HOTP, and "" for others.
func (k *Key) Press(slot slots.Slot) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !slot.Valid() {
		return "", fmt.Errorf("%w: there are slots 1 and 2", ErrState)
	}
	i := int(slot) - 1
	b := k.state.Slots[i]
	if len(b) == 0 || challenges(b) || b[atTkt]&slots.TktOATH == 0 {
		return "", nil
	}
	digits := 6
	if b[atCfg]&slots.CfgOATH8 != 0 {
		digits = 8
	}
	secret := key(b)
	defer clear(secret)
	o, err := otp.NewKey(otp.Parameters{Kind: otp.HOTP, Digits: digits}.Default(), secret)
	if err != nil {
		return "", fmt.Errorf("softslots: %w", err)
	}
	next := k.state.clone()
	first := uint64(binary.BigEndian.Uint16(b[atUID+4:])) * 16
	code := o.Code(first + next.Counters[i])
	next.Counters[i]++
	if k.cfg.Save != nil {
		if err := k.cfg.Save(next.clone()); err != nil {
			return "", fmt.Errorf("softslots: %w", err)
		}
	}
	k.state = next
	if b[atTkt]&slots.TktAppendCR != 0 {
		code += "\n"
	}
	return code, nil
}
