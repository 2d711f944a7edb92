package notify_test

import (
	"bufio"
	"context"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/cmd/internal/notify"
	"github.com/fobd/fobd/daemon/api"
)

// bus starts a session bus of the test's own.
func bus(t *testing.T) {
	t.Helper()
	program, err := exec.LookPath("dbus-daemon")
	if err != nil {
		t.Skip("dbus-daemon is not installed; .ci/run installs it")
	}
	cmd := exec.Command(program, "--session", "--nofork", "--print-address=1", "--address=unix:tmpdir=/tmp")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", strings.TrimSpace(address))
}

// notification is what a desktop was asked to show.
type notification struct {
	id            uint32
	summary, body string
	actions       []string
	urgency       byte
}

// desktop is a notification server.
type desktop struct {
	conn         *dbus.Conn
	capabilities []string
	last         uint32
	shown        chan notification
	closed       chan uint32
	// press, if not empty, is the button that is pressed at once.
	press string
}

func newDesktop(t *testing.T, capabilities ...string) *desktop {
	t.Helper()
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	d := &desktop{conn: conn, capabilities: capabilities, shown: make(chan notification, 10), closed: make(chan uint32, 10)}
	if err := conn.Export(d, "/org/freedesktop/Notifications", "org.freedesktop.Notifications"); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName("org.freedesktop.Notifications", dbus.NameFlagDoNotQueue); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return d
}

func (d *desktop) GetCapabilities() ([]string, *dbus.Error) { return d.capabilities, nil }

func (d *desktop) Notify(_ string, _ uint32, _, summary, body string, actions []string, hints map[string]dbus.Variant, _ int32) (uint32, *dbus.Error) {
	d.last++
	urgency, _ := hints["urgency"].Value().(byte)
	if d.press != "" {
		// Before the program knows the number.
		d.invoke(d.last, d.press)
	}
	d.shown <- notification{d.last, summary, body, actions, urgency}
	return d.last, nil
}

func (d *desktop) CloseNotification(id uint32) *dbus.Error {
	d.closed <- id
	return nil
}

func (d *desktop) invoke(id uint32, button string) {
	_ = d.conn.Emit("/org/freedesktop/Notifications", "org.freedesktop.Notifications.ActionInvoked", id, button)
}

func dial(t *testing.T) *notify.Prompter {
	t.Helper()
	n, err := notify.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func TestNotificationComesAndGoes(t *testing.T) {
	bus(t)
	d := newDesktop(t, "body", "body-markup")
	n := dial(t)
	if kinds := n.Kinds(); slices.ContainsFunc(kinds, api.PromptKind.Answerable) || !slices.Contains(kinds, api.PromptTouch) {
		t.Errorf("without buttons it takes %v", kinds)
	}
	n.Show(api.Prompt{ID: "a", Kind: api.PromptTouch, Message: "Touch <b>key</b>: R&D wants it", Deadline: time.Now().Add(time.Minute).Format(time.RFC3339)})
	got := <-d.shown
	if got.summary != "Touch your security key" || !strings.Contains(got.body, "&lt;b&gt;key&lt;/b&gt;: R&amp;D") || !strings.Contains(got.body, "\nuntil ") || got.urgency != 2 {
		t.Errorf("the desktop shows %+v", got)
	}
	n.Withdraw("a")
	if id := <-d.closed; id != got.id {
		t.Errorf("notification %d is closed, want %d", id, got.id)
	}
	n.Withdraw("a")
	n.Show(api.Prompt{ID: "b", Kind: api.PromptInsert})
	<-d.shown
	n.Close()
	<-d.closed
}

func TestNotificationsAsk(t *testing.T) {
	bus(t)
	d := newDesktop(t, "actions")
	n := dial(t)
	if !slices.Contains(n.Kinds(), api.PromptConfirm) || slices.Contains(n.Kinds(), api.PromptPIN) {
		t.Errorf("with buttons it takes %v", n.Kinds())
	}
	for button, want := range map[string]bool{"yes": true, "no": false, "default": false} {
		d.press = button
		if yes, err := n.Confirm(t.Context(), api.Prompt{Kind: api.PromptConfirm, Message: "a < b?"}); yes != want || err != nil {
			t.Errorf("%s: got %v, %v", button, yes, err)
		}
		if got := <-d.shown; !slices.Equal(got.actions, []string{"yes", "Yes", "no", "No"}) || got.body != "a < b?" {
			t.Errorf("the desktop shows %+v", got)
		}
	}
	d.press = ""
	choices := api.Prompt{Kind: api.PromptChoose, Choices: []api.Choice{{Name: "alice"}, {Name: "bob", Detail: "work"}}}
	go func() { d.invoke((<-d.shown).id, "1") }()
	if i, err := n.Choose(t.Context(), choices); i != 1 || err != nil {
		t.Errorf("got %d, %v", i, err)
	}
	// Closed by the person.
	go func() {
		id := (<-d.shown).id
		_ = d.conn.Emit("/org/freedesktop/Notifications", "org.freedesktop.Notifications.NotificationClosed", id, uint32(2))
	}()
	if _, err := n.Choose(t.Context(), choices); err == nil {
		t.Error("a closed notification is an answer")
	}
	// Withdrawn by the daemon.
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-d.shown
		cancel()
	}()
	if _, err := n.Choose(ctx, choices); err == nil {
		t.Error("a withdrawn question has an answer")
	}
	<-d.closed
}

func TestNoDesktop(t *testing.T) {
	bus(t)
	if _, err := notify.Dial(t.Context()); err == nil || !strings.Contains(err.Error(), "no notification server") {
		t.Errorf("got %v", err)
	}
}
