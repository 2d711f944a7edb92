package slots

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
)

// Flags of a configuration, as Yubico names them.
const (
	ExtSerialAPI   byte = 0x04 // the serial number can be read
	ExtAllowUpdate byte = 0x20 // flags can be changed later

	TktAppendCR     byte = 0x20 // Enter behind what is typed
	TktOATH         byte = 0x40 // OATH's HOTP; with CfgHMAC challenge-response
	CfgOATH8        byte = 0x02
	CfgHMACLT64     byte = 0x04
	CfgTouch        byte = 0x08
	CfgHMAC         byte = 0x22
	keySize              = 20
	codeSize             = 6
	ConfigSize           = 52
	maxIMF               = 0xFFFF0
	offsetUID            = 16
	offsetKey            = 22
	offsetCode           = 38
	offsetFixed          = 44 // length of the fixed part, then ext, tkt, cfg
	offsetExt            = 45
	offsetTkt            = 46
	offsetCfg            = 47
	offsetCRC            = 50
	maxChallengeKey      = 64 // bytes; a longer key is hashed
)

// Access is the access code of a slot, 6 bytes: who does not know it can use the slot, and not change it. Zero is none.
type Access [codeSize]byte

// Format prints no code.
func (a Access) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[secret]")) }

// Change is what goes with a new configuration.
type Change struct {
	// Current is the access code that the slot has, New the one that it is to have.
	Current, New Access
}

// SetChallengeResponse makes a slot answer challenges with the HMAC-SHA1 of key, which is the caller's, to be wiped: at most 20 bytes, or
// more than 64, which are hashed (RFC 2104); keys in between fit no slot. With touch each answer wants one.
func (s *Session) SetChallengeResponse(ctx context.Context, slot Slot, key []byte, touch bool, c Change) error {
	cfg := CfgHMAC | CfgHMACLT64
	if touch {
		cfg |= CfgTouch
	}
	b, err := newConfig(key, [2]byte{}, c.New, TktOATH, cfg)
	defer clear(b[:])
	if err != nil {
		return fail("configure", slot, err)
	}
	return s.write(ctx, "configure", slot, b, c.Current)
}

// HOTP is what a slot types at a touch: codes of HOTP with SHA-1.
type HOTP struct {
	// Digits are 6 or 8.
	Digits int
	// Counter is that of the first code: a multiple of 16, at most 0xFFFF0.
	Counter uint32
	// Enter is typed behind each code.
	Enter bool
}

// SetHOTP makes a slot type codes. Nothing can read them through this interface. key is the caller's, to be wiped; its length is as for
// [Session.SetChallengeResponse].
func (s *Session) SetHOTP(ctx context.Context, slot Slot, key []byte, h HOTP, c Change) error {
	const op = "configure"
	tkt, cfg := TktOATH, byte(0)
	switch {
	case h.Digits == 8:
		cfg = CfgOATH8
	case h.Digits != 6:
		return fail(op, slot, fmt.Errorf("%w: %d digits, want 6 or 8", ErrArgument, h.Digits))
	}
	if h.Counter%16 != 0 || h.Counter > maxIMF {
		return fail(op, slot, fmt.Errorf("%w: a first counter of %d, want a multiple of 16 up to %d", ErrArgument, h.Counter, maxIMF))
	}
	if h.Enter {
		tkt |= TktAppendCR
	}
	b, err := newConfig(key, [2]byte(binary.BigEndian.AppendUint16(nil, uint16(h.Counter/16))), c.New, tkt, cfg)
	defer clear(b[:])
	if err != nil {
		return fail(op, slot, err)
	}
	return s.write(ctx, op, slot, b, c.Current)
}

// newConfig makes a configuration with a key of HMAC-SHA1.
func newConfig(key []byte, tail [2]byte, code Access, tkt, cfg byte) (b [ConfigSize]byte, err error) {
	var k [keySize]byte
	defer clear(k[:])
	switch n := len(key); {
	case n == 0:
		return b, fmt.Errorf("%w: the key is empty", ErrArgument)
	case n > maxChallengeKey:
		k = sha1.Sum(key)
	case n > keySize:
		return b, fmt.Errorf("%w: a key of %d bytes: slots take 20 at most, or more than 64, which are hashed", ErrArgument, n)
	default:
		copy(k[:], key)
	}
	// 16 bytes stand in the place of the key, the other 4 in that of the private identity.
	copy(b[offsetKey:], k[:16])
	copy(b[offsetUID:], k[16:])
	copy(b[offsetUID+4:], tail[:])
	copy(b[offsetCode:], code[:])
	b[offsetExt], b[offsetTkt], b[offsetCfg] = ExtSerialAPI|ExtAllowUpdate, tkt, cfg
	binary.LittleEndian.PutUint16(b[offsetCRC:], ^Checksum(b[:offsetCRC]))
	return b, nil
}

// Delete makes a slot empty.
func (s *Session) Delete(ctx context.Context, slot Slot, current Access) error {
	if slot.Valid() && s.status.Use(slot) == UseEmpty {
		return fail("delete", slot, ErrEmpty)
	}
	return s.write(ctx, "delete", slot, [ConfigSize]byte{}, current)
}

// Swap gives each slot the configuration of the other one.
func (s *Session) Swap(ctx context.Context) error {
	if s.status.Use(Slot1) == UseEmpty && s.status.Use(Slot2) == UseEmpty {
		return fail("swap", 0, ErrEmpty)
	}
	return s.change(ctx, "swap", 0, CmdSwap, nil)
}

func (s *Session) write(ctx context.Context, op string, slot Slot, config [ConfigSize]byte, current Access) error {
	if !slot.Valid() {
		return fail(op, slot, fmt.Errorf("%w: there are slots 1 and 2", ErrArgument))
	}
	payload := append(config[:len(config):len(config)], current[:]...)
	defer clear(payload)
	return s.change(ctx, op, slot, slot.of(CmdWrite1, CmdWrite2), payload)
}

// change sends a frame that is answered by a status that has gone on.
func (s *Session) change(ctx context.Context, op string, slot Slot, cmd Cmd, payload []byte) error {
	before := s.status
	c, _, err := s.command(ctx, cmd, payload)
	if c != nil && c.Started() {
		c.Wipe()
		err = malformed("a response to a change")
	}
	if errors.Is(err, ErrRefused) && slot.Valid() && before.Use(slot) != UseEmpty {
		err = ErrAccessCode
	}
	return fail(op, slot, err)
}
