package applet

import "github.com/fobd/fobd/tokens/oath"

// Personality is a kind of device.
type Personality string

// The personalities.
const (
	YubiKey  Personality = "yubikey"
	NEO      Personality = "neo"
	CanoKey  Personality = "canokey"
	Nitrokey Personality = "nitrokey"
)

// Personalities are all of them, for texts that list them.
func Personalities() []Personality { return []Personality{YubiKey, NEO, CanoKey, Nitrokey} }

// traits are in what devices differ.
type traits struct {
	version  oath.Version
	capacity int
	atr      string // with the check byte of T=1
	maxName  int
	// maxKey is the longest key, minKey the shortest.
	minKey, maxKey int
	reduced        bool // codes
	extended       bool // takes extended APDUs
	overwrites     bool // PUT replaces
	touches        bool // has the touch property
	sha512         bool
	codeSHA1       bool // access codes with SHA-1 only
	tellsCode      bool // tag 7B in SELECT
	locksOnSetCode bool // the session is locked by SET CODE
	countsFirst    bool // HOTP: the counter goes up before the code is made
	resets         bool // has RESET
	wholeRecords   bool // pages end where a record does
	wrongP1P2      uint16
}

// maxCommand bounds the data of a command, in bytes; YubiKeys of 4.3 and later take that much.
const maxCommand = 3062

// maxExtended is the longest response that goes out in one piece.
const maxExtended = 2038

var personalities = map[Personality]traits{
	YubiKey: {
		version: oath.Version{5, 4, 3}, capacity: 32, maxName: 64,
		// ykman fills keys up to 14 bytes for it (HMAC_MINIMUM_KEY_SIZE).
		minKey: 14, maxKey: 128,
		reduced: true, extended: true, overwrites: true, touches: true, sha512: true, tellsCode: true, resets: true,
		wrongP1P2: 0x6B00,
		atr:       "\x3b\xfd\x13\x00\x00\x81\x31\xfe\x15\x80\x73\xc0\x21\xc0\x57\x59\x75\x62\x69\x4b\x65\x79\x40",
	},
	// As in its published source, ykneo-oath 0.2.2.
	NEO: {
		version: oath.Version{0, 2, 2}, capacity: 28, maxName: 64, maxKey: 64,
		overwrites: true, locksOnSetCode: true, resets: true,
		wrongP1P2: 0x6B00,
		atr:       "\x3b\xfc\x13\x00\x00\x81\x31\xfe\x15\x59\x75\x62\x69\x6b\x65\x79\x4e\x45\x4f\x72\x33\xe1",
	},
	// As in its published source, canokey-core of 2024. It is reset by another applet.
	CanoKey: {
		version: oath.Version{6, 0, 0}, capacity: 100, maxName: 64, maxKey: 64,
		extended: true, touches: true, sha512: true, codeSHA1: true, tellsCode: true, locksOnSetCode: true, countsFirst: true,
		wholeRecords: true, wrongP1P2: 0x6A86,
		atr: "\x3b\xf7\x11\x00\x00\x81\x31\xfe\x65\x43\x61\x6e\x6f\x6b\x65\x79\x99",
	},
	// As in its published source, trussed-secrets-app 0.14.
	Nitrokey: {
		version: oath.Version{4, 14, 0}, capacity: 50, maxName: 127, maxKey: 126,
		extended: true, touches: true, resets: true, wholeRecords: true,
		wrongP1P2: 0x6D00,
		atr:       "\x3b\x8f\x01\x80\x5d\x4e\x69\x74\x72\x6f\x6b\x65\x79\x00\x00\x00\x00\x00\x6a",
	},
}
