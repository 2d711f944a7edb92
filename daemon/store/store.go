// Package store keeps tokens for one-time codes, and the people that they belong to, in SQLite or PostgreSQL. What
// [Store.Update] has returned from without an error outlasts a crash; what it has not was not done.
//
// Seeds come in sealed and stay so: the store knows no key.
package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/tokens/otp"
)

// State is where a token is in its life.
type State string

// The states, in the order of a life. A locked token had too many wrong codes; a lost one is not
// accepted any more, and may be found again; a retired one stays for the records.
const (
	Imported State = "imported"
	Assigned State = "assigned"
	Active   State = "active"
	Disabled State = "disabled"
	Locked   State = "locked"
	Lost     State = "lost"
	Retired  State = "retired"
)

// FIDO is the kind of a security key, which has a [Credential] where the others have a seed.
const FIDO otp.Kind = "fido"

// Token is a token for one-time codes, or a security key.
type Token struct {
	// Serial is unique.
	Serial       string         `json:"serial"`
	Manufacturer string         `json:"manufacturer,omitempty"`
	Model        string         `json:"model,omitempty"`
	Issuer       string         `json:"issuer,omitempty"`
	Params       otp.Parameters `json:"params"`
	// Seed is sealed; Fingerprint is a keyed hash of it, by which the same seed is known again. A security
	// key has no seed, and the fingerprint of its credential's ID.
	Seed        []byte      `json:"seed,omitempty"`
	Fingerprint []byte      `json:"fingerprint"`
	Credential  *Credential `json:"credential,omitempty"`
	State       State       `json:"state"`
	// Owner is a user's name, empty for nobody.
	Owner string `json:"owner,omitempty"`
	// Next is the first counter or time step that may still be accepted: it never goes back. Of a security key it is
	// the signature counter.
	Next uint64 `json:"next,omitempty"`
	// Drift is how many steps the token's clock is ahead.
	Drift int64 `json:"drift,omitempty"`
	// Failures are the wrong codes since the last right one.
	Failures    int       `json:"failures,omitempty"`
	LockedUntil time.Time `json:"lockedUntil,omitzero"`
	LastUsed    time.Time `json:"lastUsed,omitzero"`
	// Starts and Expires bound when it is accepted; zero for no bound.
	Starts   time.Time `json:"starts,omitzero"`
	Expires  time.Time `json:"expires,omitzero"`
	Imported time.Time `json:"imported"`
	Changed  time.Time `json:"changed"`
}

// Credential is what a security key registered (WebAuthn Level 3, section 4, credential record).
type Credential struct {
	ID         []byte `json:"id"`
	PublicKey  []byte `json:"publicKey"` // COSE_Key
	UserHandle []byte `json:"userHandle"`
	RPID       string `json:"rpId"`
	AAGUID     string `json:"aaguid,omitempty"` // as a UUID, empty for keys that only speak U2F
	// Firmware is what the key said of itself, 0 if nothing.
	Firmware uint64 `json:"firmware,omitempty"`
	// Attestation is the type that was verified, and Format the format of its statement.
	Attestation    string `json:"attestation,omitempty"`
	Format         string `json:"format,omitempty"`
	BackupEligible bool   `json:"backupEligible,omitempty"`
	Emulated       bool   `json:"emulated,omitempty"`
}

// User is a person whose tokens are known.
type User struct {
	Name        string    `json:"name"`
	Failures    int       `json:"failures,omitempty"`
	LockedUntil time.Time `json:"lockedUntil,omitzero"`
	LastUsed    time.Time `json:"lastUsed,omitzero"`
	Created     time.Time `json:"created"`
}

// RecoveryCode is one that stands in for a token that is lost, once.
type RecoveryCode struct {
	Owner   string    `json:"owner"`
	Hash    []byte    `json:"hash"`
	Expires time.Time `json:"expires"`
	Used    time.Time `json:"used,omitzero"` // zero: not yet
}

// SigningKey signs statements about people. Private is sealed.
type SigningKey struct {
	ID      string    `json:"id"`
	Private []byte    `json:"private"`
	Created time.Time `json:"created"`
}

// Filter says which tokens are meant; zero members do not limit.
type Filter struct {
	State State
	Owner string
	// Fingerprint is that of a seed.
	Fingerprint []byte
	// After is the serial to begin behind, Limit how many there are at most; 0 for all.
	After string
	Limit int
}

// Errors of stores.
var (
	ErrNotFound = errors.New("store: not there")
	ErrExists   = errors.New("store: there already")
	// ErrBackwards says that a counter would have moved back.
	ErrBackwards = errors.New("store: a counter cannot go back")
)

// Tx is what can be done in one transaction. A row that was read in an update stays as it is until its end.
type Tx interface {
	// Token gives a token, or [ErrNotFound].
	Token(serial string) (*Token, error)
	// Tokens gives tokens in the order of their serials.
	Tokens(f Filter) ([]*Token, error)
	// Alike gives the tokens that have one of the serials or one of the fingerprints.
	Alike(serials []string, fingerprints [][]byte) ([]*Token, error)
	// AddTokens adds tokens: all, or fails with [ErrExists].
	AddTokens(tokens ...*Token) error
	// SaveToken changes a token's life: its state, owner, counter, drift, failures and times. It fails with
	// [ErrBackwards], and changes nothing, if Next is lower than in the store.
	SaveToken(t *Token) error
	// Reseal replaces a token's sealed seed by the same one, sealed with another key.
	Reseal(serial string, seed []byte) error
	// User gives a user, or [ErrNotFound].
	User(name string) (*User, error)
	// Users gives all, by name.
	Users() ([]*User, error)
	// SaveUser adds or changes a user.
	SaveUser(u *User) error
	// RemoveUser removes a user who has no tokens, with the recovery codes.
	RemoveUser(name string) error
	// RecoveryCodes gives those of a user, or of all if owner is empty.
	RecoveryCodes(owner string) ([]*RecoveryCode, error)
	// SaveRecoveryCode adds or changes one.
	SaveRecoveryCode(c *RecoveryCode) error
	// RemoveRecoveryCodes removes those of a user.
	RemoveRecoveryCodes(owner string) error
	// SigningKeys gives all, the newest first.
	SigningKeys() ([]*SigningKey, error)
	// SaveSigningKey adds one, or changes what is sealed.
	SaveSigningKey(k *SigningKey) error
	// RemoveSigningKey removes one.
	RemoveSigningKey(id string) error
}

// Store keeps them. Its methods may be called from several goroutines.
type Store interface {
	// Update runs do in a transaction, which is durable when Update returns nil. What do fails with undoes it all, and is
	// returned. do may be run again where others were in the way, so it must not change anything else.
	Update(ctx context.Context, do func(Tx) error) error
	// Together is Update for short transactions about one user each: those of many callers may share statements and a commit. do
	// may run on another goroutine.
	Together(ctx context.Context, do func(Tx) error) error
	// View runs do with what there is now.
	View(ctx context.Context, do func(Tx) error) error
	// Check looks for damage.
	Check(ctx context.Context) error
	Close() error
}

// maxCounter is the highest that a database keeps.
const maxCounter = 1<<63 - 1

func checkToken(t *Token) error {
	if t.Serial == "" || len(t.Serial) > 256 {
		return fmt.Errorf("store: a serial number of %d characters, want 1 to 256", len(t.Serial))
	}
	if t.Next > maxCounter {
		return fmt.Errorf("store: the counter of %s is %d, at most %d can be kept", t.Serial, t.Next, uint64(maxCounter))
	}
	return nil
}

// millis is a time in the database: 0 for none.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
