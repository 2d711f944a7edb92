package frontend

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fobd/fobd/daemon/policy"
)

// A process that has ended is not what has its number now.
func TestUsedNumbersTellNothing(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pidfd, err := unix.PidfdOpen(cmd.Process.Pid, 0)
	if err != nil {
		t.Skip(err)
	}
	defer unix.Close(pidfd)
	who := policy.Actor{UID: uint32(os.Getuid()), GID: 7, PID: cmd.Process.Pid}
	if got := Identify(who, nil, pidfd); got.Program == "" || got.App.Exe == "" || got.Start == 0 {
		t.Errorf("while it runs: %+v", got)
	}
	in.Close()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	who.PID = os.Getpid() // as if its number were this one's by now
	got := Identify(who, nil, pidfd)
	if got.Program != "" || got.App != (policy.App{}) || got.Start != 0 || got.Session != "" {
		t.Errorf("of another process: %+v", got)
	}
	// Nor are that one's groups; the credentials of the connection are known.
	if strings.Count(got.Groups, ",") != 2 || got.User == "" {
		t.Errorf("groups %q, user %q", got.Groups, got.User)
	}
	who.PID = 0
	if got := Identify(who, nil, -1); got.Program != "" || got.User == "" {
		t.Errorf("from another pid namespace: %+v", got)
	}
}
