package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/oath/applet"
	"github.com/fobd/fobd/tokens/pcsc"
	"github.com/fobd/fobd/tokens/pcsc/pcsctest"
)

// cardDaemon is a daemon, locked in, that asks a real pcscd, and the card that is in its reader.
func cardDaemon(t *testing.T) (*instance, *pcsctest.Stack, *applet.Applet) {
	t.Helper()
	stack := pcsctest.Start(t)
	card, err := applet.New(applet.Config{})
	if err != nil {
		t.Fatal(err)
	}
	d := prepare(t, "")
	for i, arg := range d.cmd.Args {
		if arg == "--no-hid" {
			d.cmd.Args = append(d.cmd.Args[:i], d.cmd.Args[i+1:]...)
			break
		}
	}
	d.configure(t, fmt.Sprintf("[codes]\npcscd = %q\nreaders = [\"virtual\"]\npoll = true\n", stack.Socket))
	d.start(t)
	return d, stack, card
}

// keys waits until so many keys are there, and returns them.
func (d *instance) keys(t *testing.T, n int) []api.Key {
	t.Helper()
	for late := time.After(20 * time.Second); ; {
		status, body, err := d.post("list", "{}")
		var list api.ListResult
		if err != nil || status != http.StatusOK || json.Unmarshal([]byte(body), &list) != nil {
			t.Fatalf("%d %s %v", status, body, err)
		}
		if len(list.Keys) == n {
			return list.Keys
		}
		select {
		case <-late:
			t.Fatalf("%d keys are there, want %d: %s", len(list.Keys), n, body)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (d *instance) wants(t *testing.T, op, request string, status int, part string) string {
	t.Helper()
	got, body, err := d.post(op, request)
	if err != nil || got != status || !strings.Contains(body, part) {
		t.Fatalf("%s: %d, want %d with %s: %s, %v", op, got, status, part, body, err)
	}
	return body
}

// The daemon, with its sandbox, and the real pcscd: a token is put in, used, pulled out, and the service goes away and comes back.
func TestTokenInAReader(t *testing.T) {
	d, stack, card := cardDaemon(t)
	d.keys(t, 0)
	d.wants(t, "code", "{}", http.StatusNotFound, `"no-key"`)
	stack.Insert(card.Slot())
	key := d.keys(t, 1)[0]
	if strings.Join(key.Interfaces, " ") != "card" || key.Name != "Virtual PCD" || key.ID != "card-"+pcsctest.Reader {
		t.Errorf("got %+v", key)
	}
	d.wants(t, "account-add", `{"uri":"otpauth://hotp/alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=0"}`, http.StatusOK, `"alice"`)
	d.wants(t, "code", `{"account":"alice"}`, http.StatusOK, `"755224"`)
	// A FIDO operation does not take it for a security key.
	d.wants(t, "wink", `{"key":"`+key.ID+`"}`, http.StatusUnprocessableEntity, "one-time codes only")

	// Another program has the card for itself.
	other, err := stack.Client().Connect(t.Context(), pcsctest.Reader, pcsc.ConnectOptions{Share: pcsc.ShareExclusive})
	if err != nil {
		t.Fatal(err)
	}
	this := fmt.Sprintf("in use by fobd.test (process %d)", os.Getpid())
	d.wants(t, "code", `{"account":"alice"}`, http.StatusLocked, this)
	other.Close()
	d.wants(t, "code", `{"account":"alice"}`, http.StatusOK, `"287082"`)
	// Or a transaction: who asks waits, and hears why when the time is over.
	other, err = stack.Client().Connect(t.Context(), pcsctest.Reader, pcsc.ConnectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.wants(t, "code", `{"account":"alice","timeout":900}`, http.StatusLocked, "in use by fobd.test")
	if err := other.End(t.Context(), pcsc.ResetCard); err != nil {
		t.Fatal(err)
	}
	other.Close()
	d.wants(t, "code", `{"account":"alice"}`, http.StatusOK, `"359152"`)

	// pcscd is killed and comes back; nothing of the token is lost, nothing is spent.
	stack.Kill()
	d.keys(t, 0)
	stack.Restart()
	stack.Insert(card.Slot())
	d.keys(t, 1)
	d.wants(t, "code", `{"account":"alice"}`, http.StatusOK, `"969429"`)

	stack.Remove()
	d.keys(t, 0)
}

// A token that is pulled out in the middle, and a service that dies there: an error, not a wait.
func TestTokenIsPulledOut(t *testing.T) {
	d, stack, card := cardDaemon(t)
	stack.Insert(card.Slot())
	d.keys(t, 1)
	d.wants(t, "account-add", `{"uri":"otpauth://hotp/alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&counter=0"}`, http.StatusOK, `"alice"`)
	for name, pull := range map[string]func(){"the card": stack.Remove, "the service": stack.Kill} {
		// Slow enough to be still at it.
		card.SetFaults(applet.Fault{Delay: 300 * time.Millisecond}, applet.Fault{Delay: 3 * time.Second})
		answered := make(chan string, 1)
		go func() {
			_, body, err := d.post("code", `{"account":"alice"}`)
			answered <- fmt.Sprint(body, err)
		}()
		time.Sleep(600 * time.Millisecond)
		pull()
		select {
		case body := <-answered:
			if !strings.Contains(body, `"key-gone"`) && !strings.Contains(body, `"key-silent"`) && !strings.Contains(body, `"key-error"`) {
				t.Errorf("%s: got %s", name, body)
			}
		case <-time.After(15 * time.Second):
			t.Fatalf("%s is pulled out, and the request hangs", name)
		}
		card.SetFaults()
		if name == "the service" {
			stack.Restart()
		}
		stack.Insert(card.Slot())
		d.keys(t, 1)
	}
	d.wants(t, "code", `{"account":"alice"}`, http.StatusOK, `"code":"`)
}
