package softkey

import "github.com/fobd/fobd/ctap2"

// largeBlobs answers authenticatorLargeBlobs.
func (a *Authenticator) largeBlobs(c *command, r *ctap2.LargeBlobsRequest) ([]byte, error) {
	return nil, ctap2.ErrInvalidCommand
}
