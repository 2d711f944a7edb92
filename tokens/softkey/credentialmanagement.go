package softkey

import "github.com/fobd/fobd/ctap2"

// credentialManagement answers authenticatorCredentialManagement.
func (a *Authenticator) credentialManagement(c *command, r *ctap2.CredentialManagementRequest) ([]byte, error) {
	return nil, ctap2.ErrInvalidCommand
}
