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
	// Attestation is "packed" (default), "self", "none" or "fido-u2f".
	Attestation string `json:"attestation,omitempty"`
	// Algorithms are COSE algorithm names in order of preference, empty for all.
	Algorithms []string `json:"algorithms,omitempty"`
	// Profile is the kind of key: "u2f", "fido2.0", "fido2.1", "fido2.3" (default),
	// "fido2.3-bio" or "minimal".
	Profile string `json:"profile,omitempty"`
	// Faults are switched on from the beginning; see [EmulateFaultRequest].
	Faults []string `json:"faults,omitempty"`
	// CTAP1Only makes a U2F key, as the profile "u2f" does.
	CTAP1Only bool `json:"ctap1Only,omitempty"`
	// Seed makes keys repeat in tests; never use it otherwise.
	Seed Bytes `json:"seed,omitempty"`
	// UHID also shows the key to the kernel, through /dev/uhid, instead of to the daemon alone.
	UHID bool `json:"uhid,omitempty"`
	// OATH is the application for one-time codes on it: that of a "yubikey" (default), a "neo", a "canokey" or a "nitrokey", or "none".
	OATH string `json:"oath,omitempty"`
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
	// OATH is the application for one-time codes, empty for none, Accounts how many it has.
	OATH     string `json:"oath,omitempty"`
	Accounts int    `json:"accounts,omitempty"`
	UHID     bool   `json:"uhid,omitempty"`
	State    string `json:"state,omitempty"`
	Profile  string `json:"profile"`
	// Faults are those that are switched on.
	Faults []string `json:"faults,omitempty"`
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

// EmulateFaultRequest switches faults of an emulated key on or off. A fault is written as its
// name, or as name=value, such as "status=getAssertion:PIN_AUTH_INVALID:once"; the list is in
// docs/emulated-key.md. Faults of reports, whose names begin with "report-", hold from the next
// time that the key is opened. A wrong request changes nothing.
type EmulateFaultRequest struct {
	Name  string   `json:"name,omitempty"`
	On    []string `json:"on,omitempty"`
	Off   []string `json:"off,omitempty"`   // names only
	Clear bool     `json:"clear,omitempty"` // all off, before On
}

// EmulateClockRequest moves the virtual clock of an emulated key forwards. The first move takes
// the key off the wall clock: from then on its time passes by such requests only.
type EmulateClockRequest struct {
	Name      string `json:"name,omitempty"`
	AdvanceMS uint64 `json:"advance"`
}

// EmulateFingerRequest says what the sensor makes of the next samples: "good", "too-fast",
// "poor-quality" and the other names of CTAP 2.3, section 6.7.4. After them all are good.
type EmulateFingerRequest struct {
	Name    string   `json:"name,omitempty"`
	Samples []string `json:"samples"`
}

// EmulateSnapshotResult is the whole state of an emulated key, secrets included, for
// [OpEmulateRestore] and [OpEmulateClone].
type EmulateSnapshotResult struct {
	Name     string `json:"name"`
	Snapshot Bytes  `json:"snapshot"`
}

// EmulateRestoreRequest puts an emulated key back to a snapshot.
type EmulateRestoreRequest struct {
	Name     string `json:"name,omitempty"`
	Snapshot Bytes  `json:"snapshot"`
}

// EmulateCloneRequest adds an emulated key with the state of another one. The two have the same
// secrets and a counter each, as with a key that was copied.
type EmulateCloneRequest struct {
	Name  string `json:"name,omitempty"`
	Clone string `json:"clone,omitempty"` // name of the new key; a free one is chosen when empty
}

// EmulatedCredential is a credential as a fixture: what the key stores, with its private key.
type EmulatedCredential struct {
	ID           Bytes  `json:"id,omitempty"` // chosen by the key when empty
	RPID         string `json:"rpId"`
	UserID       Bytes  `json:"userId,omitempty"`
	UserName     string `json:"userName,omitempty"`
	DisplayName  string `json:"displayName,omitempty"`
	Discoverable bool   `json:"discoverable"`
	// PrivateKey is PKCS #8 in DER (RFC 5958).
	PrivateKey Bytes `json:"privateKey"`
	// Algorithm is a COSE name, needed where the private key is good for several.
	Algorithm         string `json:"algorithm,omitempty"`
	CredProtect       string `json:"credProtect,omitempty"` // as in [DiscoverableCredential]
	CredBlob          Bytes  `json:"credBlob,omitempty"`
	HMACSecret        bool   `json:"hmacSecret,omitempty"`
	ThirdPartyPayment bool   `json:"thirdPartyPayment,omitempty"`
	LargeBlobKey      Bytes  `json:"largeBlobKey,omitempty"` // of keys with a large-blob array
	// LargeBlob is compressed, LargeBlobSize its size before; of keys with the extension largeBlob.
	LargeBlob     Bytes  `json:"largeBlob,omitempty"`
	LargeBlobSize uint64 `json:"largeBlobSize,omitempty"`
	SignCount     uint32 `json:"signCount,omitempty"`
}

// EmulateImportRequest puts credentials into an emulated key.
type EmulateImportRequest struct {
	Name        string               `json:"name,omitempty"`
	Credentials []EmulatedCredential `json:"credentials"`
}

// EmulateExportResult is every stored credential of an emulated key.
type EmulateExportResult struct {
	Name        string               `json:"name"`
	Credentials []EmulatedCredential `json:"credentials"`
}

// EmulateObserveRequest asks what an emulated key was asked, from the observation with the
// number Since on. With Wait it waits for the first one, within the time-out.
type EmulateObserveRequest struct {
	Name      string `json:"name,omitempty"`
	Since     uint64 `json:"since,omitempty"`
	Wait      bool   `json:"wait,omitempty"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// EmulateObserveResult holds observations, the oldest first. The key keeps the last 1024.
type EmulateObserveResult struct {
	Name         string        `json:"name"`
	Next         uint64        `json:"next"` // for Since
	Observations []Observation `json:"observations"`
}

// Observation is something that an emulated key was asked, or did.
type Observation struct {
	Number uint64 `json:"number"`
	Time   string `json:"time"` // RFC 3339, of the key's clock
	// Kind is "command" or "credential".
	Kind    string `json:"kind"`
	Command string `json:"command,omitempty"` // of the specification, such as "getAssertion"
	Status  string `json:"status,omitempty"`  // the answer's, such as "OK", or "9000" for U2F
	RPID    string `json:"rpId,omitempty"`
	// List is the allow or exclude list.
	List []Bytes `json:"list,omitempty"`
	// Event is "created", "deleted", "updated" or "asserted", with Credential.
	Event      string `json:"event,omitempty"`
	Credential Bytes  `json:"credential,omitempty"`
}
