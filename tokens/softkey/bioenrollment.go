package softkey

import (
	"bytes"

	"github.com/fobd/fobd/ctap2"
)

// bioEnrollment answers authenticatorBioEnrollment (CTAP 2.3, section 6.7), and its prototype of before
// CTAP 2.1.
func (a *Authenticator) bioEnrollment(c *command, r *ctap2.BioEnrollmentRequest) ([]byte, error) {
	option := ctap2.OptionBioEnroll
	if c.cmd == ctap2.CmdBioEnrollmentPreview {
		option = ctap2.OptionBioPreview
	}
	if !a.traits.has(option) {
		return nil, ctap2.ErrInvalidCommand
	}
	// Section 6.7.2: getModality is a request of its own.
	if set(r.GetModality) {
		return ctap2.MarshalResponse(&ctap2.BioEnrollmentResponse{Modality: ctap2.ModalityFingerprint})
	}
	switch r.Subcommand {
	case 0:
		return nil, ctap2.ErrMissingParameter
	case ctap2.SubGetFingerprintSensorInfo: // section 6.7.3
		return ctap2.MarshalResponse(&ctap2.BioEnrollmentResponse{
			FingerprintKind:       ctap2.FingerprintKindTouch,
			MaxCaptureSamples:     a.cfg.SamplesPerFinger,
			MaxTemplateNameLength: ctap2.DefaultMaxTemplateNameLength,
		})
	case ctap2.SubCancelCurrentEnrollment: // section 6.7.5: also when there is none
		a.volatile.sequences.enrolment = nil
		return ctap2.MarshalResponse(nil)
	case ctap2.SubEnrollBegin, ctap2.SubEnrollCaptureNextSample, ctap2.SubEnumerateEnrollments, ctap2.SubSetFriendlyName, ctap2.SubRemoveEnrollment:
		return a.manageFingers(c, r)
	}
	return nil, ctap2.ErrInvalidSubcommand
}

// manageFingers makes the checks that the subcommands have which need a token (CTAP 2.3,
// sections 6.7.4 to 6.7.8, each from step 1), and carries out the subcommand.
func (a *Authenticator) manageFingers(c *command, r *ctap2.BioEnrollmentRequest) ([]byte, error) {
	// Step 1.
	if r.PINUVAuthParam == nil {
		return nil, ctap2.ErrPUATRequired
	}
	// Step 2: what the subcommand needs.
	var params ctap2.BioEnrollmentParams
	if r.SubcommandParams != nil {
		if err := ctap2.Unmarshal(r.SubcommandParams, &params); err != nil {
			return nil, err
		}
	}
	needsID := r.Subcommand != ctap2.SubEnrollBegin && r.Subcommand != ctap2.SubEnumerateEnrollments
	switch {
	case r.Modality == 0, needsID && params.TemplateID == nil, r.Subcommand == ctap2.SubSetFriendlyName && params.TemplateName == nil:
		return nil, ctap2.ErrMissingParameter
	case r.Modality != ctap2.ModalityFingerprint:
		return nil, ctap2.ErrInvalidParameter
	case r.PINUVAuthProtocol == 0:
		return nil, ctap2.ErrMissingParameter
	case !a.traits.protocol(r.PINUVAuthProtocol): // step 3
		return nil, ctap2.ErrInvalidParameter
	case r.Subcommand == ctap2.SubSetFriendlyName && uint(len(*params.TemplateName)) > ctap2.DefaultMaxTemplateNameLength:
		return nil, ctap2.ErrInvalidLength // section 6.7.7: before the parameter is looked at
	}
	// Steps 4 and 5.
	message := append([]byte{byte(r.Modality), byte(r.Subcommand)}, r.SubcommandParams...)
	permissions := ctap2.PermissionBioEnrollment
	if c.cmd == ctap2.CmdBioEnrollmentPreview {
		permissions |= legacyPermissions
	}
	by, err := a.authorized(r.PINUVAuthProtocol, message, r.PINUVAuthParam, permissions)
	if err != nil {
		return nil, err
	}
	if !by.may(ctap2.PermissionBioEnrollment) {
		return nil, ctap2.ErrPINAuthInvalid
	}
	switch r.Subcommand {
	case ctap2.SubEnrollBegin:
		return a.beginEnrolment(c, params.TimeoutMilliseconds)
	case ctap2.SubEnrollCaptureNextSample:
		return a.nextSample(c, params.TemplateID, params.TimeoutMilliseconds)
	case ctap2.SubEnumerateEnrollments:
		return a.enumerateFingers()
	case ctap2.SubSetFriendlyName:
		return a.nameFinger(params.TemplateID, *params.TemplateName)
	}
	return a.removeFinger(params.TemplateID)
}

