package daemon

import (
	"context"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

func (k *emulatedKey) setFaults(on, off []string, all bool) error { return errLater }

// advance moves the key's clock.
func (k *emulatedKey) advance(d time.Duration) error {
	k.auth.Advance(d)
	return nil
}

func (k *emulatedKey) snapshot() ([]byte, error) { return nil, errLater }

func (k *emulatedKey) restore(snapshot []byte) error { return errLater }

func (k *emulatedKey) clone() (*softkey.Authenticator, error) { return nil, errLater }

func (k *emulatedKey) importCredentials(list []api.EmulatedCredential) error { return errLater }

func (k *emulatedKey) exportCredentials() ([]api.EmulatedCredential, error) { return nil, errLater }

func (k *emulatedKey) observe(ctx context.Context, since uint64, wait bool) (*api.EmulateObserveResult, error) {
	return nil, errLater
}
