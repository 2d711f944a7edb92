package api

// The slots are those of a YubiKey's OTP application, 1 and 2.

// SlotShowRequest asks what the slots of a key are configured for.
type SlotShowRequest struct {
	Key       string `json:"key,omitempty"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// SlotShowResult says what the slots of a key are configured for.
type SlotShowResult struct {
	Key     Key    `json:"key"`
	Version string `json:"version"`
	// Serial is 0 for a key that keeps it to itself.
	Serial uint32 `json:"serial,omitempty"`
	Slots  []Slot `json:"slots"`
}

// Slot is one of the two.
type Slot struct {
	Number int `json:"number"`
	// Use is "empty", "challenge-response" (without a touch), "touch" (challenge-response with one, or codes and passwords that
	// the key types), or "unknown" of old keys.
	Use string `json:"use"`
}

// SlotRespondRequest has a slot answer a challenge with its HMAC-SHA1.
type SlotRespondRequest struct {
	Key       string `json:"key,omitempty"`
	Slot      int    `json:"slot"`
	Challenge Bytes  `json:"challenge"` // 1 to 63 bytes
	Purpose   string `json:"purpose,omitempty"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// SlotRespondResult is the answer.
type SlotRespondResult struct {
	Response Bytes `json:"response"` // 20 bytes
}

// SlotCodeRequest asks for the code of TOTP (SHA-1) that a slot for challenge-response makes.
type SlotCodeRequest struct {
	Key       string `json:"key,omitempty"`
	Slot      int    `json:"slot"`
	Digits    int    `json:"digits,omitempty"` // 6 (default) to 8
	Period    int64  `json:"period,omitempty"` // seconds, 30 by default
	Purpose   string `json:"purpose,omitempty"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// SlotCodeResult is the code.
type SlotCodeResult struct {
	Code  string `json:"code"`
	From  string `json:"from"`  // RFC 3339
	Until string `json:"until"` // RFC 3339
}

// SlotSetRequest configures a slot.
type SlotSetRequest struct {
	Key  string `json:"key,omitempty"`
	Slot int    `json:"slot"`
	// Kind is "challenge-response" (HMAC-SHA1), or "hotp" for codes that the key types.
	Kind string `json:"kind"`
	// Secret is the seed: at most 20 bytes, or more than 64.
	Secret Bytes `json:"secret"`
	// Touch wants a touch for each response.
	Touch bool `json:"touch,omitempty"`
	// Digits, 6 (default) or 8, Counter, a multiple of 16, and Enter, typed behind each code, are of hotp.
	Digits  int    `json:"digits,omitempty"`
	Counter uint32 `json:"counter,omitempty"`
	Enter   bool   `json:"enter,omitempty"`
	// AccessCode is what the slot has, NewAccessCode what it gets, 6 bytes each: who does not know it cannot change the slot.
	AccessCode    Bytes  `json:"accessCode,omitempty"`
	NewAccessCode Bytes  `json:"newAccessCode,omitempty"`
	TimeoutMS     uint32 `json:"timeout,omitempty"`
}

// SlotSwapRequest gives each slot the configuration of the other one.
type SlotSwapRequest struct {
	Key       string `json:"key,omitempty"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// SlotDeleteRequest makes a slot empty.
type SlotDeleteRequest struct {
	Key        string `json:"key,omitempty"`
	Slot       int    `json:"slot"`
	AccessCode Bytes  `json:"accessCode,omitempty"`
	TimeoutMS  uint32 `json:"timeout,omitempty"`
}
