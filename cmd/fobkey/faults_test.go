package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
	"github.com/fobd/fobd/daemon/api"
)

func TestFaultsFromTheCommandLineAndTheControlSocket(t *testing.T) {
	dir := shortDir(t)
	whole(t, dir, "--fault", "status=makeCredential:OPERATION_DENIED:once", "--fault", "backup-eligible")
	r := &running{control: filepath.Join(dir, "ctl")}
	_, c := client(t, dir)
	if _, err := c.MakeCredential(t.Context(), makeRequest(cose.ES256, false)); !errors.Is(err, ctap2.ErrOperationDenied) {
		t.Errorf("the first registration: %v, want %v", err, ctap2.ErrOperationDenied)
	}
	flags := func() ctap2.Flags {
		t.Helper()
		made, err := c.MakeCredential(t.Context(), makeRequest(cose.ES256, false))
		if err != nil {
			t.Fatal(err)
		}
		data, err := ctap2.ParseAuthData(made.AuthData)
		if err != nil {
			t.Fatal(err)
		}
		return data.Flags
	}
	if f := flags(); f&ctap2.FlagBE == 0 || f&ctap2.FlagUP == 0 {
		t.Errorf("flags %#x, want BE and UP", f)
	}
	if got, want := r.say(t, "fault"), "ok backup-eligible\n"; got != want {
		t.Errorf("fault: %q, want %q: the other one has run out", got, want)
	}
	got := r.say(t, "fault on no-up-bit max-list=3", "fault on no-uv-bit bogus", "fault on max-list=x", "fault off backup-eligible", "fault off bogus")
	lines := strings.Split(got, "\n")
	if lines[0] != "ok no-up-bit max-list=3 backup-eligible" || lines[3] != "ok no-up-bit max-list=3" {
		t.Errorf("answers %q", lines)
	}
	for _, i := range []int{1, 2, 4} {
		if !strings.HasPrefix(lines[i], "error: ") {
			t.Errorf("answer %d is %q, want an error", i, lines[i])
		}
	}
	if f := flags(); f&(ctap2.FlagBE|ctap2.FlagUP) != 0 {
		t.Errorf("flags %#x, want neither BE nor UP", f)
	}
	if got, want := r.say(t, "fault clear", "fault"), "ok\nok\n"; got != want {
		t.Errorf("fault clear: %q, want %q", got, want)
	}
	if f := flags(); f&ctap2.FlagUP == 0 {
		t.Errorf("flags %#x after all faults are off", f)
	}
}

func TestClockMovesByOrder(t *testing.T) {
	dir := shortDir(t)
	whole(t, dir, "--presence", "manual")
	r := &running{control: filepath.Join(dir, "ctl")}
	_, c := client(t, dir)
	if got := r.say(t, "clock +11s", "touch on"); got != "ok\nok\n" {
		t.Fatalf("clock: %q", got)
	}
	// Reset works for ten seconds after power-up.
	if err := c.Reset(t.Context()); !errors.Is(err, ctap2.ErrNotAllowed) {
		t.Errorf("reset after 11 seconds: %v, want %v", err, ctap2.ErrNotAllowed)
	}
	if got := r.say(t, "power off", "power on"); got != "ok\nok\n" {
		t.Fatalf("power: %q", got)
	}
	_, c = client(t, dir)
	if err := c.Reset(t.Context()); err != nil {
		t.Errorf("reset after power-up: %v", err)
	}
	// How long it blinks is of its clock, too.
	if got := r.say(t, "touch off"); got != "ok\n" {
		t.Fatal(got)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Selection(t.Context()) }()
	for !strings.Contains(r.say(t, "status"), "blinks=true") {
		time.Sleep(time.Millisecond)
	}
	if got := r.say(t, "clock +31s"); got != "ok\n" {
		t.Fatal(got)
	}
	if err := <-ended; !errors.Is(err, ctap2.ErrUserActionTimeout) {
		t.Errorf("selection: %v, want %v", err, ctap2.ErrUserActionTimeout)
	}
}

func TestObserveTellsWhatTheKeyWasAsked(t *testing.T) {
	dir := shortDir(t)
	whole(t, dir)
	_, c := client(t, dir)
	if _, err := c.GetInfo(t.Context()); err != nil { // before: not told
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", filepath.Join(dir, "ctl"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintln(conn, "observe")
	lines := bufio.NewScanner(conn)
	if !lines.Scan() || lines.Text() != "ok" {
		t.Fatalf("observe: %q, %v", lines.Text(), lines.Err())
	}
	if _, err := c.MakeCredential(t.Context(), makeRequest(cose.ES256, true)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{
		RPID: "example.net", ClientDataHash: make([]byte, 32),
		AllowList: []ctap2.CredentialDescriptor{{Type: ctap2.TypePublicKey, ID: []byte("unknown")}},
	}); !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Fatal(err)
	}
	var got []string
	for range 3 {
		if !lines.Scan() {
			t.Fatal(lines.Err())
		}
		var o api.Observation
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s %d", o.Kind, o.Command, o.Event+o.Status, o.RPID, len(o.List)))
	}
	want := "credential makeCredential created example.org 0, command makeCredential OK example.org 0, command getAssertion NO_CREDENTIALS example.net 1"
	if got := strings.Join(got, ", "); got != want {
		t.Errorf("observed %s, want %s", got, want)
	}
}

