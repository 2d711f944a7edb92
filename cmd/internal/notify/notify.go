// Package notify shows prompts as notifications of the desktop (Desktop Notifications
// Specification 1.2, D-Bus interface org.freedesktop.Notifications).
package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/daemon/api"
)

const (
	name  = "org.freedesktop.Notifications"
	path  = dbus.ObjectPath("/org/freedesktop/Notifications")
	iface = "org.freedesktop.Notifications"
	// callTimeout bounds a call of the notification server.
	callTimeout = 5 * time.Second
)

// Prompter shows prompts on the desktop. It implements daemon/client's Prompter for [Prompter.Kinds].
type Prompter struct {
	conn    *dbus.Conn
	server  dbus.BusObject
	actions bool // notifications can have buttons
	markup  bool // & and < have a meaning in the text

	mu      sync.Mutex               // guards what follows
	shown   map[string]chan uint32   // by id of the prompt; gives the number once the server has
	waiting map[uint32]chan<- string // gives the button, or "" when it is closed
	early   map[uint32]string        // buttons of notifications whose number is not known yet
}

// Dial connects to the notification server of the session bus.
func Dial(ctx context.Context) (*Prompter, error) {
	conn, err := dbus.ConnectSessionBus(dbus.WithContext(context.WithoutCancel(ctx)))
	if err != nil {
		return nil, fmt.Errorf("there is no session bus: %w", err)
	}
	n := &Prompter{
		conn: conn, server: conn.Object(name, path),
		shown: make(map[string]chan uint32), waiting: make(map[uint32]chan<- string), early: make(map[uint32]string),
	}
	var capabilities []string
	if err := n.call(ctx, "GetCapabilities").Store(&capabilities); err != nil {
		conn.Close()
		return nil, fmt.Errorf("there is no notification server: %w", err)
	}
	n.actions, n.markup = slices.Contains(capabilities, "actions"), slices.Contains(capabilities, "body-markup")
	signals := make(chan *dbus.Signal, 16)
	conn.Signal(signals)
	if err := conn.AddMatchSignal(dbus.WithMatchInterface(iface), dbus.WithMatchObjectPath(path)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("notifications: %w", err)
	}
	go n.listen(signals)
	return n, nil
}

// Close withdraws what is shown and leaves the bus.
func (n *Prompter) Close() {
	n.mu.Lock()
	var ids []string
	for id := range n.shown {
		ids = append(ids, id)
	}
	n.mu.Unlock()
	for _, id := range ids {
		n.Withdraw(id)
	}
	n.conn.Close()
}

// Kinds are the prompts that the server can show: questions only if it has buttons, PINs never, nor
// what changes all the time.
func (n *Prompter) Kinds() []api.PromptKind {
	kinds := slices.DeleteFunc(api.PromptKinds(), func(k api.PromptKind) bool {
		return k.Answerable() || k == api.PromptLease || k == api.PromptProgress || k == api.PromptWait
	})
	if n.actions {
		kinds = append(kinds, api.PromptChoose, api.PromptConfirm, api.PromptConsent)
	}
	return kinds
}

func (n *Prompter) call(ctx context.Context, method string, args ...any) *dbus.Call {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return n.server.CallWithContext(ctx, iface+"."+method, 0, args...)
}

// notify shows a notification with buttons and returns its number.
func (n *Prompter) notify(ctx context.Context, p api.Prompt, buttons []string) (id uint32, err error) {
	// Urgent ones stay until they are withdrawn: the person is waited for.
	hints := map[string]dbus.Variant{
		"urgency": dbus.MakeVariant(byte(2)), "category": dbus.MakeVariant("device"), "transient": dbus.MakeVariant(true),
	}
	err = n.call(ctx, "Notify", "fobd", uint32(0), "dialog-password", Title(p), n.body(p), buttons, hints, int32(0)).Store(&id)
	return id, err
}

// Title is the first line of a prompt's notification.
func Title(p api.Prompt) string {
	switch p.Kind {
	case api.PromptTouch:
		return "Touch your security key"
	case api.PromptVerify, api.PromptSample:
		return "Put your finger on the sensor"
	case api.PromptInsert:
		return "Put in a security key"
	case api.PromptReplug:
		return "Pull the key out and put it in again"
	}
	return "Security key"
}

