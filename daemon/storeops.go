package daemon

import (
	"bytes"
	"context"
	"errors"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/registry"
)

func describeContents(c registry.Contents) api.StoreContents {
	return api.StoreContents{Users: c.Users, Tokens: c.Tokens, Taken: stamp(c.Taken)}
}

// storeBackup is the operation store-backup.
func (c *call) storeBackup(ctx context.Context, _ *api.StoreBackupRequest) (*api.StoreBackupResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	got, err := s.Backup(ctx, &b)
	if err != nil {
		return nil, registryError(err)
	}
	return &api.StoreBackupResult{Data: b.Bytes(), StoreContents: describeContents(got)}, nil
}

// storeRestore is the operation store-restore.
func (c *call) storeRestore(ctx context.Context, r *api.StoreRestoreRequest) (*api.StoreRestoreResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	got, err := s.Restore(ctx, r.Data)
	if err != nil {
		return nil, registryError(err)
	}
	return &api.StoreRestoreResult{StoreContents: describeContents(got), Resync: got.Resync}, nil
}

// storeCheck is the operation store-check.
func (c *call) storeCheck(ctx context.Context, r *api.StoreCheckRequest) (*api.StoreCheckResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	var got registry.Contents
	if len(r.Data) > 0 {
		got, err = s.CheckBackup(r.Data)
	} else {
		got, err = s.Check(ctx)
	}
	result := &api.StoreCheckResult{StoreContents: describeContents(got), Errors: []string{}}
	for _, one := range split(err) {
		result.Errors = append(result.Errors, plain(one))
	}
	return result, nil
}

// storeReseal is the operation store-reseal.
func (c *call) storeReseal(ctx context.Context, r *api.StoreResealRequest) (*api.StoreResealResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	result := &api.StoreResealResult{}
	if r.NewKey {
		if c.e.cfg.People.Reseal == nil {
			return nil, &api.Error{
				Code: api.CodeUnsupported, Message: "this daemon cannot write its key file",
				Hint: "put 32 new bytes behind the first 32 of the key file of each daemon, start them again, and ask without a new key",
			}
		}
		if result.KeyFile, err = c.e.cfg.People.Reseal(); err != nil {
			return nil, &api.Error{Code: api.CodeConflict, Message: "no new key was made: " + plain(err), Hint: "the key file is as it was"}
		}
	}
	if result.Resealed, err = s.Reseal(ctx); err != nil {
		return nil, registryError(err)
	}
	return result, nil
}

// backupError makes an error about a backup one of the socket; nil if it is about something else.
func backupError(err error) error {
	switch {
	case errors.Is(err, registry.ErrBackup):
		return &api.Error{Code: api.CodeInvalidRequest, Message: plain(err), Hint: "store-check looks at a backup without changing anything"}
	case errors.Is(err, registry.ErrNotEmpty):
		return &api.Error{Code: api.CodeConflict, Message: plain(err), Hint: "remove the people and start with an empty database"}
	case errors.Is(err, registry.ErrSeal):
		return &api.Error{Code: api.CodeConflict, Message: plain(err), Hint: "bring the key file back from its copy; older keys stand behind the newer ones in it"}
	}
	return nil
}
