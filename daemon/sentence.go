package daemon

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/fobd/fobd/daemon/api"
)

// sentence says a prompt in one English sentence: what to do, to which key, who asks, and
// what for.
func (c *call) sentence(p *api.Prompt) string {
	key := p.KeyName
	if key == "" {
		key = "a security key"
	}
	why := c.why(p)
	switch p.Kind {
	case api.PromptTouch:
		return fmt.Sprintf("Touch %s%s", key, why)
	case api.PromptVerify:
		return fmt.Sprintf("Put your finger on the sensor of %s%s", key, why)
	case api.PromptReplug:
		return fmt.Sprintf("Pull out %s and put it in again%s", key, why)
	case api.PromptInsert:
		return "Put in a security key" + why
	case api.PromptWait:
		return fmt.Sprintf("%s is in use; waiting for it%s", key, why)
	case api.PromptPIN:
		return fmt.Sprintf("Enter the PIN of %s%s", key, why)
	case api.PromptNewPIN:
		return fmt.Sprintf("Enter a new PIN for %s%s", key, why)
	case api.PromptCode:
		return "Enter the code of a token" + why
	case api.PromptLease:
		return fmt.Sprintf("%s has %s for itself", asker(p), key) + purposeOf(p)
	case api.PromptSample:
		return fmt.Sprintf("Touch the sensor of %s with the finger that it is to know%s", key, why)
	case api.PromptChoose:
		return "Choose an account" + why
	}
	return "Agree" + why
}

// asker is who asks. A program gives itself its name.
func asker(p *api.Prompt) string {
	if program := printable(p.Program); program != "" {
		return program
	}
	return "somebody"
}

// why says who asks and what for.
func (c *call) why(p *api.Prompt) string {
	s := ": " + asker(p) + " wants "
	switch c.op.Name {
	case api.OpRegister:
		s += "to register it with " + p.RPID
	case api.OpAssert:
		s += "to sign in to " + p.RPID
	case api.OpUserEnroll:
		s += "to enrol it for " + c.person
	case api.OpUserVerify:
		s += "to know that " + c.person + " is here"
	case api.OpTouch:
		s += "a touch"
	case api.OpCode, api.OpSlotCode:
		s += "a code"
		if account, ok := strings.CutPrefix(c.about, "account "); ok {
			s += " of " + account
		}
	case api.OpSlotRespond:
		s += "an answer to a challenge"
	case api.OpSlotSet, api.OpSlotSwap, api.OpSlotDelete:
		s += "to change its slots"
	case api.OpAccountList:
		s += "to see its accounts"
	case api.OpAccountAdd, api.OpAccountDelete, api.OpAccountRename, api.OpAccountProtect:
		s += "to change its accounts"
	case api.OpAccountReset:
		s += "to delete all of its accounts"
	case api.OpLease:
		s += "it for itself"
	case api.OpReset:
		s += "to erase it"
	case api.OpCredentialList, api.OpCredentialShow:
		s += "to see its credentials"
	case api.OpCredentialDelete:
		s += "to delete a credential"
	case api.OpCredentialRename:
		s += "to rename a credential"
	case api.OpFingerprintAdd, api.OpFingerprintDelete, api.OpFingerprintList, api.OpFingerprintRename:
		s += "to look after its fingerprints"
	case api.OpBlobCollect, api.OpBlobDelete, api.OpBlobGet, api.OpBlobList, api.OpBlobSet:
		s += "to look after its large blobs"
	case api.OpConfigAlwaysUV, api.OpConfigEnterprise, api.OpConfigIdentify, api.OpConfigLongTouch, api.OpConfigMinPIN, api.OpConfigShow, api.OpConfigVendor:
		s += "to look after its settings"
	case api.OpPINSet, api.OpPINChange, api.OpPINStatus:
		s += "to look after its PIN"
	default:
		s += c.op.Name
	}
	return s + purposeOf(p)
}

// purposeOf is what the program gave as its purpose.
func purposeOf(p *api.Prompt) string {
	if p.Purpose == "" {
		return ""
	}
	return " (" + p.Purpose + ")"
}

// printable drops what a terminal or a dialogue could take for more than text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, s)
}
