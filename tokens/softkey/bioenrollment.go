package softkey

import "github.com/fobd/fobd/ctap2"

// bioEnrollment answers authenticatorBioEnrollment.
func (a *Authenticator) bioEnrollment(c *command, r *ctap2.BioEnrollmentRequest) ([]byte, error) {
	return nil, ctap2.ErrInvalidCommand
}
