package api

// Fingerprint is one that a key knows (CTAP 2.3, section 6.7.6).
type Fingerprint struct {
	ID   Bytes  `json:"id"`
	Name string `json:"name,omitempty"`
}

// FingerprintListRequest asks for the fingerprints of a key and what its sensor is. The person
// gives the PIN or a finger.
type FingerprintListRequest struct {
	Key            string `json:"key,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// FingerprintListResult is the answer to [OpFingerprintList].
type FingerprintListResult struct {
	Key          Key           `json:"key"`
	Fingerprints []Fingerprint `json:"fingerprints"`
	Sensor       string        `json:"sensor"`            // "touch" or "swipe"
	MaxSamples   uint          `json:"maxSamples"`        // good samples that a finger needs at most
	MaxName      uint          `json:"maxName,omitempty"` // bytes
}

// FingerprintAddRequest enrols a finger. Each sample is shown as a prompt of the kind
// [PromptSample].
type FingerprintAddRequest struct {
	Key            string `json:"key,omitempty"`
	Name           string `json:"name,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// FingerprintRequest names a fingerprint of a key, by its id or by its name.
type FingerprintRequest struct {
	Key            string `json:"key,omitempty"`
	Fingerprint    string `json:"fingerprint"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// FingerprintRenameRequest gives a fingerprint another name.
type FingerprintRenameRequest struct {
	Key            string `json:"key,omitempty"`
	Fingerprint    string `json:"fingerprint"`
	Name           string `json:"name"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// FingerprintResult is a fingerprint after an operation on it; for [OpFingerprintDelete] the
// one that is gone.
type FingerprintResult struct {
	Key         Key         `json:"key"`
	Fingerprint Fingerprint `json:"fingerprint"`
}
