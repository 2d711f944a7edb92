package dbusapi

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
)

// ActionAdmin is polkit's name for what changes a key or the daemon; it is described in
// packaging/polkit/org.fobd.Fob1.policy.
const ActionAdmin = Name + ".admin"

const (
	polkitName      = "org.freedesktop.PolicyKit1"
	polkitPath      = dbus.ObjectPath("/org/freedesktop/PolicyKit1/Authority")
	polkitInterface = polkitName + ".Authority"
	// allowUserInteraction is AllowUserInteraction of CheckAuthorizationFlags.
	allowUserInteraction = 1
)

// Polkit asks the machine's polkit whether a program on the bus may do something (polkit(8)).
type Polkit struct {
	conn *dbus.Conn
	last atomic.Uint64 // number of the last question
}

// NewPolkit returns a client of the polkit on a bus.
func NewPolkit(conn *dbus.Conn) *Polkit { return &Polkit{conn: conn} }

// Request is what polkit is asked.
type Request struct {
	Sender    string // unique name on the bus of the program that asks
	Who       policy.Actor
	Action    string // such as [ActionAdmin]
	Operation string
	// Interactive says that polkit may ask the person for a password.
	Interactive bool
}

// subject is polkit's Subject.
type subject struct {
	Kind    string
	Details map[string]dbus.Variant
}

// Authorize returns nil when polkit allows it, or an [*api.Error] with [api.CodeDenied]; so it does
// when there is no polkit. It can last as long as somebody needs for a password, or until ctx ends.
func (p *Polkit) Authorize(ctx context.Context, r Request) error {
	// Not by the number of the process, which can be another one's by now.
	who := subject{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(r.Sender)}}
	var flags uint32
	if r.Interactive {
		flags |= allowUserInteraction
	}
	cancellation := "fobd" + strconv.FormatUint(p.last.Add(1), 10)
	object := p.conn.Object(polkitName, polkitPath)
	var answer struct {
		Allowed, Challenge bool
		Details            map[string]string
	}
	err := object.CallWithContext(ctx, polkitInterface+".CheckAuthorization", 0, who, r.Action,
		map[string]string{"operation": r.Operation, "program": text(r.Who.Program)}, flags, cancellation).Store(&answer)
	switch {
	case ctx.Err() != nil:
		// The person need not type a password any more.
		object.Go(polkitInterface+".CancelCheckAuthorization", dbus.FlagNoReplyExpected, nil, cancellation)
		return context.Cause(ctx)
	case err != nil:
		return deny(r, unavailable(err), "ask root to do it, or install polkit")
	case answer.Allowed:
		return nil
	case answer.Challenge:
		return deny(r, "polkit wants the person's password and may not ask for it", "allow interactive authorization in the call")
	}
	return deny(r, "polkit does not allow it", "ask root to do it, or for a rule of polkit about "+r.Action)
}

func deny(r Request, reason, hint string) error {
	return &api.Error{
		Code: api.CodeDenied, Message: fmt.Sprintf("%v may not %s: %s", r.Who, r.Operation, reason), Hint: hint,
	}
}

// unavailable says why polkit did not answer.
func unavailable(err error) string {
	var failed dbus.Error
	if errors.As(err, &failed) {
		switch failed.Name {
		case busErrors + "ServiceUnknown", busErrors + "NameHasNoOwner":
			return "there is no polkit to allow it"
		}
	}
	return "polkit does not answer: " + err.Error()
}
