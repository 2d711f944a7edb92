// Package api holds the types that cross the daemon's socket: requests and
// results of operations, prompts, events and errors.
//
// It is for the daemon, its front ends and every client; it needs the standard
// library only. All types have a JSON form; binary values are base64url without
// padding, as in WebAuthn Level 3.
package api

// Version is the version of the interface that this package describes. It grows
// when an operation, member or code is added; nothing is taken away within v1.
const Version = "1.2"

// The names of the operations, which are also their paths: POST /v1/<name>.
const (
	OpList  = "list"
	OpInfo  = "info"
	OpTouch = "touch"
	OpWink  = "wink"

	OpPolicyList     = "policy-list"
	OpPolicyCheck    = "policy-check"
	OpPolicyExplain  = "policy-explain"
	OpAuditList      = "audit-list"
	OpAuditVerify    = "audit-verify"
	OpGrantList      = "grant-list"
	OpGrantRevoke    = "grant-revoke"
	OpTokenAssign    = "token-assign"
	OpTokenDisable   = "token-disable"
	OpTokenEnable    = "token-enable"
	OpTokenEnroll    = "token-enroll"
	OpTokenFind      = "token-find"
	OpTokenImport    = "token-import"
	OpTokenList      = "token-list"
	OpTokenLost      = "token-lost"
	OpTokenResync    = "token-resync"
	OpTokenRetire    = "token-retire"
	OpTokenShow      = "token-show"
	OpTokenVerify    = "token-verify"
	OpRecoveryCodes  = "recovery-codes"
	OpUserUnlock     = "user-unlock"
	OpUserEnroll     = "user-enroll"
	OpUserVerify     = "user-verify"
	OpUserList       = "user-list"
	OpUserShow       = "user-show"
	OpUserRemove     = "user-remove"
	OpInventory      = "inventory"
	OpStatementKeys  = "statement-keys"
	OpStatementCheck = "statement-check"
	OpTokenCreate    = "token-create"
	OpTokenExport    = "token-export"
	OpTokenChallenge = "token-challenge"
	OpTokenAnswer    = "token-answer"
	OpStoreBackup    = "store-backup"
	OpStoreRestore   = "store-restore"
	OpStoreCheck     = "store-check"
	OpStoreReseal    = "store-reseal"
	OpRegister       = "register"
	OpAssert         = "assert"
	OpCheck          = "check"
	OpPINStatus      = "pin-status"
	OpPINSet         = "pin-set"
	OpPINChange      = "pin-change"
	OpReset          = "reset"

	OpCredentialList   = "credential-list"
	OpCredentialShow   = "credential-show"
	OpCredentialDelete = "credential-delete"
	OpCredentialRename = "credential-rename"

	OpFingerprintList   = "fingerprint-list"
	OpFingerprintAdd    = "fingerprint-add"
	OpFingerprintRename = "fingerprint-rename"
	OpFingerprintDelete = "fingerprint-delete"

	OpBlobList    = "blob-list"
	OpBlobGet     = "blob-get"
	OpBlobSet     = "blob-set"
	OpBlobDelete  = "blob-delete"
	OpBlobCollect = "blob-collect"

	OpConfigShow       = "config-show"
	OpConfigIdentify   = "config-identify"
	OpConfigEnterprise = "config-enterprise-attestation"
	OpConfigAlwaysUV   = "config-always-uv"
	OpConfigMinPIN     = "config-min-pin"
	OpConfigLongTouch  = "config-long-touch-reset"
	OpConfigVendor     = "config-vendor"

	OpLease     = "lease"
	OpLeaseSend = "lease-send"
	OpLeaseEnd  = "lease-end"
	OpLeaseList = "lease-list"

	OpStatus        = "status"
	OpEmulateAdd    = "emulate-add"
	OpEmulateList   = "emulate-list"
	OpEmulateRemove = "emulate-remove"
	OpEmulateTouch  = "emulate-touch"
	OpEmulatePower  = "emulate-power"
	OpEmulateSet    = "emulate-set"

	OpEmulateFault    = "emulate-fault"
	OpEmulateClock    = "emulate-clock"
	OpEmulateFinger   = "emulate-finger"
	OpEmulateSnapshot = "emulate-snapshot"
	OpEmulateRestore  = "emulate-restore"
	OpEmulateClone    = "emulate-clone"
	OpEmulateImport   = "emulate-import"
	OpEmulateExport   = "emulate-export"
	OpEmulateObserve  = "emulate-observe"
)