// A clone signs with the credentials of the key that it was made from, until that one goes back.
func TestSnapshotRestoreAndClone(t *testing.T) {
	dir, other := shortDir(t), shortDir(t)
	whole(t, dir)
	r := &running{control: filepath.Join(dir, "ctl")}
	_, c := client(t, dir)
	assert := func(c *ctap2.Client, rpID string) error {
		_, err := c.GetAssertion(t.Context(), &ctap2.GetAssertionRequest{RPID: rpID, ClientDataHash: make([]byte, 32)})
		return err
	}
	empty, full, exported := filepath.Join(dir, "empty"), filepath.Join(dir, "full"), filepath.Join(dir, "export.json")
	if got := r.say(t, "snapshot "+empty); !strings.HasPrefix(got, "ok ") {
		t.Fatalf("snapshot: %q", got)
	}
	if _, err := c.MakeCredential(t.Context(), makeRequest(cose.ES256, true)); err != nil {
		t.Fatal(err)
	}
	if got := r.say(t, "snapshot "+full, "export "+exported, "restore "+empty); !strings.HasSuffix(got, "\nok 1 credentials\nok\n") {
		t.Fatalf("snapshot, export, restore: %q", got)
	}
	if err := assert(c, "example.org"); !errors.Is(err, ctap2.ErrNoCredentials) {
		t.Errorf("after going back: %v, want %v", err, ctap2.ErrNoCredentials)
	}
	whole(t, other, "--restore", full)
	_, clone := client(t, other)
	if err := assert(clone, "example.org"); err != nil {
		t.Errorf("the clone: %v", err)
	}
	if got := r.say(t, "import "+exported); got != "ok 1 credentials\n" {
		t.Errorf("import: %q", got)
	}
	if err := assert(c, "example.org"); err != nil {
		t.Errorf("after the import: %v", err)
	}
	third := shortDir(t)
	whole(t, third, "--import", exported, "--profile", "fido2.1")
	_, imported := client(t, third)
	if err := assert(imported, "example.org"); err != nil {
		t.Errorf("a key that begins with the import: %v", err)
	}
	for _, line := range []string{"restore " + exported, "import " + full} {
		if got := r.say(t, line); !strings.HasPrefix(got, "error: ") {
			t.Errorf("%s: %q, want an error", line, got)
		}
	}
	if err := assert(c, "example.org"); err != nil {
		t.Errorf("after files that are none: %v", err)
	}
	cmd := command(io.Discard, io.Discard)
	cmd.SetArgs([]string{"--listen", filepath.Join(third, "x"), "--restore", exported})
	var failed *runError
	if err := cmd.ExecuteContext(t.Context()); !errors.As(err, &failed) || !strings.Contains(err.Error(), exported) {
		t.Errorf("--restore of a file that is no snapshot: %v", err)
	}
}

func TestFaultsOfReports(t *testing.T) {
	dir := shortDir(t)
	whole(t, dir, "--fault", "report-busy=out:1", "--fault", "backup-state")
	r := &running{control: filepath.Join(dir, "ctl")}
	if got, want := r.say(t, "fault"), "ok backup-state report-busy=out:1:once\n"; got != want {
		t.Errorf("fault: %q, want %q", got, want)
	}
	// The second message of the connection, after INIT, is answered CHANNEL_BUSY, and the
	// client tries again.
	_, c := client(t, dir)
	if _, err := c.GetInfo(t.Context()); err != nil {
		t.Errorf("getInfo after CHANNEL_BUSY: %v", err)
	}
	got := r.say(t, "fault on report-drop=in:0:always wrong-signature", "fault on report-bogus", "fault on report-drop bogus", "fault off report-bogus", "fault off report-busy backup-state")
	lines := strings.Split(got, "\n")
	if lines[0] != "ok wrong-signature backup-state report-busy=out:1:once report-drop=in:0:always" || lines[4] != "ok wrong-signature report-drop=in:0:always" {
		t.Errorf("answers %q", lines)
	}
	for _, line := range lines[1:4] {
		if !strings.HasPrefix(line, "error: ") {
			t.Errorf("answer %q, want an error", line)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := c.GetInfo(ctx); err == nil {
		t.Error("getInfo is answered by a key whose reports are all lost")
	}
	if got := r.say(t, "fault clear"); got != "ok\n" {
		t.Errorf("fault clear: %q", got)
	}
	_, c = client(t, dir)
	if _, err := c.GetInfo(t.Context()); err != nil {
		t.Errorf("getInfo without faults: %v", err)
	}
	if got := r.say(t, "fault on report-disconnect"); got != "ok report-disconnect=in:0:once\n" {
		t.Errorf("fault on: %q", got)
	}
	if _, err := c.GetInfo(t.Context()); err == nil {
		t.Error("getInfo is answered by a key that was pulled out")
	}
}
