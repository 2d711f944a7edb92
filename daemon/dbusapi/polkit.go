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

// Vouch asks the polkit on the server's bus whether who may administer, as daemon.Config.Vouch does. The
// server must be connected.
func (s *Server) Vouch(ctx context.Context, who policy.Actor, what policy.Action, interactive bool) error {
	return s.polkit.Vouch(ctx, who, what, interactive)
}

// subject is polkit's Subject.
type subject struct {
	Kind    string
	Details map[string]dbus.Variant
}

// Vouch returns nil when polkit allows what is asked for, or an [*api.Error] with [api.CodeDenied]; so it
// does when there is no polkit. It can last as long as somebody needs for a password, or until ctx
// ends. interactive says that polkit may ask the person for one.
func (p *Polkit) Vouch(ctx context.Context, who policy.Actor, what policy.Action, interactive bool) error {
	s, err := subjectOf(who)
	if err != nil {
		return err
	}
	var flags uint32
	if interactive {
		flags |= allowUserInteraction
	}
	cancellation := "fobd" + strconv.FormatUint(p.last.Add(1), 10)
	object := p.conn.Object(polkitName, polkitPath)
	var answer struct {
		Allowed, Challenge bool
		Details            map[string]string
	}
	err = object.CallWithContext(ctx, polkitInterface+".CheckAuthorization", 0, s, ActionAdmin,
		map[string]string{"operation": what.Operation, "program": text(who.Program)}, flags, cancellation).Store(&answer)
	switch {
	case ctx.Err() != nil:
		// The person need not type a password any more.
		object.Go(polkitInterface+".CancelCheckAuthorization", dbus.FlagNoReplyExpected, nil, cancellation)
		return context.Cause(ctx)
	case err != nil:
		return deny(who, what, unavailable(err), "ask root to do it, or install polkit")
	case answer.Allowed:
		return nil
	case answer.Challenge:
		return deny(who, what, "polkit wants the person's password and may not ask for it", "allow interactive authorization in the call")
	}
	return deny(who, what, "polkit does not allow it", "ask root to do it, or for a rule of polkit about "+ActionAdmin)
}

// subjectOf names who for polkit: on the bus by the unique name, else by the process and its start, for a
// number alone can be another one's by now.
func subjectOf(who policy.Actor) (subject, error) {
	switch {
	case who.BusName != "":
		return subject{"system-bus-name", map[string]dbus.Variant{"name": dbus.MakeVariant(who.BusName)}}, nil
	case who.PID > 0 && who.Start > 0:
		return subject{"unix-process", map[string]dbus.Variant{
			"pid": dbus.MakeVariant(uint32(who.PID)), "start-time": dbus.MakeVariant(who.Start), "uid": dbus.MakeVariant(int32(who.UID)),
		}}, nil
	}
	return subject{}, &api.Error{Code: api.CodeDenied, Message: fmt.Sprintf("nothing is known of %v that polkit could be asked about", who)}
}

func deny(who policy.Actor, what policy.Action, reason, hint string) error {
	return &api.Error{
		Code: api.CodeDenied, Message: fmt.Sprintf("%v may not %s: %s", who, what.Operation, reason), Hint: hint,
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
