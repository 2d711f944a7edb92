package daemon_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/policy"
	"github.com/fobd/fobd/hid"
)

func TestEmulateFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := &person{}
		added := must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Faults: []string{"status=makeCredential:KEY_STORE_FULL:once"}}, nil).Key
		if !slices.Equal(added.Faults, []string{"status=makeCredential:KEY_STORE_FULL:once"}) {
			t.Errorf("got %+v", added)
		}
		l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", ``, ``)}, p, api.CodeKeyFull)
		r := l.registers(creation("alice", ``, ``), p)

		got := must[api.EmulateResult](l, api.OpEmulateFault, api.EmulateFaultRequest{On: []string{"status=getAssertion:OPERATION_DENIED", "max-list=3"}}, nil).Key
		if len(got.Faults) != 2 {
			t.Errorf("got %+v", got)
		}
		l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request("discouraged", r)}, p, api.CodeDenied)
		// What is wrong changes nothing.
		for _, bad := range []api.EmulateFaultRequest{
			{On: []string{"no-uv-bit", "no-such-fault"}},
			{On: []string{"max-list"}},
			{Off: []string{"no-such-fault"}, Clear: true},
		} {
			l.fails(api.OpEmulateFault, bad, nil, api.CodeInvalidRequest)
		}
		got = must[api.EmulateListResult](l, api.OpEmulateList, api.EmulateListRequest{}, nil).Keys[0]
		if len(got.Faults) != 2 {
			t.Errorf("got %+v", got)
		}
		got = must[api.EmulateResult](l, api.OpEmulateFault, api.EmulateFaultRequest{Off: []string{"status"}}, nil).Key
		if !slices.Equal(got.Faults, []string{"max-list=3"}) {
			t.Errorf("got %+v", got)
		}
		l.asserts(request("discouraged", r), p, r)
		got = must[api.EmulateResult](l, api.OpEmulateFault, api.EmulateFaultRequest{Clear: true}, nil).Key
		if len(got.Faults) != 0 {
			t.Errorf("got %+v", got)
		}
	})
}

func TestEmulateReportFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := &person{}
		added := must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Faults: []string{"report-delay=in:0:once:200ms", "no-uv-bit"}}, nil).Key
		if !slices.Equal(added.Faults, []string{"no-uv-bit", "report-delay=in:0:once:200ms"}) {
			t.Errorf("got %+v", added)
		}
		began := time.Now()
		must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, p)
		if took := time.Since(began); took < 200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		must[api.EmulateResult](l, api.OpEmulateFault, api.EmulateFaultRequest{Off: []string{"report-delay"}, On: []string{"report-drop=in:2:always"}}, nil)
		l.fails(api.OpTouch, api.TouchRequest{}, p, api.CodeKeySilent)
		got := must[api.EmulateResult](l, api.OpEmulateFault, api.EmulateFaultRequest{Off: []string{"report-drop"}}, nil).Key
		if !slices.Equal(got.Faults, []string{"no-uv-bit"}) {
			t.Errorf("got %+v", got)
		}
		must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, p)
		for _, bad := range []string{"report-eaten", "report-delay", "report-drop=never"} {
			l.fails(api.OpEmulateFault, api.EmulateFaultRequest{On: []string{bad}}, nil, api.CodeInvalidRequest)
			l.fails(api.OpEmulateAdd, api.EmulateAddRequest{Faults: []string{bad}}, nil, api.CodeInvalidRequest)
		}
	})
}

func TestEmulateClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := &person{}
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Presence: "manual"}, nil)
		run := l.start(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", ``, ``)}, p)
		time.Sleep(time.Second)
		must[api.EmulateResult](l, api.OpEmulateClock, api.EmulateClockRequest{AdvanceMS: 31_000}, nil)
		_, err := run.wait()
		wantCode(t, err, api.CodeTimeout)
		// From now on its time stands still.
		run = l.start(api.OpRegister, api.RegisterRequest{Origin: origin, Options: creation("alice", ``, ``), TimeoutMS: 300_000}, p)
		time.Sleep(200 * time.Second)
		if !run.running() {
			t.Error("the key gave up by the wall clock")
		}
		must[api.EmulateResult](l, api.OpEmulateTouch, api.EmulateNameRequest{}, nil)
		if _, err := run.wait(); err != nil {
			t.Error(err)
		}
		l.fails(api.OpEmulateClock, api.EmulateClockRequest{AdvanceMS: 1 << 63}, nil, api.CodeInvalidRequest)
	})
}

func TestEmulateSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := always()
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Name: "one"}, nil)
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
		resident := `"residentKey":"required"`
		r := l.registers(creation("alice", resident, ``), p)
		snapshot := must[api.EmulateSnapshotResult](l, api.OpEmulateSnapshot, api.EmulateNameRequest{}, nil)
		if snapshot.Name != "one" || len(snapshot.Snapshot) == 0 {
			t.Errorf("got %+v", snapshot)
		}
		l.registers(creation("bob", resident, ``), p)
		got := must[api.EmulateResult](l, api.OpEmulateRestore, api.EmulateRestoreRequest{Snapshot: snapshot.Snapshot}, nil).Key
		if got.Credentials != 1 {
			t.Errorf("got %+v, want the state before bob", got)
		}
		l.asserts(request("required"), p, r)

		clone := must[api.EmulateResult](l, api.OpEmulateClone, api.EmulateCloneRequest{Name: "one", Clone: "two"}, nil).Key
		if clone.Name != "two" || !clone.Power || clone.Credentials != 1 || clone.Profile != "fido2.3" {
			t.Errorf("got %+v", clone)
		}
		must[api.EmulateResult](l, api.OpEmulateRemove, api.EmulateNameRequest{Name: "one"}, nil)
		if got := l.asserts(request("required"), p, r); got.key != clone.Key {
			t.Errorf("got %s, want the clone %s", got.key, clone.Key)
		}
		l.fails(api.OpEmulateClone, api.EmulateCloneRequest{Clone: "two"}, nil, api.CodeConflict)
		for _, bad := range [][]byte{nil, {1, 2, 3}, snapshot.Snapshot[:len(snapshot.Snapshot)-1], bytes.Repeat([]byte{0xFF}, 100)} {
			l.fails(api.OpEmulateRestore, api.EmulateRestoreRequest{Snapshot: bad}, nil, api.CodeInvalidRequest)
		}
		l.asserts(request("required"), p, r)
	})
}

func TestEmulateImport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := &person{}
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{}, nil)
		private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		fixture := api.EmulatedCredential{
			RPID: "example.org", UserID: api.Bytes("alice"), UserName: "alice", Discoverable: true, PrivateKey: der,
			CredProtect: "userVerificationOptionalWithCredentialIDList", CredBlob: api.Bytes("small"), SignCount: 41,
		}
		got := must[api.EmulateResult](l, api.OpEmulateImport, api.EmulateImportRequest{Credentials: []api.EmulatedCredential{fixture}}, nil).Key
		if got.Credentials != 1 {
			t.Errorf("got %+v", got)
		}
		out := must[api.EmulateExportResult](l, api.OpEmulateExport, api.EmulateNameRequest{}, nil)
		if len(out.Credentials) != 1 {
			t.Fatalf("got %+v", out)
		}
		c := out.Credentials[0]
		if c.RPID != fixture.RPID || c.UserName != "alice" || !c.Discoverable || c.CredProtect != fixture.CredProtect || string(c.CredBlob) != "small" || len(c.ID) == 0 {
			t.Errorf("got %+v", c)
		}
		again, err := x509.ParsePKCS8PrivateKey(c.PrivateKey)
		if err != nil || !private.Equal(again) {
			t.Errorf("got %v, %v", again, err)
		}
		a := must[api.AssertResult](l, api.OpAssert, api.AssertRequest{Origin: origin, Options: request("discouraged", &registered{ID: c.ID})}, p)
		if !strings.Contains(string(a.Credential), c.ID.String()) {
			t.Errorf("got %s", a.Credential)
		}
		bad := fixture
		bad.PrivateKey = api.Bytes{1, 2, 3}
		odd := fixture
		odd.CredProtect = "sometimes"
		for _, list := range [][]api.EmulatedCredential{{bad}, {odd}, {fixture, {}}} {
			l.fails(api.OpEmulateImport, api.EmulateImportRequest{Credentials: list}, nil, api.CodeInvalidRequest)
		}
		if got := must[api.EmulateListResult](l, api.OpEmulateList, api.EmulateListRequest{}, nil).Keys[0]; got.Credentials != 1 {
			t.Errorf("got %+v after what was wrong", got)
		}
	})
}

func TestEmulateObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		p := &person{}
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{}, nil)
		first := must[api.EmulateObserveResult](l, api.OpEmulateObserve, api.EmulateObserveRequest{}, nil)
		run := l.start(api.OpEmulateObserve, api.EmulateObserveRequest{Since: first.Next, Wait: true}, nil)
		time.Sleep(time.Second)
		if !run.running() {
			t.Error("it did not wait")
		}
		r := l.registers(creation("alice", `"residentKey":"required"`, ``), p)
		if v, err := run.wait(); err != nil || len(v.(*api.EmulateObserveResult).Observations) == 0 {
			t.Errorf("got %+v, %v", v, err)
		}
		l.asserts(request("discouraged", r), p, r)
		seen := must[api.EmulateObserveResult](l, api.OpEmulateObserve, api.EmulateObserveRequest{Since: first.Next}, nil)
		var told []string
		for _, o := range seen.Observations {
			if o.Kind == "credential" {
				told = append(told, o.Event)
				if !bytes.Equal(o.Credential, r.ID) || o.RPID != "example.org" {
					t.Errorf("got %+v", o)
				}
			}
			if o.Kind == "command" && o.Command == "getAssertion" && (len(o.List) != 1 || !bytes.Equal(o.List[0], r.ID)) {
				t.Errorf("got %+v", o)
			}
			if _, err := time.Parse(time.RFC3339Nano, o.Time); err != nil || o.Number < first.Next {
				t.Errorf("got %+v", o)
			}
		}
		// The look for the credential without a touch counts too.
		if !slices.Equal(told, []string{"created", "asserted", "asserted"}) {
			t.Errorf("told %q", told)
		}
		if again := must[api.EmulateObserveResult](l, api.OpEmulateObserve, api.EmulateObserveRequest{Since: seen.Next}, nil); len(again.Observations) != 0 {
			t.Errorf("got %+v", again)
		}
		l.fails(api.OpEmulateObserve, api.EmulateObserveRequest{Since: seen.Next, Wait: true, TimeoutMS: 1000}, nil, api.CodeTimeout)
	})
}

// What holds secrets is for admins.
func TestFixturesAreForAdmins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{}, nil)
		for _, op := range []string{api.OpEmulateSnapshot, api.OpEmulateExport, api.OpEmulateClone, api.OpEmulateRestore, api.OpEmulateImport, api.OpEmulateObserve} {
			_, err := l.engine.Do(l.ctx, policy.Actor{UID: alice.UID + 1}, op, decoder(struct{}{}), nil)
			wantCode(t, err, api.CodeDenied)
		}
	})
}

// Every fault of reports, as a client meets it: the key is fine, and the wire is not. Afterwards it
// works again.
func TestClientsMeetFaultsOfReports(t *testing.T) {
	met := map[string]api.Code{ // empty: the client gets over it
		"report-busy=out:1":       "",
		"report-foreign=always":   "",
		"report-delay=in:1:100ms": "",
		"report-duplicate=in:1":   api.CodeKeyError,
		"report-reorder=in:1":     api.CodeKeyError,
		"report-corrupt=in:1":     api.CodeKeySilent,
		"report-drop=in:1":        api.CodeKeySilent,
		"report-drop=in:1:always": api.CodeKeySilent,
		"report-disconnect=in:1":  api.CodeKeyGone,
	}
	kinds := make(map[string]bool)
	for fault, code := range met {
		name, _, _ := strings.Cut(fault, "=")
		kinds[name] = true
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				p := &person{}
				must[api.EmulateResult](l, api.OpEmulateAdd, api.EmulateAddRequest{Faults: []string{fault}}, nil)
				if code == "" {
					must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, p)
				} else {
					l.fails(api.OpTouch, api.TouchRequest{}, p, code)
				}
				must[api.EmulateResult](l, api.OpEmulateFault, api.EmulateFaultRequest{Clear: true}, nil)
				must[api.TouchResult](l, api.OpTouch, api.TouchRequest{}, p)
			})
		})
	}
	for _, kind := range hid.FaultNames() {
		if !kinds[kind] {
			t.Errorf("no client meets %s", kind)
		}
	}
}
