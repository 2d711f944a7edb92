package daemon

import (
	"os"
	"testing"
)

func TestProgramOfAProcess(t *testing.T) {
	me, ok := Program(os.Getpid())
	if !ok || me.UID != uint32(os.Geteuid()) || me.PID != os.Getpid() || me.App.Exe == "" || me.Program == "" || me.User == "" {
		t.Errorf("this process: got %+v, %v", me, ok)
	}
	if who, ok := Program(1 << 22); ok {
		t.Errorf("a process that is not there: got %+v", who)
	}
}
