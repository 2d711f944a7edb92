package dbusapi_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/godbus/dbus/v5"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/dbusapi"
	"github.com/fobd/fobd/hid"
	"github.com/fobd/fobd/hid/ctaphid"
)

// A lease's name is all that it takes to use it: nobody but its holder hears it.
func TestLease(t *testing.T) {
	l := newLab(t)
	key := l.emulate(api.EmulateAddRequest{Name: "a"})
	p, watcher := l.program(), l.program()
	watcher.listen()
	o := p.begin("Lease", api.LeaseRequest{Purpose: "a test"})
	progress, _ := p.hears("Progress", o.Path()).Body[0].(string)
	var prompt api.Prompt
	if err := json.Unmarshal([]byte(progress), &prompt); err != nil {
		t.Fatal(err)
	}
	if prompt.Kind != api.PromptLease || prompt.Lease == "" || prompt.Key != key {
		t.Fatalf("got %s", progress)
	}
	reports := func(lease string) (dbus.UnixFD, error) {
		var fd dbus.UnixFD
		err := p.root.Call(dbusapi.ManagerInterface+".LeaseReports", 0, lease).Store(&fd)
		return fd, err
	}
	if _, err := reports("guessed"); errorName(err) != dbusapi.ErrorPrefix+"NotFound" {
		t.Errorf("a lease that there is not: got %v", err)
	}
	fd, err := reports(prompt.Lease)
	if err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "lease")
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	channel, err := ctaphid.Open(t.Context(), hid.NewPackets(conn, hid.DefaultReportSize, hid.DefaultReportSize))
	if err != nil {
		t.Fatal(err)
	}
	info, err := ctap2.NewClient(channel, nil).GetInfo(t.Context())
	if err != nil || len(info.Versions) == 0 {
		t.Errorf("got %+v, %v", info, err)
	}
	if err := p.ask("LeaseEnd", api.LeaseEndRequest{Lease: prompt.Lease}).Err; err != nil {
		t.Fatal(err)
	}
	if got := finished[api.LeaseResult](p, o); got.Ended != api.LeaseReleased {
		t.Errorf("got %+v", got)
	}
	for {
		s := watcher.hearsAny()
		if strings.Contains(fmt.Sprint(s.Body), prompt.Lease) {
			t.Errorf("%s tells the lease to all", s.Name)
		}
		if strings.HasSuffix(s.Name, "PropertiesChanged") && s.Path == o.Path() {
			return
		}
	}
}
