package daemon_test

import (
	"os"
	"os/user"
	"testing"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/hid"
)

func TestOutsiderNamesTheUser(t *testing.T) {
	me, err := user.Current()
	if err != nil {
		t.Skip(err)
	}
	got := daemon.Outsider(hid.Holder{PID: os.Getpid(), Program: "ssh\x1b[31m"})
	if got.User != me.Username || got.Program != "ssh[31m" || got.PID != os.Getpid() || !got.Outside || got.Since != "" || got.Operation != "" {
		t.Errorf("got %+v, want this process outside, of %s, since nobody knows when", got, me.Username)
	}
	if got := daemon.Outsider(hid.Holder{}); got.User != "" || !got.Outside {
		t.Errorf("an unknown program: got %+v, want no user", got)
	}
}
