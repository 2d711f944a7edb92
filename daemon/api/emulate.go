package api

// EmulateAddRequest adds an emulated key to the daemon.
type EmulateAddRequest struct {
	Name string `json:"name,omitempty"` // a free name is chosen when empty
	// State is the name of a sealed file in the daemon's state directory; empty keeps it in memory.
	State string `json:"state,omitempty"`
	// Presence is what the emulated person does when the key blinks: "grant" (default),
	// "deny", "manual" (waits for emulate-touch), or "delay" with DelayMS.
	Presence string `json:"presence,omitempty"`
	DelayMS  uint32 `json:"delay,omitempty"`
	// UV is built-in user verification: "none" (default), "grant" or "deny".
	UV string `json:"uv,omitempty"`
	// Attestation is "packed" (default), "self" or "none".
	Attestation string `json:"attestation,omitempty"`
	// Algorithms are COSE algorithm names in order of preference, empty for all.
	Algorithms []string `json:"algorithms,omitempty"`
	// CTAP1Only makes a U2F key.
	CTAP1Only bool `json:"ctap1Only,omitempty"`
	// Seed makes keys repeat in tests; never use it otherwise.
	Seed Bytes `json:"seed,omitempty"`
	// UHID also shows the key to the kernel, through /dev/uhid, instead of to the daemon alone.
	UHID bool `json:"uhid,omitempty"`
	// NoResetWindow lets reset work at any time, not only 10 seconds after power-up.
	NoResetWindow bool `json:"noResetWindow,omitempty"`
}

// EmulatedKey describes an emulated key.
type EmulatedKey struct {
	Name        string `json:"name"`
	Key         string `json:"key,omitempty"` // id among the keys; empty while it is off
	Power       bool   `json:"power"`
	Presence    string `json:"presence"`
	UV          string `json:"uv"`
	Credentials int    `json:"credentials"`
	Waiting     bool   `json:"waiting"` // it blinks and waits for a touch
	UHID        bool   `json:"uhid,omitempty"`
	State       string `json:"state,omitempty"`
}

// EmulateListRequest asks for the emulated keys.
type EmulateListRequest struct{}

// EmulateListResult is the answer to [OpEmulateList].
type EmulateListResult struct {
	Keys []EmulatedKey `json:"keys"`
}

// EmulateNameRequest names an emulated key; an empty name is the only one.
type EmulateNameRequest struct {
	Name string `json:"name,omitempty"`
}

// EmulatePowerRequest switches an emulated key on or off: off unplugs it.
type EmulatePowerRequest struct {
	Name string `json:"name,omitempty"`
	On   bool   `json:"on"`
}

// EmulateSetRequest changes what the emulated person does; empty members stay.
type EmulateSetRequest struct {
	Name     string `json:"name,omitempty"`
	Presence string `json:"presence,omitempty"`
	DelayMS  uint32 `json:"delay,omitempty"`
	UV       string `json:"uv,omitempty"`
}

// EmulateResult is the answer of the operations on one emulated key.
type EmulateResult struct {
	Key EmulatedKey `json:"key"`
}