// beginEnrolment: CTAP 2.3, section 6.7.4, enrollBegin, from step 6.
func (a *Authenticator) beginEnrolment(c *command, timeout uint) ([]byte, error) {
	if uint(len(a.state.templates)) >= a.cfg.MaxFingers {
		return nil, ctap2.ErrFPDatabaseFull
	}
	// Step 7: one that is not finished is over. Step 8: a new one.
	e, err := a.newTemplate()
	if err != nil {
		return nil, err
	}
	a.volatile.sequences.enrolment = e
	response, err := a.capture(c, e, timeout)
	if err != nil {
		a.volatile.sequences.enrolment = nil // the platform has not learnt its id
		return nil, err
	}
	response.TemplateID = e.id
	return ctap2.MarshalResponse(response)
}

// nextSample: CTAP 2.3, section 6.7.4, enrollCaptureNextSample, from step 6.
func (a *Authenticator) nextSample(c *command, id []byte, timeout uint) ([]byte, error) {
	e := a.volatile.sequences.enrolment
	if e == nil || !bytes.Equal(e.id, id) {
		// No status is given for it; it is that of other subcommands with an id that is none.
		return nil, ctap2.ErrInvalidOption
	}
	response, err := a.capture(c, e, timeout)
	if err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(response)
}

// capture takes one sample. The last good one makes the finger last.
func (a *Authenticator) capture(c *command, e *enrolment, timeout uint) (*ctap2.BioEnrollmentResponse, error) {
	status, err := a.sample(c, timeout)
	if err != nil {
		return nil, err
	}
	left := e.left
	if status == ctap2.SampleGood {
		left--
	}
	if left == 0 {
		if err := a.save(&record{Template: &template{ID: e.id}}); err != nil {
			return nil, err
		}
		a.volatile.sequences.enrolment = nil
	}
	e.left = left
	return &ctap2.BioEnrollmentResponse{LastEnrollSampleStatus: &status, RemainingSamples: &left}, nil
}

// enumerateFingers: CTAP 2.3, section 6.7.6.
func (a *Authenticator) enumerateFingers() ([]byte, error) {
	if !a.fingersEnrolled() {
		return nil, ctap2.ErrInvalidOption
	}
	response := &ctap2.BioEnrollmentResponse{}
	for _, t := range a.state.templates {
		response.Templates = append(response.Templates, ctap2.Template{ID: t.ID, Name: t.Name})
	}
	return ctap2.MarshalResponse(response)
}

// finger returns the learnt finger with an id.
func (a *Authenticator) finger(id []byte) (template, error) {
	for _, t := range a.state.templates {
		if bytes.Equal(t.ID, id) {
			return t, nil
		}
	}
	return template{}, ctap2.ErrInvalidOption
}

// nameFinger: CTAP 2.3, section 6.7.7, setFriendlyName, from step 6.
func (a *Authenticator) nameFinger(id []byte, name string) ([]byte, error) {
	t, err := a.finger(id)
	if err != nil {
		return nil, err
	}
	t.Name = name
	if err := a.save(&record{Template: &t}); err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(nil)
}

// removeFinger: CTAP 2.3, section 6.7.8, removeEnrollment, from step 6.
func (a *Authenticator) removeFinger(id []byte) ([]byte, error) {
	t, err := a.finger(id)
	if err != nil {
		return nil, err
	}
	if err := a.save(&record{RemoveTemplate: t.ID}); err != nil {
		return nil, err
	}
	return ctap2.MarshalResponse(nil)
}
