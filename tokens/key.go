package tokens

import (
	"context"
	"sync"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

// Key is one attachment of a key or token: the same key, pulled out and put in again, is another
// Key. Most have a FIDO interface; all have that or a [Side]. All methods may be called from several goroutines.
type Key struct {
	info hid.Info
	bus  hid.Bus // nil without a FIDO interface
	// here ends, with [hid.ErrGone] as its cause, when the key is pulled out.
	here context.Context
	gone context.CancelCauseFunc
	// own are the channels that Conns have on the key.
	own ctaphid.Own

	mu      sync.Mutex // guards what follows
	sides   []Side
	init    *ctaphid.InitResponse
	getInfo *ctap2.Info
}

func newKey(info hid.Info, bus hid.Bus) *Key {
	k := &Key{info: info, bus: bus}
	k.here, k.gone = context.WithCancelCause(context.Background())
	return k
}

// ID names the key for as long as it is attached; it is the bus's, or that of a side.
func (k *Key) ID() string { return k.info.ID }

// Device describes the key's FIDO interface, or else one of its sides.
func (k *Key) Device() hid.Info { return k.info }

// On says whether the key is on a bus.
func (k *Key) On(bus hid.Bus) bool { return k.bus == bus }

// Name is a name for people: manufacturer and product, or as much as is known.
func (k *Key) Name() string { return name(k.info) }

// Gone is closed when the key has been pulled out.
func (k *Key) Gone() <-chan struct{} { return k.here.Done() }

// While returns a context that also ends, with [hid.ErrGone] as its cause, when the key is
// pulled out. The caller must call the function.
func (k *Key) While(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if k.here.Err() != nil {
		// AfterFunc would say so a little later.
		cancel(hid.ErrGone)
	}
	stop := context.AfterFunc(k.here, func() { cancel(hid.ErrGone) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Info returns what the key said of itself when it was last asked, or nil. It must not be
// changed. It is forgotten when the key is pulled out and when [Conn.Forget] is called.
func (k *Key) Info() *ctap2.Info {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.getInfo
}

// Init returns the answer to the last CTAPHID_INIT, or nil when the key has not been
// opened yet.
func (k *Key) Init() *ctaphid.InitResponse {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.init
}

// Same says whether other is, as far as can be known, another attachment of this key:
// the same model with the same serial number. Keys without a serial number are the same
// when they are the same model.
func (k *Key) Same(other *Key) bool {
	a, b := k.info, other.info
	return a.VendorID == b.VendorID && a.ProductID == b.ProductID && a.Serial == b.Serial &&
		a.Product == b.Product && a.Emulated == b.Emulated
}
