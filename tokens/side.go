package tokens

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/fobd/fobd/hid"
)

// Way is how a token is spoken to at a [Side].
type Way string

// The ways.
const (
	// WayCard is a smart card in a reader: ISO 7816 APDUs.
	WayCard Way = "card"
	// WaySlots are the feature reports of a YubiKey's keyboard.
	WaySlots Way = "slots"
	// WayNitrokeyPro are those of a Nitrokey Pro or Storage, WayToken2 those of a Token2's FIDO interface.
	WayNitrokeyPro Way = "nitrokey-pro"
	WayToken2      Way = "token2"
)

// Link is an open side.
type Link interface {
	Close() error
}

// Side is an interface of a token besides FIDO's: where it keeps accounts for one-time codes. Interfaces of the same device, by
// [hid.Info.Device] or by a serial number that two say, are one [Key].
type Side struct {
	// Info describes the interface and the device, as far as that is known. Its ID is that of no other side and no key.
	Info hid.Info
	Way  Way
	// Connect opens it. Who has it is told to waiting, if that is not nil.
	Connect func(ctx context.Context, waiting func(hid.Holder)) (Link, error)
}

// Sides is a source of sides.
type Sides interface {
	// Sides lists what is there.
	Sides() ([]Side, error)
	// Watch calls changed whenever that may have changed, until ctx ends or it fails.
	Watch(ctx context.Context, changed func()) error
}

// Sides are the key's interfaces besides FIDO's, sorted by way. They change while the key is there.
func (k *Key) Sides() []Side {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.sides)
}

// FIDO says whether the key has a FIDO interface. One that has none can only be opened at a side.
func (k *Key) FIDO() bool { return k.bus != nil }

// Connect opens a side of the key. The error is [hid.ErrGone] when the key is pulled out meanwhile.
func (k *Key) Connect(ctx context.Context, s Side, waiting func(hid.Holder)) (Link, error) {
	ctx, cancel := k.While(ctx)
	defer cancel()
	link, err := s.Connect(ctx, waiting)
	switch {
	case err == nil && k.here.Err() != nil:
		return nil, errors.Join(hid.ErrGone, link.Close())
	case errors.Is(err, hid.ErrNotFound):
		err = hid.ErrGone
	}
	return link, k.explain(ctx, err)
}

// watchSides keeps the list of what a source has.
func (r *Registry) watchSides(ctx context.Context, source Sides) {
	r.retry(ctx, func(ctx context.Context) error {
		r.scanSides(source)
		return source.Watch(ctx, func() { r.scanSides(source) })
	})
}

func (r *Registry) scanSides(source Sides) {
	list, err := source.Sides()
	if err != nil {
		r.cfg.Log.Warn("cannot list interfaces of tokens", "error", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, s := range r.sides {
		if s.source == source && !slices.ContainsFunc(list, func(now Side) bool { return now.Info == s.Info }) {
			delete(r.sides, id)
		}
	}
	for _, s := range list {
		if old, ok := r.sides[s.Info.ID]; !ok || old.source == source {
			r.sides[s.Info.ID] = sourced{s, source}
		}
	}
	r.arrange()
}

// sourced is a side, and where it comes from.
type sourced struct {
	Side
	source Sides
}

// arrange gives all sides to keys: to that with a FIDO interface if there is one, else to one that stands for the device. r.mu is held.
func (r *Registry) arrange() {
	of := make(map[*Key][]Side)
	lone := make(map[string][]Side) // by device
	for _, id := range slices.Sorted(maps.Keys(r.sides)) {
		s := r.sides[id].Side
		if k := r.home(s); k != nil {
			of[k] = append(of[k], s)
			continue
		}
		device := s.Info.Device
		if device == "" {
			device = s.Info.ID
		}
		lone[device] = append(lone[device], s)
	}
	// Of keys that stand for sides only, those that go, before those that come.
	wanted := r.ripe(lone)
	for id, k := range r.keys {
		if sides := wanted[id]; !k.FIDO() && (len(sides) == 0 || sides[0].Info != k.info) {
			r.remove(k)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(wanted)) {
		k := r.keys[id]
		if k == nil {
			k = newKey(wanted[id][0].Info, nil)
			k.settle(wanted[id])
			r.keys[id] = k
			r.tell(Event{hid.Attached, k})
		}
		if !k.FIDO() {
			of[k] = wanted[id]
		}
	}
	for _, k := range r.keys {
		if k.settle(of[k]) {
			r.wake()
		}
	}
}

// settleTime is how long a device must have shown no FIDO interface to be a key without: what is plugged in shows its interfaces one after the
// other, and what is pulled out hides them so.
const settleTime = 500 * time.Millisecond

// ripe are the devices without a FIDO interface that are keys by now, by the ID that these have. What was there at the beginning is one at
// once. r.mu is held.
func (r *Registry) ripe(lone map[string][]Side) map[string][]Side {
	now := time.Now()
	maps.DeleteFunc(r.alone, func(device string, _ time.Time) bool { return lone[device] == nil })
	wanted := make(map[string][]Side, len(lone))
	next := time.Duration(0)
	for device, sides := range lone {
		since, known := r.alone[device]
		if !known {
			since = now
			if !r.filled {
				since = now.Add(-settleTime)
			}
			r.alone[device] = since
		}
		if left := settleTime - now.Sub(since); left > 0 {
			if next == 0 || left < next {
				next = left
			}
			continue
		}
		wanted[sides[0].Info.ID] = sides
	}
	r.arrangeIn(next)
	return wanted
}

// arrangeIn arranges again after a while, 0 for never. r.mu is held.
func (r *Registry) arrangeIn(d time.Duration) {
	if r.settled != nil {
		r.settled.Stop()
		r.settled = nil
	}
	if d == 0 {
		return
	}
	r.settled = time.AfterFunc(d, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if !r.ended {
			r.arrange()
		}
	})
}

// home is the key with a FIDO interface that a side belongs to.
func (r *Registry) home(s Side) *Key {
	for _, k := range r.keys {
		if k.FIDO() && partOf(k.info, s.Info) {
			return k
		}
	}
	return nil
}

// partOf says whether two interfaces are of one device.
func partOf(a, b hid.Info) bool {
	if a.Device != "" && b.Device != "" {
		return a.Device == b.Device
	}
	return a.Serial != "" && a.Serial == b.Serial && a.VendorID == b.VendorID && (a.ProductID == b.ProductID || a.ProductID == 0 || b.ProductID == 0)
}

// settle gives a key its sides, and says whether they are others than before.
func (k *Key) settle(sides []Side) bool {
	slices.SortStableFunc(sides, func(a, b Side) int { return strings.Compare(string(a.Way), string(b.Way)) })
	k.mu.Lock()
	defer k.mu.Unlock()
	same := slices.EqualFunc(k.sides, sides, func(a, b Side) bool { return a.Info == b.Info && a.Way == b.Way })
	k.sides = sides
	return !same
}