// body is the text, with no markup but that of the characters themselves.
func (n *Prompter) body(p api.Prompt) string {
	text := p.Message
	if t, err := time.Parse(time.RFC3339, p.Deadline); err == nil {
		text += "\nuntil " + t.Local().Format(time.TimeOnly)
	}
	if n.markup {
		text = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(text)
	}
	return text
}

// Show implements client.Prompter.
func (n *Prompter) Show(p api.Prompt) {
	number := make(chan uint32, 1)
	n.mu.Lock()
	n.shown[p.ID] = number
	n.mu.Unlock()
	go func() {
		// Without a notification there is nothing to withdraw.
		id, _ := n.notify(context.Background(), p, []string{})
		number <- id
	}()
}

// Withdraw implements client.Prompter.
func (n *Prompter) Withdraw(id string) {
	n.mu.Lock()
	number := n.shown[id]
	delete(n.shown, id)
	n.mu.Unlock()
	if number == nil {
		return
	}
	if id := <-number; id != 0 {
		n.call(context.Background(), "CloseNotification", id)
	}
}

// listen hears of buttons and of notifications that were closed.
func (n *Prompter) listen(signals <-chan *dbus.Signal) {
	for s := range signals {
		if len(s.Body) != 2 {
			continue
		}
		id, _ := s.Body[0].(uint32)
		button := ""
		switch s.Name {
		case iface + ".ActionInvoked":
			button, _ = s.Body[1].(string)
		case iface + ".NotificationClosed":
		default:
			continue
		}
		n.mu.Lock()
		if answer := n.waiting[id]; answer != nil {
			delete(n.waiting, id)
			answer <- button
		} else if len(n.early) < 64 {
			n.early[id] = button
		}
		n.mu.Unlock()
	}
}

// errClosed says that the person has closed the notification.
var errClosed = errors.New("the person closed the notification")

// ask shows a question and returns the key of the button.
func (n *Prompter) ask(ctx context.Context, p api.Prompt, buttons []string) (string, error) {
	answer := make(chan string, 1)
	n.mu.Lock()
	clear(n.early)
	n.mu.Unlock()
	// A call that is given up leaves a notification that nobody closes.
	id, err := n.notify(context.WithoutCancel(ctx), p, buttons)
	if err != nil {
		return "", fmt.Errorf("notifications: %w", err)
	}
	n.mu.Lock()
	if button, ok := n.early[id]; ok {
		answer <- button
	} else {
		n.waiting[id] = answer
	}
	n.mu.Unlock()
	select {
	case button := <-answer:
		if button == "" {
			return "", errClosed
		}
		return button, nil
	case <-ctx.Done():
		n.mu.Lock()
		delete(n.waiting, id)
		n.mu.Unlock()
		n.call(context.WithoutCancel(ctx), "CloseNotification", id)
		return "", ctx.Err()
	}
}

// PIN fails: a notification has no place for one.
func (n *Prompter) PIN(context.Context, api.Prompt) (api.Secret, error) {
	return api.Secret{}, errors.New("a notification cannot ask for a PIN")
}

// Choose asks with a button for each choice.
func (n *Prompter) Choose(ctx context.Context, p api.Prompt) (int, error) {
	var buttons []string
	for i, choice := range p.Choices {
		label := choice.Name
		if choice.Detail != "" {
			label += " (" + choice.Detail + ")"
		}
		buttons = append(buttons, strconv.Itoa(i), label)
	}
	button, err := n.ask(ctx, p, buttons)
	if err != nil {
		return 0, err
	}
	i, err := strconv.Atoi(button)
	if err != nil {
		return 0, errClosed // the notification itself was clicked
	}
	return i, nil
}

// Confirm asks with two buttons.
func (n *Prompter) Confirm(ctx context.Context, p api.Prompt) (bool, error) {
	button, err := n.ask(ctx, p, []string{"yes", "Yes", "no", "No"})
	return button == "yes", err
}
