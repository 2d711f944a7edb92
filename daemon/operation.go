package daemon

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// Operation is a row of the table of operations. HTTP, D-Bus, the OpenAPI
// description, the man pages and the audit log all come from it.
type Operation struct {
	Name    string // one of the api.Op constants
	Summary string // one line in the imperative, without a full stop
	Scope   policy.Scope
	// Interactive operations may show prompts.
	Interactive bool
	// Large operations take files, which may be longer than other requests.
	Large bool
	// Request and Result are zero values of the types that cross the socket.
	Request, Result any

	run func(c *call, ctx context.Context, decode func(any) error) (any, error)
	// keyed operations use a key, which the policy is asked about; sited ones a web site.
	keyed, sited bool
}

// The table. It is filled before main and never changed.
var (
	operations = []Operation{
		row(api.OpCode, policy.ScopeUse, "Read the one-time code of an account on a plugged-in token", (*call).code),
		row(api.OpAccountList, policy.ScopeUse, "List the accounts for one-time codes on plugged-in tokens", (*call).accountList),
		row(api.OpAccountAdd, policy.ScopeUse, "Put accounts for one-time codes on a plugged-in token", (*call).accountAdd),
		row(api.OpAccountDelete, policy.ScopeUse, "Delete an account from a plugged-in token", (*call).accountDelete),
		row(api.OpAccountRename, policy.ScopeUse, "Give an account on a plugged-in token another name", (*call).accountRename),
		row(api.OpAccountProtect, policy.ScopeUse, "Set the access code or PIN of a token's accounts", (*call).accountProtect),
		row(api.OpAccountReset, policy.ScopeAdmin, "Delete all accounts of a plugged-in token", (*call).accountReset),
		row(api.OpSlotShow, policy.ScopeRead, "Show what the slots of a YubiKey are configured for", (*call).slotShow),
		row(api.OpSlotRespond, policy.ScopeUse, "Have a slot of a YubiKey answer a challenge", (*call).slotRespond),
		row(api.OpSlotCode, policy.ScopeUse, "Read the one-time code that a slot of a YubiKey makes", (*call).slotCode),
		row(api.OpSlotSet, policy.ScopeUse, "Configure a slot of a YubiKey", (*call).slotSet),
		row(api.OpSlotSwap, policy.ScopeUse, "Give each slot of a YubiKey what is in the other one", (*call).slotSwap),
		row(api.OpSlotDelete, policy.ScopeUse, "Make a slot of a YubiKey empty", (*call).slotDelete),
		row(api.OpTokenCode, policy.ScopeAdmin, "Show the code that a registered token shows now", (*call).tokenCode),
		row(api.OpAssert, policy.ScopeUse, "Sign in to a site with a credential of a key", (*call).assert),
		row(api.OpAuditList, policy.ScopeAdmin, "Read the audit log", (*call).auditList),
		row(api.OpAuditVerify, policy.ScopeAdmin, "Check that no line of the audit log is missing or changed", (*call).auditVerify),
		row(api.OpBlobCollect, policy.ScopeUse, "Remove the large blobs that no credential of a key opens", (*call).blobCollect),
		row(api.OpBlobDelete, policy.ScopeUse, "Delete the large blob of a credential", (*call).blobDelete),
		row(api.OpBlobGet, policy.ScopeUse, "Read the large blob of a credential", (*call).blobGet),
		row(api.OpBlobList, policy.ScopeUse, "List the large blobs on a key", (*call).blobList),
		row(api.OpBlobSet, policy.ScopeUse, "Write the large blob of a credential", (*call).blobSet),
		row(api.OpConfigAlwaysUV, policy.ScopeAdmin, "Make a key verify the person for everything, or stop that", (*call).configAlwaysUV),
		row(api.OpConfigEnterprise, policy.ScopeAdmin, "Turn enterprise attestation of a key on", (*call).configEnterprise),
		row(api.OpConfigIdentify, policy.ScopeUse, "Show the identifier of a key and the state of its credentials", (*call).configIdentify),
		row(api.OpConfigLongTouch, policy.ScopeAdmin, "Make a reset of a key need a long touch", (*call).configLongTouch),
		row(api.OpConfigMinPIN, policy.ScopeAdmin, "Set the rules for the PIN of a key", (*call).configMinPIN),
		row(api.OpConfigShow, policy.ScopeRead, "Show what of a key can be configured and how it is", (*call).configShow),
		row(api.OpConfigVendor, policy.ScopeAdmin, "Send a vendor's prototype command to a key", (*call).configVendor),
		row(api.OpCredentialDelete, policy.ScopeUse, "Delete a credential from a key", (*call).credentialDelete),
		row(api.OpCredentialList, policy.ScopeUse, "List the credentials that a key stores", (*call).credentialList),
		row(api.OpCredentialRename, policy.ScopeUse, "Change the names that a key stores with a credential", (*call).credentialRename),
		row(api.OpCredentialShow, policy.ScopeUse, "Show one credential that a key stores", (*call).credentialShow),
		row(api.OpEmulateAdd, policy.ScopeAdmin, "Add an emulated key", (*call).emulateAdd),
		row(api.OpEmulateClock, policy.ScopeAdmin, "Move the clock of an emulated key forwards", (*call).emulateClock),
		row(api.OpEmulateClone, policy.ScopeAdmin, "Add a copy of an emulated key", (*call).emulateClone),
		row(api.OpEmulateExport, policy.ScopeAdmin, "Take the credentials out of an emulated key, with their private keys", (*call).emulateExport),
		row(api.OpEmulateFault, policy.ScopeAdmin, "Switch faults of an emulated key on or off", (*call).emulateFault),
		row(api.OpEmulateFinger, policy.ScopeAdmin, "Say what the sensor of an emulated key makes of the next samples", (*call).emulateFinger),
		row(api.OpEmulateImport, policy.ScopeAdmin, "Put credentials into an emulated key", (*call).emulateImport),
		row(api.OpEmulateList, policy.ScopeRead, "List the emulated keys", (*call).emulateList),
		row(api.OpEmulateObserve, policy.ScopeAdmin, "Show what an emulated key was asked", (*call).emulateObserve),
		row(api.OpEmulatePower, policy.ScopeAdmin, "Plug an emulated key in or pull it out", (*call).emulatePower),
		row(api.OpEmulateRemove, policy.ScopeAdmin, "Remove an emulated key", (*call).emulateRemove),
		row(api.OpEmulateRestore, policy.ScopeAdmin, "Put an emulated key back to a snapshot", (*call).emulateRestore),
		row(api.OpEmulateSet, policy.ScopeAdmin, "Change what the emulated person does", (*call).emulateSet),
		row(api.OpEmulateSnapshot, policy.ScopeAdmin, "Take a snapshot of an emulated key, with its secrets", (*call).emulateSnapshot),
		row(api.OpEmulateTouch, policy.ScopeAdmin, "Touch an emulated key once", (*call).emulateTouch),
		row(api.OpFingerprintAdd, policy.ScopeUse, "Teach a key a finger", (*call).fingerprintAdd),
		row(api.OpFingerprintDelete, policy.ScopeUse, "Make a key forget a finger", (*call).fingerprintDelete),
		row(api.OpFingerprintList, policy.ScopeUse, "List the fingers that a key knows", (*call).fingerprintList),
		row(api.OpFingerprintRename, policy.ScopeUse, "Give a finger that a key knows another name", (*call).fingerprintRename),
		row(api.OpGrantList, policy.ScopeRead, "List what people have agreed to for a while", (*call).grantList),
		row(api.OpGrantRevoke, policy.ScopeUse, "End what a person has agreed to", (*call).grantRevoke),
		row(api.OpTokenAssign, policy.ScopeAdmin, "Give a token for one-time codes to a person", (*call).tokenAssign),
		row(api.OpTokenDisable, policy.ScopeAdmin, "Stop accepting the codes of a token", (*call).tokenDisable),
		row(api.OpTokenEnable, policy.ScopeAdmin, "Accept the codes of a token again", (*call).tokenEnable),
		row(api.OpTokenEnroll, policy.ScopeAdmin, "Make a token a person's, by two of its codes in a row", (*call).tokenEnroll),
		row(api.OpTokenFind, policy.ScopeAdmin, "Find the tokens that show a code now", (*call).tokenFind),
		row(api.OpTokenImport, policy.ScopeAdmin, "Bring tokens for one-time codes from a seed file", (*call).tokenImport),
		row(api.OpTokenList, policy.ScopeAdmin, "List the tokens for one-time codes", (*call).tokenList),
		row(api.OpTokenLost, policy.ScopeAdmin, "End a lost token at once, and give its owner recovery codes", (*call).tokenLost),
		row(api.OpTokenResync, policy.ScopeAdmin, "Find the counter or the clock of a token again, by two of its codes in a row", (*call).tokenResync),
		row(api.OpTokenRetire, policy.ScopeAdmin, "End a token for good", (*call).tokenRetire),
		row(api.OpTokenShow, policy.ScopeAdmin, "Show a token for one-time codes", (*call).tokenShow),
		row(api.OpTokenVerify, policy.ScopeAdmin, "Check a one-time code of a person, which is spent by that", (*call).tokenVerify),
		row(api.OpRecoveryCodes, policy.ScopeAdmin, "Give a person recovery codes in place of those from before", (*call).recoveryCodes),
		row(api.OpUserUnlock, policy.ScopeAdmin, "Let a person try codes again who gave too many wrong ones", (*call).userUnlock),
		row(api.OpUserEnroll, policy.ScopeAdmin, "Make a security key a person's", (*call).userEnroll),
		row(api.OpUserVerify, policy.ScopeUse, "Ask a person for what is enrolled for them, and state that it was given", (*call).userVerify),
		row(api.OpUserList, policy.ScopeAdmin, "List the people with what they have", (*call).userList),
		row(api.OpUserShow, policy.ScopeAdmin, "Show a person with what they have", (*call).userShow),
		row(api.OpUserRemove, policy.ScopeAdmin, "Remove a person, and end what is theirs alone", (*call).userRemove),
		row(api.OpInventory, policy.ScopeAdmin, "Say who has what", (*call).inventory),
		row(api.OpStatementKeys, policy.ScopeRead, "Show the keys that statements about people are signed with", (*call).statementKeys),
		row(api.OpStatementCheck, policy.ScopeRead, "Check a statement about a person", (*call).statementCheck),
		row(api.OpTokenCreate, policy.ScopeAdmin, "Make a token for an authenticator app", (*call).tokenCreate),
		row(api.OpTokenExport, policy.ScopeAdmin, "Take tokens out, with their seeds, as an encrypted PSKC file", (*call).tokenExport),
		row(api.OpTokenChallenge, policy.ScopeAdmin, "Make a question for a token that answers some", (*call).tokenChallenge),
		row(api.OpTokenAnswer, policy.ScopeAdmin, "Check what a token answers to its question", (*call).tokenAnswer),
		row(api.OpStoreBackup, policy.ScopeAdmin, "Take a backup of people, tokens and keys", (*call).storeBackup),
		row(api.OpStoreRestore, policy.ScopeAdmin, "Put a backup into an empty store", (*call).storeRestore),
		row(api.OpStoreCheck, policy.ScopeAdmin, "Look for damage in the store, or in a backup", (*call).storeCheck),
		row(api.OpStoreReseal, policy.ScopeAdmin, "Seal all seeds with the newest key", (*call).storeReseal),
		row(api.OpPolicyCheck, policy.ScopeRead, "Check a file of rules", (*call).policyCheck),
		row(api.OpPolicyExplain, policy.ScopeRead, "Say how a request would be decided, and by which rules", (*call).policyExplain),
		row(api.OpPolicyList, policy.ScopeRead, "List the rules that hold", (*call).policyList),
		row(api.OpInfo, policy.ScopeRead, "Show what a key says of itself", (*call).info),
		row(api.OpLease, policy.ScopeUse, "Have a key for a program alone, for messages of its own", (*call).lease),
		row(api.OpLeaseEnd, policy.ScopeUse, "End a lease", (*call).leaseEnd),
		row(api.OpLeaseList, policy.ScopeRead, "List the leases", (*call).leaseList),
		row(api.OpLeaseSend, policy.ScopeUse, "Send a message to a leased key", (*call).leaseSend),
		row(api.OpList, policy.ScopeRead, "List the attached keys", (*call).list),
		row(api.OpPINChange, policy.ScopeUse, "Change the PIN of a key", (*call).pinChange),
		row(api.OpPINSet, policy.ScopeUse, "Set the first PIN of a key", (*call).pinSet),
		row(api.OpPINStatus, policy.ScopeRead, "Show whether a key has a PIN and how many tries are left", (*call).pinStatus),
		row(api.OpRegister, policy.ScopeUse, "Make a new credential for a site on a key", (*call).register),
		row(api.OpReset, policy.ScopeAdmin, "Erase everything on a key", (*call).reset),
		row(api.OpStatus, policy.ScopeRead, "Show how the daemon is doing", (*call).status),
		row(api.OpTouch, policy.ScopeUse, "Ask for a touch of a key", (*call).touch),
		row(api.OpCheck, policy.ScopeRead, "Check a registration or an assertion as the site does", (*call).check),
		row(api.OpWink, policy.ScopeUse, "Make a key show itself", (*call).wink),
	}
	table = make(map[string]*Operation)
	// actions are what [Actions] tells.
	actions []policy.Action
)

