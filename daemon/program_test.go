package daemon

import (
	"os"
	"testing"
)

func TestProgramOfAProcess(t *testing.T) {
	uid, gid, ok := parseStatus([]byte("Name:\tssh\nUid:\t1000\t1001\t1000\t1000\nGid:\t7\t8\t7\t7\nGroups:\t1 2 3\n"))
	if !ok || uid != 1001 || gid != 8 {
		t.Errorf("got %d, %d, %v", uid, gid, ok)
	}
	for _, broken := range []string{"", "Uid:\t1\t1\n", "Uid:\t1\tx\nGid:\t1\t1\n", "Uid:\t1\nGid:\t1\n"} {
		if _, _, ok := parseStatus([]byte(broken)); ok {
			t.Errorf("%q is taken", broken)
		}
	}
	me, ok := Program(os.Getpid())
	if !ok || me.UID != uint32(os.Geteuid()) || me.PID != os.Getpid() || me.App.Exe == "" || me.Program == "" || me.User == "" {
		t.Errorf("this process: got %+v, %v", me, ok)
	}
	if who, ok := Program(1 << 22); ok {
		t.Errorf("a process that is not there: got %+v", who)
	}
}
