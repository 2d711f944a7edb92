package api

// Key is an attached security key.
type Key struct {
	ID           string `json:"id"`
	Name         string `json:"name"` // for people: manufacturer and product, or what is known
	Path         string `json:"path,omitempty"`
	VendorID     uint16 `json:"vendorId"`
	ProductID    uint16 `json:"productId"`
	Manufacturer string `json:"manufacturer,omitempty"`
	Product      string `json:"product,omitempty"`
	Serial       string `json:"serial,omitempty"`
	Emulated     bool   `json:"emulated"`
	// Interfaces are what the key can be spoken to as: "fido", "card" (a smart card), "slots" (a YubiKey's), "nitrokey-pro", "token2".
	Interfaces []string `json:"interfaces,omitempty"`
	// The following are known once the key has been asked for them.
	AAGUID   string   `json:"aaguid,omitempty"`
	Versions []string `json:"versions,omitempty"`
	PINSet   *bool    `json:"pinSet,omitempty"`
	// Busy is the operation that has taken the key right now.
	Busy *Holder `json:"busy,omitempty"`
}

// KeyEmulated names, in a request, any emulated key.
const KeyEmulated = "emulated"

// ListRequest asks for all keys.
type ListRequest struct{}

// ListResult is the answer to [OpList].
type ListResult struct {
	Keys []Key `json:"keys"`
}

// KeyRequest names a key, by its id or its serial number; an empty name is the only one,
// or the one that is touched. So it is among the keys of a model, named by its AAGUID, and among the
// emulated ones, named "emulated". Other requests name keys in the same way.
type KeyRequest struct {
	Key string `json:"key,omitempty"`
	// TimeoutMS bounds the whole operation, in milliseconds; 0 means the daemon's default.
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// InfoResult is the answer to [OpInfo]: what the key says of itself.
type InfoResult struct {
	Key          Key      `json:"key"`
	CTAPHID      string   `json:"ctaphid"`      // protocol and device version, "2, 5.4.3"
	Capabilities []string `json:"capabilities"` // "wink", "cbor", "msg"
	U2FVersion   string   `json:"u2fVersion,omitempty"`
	// Info is the authenticatorGetInfo answer by member name of the specification;
	// nil for a key that speaks CTAP1 only.
	Info map[string]any `json:"info,omitempty"`
}

// TouchRequest asks for a touch of a key. When no key is attached and none is named, the
// daemon waits for one to be put in, if TimeoutMS is given or the person can see prompts;
// so do [RegisterRequest] and [AssertRequest].
type TouchRequest struct {
	Key       string `json:"key,omitempty"`
	Purpose   string `json:"purpose,omitempty"` // shown to the person, at most 200 characters
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// TouchResult says which key was touched.
type TouchResult struct {
	Key Key `json:"key"`
}

// PINStatusResult is the answer to [OpPINStatus].
type PINStatusResult struct {
	Key         Key   `json:"key"`
	Supported   bool  `json:"supported"`
	Set         bool  `json:"set"`
	Retries     *uint `json:"retries,omitempty"` // nil when no PIN is set
	NeedsReplug bool  `json:"needsReplug"`       // three wrong PINs in a row
	UVRetries   *uint `json:"uvRetries,omitempty"`
	MinLength   uint  `json:"minLength"` // in code points
	MaxLength   uint  `json:"maxLength"`
	ForceChange bool  `json:"forceChange"`
	// Complexity says whether the key refuses PINs that are too simple, by the rules at
	// ComplexityURL; nil when it does not say (CTAP 2.3, section 6.4, pinComplexityPolicy).
	Complexity    *bool  `json:"complexity,omitempty"`
	ComplexityURL string `json:"complexityUrl,omitempty"`
}

// PINSetRequest sets the first PIN of a key; the PIN comes through a prompt.
type PINSetRequest = KeyRequest

// PINChangeRequest changes the PIN of a key; both PINs come through prompts.
type PINChangeRequest struct {
	Key       string `json:"key,omitempty"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
	// AllowLastRetry permits to spend the last PIN retry.
	AllowLastRetry bool `json:"allowLastRetry,omitempty"`
}

// ResetRequest wipes a key. Key must be named.
type ResetRequest struct {
	Key       string `json:"key"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// KeyResult says to which key something was done.
type KeyResult struct {
	Key Key `json:"key"`
}

// StatusRequest asks how the daemon is doing.
type StatusRequest struct{}

// StatusResult is the answer to [OpStatus].
type StatusResult struct {
	Version string `json:"version"`
	API     string `json:"api"`
	PID     int    `json:"pid"`
	Mode    string `json:"mode"` // "user" or "system"
	Socket  string `json:"socket,omitempty"`
	Keys    int    `json:"keys"`
	Running int    `json:"running"` // operations
	Waiting int    `json:"waiting"` // operations in queues
	Busy    int    `json:"busy"`    // keys that an operation has
	// Subscribers follow the events, Agents show prompts.
	Subscribers int `json:"subscribers"`
	Agents      int `json:"agents"`
	Leases      int `json:"leases"`
	Grants      int `json:"grants"`
	// Rules is how many the policy has, Audit whether there is an audit log, and whether it can be written:
	// "off", "on", or what is wrong.
	Rules     int    `json:"rules"`
	Audit     string `json:"audit"`
	StartedAt string `json:"startedAt"`
}
