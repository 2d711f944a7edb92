package tokens

import (
	"context"
	"sync"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
	"github.com/fobd/fobd/u2f"
)

var (
	_ ctap2.Transport = (*Conn)(nil)
	_ u2f.Transport   = (*Conn)(nil)
)

// Conn is a key that is open for one operation. When the key is pulled out, what is
// running ends at once with [hid.ErrGone]. Its methods may be called from several
// goroutines; commands run one after the other.
type Conn struct {
	key  *Key
	ch   *ctaphid.Channel
	stop func() bool

	close func() error // once
}

// connect makes a Conn of an open device, and opens a channel on it.
func (r *Registry) connect(ctx context.Context, k *Key, dev hid.Device) (*Conn, error) {
	c := &Conn{key: k, close: sync.OnceValue(dev.Close)}
	c.stop = context.AfterFunc(k.here, func() { _ = c.close() })
	cfg := r.cfg.Channel
	cfg.Own = &k.own
	ch, err := cfg.Open(ctx, dev)
	if err != nil {
		c.stop()
		return nil, err
	}
	c.ch = ch
	init := ch.Init()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.init = &init
	return c, nil
}

// Close gives the key back. Only the first call does anything.
func (c *Conn) Close() error {
	c.stop()
	return c.close()
}

// Key returns the key that is open.
func (c *Conn) Key() *Key { return c.key }

// Init returns what the key said when the channel was opened.
func (c *Conn) Init() ctaphid.InitResponse { return c.ch.Init() }

// CTAP2 says whether the key has CTAPHID_CBOR, so that it speaks CTAP2.
func (c *Conn) CTAP2() bool { return c.Init().Capabilities.Has(ctaphid.CapCBOR) }

// U2F says whether the key has CTAPHID_MSG, so that it speaks U2F.
func (c *Conn) U2F() bool { return !c.Init().Capabilities.Has(ctaphid.CapNMSG) }

// CBOR implements [ctap2.Transport].
func (c *Conn) CBOR(ctx context.Context, request []byte, keepalive func(status byte)) ([]byte, error) {
	response, err := c.ch.CBOR(ctx, request, keepalive)
	return response, c.key.explain(ctx, err)
}

// MSG implements [u2f.Transport].
func (c *Conn) MSG(ctx context.Context, apdu []byte, keepalive func(status byte)) ([]byte, error) {
	response, err := c.ch.MSG(ctx, apdu, keepalive)
	return response, c.key.explain(ctx, err)
}

// Vendor sends a vendor command, 0x40 to 0x7F (CTAP 2.2, section 11.2.9.3).
func (c *Conn) Vendor(ctx context.Context, cmd byte, payload []byte, keepalive func(status byte)) ([]byte, error) {
	response, err := c.ch.Vendor(ctx, cmd, payload, keepalive)
	return response, c.key.explain(ctx, err)
}

// Wink asks the key to show itself to the person (CTAP 2.2, section 11.2.9.2.1).
func (c *Conn) Wink(ctx context.Context) error { return c.key.explain(ctx, c.ch.Wink(ctx)) }

// Info returns the key's authenticatorGetInfo answer (CTAP 2.2, section 6.4), asking the
// key only if this attachment has not been asked yet. It must not be changed. The error is
// [ErrNoCBOR] for a key that speaks CTAP1 only.
func (c *Conn) Info(ctx context.Context) (*ctap2.Info, error) {
	if !c.CTAP2() {
		return nil, ErrNoCBOR
	}
	if info := c.key.Info(); info != nil {
		return info, nil
	}
	info, err := ctap2.NewClient(c, nil).GetInfo(ctx)
	if err != nil {
		return nil, err
	}
	c.key.mu.Lock()
	defer c.key.mu.Unlock()
	c.key.getInfo = info
	return info, nil
}

// Forget makes the next [Conn.Info] ask the key again, because its answer may have
// changed (after a reset or a PIN change).
func (c *Conn) Forget() {
	c.key.mu.Lock()
	defer c.key.mu.Unlock()
	c.key.getInfo = nil
}
