package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/hid"
)

// tracedBus writes what is said to its keys to files, one for each operation on a key:
// a trace is of one device from its opening to its closing (hid.ReadTrace).
type tracedBus struct {
	hid.Bus
	file string
	n    atomic.Uint64
}

// Open implements [hid.Bus].
func (b *tracedBus) Open(ctx context.Context, id string, waiting func(hid.Holder)) (hid.Device, error) {
	d, err := b.Bus.Open(ctx, id, waiting)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("%s.%d", b.file, b.n.Add(1))
	out, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("trace: %w", err), d.Close())
	}
	return &tracedDevice{hid.NewRecorder(d, out), out}, nil
}

// Listen implements [hid.Listener]. What others say to a key is not traced.
func (b *tracedBus) Listen(ctx context.Context, id string) (hid.Ear, error) {
	l, ok := b.Bus.(hid.Listener)
	if !ok {
		return nil, errors.New("trace: what the key says to other programs cannot be heard")
	}
	return l.Listen(ctx, id)
}

// Holder implements [hid.Listener].
func (b *tracedBus) Holder(id string) hid.Holder {
	if l, ok := b.Bus.(hid.Listener); ok {
		return l.Holder(id)
	}
	return hid.Holder{}
}

type tracedDevice struct {
	*hid.Recorder
	out *os.File
}

// Close implements [hid.Device].
func (d *tracedDevice) Close() error {
	return errors.Join(d.Recorder.Close(), d.out.Close())
}
