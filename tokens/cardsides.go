package tokens

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/tokens/pcsc"
)

// DefaultReaders are parts of the names that readers of pcscd have when they are tokens with accounts for one-time codes.
var DefaultReaders = []string{"yubikey", "canokey", "nitrokey", "solo", "token2", "pico"}

// CardSides are the smart cards in the readers of pcscd, as sides. Only readers whose names say that they are such tokens
// are looked at: other people's cards are left alone.
type CardSides struct {
	Client *pcsc.Client
	// Readers are parts of readers' names, in small letters. nil means [DefaultReaders].
	Readers []string
	// USB is where the coming and going of USB devices is told, such as [hid.WatchUSB]: pcscd is only asked then, and
	// may sleep otherwise. nil asks without end, and keeps pcscd awake.
	USB func(ctx context.Context, changed func()) error
	// Processes names the programs that may have a card which is in use. nil names none.
	Processes hid.Processes
	Log       *slog.Logger

	mu    sync.Mutex // guards what follows
	sides []Side
}

// CardLink is an open side that is a smart card, in a transaction: no other program comes between.
type CardLink struct {
	*pcsc.Card
}

// Close ends the transaction and lets go of the card, which stays as it is.
func (l CardLink) Close() error {
	err := l.Card.End(context.Background(), pcsc.LeaveCard)
	return cmp.Or(l.Card.Close(), ended(err))
}

// ended drops the errors of a transaction whose card has gone.
func ended(err error) error {
	for _, gone := range []error{pcsc.ErrClosed, pcsc.ErrStopped, pcsc.ErrRemoved, pcsc.ErrReset, pcsc.ErrReaderGone} {
		if errors.Is(err, gone) {
			return nil
		}
	}
	return err
}

// Sides implements [Sides].
func (c *CardSides) Sides() ([]Side, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sides, nil
}

// Watch implements [Sides].
func (c *CardSides) Watch(ctx context.Context, changed func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var cfg pcsc.WatchConfig
	var wg sync.WaitGroup
	defer wg.Wait()
	if c.USB != nil {
		nudges := make(chan struct{}, 1)
		cfg.Nudges = nudges
		wg.Go(func() {
			err := c.USB(ctx, func() {
				select {
				case nudges <- struct{}{}:
				default:
				}
			})
			cancel(err)
		})
	}
	for readers, err := range c.Client.Watch(ctx, cfg) {
		if err != nil {
			c.log().DebugContext(ctx, "smart cards", "error", err)
		}
		c.set(c.taken(ctx, readers))
		changed()
	}
	cancel(nil)
	return context.Cause(ctx)
}

func (c *CardSides) log() *slog.Logger {
	if c.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return c.Log
}

func (c *CardSides) set(sides []Side) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sides = sides
}

// taken are the sides among readers.
func (c *CardSides) taken(ctx context.Context, readers []pcsc.Reader) []Side {
	names := c.Readers
	if names == nil {
		names = DefaultReaders
	}
	known := make(map[string]string)
	before, _ := c.Sides()
	for _, s := range before {
		known[s.Info.ID] = s.Info.Device
	}
	var sides []Side
	for _, r := range readers {
		small := strings.ToLower(r.Name)
		if !r.Card() || !containsAny(small, names) {
			continue
		}
		name := pcsc.ParseName(r.Name)
		info := hid.Info{ID: "card-" + r.Name, Product: name.Product, Serial: name.Serial}
		for _, v := range []struct {
			word string
			id   uint16
		}{{"yubi", 0x1050}, {"nitrokey", 0x20A0}, {"canokey", 0x20A0}, {"token2", 0x349E}} {
			if strings.Contains(small, v.word) {
				info.VendorID = v.id
				break
			}
		}
		var ok bool
		if info.Device, ok = known[info.ID]; !ok {
			info.Device = c.device(ctx, r.Name)
		}
		sides = append(sides, Side{Info: info, Way: WayCard, Connect: func(ctx context.Context, waiting func(hid.Holder)) (Link, error) {
			return c.connect(ctx, r.Name, waiting)
		}})
	}
	return sides
}

func containsAny(s string, parts []string) bool {
	for _, p := range parts {
		if p != "" && strings.Contains(s, strings.ToLower(p)) {
			return true
		}
	}
	return false
}

// lookTime bounds the questions that are asked about a reader when it comes.
const lookTime = 3 * time.Second

// device says which device a reader is part of, if that can be found out.
func (c *CardSides) device(ctx context.Context, reader string) string {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	card, err := c.Client.Connect(ctx, reader, pcsc.ConnectOptions{})
	if err != nil {
		return ""
	}
	defer card.Close()
	if bus, device, ok := card.USB(ctx); ok {
		return hid.USBDevice(bus, device)
	}
	return ""
}

// connect begins a transaction with the card in a reader. Another program's is waited for, and told if it takes long.
func (c *CardSides) connect(ctx context.Context, reader string, waiting func(hid.Holder)) (Link, error) {
	type result struct {
		link Link
		err  error
	}
	done := make(chan result, 1)
	go func() {
		link, err := c.begin(ctx, reader)
		done <- result{link, err}
	}()
	long := time.NewTimer(patience)
	defer long.Stop()
	select {
	case r := <-done:
		return r.link, r.err
	case <-long.C:
	}
	if waiting != nil {
		var holder hid.Holder
		if users := c.users(); len(users) == 1 {
			holder = users[0]
		}
		waiting(holder)
	}
	r := <-done
	return r.link, r.err
}

// users are the other programs that are connected to pcscd, as far as they can be known: one of them has the card.
func (c *CardSides) users() []hid.Holder {
	if c.Processes == nil {
		return nil
	}
	sockets, err := c.Client.Users()
	if err != nil {
		c.log().Debug("smart cards", "error", err)
	}
	var users []hid.Holder
	for _, socket := range sockets {
		for _, o := range c.Processes.Openers(socket) {
			if o.PID != os.Getpid() && !slices.ContainsFunc(users, func(h hid.Holder) bool { return h.PID == o.PID }) {
				users = append(users, hid.Holder{PID: o.PID, Program: c.Processes.Name(o.PID)})
			}
		}
	}
	return users
}

// InUseError says that another program has a card for itself. It wraps [pcsc.ErrSharing].
type InUseError struct {
	// By are the programs that may be that one; empty when none is known.
	By []hid.Holder
	// Err is pcscd's answer.
	Err error
}

func (e *InUseError) Error() string {
	if len(e.By) == 0 {
		return e.Err.Error()
	}
	var names []string
	next := "close it"
	for _, h := range e.By {
		names = append(names, h.String())
		if h.Program == "scdaemon" {
			next = "close it (scdaemon by gpgconf --kill scdaemon)"
		}
	}
	return "tokens: the card is in use by " + strings.Join(names, " or ") + "; " + next + ", then try again"
}

// Unwrap returns Err.
func (e *InUseError) Unwrap() error { return e.Err }

func (c *CardSides) begin(ctx context.Context, reader string) (Link, error) {
	card, err := c.Client.Connect(ctx, reader, pcsc.ConnectOptions{})
	if errors.Is(err, pcsc.ErrSharing) {
		err = &InUseError{c.users(), err}
	}
	if err != nil {
		return nil, err
	}
	if err := card.Begin(ctx); err != nil {
		card.Close()
		return nil, err
	}
	return CardLink{card}, nil
}

// patience is how long another program's transaction is waited for before that is told.
const patience = 300 * time.Millisecond
