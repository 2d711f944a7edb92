package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens"
	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/slots"
)

// withSlots does something with the slots of the one key that a request means.
func (c *call) withSlots(ctx context.Context, name string, do func(ctx context.Context, p *keeper, s *slots.Session) error) error {
	has := func(k *tokens.Key) bool {
		return slices.ContainsFunc(k.Sides(), func(s tokens.Side) bool { return s.Way == tokens.WaySlots })
	}
	var k *tokens.Key
	if g, ok := groupOf(name); ok {
		keys := slices.DeleteFunc(c.e.keys.Keys(), func(k *tokens.Key) bool { return !has(k) || !g.mayHave(k) })
		switch len(keys) {
		case 0:
			return &api.Error{Code: api.CodeNoKey, Message: "no YubiKey with slots is attached", Hint: "put one in; its OTP application can be switched off in its settings"}
		case 1:
			k = keys[0]
		default:
			return &api.Error{Code: api.CodeInvalidRequest, Message: fmt.Sprintf("%d keys with slots are attached", len(keys)), Hint: "name the key, by its id as list shows it"}
		}
	} else {
		var err error
		if k, err = c.e.find(name); err != nil {
			return err
		}
		if !has(k) {
			return &api.Error{Code: api.CodeUnsupported, Message: k.Name() + " has no slots, as far as the daemon sees", Hint: "they are a YubiKey's; its OTP application can be switched off in its settings", Key: k.ID()}
		}
	}
	c.took(k)
	link, release, err := take(ctx, c, k, nil, func(ctx context.Context, waiting func(hid.Holder)) (tokens.Link, error) {
		for _, s := range k.Sides() {
			if s.Way == tokens.WaySlots {
				return k.Connect(ctx, s, waiting)
			}
		}
		return nil, hid.ErrGone
	})
	if err != nil {
		return err
	}
	p := &keeper{c: c, key: k}
	defer release()
	defer link.Close()
	defer p.touch(false)
	dev, ok := link.(slots.Device)
	if !ok {
		return &keyError{k, errors.New("no feature reports")}
	}
	ctx, cancel := k.While(ctx)
	defer cancel()
	s, err := slots.Open(ctx, dev, slots.Options{Touch: p.touch})
	if err == nil {
		err = do(ctx, p, s)
	}
	return atKey(k, err)
}