func init() {
	slices.SortFunc(operations, func(a, b Operation) int { return strings.Compare(a.Name, b.Name) })
	for i := range operations {
		op := &operations[i]
		table[op.Name] = op
		key, ok := reflect.TypeOf(op.Request).FieldByName("Key")
		op.keyed = ok && key.Type.Kind() == reflect.String && !slices.Contains([]string{api.OpLeaseEnd, api.OpPolicyExplain, api.OpAuditList}, op.Name)
		op.Large = slices.Contains([]string{api.OpTokenImport, api.OpStoreRestore, api.OpStoreCheck}, op.Name)
		op.sited = op.Name == api.OpRegister || op.Name == api.OpAssert
	}
}

// timed is a request that says how long its operation may take; 0 is the default.
type timed interface{ Timeout() time.Duration }

// row makes a row of an operation's function. What takes time can show prompts.
func row[Request, Result any](name string, scope policy.Scope, summary string, run func(*call, context.Context, *Request) (*Result, error)) Operation {
	_, interactive := any(new(Request)).(timed)
	return Operation{
		Name:        name,
		Summary:     summary,
		Scope:       scope,
		Interactive: interactive,
		Request:     *new(Request),
		Result:      *new(Result),
		run: func(c *call, ctx context.Context, decode func(any) error) (any, error) {
			request := new(Request)
			if err := decode(request); err != nil {
				return nil, &requestError{err}
			}
			timeout := time.Duration(0)
			if t, ok := any(request).(timed); ok {
				timeout = t.Timeout()
			}
			ctx, cancel, err := c.limit(ctx, timeout)
			if err != nil {
				return nil, err
			}
			defer cancel()
			result, err := run(c, ctx, request)
			if err != nil {
				return nil, err
			}
			return result, nil
		},
	}
}

// Actions are all that the policy is asked about: the operations, and what is done without one.
func Actions() []policy.Action { return slices.Clone(actions) }

func init() {
	actions = []policy.Action{
		{Operation: "events", Scope: policy.ScopeRead},  // follow the events
		{Operation: "metrics", Scope: policy.ScopeRead}, // count what happens
		{Operation: "objects", Scope: policy.ScopeRead}, // see keys and operations on D-Bus
		{Operation: "prompts", Scope: policy.ScopeUse},  // be an agent, who is asked for the person
	}
	for _, op := range operations {
		actions = append(actions, policy.Action{Operation: op.Name, Scope: op.Scope})
	}
}

// Operations returns the table, sorted by name.
func Operations() []Operation { return slices.Clone(operations) }
