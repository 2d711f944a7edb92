package tokens

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

// ErrDeaf says that what a key says to other programs cannot be heard on its bus.
var ErrDeaf = errors.New("tokens: what this key says to other programs cannot be heard")

// Foreign listens to what the key says to programs other than this one, and calls touch
// whenever one of them begins to wait for a touch (true) or none does any more (false), one
// call at a time. It sends nothing and keeps nobody from the key. It returns when ctx
// ends, with its cause, when the key is pulled out, with [hid.ErrGone], and with [ErrDeaf]
// where the bus is no [hid.Listener]; a touch that is waited for then is over.
func (k *Key) Foreign(ctx context.Context, touch func(waiting bool)) error {
	bus, ok := k.bus.(hid.Listener)
	if !ok {
		return ErrDeaf
	}
	ctx, cancel := k.While(ctx)
	defer cancel()
	ear, err := bus.Listen(ctx, k.ID())
	if err != nil {
		return k.explain(ctx, err)
	}
	defer ear.Close()
	defer context.AfterFunc(ctx, func() { ear.Close() })()

	l := listener{ear: ear, sniffer: ctaphid.NewSniffer(&k.own), touch: touch}
	err = l.run()
	if l.waiting {
		touch(false)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return k.explain(ctx, err)
}

// Holder says which program outside has the key, as far as can be known.
func (k *Key) Holder() hid.Holder {
	if bus, ok := k.bus.(hid.Listener); ok {
		return bus.Holder(k.ID())
	}
	return hid.Holder{}
}

type listener struct {
	ear     hid.Ear
	sniffer *ctaphid.Sniffer
	touch   func(bool)
	waiting bool      // what touch was told last
	next    time.Time // the deadline that ear has
}

// run listens until the ear fails. Only while something is going on does it have a
// deadline.
func (l *listener) run() error {
	report := make([]byte, l.ear.ReportSize())
	for {
		n, err := l.ear.Read(report)
		now := time.Now()
		switch {
		case err == nil:
			l.sniffer.Hear(report[:n], now)
		case errors.Is(err, hid.ErrReportSize):
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return err
		}
		l.sniffer.Expire(now)
		if waiting := l.sniffer.Waiting(); waiting != l.waiting {
			l.waiting = waiting
			l.touch(waiting)
		}
		if next := l.sniffer.Next(); !next.Equal(l.next) {
			l.next = next
			if err := l.ear.SetReadDeadline(next); err != nil {
				return err
			}
		}
	}
}