// slotShow is the operation slot-show.
func (c *call) slotShow(ctx context.Context, r *api.SlotShowRequest) (*api.SlotShowResult, error) {
	result := &api.SlotShowResult{}
	err := c.withSlots(ctx, r.Key, func(ctx context.Context, p *keeper, s *slots.Session) error {
		status := s.Status()
		result.Key, result.Version = describe(p.key), status.Version.String()
		for _, slot := range []slots.Slot{slots.Slot1, slots.Slot2} {
			result.Slots = append(result.Slots, api.Slot{Number: int(slot), Use: string(status.Use(slot))})
		}
		serial, err := s.Serial(ctx)
		if errors.Is(err, slots.ErrUnsupported) {
			err = nil
		}
		result.Serial = serial
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// slotRespond is the operation slot-respond.
func (c *call) slotRespond(ctx context.Context, r *api.SlotRespondRequest) (*api.SlotRespondResult, error) {
	c.purpose = r.Purpose
	result := &api.SlotRespondResult{}
	err := c.withSlots(ctx, r.Key, func(ctx context.Context, _ *keeper, s *slots.Session) (err error) {
		result.Response, err = s.Respond(ctx, slots.Slot(r.Slot), r.Challenge)
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// slotCode is the operation slot-code.
func (c *call) slotCode(ctx context.Context, r *api.SlotCodeRequest) (*api.SlotCodeResult, error) {
	c.purpose = r.Purpose
	result := &api.SlotCodeResult{}
	err := c.withSlots(ctx, r.Key, func(ctx context.Context, _ *keeper, s *slots.Session) error {
		code, from, until, err := s.Code(ctx, slots.Slot(r.Slot), otp.Parameters{Kind: otp.TOTP, Digits: r.Digits, Period: r.Period}, time.Now())
		*result = api.SlotCodeResult{Code: code, From: from.UTC().Format(time.RFC3339), Until: until.UTC().Format(time.RFC3339)}
		return err
	})
	if err != nil {
		return nil, err
	}
	return result, nil
}

// access reads an access code; none is zero.
func access(b []byte) (a slots.Access, err error) {
	if len(b) != 0 && len(b) != len(a) {
		return a, &api.Error{Code: api.CodeInvalidRequest, Message: fmt.Sprintf("an access code of %d bytes", len(b)), Hint: "it has 6 bytes"}
	}
	copy(a[:], b)
	return a, nil
}

// slotSet is the operation slot-set.
func (c *call) slotSet(ctx context.Context, r *api.SlotSetRequest) (*api.SlotShowResult, error) {
	defer func() {
		clear(r.Secret)
		clear(r.AccessCode)
		clear(r.NewAccessCode)
	}()
	if r.Kind != "challenge-response" && r.Kind != "hotp" {
		return nil, &api.Error{Code: api.CodeInvalidRequest, Message: "a slot for " + shorten(r.Kind) + "?", Hint: "want challenge-response or hotp"}
	}
	var change slots.Change
	var err error
	if change.Current, err = access(r.AccessCode); err != nil {
		return nil, err
	}
	if change.New, err = access(r.NewAccessCode); err != nil {
		return nil, err
	}
	c.about = fmt.Sprintf("slot %d: %s", r.Slot, r.Kind)
	err = c.withSlots(ctx, r.Key, func(ctx context.Context, p *keeper, s *slots.Session) error {
		slot := slots.Slot(r.Slot)
		if slot.Valid() && s.Status().Use(slot) != slots.UseEmpty {
			if err := p.confirm(ctx, fmt.Sprintf("Replace what is in slot %d of %s? It cannot be brought back.", slot, p.key.Name())); err != nil {
				return err
			}
		}
		if r.Kind == "hotp" {
			digits := r.Digits
			if digits == 0 {
				digits = 6
			}
			return s.SetHOTP(ctx, slot, r.Secret, slots.HOTP{Digits: digits, Counter: r.Counter, Enter: r.Enter}, change)
		}
		return s.SetChallengeResponse(ctx, slot, r.Secret, r.Touch, change)
	})
	if err != nil {
		return nil, err
	}
	return c.slotShow(ctx, &api.SlotShowRequest{Key: c.taken().ID()})
}

// slotSwap is the operation slot-swap.
func (c *call) slotSwap(ctx context.Context, r *api.SlotSwapRequest) (*api.SlotShowResult, error) {
	err := c.withSlots(ctx, r.Key, func(ctx context.Context, _ *keeper, s *slots.Session) error { return s.Swap(ctx) })
	if err != nil {
		return nil, err
	}
	return c.slotShow(ctx, &api.SlotShowRequest{Key: c.taken().ID()})
}

// slotDelete is the operation slot-delete.
func (c *call) slotDelete(ctx context.Context, r *api.SlotDeleteRequest) (*api.SlotShowResult, error) {
	defer clear(r.AccessCode)
	current, err := access(r.AccessCode)
	if err != nil {
		return nil, err
	}
	c.about = fmt.Sprintf("slot %d", r.Slot)
	err = c.withSlots(ctx, r.Key, func(ctx context.Context, p *keeper, s *slots.Session) error {
		slot := slots.Slot(r.Slot)
		if slot.Valid() && s.Status().Use(slot) != slots.UseEmpty {
			if err := p.confirm(ctx, fmt.Sprintf("Delete what is in slot %d of %s? It cannot be brought back.", slot, p.key.Name())); err != nil {
				return err
			}
		}
		return s.Delete(ctx, slot, current)
	})
	if err != nil {
		return nil, err
	}
	return c.slotShow(ctx, &api.SlotShowRequest{Key: c.taken().ID()})
}
