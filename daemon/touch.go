package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
)

// maxPurpose bounds the text that a program gives for a prompt, in characters.
const maxPurpose = 200

// setPurpose takes over what a program says it wants the key for.
func (c *call) setPurpose(text string) error {
	if n := utf8.RuneCountInString(text); n > maxPurpose {
		return &api.Error{
			Code: api.CodeInvalidRequest, Message: fmt.Sprintf("the purpose has %d characters", n),
			Hint: fmt.Sprintf("say it in at most %d", maxPurpose),
		}
	}
	c.purpose = printable(text)
	return nil
}

// touch is the operation touch.
func (c *call) touch(ctx context.Context, r *api.TouchRequest) (*api.TouchResult, error) {
	if err := c.setPurpose(r.Purpose); err != nil {
		return nil, err
	}
	s, err := c.choose(ctx, r.Key, wish{touch: true, insert: true})
	if err != nil {
		return nil, err
	}
	defer s.close()
	return &api.TouchResult{Key: describe(s.key)}, nil
}

// shortBlink is the least time that a key blinks before it gives up by itself; one that
// gives up sooner is not asked again.
const shortBlink = time.Second

// blink makes the key wait for a touch. A key that gives up by itself is asked again until
// ctx ends.
func (s *session) blink(ctx context.Context) error {
	for {
		began := time.Now()
		_, err := exchange(s, api.PromptTouch, func() (struct{}, error) {
			return struct{}{}, s.auth.Select(ctx, s.info)
		})
		tired := errors.Is(err, ctap2.ErrUserActionTimeout) || errors.Is(err, ctap2.ErrActionTimeout)
		if !tired || ctx.Err() != nil || time.Since(began) < shortBlink {
			return err
		}
	}
}
