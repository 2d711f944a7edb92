package process

import "testing"

func TestSessionOfAProcess(t *testing.T) {
	for cgroups, want := range map[string]string{
		"0::/user.slice/user-1000.slice/session-3.scope\n":                                        "3",
		"0::/user.slice/user-1000.slice/session-c2.scope/inner\n":                                 "c2",
		"12:pids:/user.slice\n1:name=systemd:/user.slice/user-1000.slice/session-7.scope\n0::/\n": "7",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-firefox.scope\n":          "",
		"0::/system.slice/ssh.service\n":                                                          "",
		"0::/session-.scope\n":                                                                    "",
		"":                                                                                        "",
	} {
		if got := sessionOf(cgroups); got != want {
			t.Errorf("%q: got %q, want %q", cgroups, got, want)
		}
	}
}
