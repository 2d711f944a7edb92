package api

import (
	"encoding/json"
)

// UserEnrollRequest makes a security key a person's.
type UserEnrollRequest struct {
	User string `json:"user"`
	Key  string `json:"key,omitempty"`
	// Purpose is shown in prompts.
	Purpose        string `json:"purpose,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// UserEnrollResult is the answer to [OpUserEnroll].
type UserEnrollResult struct {
	Key   Key   `json:"key"`
	Token Token `json:"token"`
}

// UserVerifyRequest asks a person for what is enrolled for them, as much of it as the policy wants.
type UserVerifyRequest struct {
	// User is the person: the caller, or somebody else for administrators.
	User string `json:"user"`
	// With is "key" or "code" if nothing else will do.
	With string `json:"with,omitempty"`
	// Code is one that the person has given already.
	Code string `json:"code,omitempty"`
	Key  string `json:"key,omitempty"`
	// MaxAge, in seconds, takes a verification of the same person for the same caller that is no older.
	MaxAge int `json:"maxAge,omitempty"`
	// Audience is the program that the statement is for, and Nonce a text of its choice.
	Audience string `json:"audience,omitempty"`
	Nonce    string `json:"nonce,omitempty"`
	// Purpose is shown in prompts.
	Purpose        string `json:"purpose,omitempty"`
	AllowLastRetry bool   `json:"allowLastRetry,omitempty"`
	TimeoutMS      uint32 `json:"timeout,omitempty"`
}

// UserVerifyResult is the answer to [OpUserVerify] about somebody who was verified.
type UserVerifyResult struct {
	User string `json:"user"`
	// Statement is a JSON Web Token that says so, checked by the keys of [OpStatementKeys].
	Statement string `json:"statement"`
	Expires   string `json:"expires"` // RFC 3339, of the statement
	// AuthTime is when it was done, RFC 3339, and Methods how (RFC 8176).
	AuthTime string   `json:"authTime"`
	Methods  []string `json:"methods"`
	// Tokens are the serial numbers of what it was done with.
	Tokens []string `json:"tokens,omitempty"`
	// Reused says that it was done before.
	Reused bool `json:"reused,omitempty"`
}

// StatementKeysRequest asks for the keys that statements are signed with.
type StatementKeysRequest struct{}

// StatementKeysResult is a JWK Set (RFC 7517).
type StatementKeysResult struct {
	Keys []json.RawMessage `json:"keys"`
}

// StatementCheckRequest asks whether a statement is to be trusted.
type StatementCheckRequest struct {
	Statement string `json:"statement"`
	// Audience is the program that it must be for.
	Audience string `json:"audience,omitempty"`
	// User, if given, must be the person.
	User string `json:"user,omitempty"`
}

// StatementCheckResult says what a statement that is to be trusted says.
type StatementCheckResult struct {
	User     string   `json:"user"`
	Issuer   string   `json:"issuer"`
	AuthTime string   `json:"authTime"` // RFC 3339
	Expires  string   `json:"expires"`  // RFC 3339
	Methods  []string `json:"methods"`
	Nonce    string   `json:"nonce,omitempty"`
	Tokens   []string `json:"tokens,omitempty"`
}

// User is a person with what they have.
type User struct {
	Name     string  `json:"name"`
	Tokens   []Token `json:"tokens"`
	Recovery int     `json:"recovery,omitempty"` // recovery codes that are left
	// Failures are the wrong codes since the last right one.
	Failures    int    `json:"failures,omitempty"`
	LockedUntil string `json:"lockedUntil,omitempty"` // RFC 3339
	LastUsed    string `json:"lastUsed,omitempty"`    // RFC 3339
	Created     string `json:"created"`               // RFC 3339
}

// UserListRequest asks for people.
type UserListRequest struct{}

// UserListResult is the answer to [OpUserList] and [OpUserShow].
type UserListResult struct {
	Users []User `json:"users"`
}

// UserRemoveResult is the answer to [OpUserRemove].
type UserRemoveResult struct {
	User string `json:"user"`
	// Freed tokens can be given to somebody else; Retired ones cannot.
	Freed   []string `json:"freed,omitempty"`
	Retired []string `json:"retired,omitempty"`
}

// InventoryRequest asks who has what.
type InventoryRequest struct {
	// Unused limits it to what was not used for so many days, Expired to what is past its date, User to what one person has, State to what is in
	// a state.
	Unused  int    `json:"unused,omitempty"`
	Expired bool   `json:"expired,omitempty"`
	User    string `json:"user,omitempty"`
	State   string `json:"state,omitempty"`
}

// InventoryResult is the answer to [OpInventory].
type InventoryResult struct {
	Items []Item `json:"items"`
}

// Item is a line of the inventory.
type Item struct {
	Token
	// Attached says that the key is plugged in now.
	Attached bool `json:"attached,omitempty"`
	// Notes say what is wrong: "expired", "never used", "unused for 90 days", "the metadata says: …".
	Notes []string `json:"notes,omitempty"`
}
