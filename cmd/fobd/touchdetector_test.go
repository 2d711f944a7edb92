package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// The socket is where yubikey-touch-detector has it, tells of touches, and goes when the
// daemon does.
func TestTouchDetectorSocket(t *testing.T) {
	d := prepare(t, "")
	dir := filepath.Dir(d.socket)
	file := filepath.Join(dir, "fobd.toml")
	if err := os.WriteFile(file, []byte("touch-detector-socket = \"auto\"\n[[emulate]]\nname = \"quick\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d.cmd.Args = append(d.cmd.Args, "--config", file)
	d.cmd.Env = append(d.cmd.Env, "XDG_RUNTIME_DIR="+dir)
	d.start(t)
	path := filepath.Join(dir, "yubikey-touch-detector.socket")
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	// Who connects while a touch is told may miss it.
	got := make([]byte, 10)
	read := make(chan error, 1)
	go func() {
		_, err := io.ReadFull(conn, got)
		read <- err
	}()
	for done := false; !done; {
		if status, body, err := d.post("touch", "{}"); err != nil || status != http.StatusOK {
			t.Fatalf("touch: got %d %s, %v", status, body, err)
		}
		select {
		case err := <-read:
			if err != nil || string(got) != "U2F_1U2F_0" {
				t.Errorf("got %q, %v; want U2F_1U2F_0", got, err)
			}
			done = true
		default:
		}
	}
	d.stop(t)
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is still there: %v", err)
	}
}
