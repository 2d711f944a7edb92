package daemon

import (
	"errors"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/u2f"
	"github.com/fobd/fobd/u2f/apdu"
)

// rawAction is what a message of CTAP amounts to among the operations of the table, so that the
// rules for operations hold for programs that send messages, too.
type rawAction struct {
	// Operation is the name of a row of the table, which the policy is asked for.
	Operation string
	Scope     policy.Scope
	// RPID is the site, where the message says it; U2F says only its hash.
	RPID string
	// Application is the hash that U2F says instead.
	Application *[32]byte
	// Touch and Verify are the options up and uv.
	Touch, Verify bool
	// Command and Sub are the CTAP2 command and subcommand, or U2F's instruction and control.
	Command, Sub byte
	// Continues says that the message makes sense only after another one, without others' between them.
	Continues bool
	// Opens says that messages may follow that make sense only without others' between.
	Opens bool
}

func rawRow(name string) rawAction { return rawAction{Operation: name, Scope: table[name].Scope} }

// changesInfo says whether the key may give another answer to getInfo afterwards (CTAP 2.3, section 6.4).
func (a rawAction) changesInfo() bool {
	switch a.Operation {
	case api.OpPINStatus, api.OpInfo, api.OpTouch, api.OpCredentialList, api.OpFingerprintList, api.OpBlobGet:
		return false
	}
	return true
}

// classifyCBOR says what a CTAP2 request amounts to. It refuses with a [ctap2.Status] what is not one, or
// could be read in two ways: a key must not see another request in it than the policy did.
func classifyCBOR(request []byte) (a rawAction, err error) {
	if len(request) == 0 {
		return a, ctap2.ErrInvalidLength
	}
	defer func() { a.Command = request[0] }()
	params := request[1:]
	bare := func(name string) (rawAction, error) {
		if len(params) > 0 {
			return rawAction{}, ctap2.ErrInvalidLength
		}
		return rawRow(name), nil
	}
	switch ctap2.Cmd(request[0]) {
	case ctap2.CmdMakeCredential:
		var r ctap2.MakeCredentialRequest
		if err := ctap2.Unmarshal(params, &r); err != nil {
			return rawAction{}, ctap2.StatusOf(err)
		}
		a = rawRow(api.OpRegister)
		a.RPID, a.Continues = r.RP.ID, verified(r.PINUVAuthParam)
		a.Touch, a.Verify = true, a.Continues || r.Options != nil && r.Options.UV != nil && *r.Options.UV
		return a, nil
	case ctap2.CmdGetAssertion:
		var r ctap2.GetAssertionRequest
		if err := ctap2.Unmarshal(params, &r); err != nil {
			return rawAction{}, ctap2.StatusOf(err)
		}
		a = rawRow(api.OpAssert)
		// More assertions follow only where no list says which credential is meant, CTAP 2.2, section 6.2.2, step 12.
		a.RPID, a.Continues, a.Opens = r.RPID, verified(r.PINUVAuthParam), len(r.AllowList) == 0
		a.Touch = r.Options == nil || r.Options.UP == nil || *r.Options.UP
		a.Verify = a.Continues || r.Options != nil && r.Options.UV != nil && *r.Options.UV
		return a, nil
	case ctap2.CmdGetNextAssertion:
		a, err = bare(api.OpAssert)
		a.Continues, a.Opens = true, true
		return a, err
	case ctap2.CmdGetInfo:
		return bare(api.OpInfo)
	case ctap2.CmdReset:
		return bare(api.OpReset)
	case ctap2.CmdSelection:
		return bare(api.OpTouch)
	case ctap2.CmdClientPIN:
		return classifyPIN(params)
	case ctap2.CmdCredentialManagement, ctap2.CmdCredentialManagementPreview:
		return classifyCredentials(params)
	case ctap2.CmdBioEnrollment, ctap2.CmdBioEnrollmentPreview:
		return classifyFingerprints(params)
	case ctap2.CmdLargeBlobs:
		var r ctap2.LargeBlobsRequest
		if err := ctap2.Unmarshal(params, &r); err != nil {
			return rawAction{}, ctap2.StatusOf(err)
		}
		a = rawRow(api.OpBlobGet)
		if r.Set != nil {
			a = rawRow(api.OpBlobSet)
		}
		a.Continues, a.Opens = r.Offset != nil && *r.Offset > 0 || r.PINUVAuthParam != nil, true
		return a, nil
	case ctap2.CmdConfig:
		return classifyConfig(params)
	}
	// Vendors' commands can do anything.
	return rawRow(api.OpConfigVendor), nil
}

// verified says whether a request comes with a token. An empty parameter only asks for a touch
// (CTAP 2.2, section 6.1.2, step 1).
func verified(param *[]byte) bool { return param != nil && len(*param) > 0 }

func classifyPIN(params []byte) (rawAction, error) {
	var r ctap2.ClientPINRequest
	if err := ctap2.Unmarshal(params, &r); err != nil {
		return rawAction{}, ctap2.StatusOf(err)
	}
	var a rawAction
	switch r.Subcommand {
	case ctap2.SubGetPINRetries, ctap2.SubGetUVRetries:
		a = rawRow(api.OpPINStatus)
	case ctap2.SubGetKeyAgreement:
		a = rawRow(api.OpPINStatus)
		a.Opens = true
	case ctap2.SubSetPIN:
		a = rawRow(api.OpPINSet)
		a.Continues = true
	case ctap2.SubChangePIN:
		a = rawRow(api.OpPINChange)
		a.Continues = true
	default:
		// What a token permits is what it can be used for: CTAP 2.2, section 6.5.5.7.
		a = permitted(r.Permissions)
		a.RPID, a.Continues, a.Opens = r.RPID, true, true
	}
	a.Sub = byte(min(uint(r.Subcommand), 0xFF))
	return a, nil
}

