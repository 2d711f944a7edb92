package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
)

// resetWindow is how long after having been put in a key can be reset (CTAP 2.2, section
// 6.6, step 3).
const resetWindow = 10 * time.Second

// reset is the operation reset (CTAP 2.2, section 6.6). A key must have been put in a
// moment ago, so the person is asked to pull it out and put it in again; the same key must
// come back.
func (c *call) reset(ctx context.Context, r *api.ResetRequest) (*api.KeyResult, error) {
	if r.Key == "" {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "reset needs the key to be named", Hint: "list shows the keys"}
	}
	k, err := c.e.find(r.Key)
	if err != nil {
		return nil, err
	}
	if err := c.resettable(ctx, k); err != nil {
		return nil, err
	}
	back := k
	if !c.e.emulated.resetsAnyTime(k) {
		if back, err = c.replug(ctx, k); err != nil {
			return nil, err
		}
	}
	attached := time.Now()
	c.took(back)
	s, err := c.open(ctx, back, nil)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if s.client == nil {
		return nil, &keyError{back, tokens.ErrNoCBOR}
	}
	_, err = exchange(s, api.PromptTouch, func() (struct{}, error) { return struct{}{}, s.client.Reset(ctx) })
	s.forget()
	switch {
	case errors.Is(err, ctap2.ErrNotAllowed),
		errors.Is(err, ctap2.ErrUserActionTimeout) && time.Since(attached) >= resetWindow:
		return nil, &api.Error{
			Code: api.CodeResetTooLate, Message: fmt.Sprintf("%s was not touched within %v of being put in; nothing was erased", back.Name(), resetWindow),
			Hint: "try again, and touch the key as soon as it blinks", Key: back.ID(),
		}
	case err != nil:
		return nil, err
	}
	// What the key says of itself has changed.
	if err := s.refresh(ctx); err != nil && !errors.Is(err, hid.ErrGone) {
		return nil, err
	}
	return &api.KeyResult{Key: describe(back)}, nil
}

// resettable finds out before anything is asked of the person whether the key has reset.
func (c *call) resettable(ctx context.Context, k *tokens.Key) error {
	s, err := c.open(ctx, k, nil)
	if err != nil {
		return err
	}
	defer s.close()
	if s.client == nil {
		return &keyError{k, tokens.ErrNoCBOR}
	}
	return nil
}

// replug asks the person to pull the key out and put it in again, and waits for that.
func (c *call) replug(ctx context.Context, k *tokens.Key) (*tokens.Key, error) {
	before, _ := c.e.keys.Snapshot()
	known := make(map[*tokens.Key]bool, len(before))
	for _, other := range before {
		known[other] = true
	}
	defer c.show(c.prompt(api.PromptReplug, k))()
	late := func() error {
		if cause := context.Cause(ctx); !errors.Is(cause, errDeadline) {
			return &keyError{k, cause}
		}
		return &api.Error{
			Code: api.CodeTimeout, Message: k.Name() + " was not pulled out and put in again in time; nothing was erased",
			Hint: "try again", Key: k.ID(),
		}
	}
	select {
	case <-k.Gone():
	case <-ctx.Done():
		return nil, late()
	}
	for {
		now, changed := c.e.keys.Snapshot()
		for _, other := range now {
			if !known[other] && other.Same(k) {
				return other, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, late()
		}
	}
}
