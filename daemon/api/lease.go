package api

import "time"

// LeaseRequest asks for a key for a program alone, for messages that must not be interleaved with
// others'. The answer to the person's wait and the lease itself come as prompts; the result when it is over.
type LeaseRequest struct {
	Key     string `json:"key,omitempty"`
	Purpose string `json:"purpose,omitempty"` // shown to the person, at most 200 characters
	// DurationMS is how long the lease lasts, in milliseconds: 0 means 30 seconds, at most 5 minutes.
	DurationMS uint32 `json:"duration,omitempty"`
	// TimeoutMS bounds the wait for the key, in milliseconds; 0 means the daemon's default.
	TimeoutMS uint32 `json:"timeout,omitempty"`
	// AllowLastRetry permits the program to spend the last PIN retry.
	AllowLastRetry bool `json:"allowLastRetry,omitempty"`
}

// Timeout is TimeoutMS and the lease's own duration.
func (r LeaseRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// The ways in which a lease ends without an error.
const (
	LeaseExpired  = "expired"
	LeaseReleased = "released"
	LeaseRevoked  = "revoked"
)

// LeaseResult says how a lease ended.
type LeaseResult struct {
	Key   Key    `json:"key"`
	Ended string `json:"ended"`
}

// LeaseSendRequest sends one whole message to a leased key: CBOR, a command of CTAP2 with its
// parameters, or MSG, an APDU of U2F.
type LeaseSendRequest struct {
	Lease     string `json:"lease"`
	CBOR      Bytes  `json:"cbor,omitempty"`
	MSG       Bytes  `json:"msg,omitempty"`
	TimeoutMS uint32 `json:"timeout,omitempty"`
}

// Timeout is TimeoutMS as a duration.
func (r LeaseSendRequest) Timeout() time.Duration { return milliseconds(r.TimeoutMS) }

// LeaseSendResult is what the key answered: status and CBOR, or data and status word.
type LeaseSendResult struct {
	Response Bytes `json:"response"`
}

// LeaseEndRequest ends a lease: that of the program itself by its secret name, or as an
// administrator that on a key.
type LeaseEndRequest struct {
	Lease string `json:"lease,omitempty"`
	Key   string `json:"key,omitempty"`
}

// LeaseEndResult says on which key there is no lease any more.
type LeaseEndResult struct {
	Key Key `json:"key"`
}

// LeaseListRequest asks for all leases.
type LeaseListRequest struct{}

// LeaseListResult is the answer to [OpLeaseList].
type LeaseListResult struct {
	Leases []Lease `json:"leases"`
}

// Lease is a key that one program has for itself for a while.
type Lease struct {
	Key     Key    `json:"key"`
	Holder  Holder `json:"holder"`
	Purpose string `json:"purpose,omitempty"`
	Expires string `json:"expires"` // RFC 3339
}

// LeaseReportsRequest asks for a lease as a file descriptor: POST /v1/lease-reports, whose answer carries
// it by SCM_RIGHTS. It is a socket of type SEQPACKET, and a packet is a report of 64 bytes of CTAPHID.
type LeaseReportsRequest struct {
	Lease string `json:"lease"`
}