// permitted is the most that a token with permissions is for; without any, it is for registrations
// and assertions (CTAP 2.2, section 6.5.5.7.1).
func permitted(p *ctap2.Permission) rawAction {
	switch {
	case p == nil:
		return rawRow(api.OpAssert)
	case *p&ctap2.PermissionConfig != 0:
		return rawRow(api.OpConfigMinPIN)
	case *p&ctap2.PermissionBioEnrollment != 0:
		return rawRow(api.OpFingerprintAdd)
	case *p&ctap2.PermissionCredentialManagement != 0:
		return rawRow(api.OpCredentialDelete)
	case *p&ctap2.PermissionLargeBlobWrite != 0:
		return rawRow(api.OpBlobSet)
	case *p&ctap2.PermissionMakeCredential != 0:
		return rawRow(api.OpRegister)
	case *p&ctap2.PermissionCredentialRead != 0:
		return rawRow(api.OpCredentialList)
	}
	return rawRow(api.OpAssert)
}

func classifyCredentials(params []byte) (rawAction, error) {
	var r ctap2.CredentialManagementRequest
	if err := ctap2.Unmarshal(params, &r); err != nil {
		return rawAction{}, ctap2.StatusOf(err)
	}
	a := rawRow(api.OpCredentialList)
	switch r.Subcommand {
	case ctap2.SubGetCredsMetadata, ctap2.SubEnumerateRPsBegin, ctap2.SubEnumerateRPsGetNextRP,
		ctap2.SubEnumerateCredentialsBegin, ctap2.SubEnumerateCredentialsGetNext:
	case ctap2.SubUpdateUserInformation:
		a = rawRow(api.OpCredentialRename)
	default:
		a = rawRow(api.OpCredentialDelete)
	}
	a.Continues, a.Opens, a.Sub = true, true, byte(min(uint(r.Subcommand), 0xFF))
	return a, nil
}

func classifyFingerprints(params []byte) (rawAction, error) {
	var r ctap2.BioEnrollmentRequest
	if err := ctap2.Unmarshal(params, &r); err != nil {
		return rawAction{}, ctap2.StatusOf(err)
	}
	a := rawRow(api.OpFingerprintDelete)
	switch r.Subcommand {
	case 0, ctap2.SubGetFingerprintSensorInfo, ctap2.SubEnumerateEnrollments:
		a = rawRow(api.OpFingerprintList)
	case ctap2.SubEnrollBegin, ctap2.SubEnrollCaptureNextSample, ctap2.SubCancelCurrentEnrollment:
		a = rawRow(api.OpFingerprintAdd)
	case ctap2.SubSetFriendlyName:
		a = rawRow(api.OpFingerprintRename)
	}
	a.Continues, a.Opens, a.Sub = r.PINUVAuthParam != nil, true, byte(min(uint(r.Subcommand), 0xFF))
	return a, nil
}

func classifyConfig(params []byte) (rawAction, error) {
	var r ctap2.ConfigRequest
	if err := ctap2.Unmarshal(params, &r); err != nil {
		return rawAction{}, ctap2.StatusOf(err)
	}
	a := rawRow(api.OpConfigVendor)
	switch r.Subcommand {
	case ctap2.SubEnableEnterpriseAttestation:
		a = rawRow(api.OpConfigEnterprise)
	case ctap2.SubToggleAlwaysUV:
		a = rawRow(api.OpConfigAlwaysUV)
	case ctap2.SubSetMinPINLength:
		a = rawRow(api.OpConfigMinPIN)
	case ctap2.SubEnableLongTouchForReset:
		a = rawRow(api.OpConfigLongTouch)
	}
	a.Continues, a.Opens, a.Sub = r.PINUVAuthParam != nil, true, byte(min(uint(r.Subcommand), 0xFF))
	return a, nil
}

// classifyMSG says what an APDU of U2F amounts to (FIDO U2F Raw Message Formats 1.2). It refuses
// with a status word what is not one.
func classifyMSG(message []byte) (rawAction, error) {
	c, _, err := apdu.ParseCommand(message)
	if err != nil {
		return rawAction{}, apdu.ErrWrongLength
	}
	var a rawAction
	switch c.INS {
	case u2f.InsRegister:
		a = rawRow(api.OpRegister)
		var r u2f.RegisterRequest
		if r, err = u2f.ParseRegisterRequest(c); err == nil {
			a.Application, a.Touch = &r.Application, true
		}
	case u2f.InsAuthenticate:
		a = rawRow(api.OpAssert)
		var r u2f.AuthenticateRequest
		if r, err = u2f.ParseAuthenticateRequest(c); err == nil {
			a.Touch = r.Control == u2f.ControlEnforce
			// A question whether the key handle is the key's signs nothing.
			if r.Control != u2f.ControlCheckOnly {
				a.Application = &r.Application
			}
		}
	case u2f.InsVersion:
		a = rawRow(api.OpInfo)
	default:
		a = rawRow(api.OpConfigVendor)
	}
	if err != nil {
		var sw apdu.SW
		if !errors.As(err, &sw) {
			sw = apdu.ErrWrongLength
		}
		return rawAction{}, sw
	}
	a.Command, a.Sub = c.INS, c.P1
	return a, nil
}
