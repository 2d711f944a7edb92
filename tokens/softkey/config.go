package softkey

import "github.com/fobd/fobd/ctap2"

// config answers authenticatorConfig.
func (a *Authenticator) config(c *command, r *ctap2.ConfigRequest) ([]byte, error) {
	return nil, ctap2.ErrInvalidCommand
}
