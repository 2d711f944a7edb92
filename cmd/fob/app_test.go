package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/api"
)

func TestUsageErrors(t *testing.T) {
	f := newFake(t)
	for _, line := range []string{
		"", "bogus", "pin", "pin bogus", "emulate", "list extra", "list --bogus", "touch --timeout x",
		"list --timeout -1s", "info a b", "info a --key b", "emulate power", "emulate power maybe",
		"emulate set", "emulate set --delay -1s", "emulate add --seed /does/not/exist", "watch --count -1",
		"register /does/not/exist", "register --rp example.org", "register --user alice", "register --discoverable",
		"register --rp example.org --user alice file", "register --rp example.org --user alice --uv never",
		"assert --credential AAAA", "assert --rp example.org --credential !", "assert --rp example.org --credential \"",
		"check", "check --options - -", "check --options /does/not/exist /dev/null",
		"pin set --pin-fd 1", "pin set --pin-fd 2", "pin set --pin-fd -7", "pin change --pin-fd x",
		"register --pin-fd 0", "man",
		"credential", "credential show", "credential show a b", "credential rename a", "credential delete", "credential list x",
		"fingerprint", "fingerprint rename a", "fingerprint delete", "fingerprint add x", "blob", "blob get", "blob set a",
		"blob set a /does/not/exist", "blob delete", "config", "config always-uv", "config always-uv maybe", "config min-pin",
		"config min-pin --length -1", "config vendor", "config vendor much", "config vendor 1 --data /does/not/exist",
		"emulate fault", "emulate fault on", "emulate fault off", "emulate fault clear x", "emulate fault maybe x",
		"emulate clock", "emulate clock soon", "emulate clock -1s", "emulate finger", "emulate snapshot", "emulate restore /does/not/exist",
		"emulate import /dev/null", "emulate import /does/not/exist", "emulate export", "emulate clone a b",
	} {
		got := f.fob(t, "", strings.Fields(line)...)
		if got.status != exitUsage || got.out != "" || !strings.HasPrefix(got.err, "fob: ") || !strings.Contains(got.err, "\nhint: see fob") {
			t.Errorf("fob %s: status %d, out %q, err %q, want status 2 with a hint", line, got.status, got.out, got.err)
		}
	}
	if len(f.requests) != 0 {
		t.Errorf("wrong usage reached the daemon: %v", f.requests)
	}
}

func TestRequestsCarryTheFlags(t *testing.T) {
	f := newFake(t)
	for _, op := range []string{
		api.OpInfo, api.OpTouch, api.OpWink, api.OpPINStatus, api.OpPINSet, api.OpPINChange, api.OpStatus,
		api.OpEmulateAdd, api.OpEmulateList, api.OpEmulateRemove, api.OpEmulateTouch, api.OpEmulatePower, api.OpEmulateSet,
		api.OpCredentialList, api.OpCredentialShow, api.OpCredentialRename, api.OpCredentialDelete,
		api.OpFingerprintAdd, api.OpFingerprintList, api.OpFingerprintRename, api.OpFingerprintDelete,
		api.OpBlobList, api.OpBlobGet, api.OpBlobSet, api.OpBlobDelete, api.OpBlobCollect,
		api.OpConfigShow, api.OpConfigIdentify, api.OpConfigAlwaysUV, api.OpConfigMinPIN, api.OpConfigEnterprise, api.OpConfigLongTouch,
		api.OpConfigVendor, api.OpEmulateFault, api.OpEmulateClock, api.OpEmulateFinger, api.OpEmulateClone, api.OpEmulateObserve,
	} {
		f.answers[op] = struct{}{}
	}
	for _, test := range []struct{ line, op, want string }{
		{"info", api.OpInfo, `{}`},
		{"info k1 --timeout 1500us", api.OpInfo, `{"key":"k1","timeout":2}`},
		{"touch --key k1 --purpose why --timeout 3s", api.OpTouch, `{"key":"k1","purpose":"why","timeout":3000}`},
		{"wink --key k1", api.OpWink, `{"key":"k1"}`},
		{"pin status --key k1", api.OpPINStatus, `{"key":"k1"}`},
		{"pin set --key k1 --timeout 1s", api.OpPINSet, `{"key":"k1","timeout":1000}`},
		{"pin change --allow-last-retry", api.OpPINChange, `{"allowLastRetry":true}`},
		{"status", api.OpStatus, `{}`},
		{"emulate list", api.OpEmulateList, `{}`},
		{"emulate remove", api.OpEmulateRemove, `{}`},
		{"emulate remove a", api.OpEmulateRemove, `{"name":"a"}`},
		{"emulate touch a", api.OpEmulateTouch, `{"name":"a"}`},
		{"emulate power off", api.OpEmulatePower, `{"on":false}`},
		{"emulate power on a", api.OpEmulatePower, `{"name":"a","on":true}`},
		{"emulate set a --presence delay --delay 1s --uv deny", api.OpEmulateSet, `{"name":"a","presence":"delay","delay":1000,"uv":"deny"}`},
		{
			"emulate add a --state s --presence manual --delay 2s --uv grant --attestation self --algorithms ES256,EdDSA --ctap1-only --uhid --no-reset-window",
			api.OpEmulateAdd,
			`{"name":"a","state":"s","presence":"manual","delay":2000,"uv":"grant","attestation":"self","algorithms":["ES256","EdDSA"],"ctap1Only":true,"uhid":true,"noResetWindow":true}`,
		},
		{"emulate add --profile fido2.1 --fault a=b --fault c", api.OpEmulateAdd, `{"profile":"fido2.1","faults":["a=b","c"]}`},
		{"emulate fault on a=b c --name n", api.OpEmulateFault, `{"name":"n","on":["a=b","c"]}`},
		{"emulate fault off a", api.OpEmulateFault, `{"off":["a"]}`},
		{"emulate fault clear", api.OpEmulateFault, `{"clear":true}`},
		{"emulate clock 1m --name n", api.OpEmulateClock, `{"name":"n","advance":60000}`},
		{"emulate finger good too-fast", api.OpEmulateFinger, `{"samples":["good","too-fast"]}`},
		{"emulate clone b --from a", api.OpEmulateClone, `{"name":"a","clone":"b"}`},
		{"emulate observe a", api.OpEmulateObserve, `{"name":"a"}`},
		{"credential list --site s --key k --timeout 1s --allow-last-retry", api.OpCredentialList, `{"key":"k","rpId":"s","allowLastRetry":true,"timeout":1000}`},
		{"credential show c --site s", api.OpCredentialShow, `{"rpId":"s","credential":"c"}`},
		{"credential delete c --key k", api.OpCredentialDelete, `{"key":"k","credential":"c"}`},
		{"credential rename c --name n", api.OpCredentialRename, `{"credential":"c","userName":"n"}`},
		{"credential rename c --display-name=", api.OpCredentialRename, `{"credential":"c","displayName":""}`},
		{"fingerprint add --name thumb --timeout 1s", api.OpFingerprintAdd, `{"name":"thumb","timeout":1000}`},
		{"fingerprint list --key k", api.OpFingerprintList, `{"key":"k"}`},
		{"fingerprint rename a b", api.OpFingerprintRename, `{"fingerprint":"a","name":"b"}`},
		{"fingerprint delete a", api.OpFingerprintDelete, `{"fingerprint":"a"}`},
		{"blob list", api.OpBlobList, `{}`},
		{"blob get c --site s", api.OpBlobGet, `{"rpId":"s","credential":"c"}`},
		{"blob set c -", api.OpBlobSet, `{"credential":"c","data":""}`},
		{"blob delete c", api.OpBlobDelete, `{"credential":"c"}`},
		{"blob collect --key k", api.OpBlobCollect, `{"key":"k"}`},
		{"config show --key k", api.OpConfigShow, `{"key":"k"}`},
		{"config show --identify --allow-last-retry", api.OpConfigIdentify, `{"allowLastRetry":true}`},
		{"config always-uv on", api.OpConfigAlwaysUV, `{"on":true}`},
		{"config always-uv off", api.OpConfigAlwaysUV, `{"on":false}`},
		{"config min-pin --length 6 --site a --site b", api.OpConfigMinPIN, `{"minLength":6,"rpIds":["a","b"]}`},
		{"config min-pin --force-change --complexity", api.OpConfigMinPIN, `{"forceChange":true,"complexity":true}`},
		{"config enterprise-attestation --timeout 1s", api.OpConfigEnterprise, `{"timeout":1000}`},
		{"config long-touch-reset --key k", api.OpConfigLongTouch, `{"key":"k"}`},
		{"config vendor 0x10 --data /dev/null", api.OpConfigVendor, `{"command":16}`},
	} {
		if got := f.fob(t, "", strings.Fields(test.line)...); got.status != 0 {
			t.Errorf("fob %s: %+v", test.line, got)
		}
		if diff := cmp.Diff(test.want, string(f.requests[test.op])); diff != "" {
			t.Errorf("fob %s asks (-want +got):\n%s", test.line, diff)
		}
	}
}

func TestTimeoutEndsAQuietDaemon(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpStatus] = func(c *fakeCall) { <-c.ctx.Done() }
	got := f.fob(t, "", "status", "--timeout", "20ms")
	if got.status != exitCancelled || got.err != "fob: no answer in time\nhint: a longer --timeout gives it more\n" {
		t.Errorf("got %+v, want status 5", got)
	}
	got = f.fob(t, "", "watch", "--timeout", "20ms")
	if got.status != exitCancelled {
		t.Errorf("watch: got %+v, want status 5", got)
	}
}

func TestHangingUpCancels(t *testing.T) {
	f := newFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	hungUp := make(chan struct{})
	f.answers[api.OpTouch] = func(c *fakeCall) {
		c.line(api.Line{Prompt: &api.Prompt{ID: "1", Kind: api.PromptTouch, Message: "touch me"}})
		<-c.ctx.Done()
		close(hungUp)
	}
	// The person presses Ctrl-C once the prompt is there.
	var errs bytes.Buffer
	a := &app{in: strings.NewReader(""), out: io.Discard, err: io.MultiWriter(&errs, writerFunc(cancel))}
	status := a.main(ctx, []string{"--socket", f.socket, "touch"})
	if status != exitCancelled || errs.String() != "touch me\nfob: cancelled\n" {
		t.Errorf("status %d, err %q, want status 5", status, errs.String())
	}
	select {
	case <-hungUp:
	case <-time.After(10 * time.Second):
		t.Error("the daemon did not see the caller go")
	}
}

// writerFunc is called at each write.
type writerFunc func()

func (f writerFunc) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}

func TestWatchShowsEvents(t *testing.T) {
	f := newFake(t)
	stamp := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.Local).Format(time.RFC3339Nano)
	key := &api.Key{ID: "k", Name: "Key"}
	prompt := &api.Prompt{Kind: api.PromptTouch, Operation: "touch", Message: "Touch\x1b it"}
	f.events = []api.Event{
		{Type: api.EventAttached, Time: stamp, Key: key},
		{Type: api.EventReady, Time: stamp},
		{Type: api.EventStarted, Time: stamp, Key: key, Operation: "touch", Program: "ssh", PID: 3, User: "u", RPID: "s"},
		{Type: api.EventPrompt, Time: stamp, Prompt: prompt},
		{Type: api.EventWithdrawn, Time: "bad", Prompt: prompt},
		{Type: api.EventFinished, Time: stamp, Code: api.CodeTimeout},
		{Type: api.EventLost, Time: stamp, Lost: 4},
	}
	got := f.fob(t, "", "watch", "--count", "7")
	want := `03:04:05.006  attached   Key (k)
03:04:05.006  ready
03:04:05.006  started    touch  Key (k)  by ssh[3]  of u  for s
03:04:05.006  prompt     touch: Touch` + "\ufffd" + ` it
bad  withdrawn  touch touch
03:04:05.006  finished   failed: timeout
03:04:05.006  lost       4 events are missing
`
	if diff := cmp.Diff(want, got.out); diff != "" || got.status != 0 || got.err != "" {
		t.Errorf("status %d, err %q, out (-want +got):\n%s", got.status, got.err, diff)
	}
	got = f.fob(t, "", "watch", "--count", "2", "--json")
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	var event api.Event
	if len(lines) != 2 || json.Unmarshal([]byte(lines[1]), &event) != nil || event.Type != api.EventReady {
		t.Errorf("watch --json gives %q", got.out)
	}
}

func TestReset(t *testing.T) {
	f := newFake(t)
	f.answers[api.OpReset] = api.KeyResult{Key: api.Key{ID: "a"}}
	f.answers[api.OpList] = api.ListResult{}
	if got := f.fob(t, "", "reset", "--yes"); got.status != exitNoKey {
		t.Errorf("without keys: %+v, want status 4", got)
	}
	f.answers[api.OpList] = api.ListResult{Keys: []api.Key{{ID: "a"}, {ID: "b"}}}
	if got := f.fob(t, "", "reset", "--yes"); got.status != exitUsage {
		t.Errorf("with two keys and none named: %+v, want status 2", got)
	}
	if got := f.fob(t, "", "reset", "--yes", "--key", "c"); got.status != exitNoKey {
		t.Errorf("with an unknown key: %+v, want status 4", got)
	}
	if _, asked := f.requests[api.OpReset]; asked {
		t.Fatal("a reset was asked for")
	}
	got := f.fob(t, "", "reset", "--yes", "--key", "a")
	if got.out != "a is erased\n" || string(f.requests[api.OpReset]) != `{"key":"a"}` {
		t.Errorf("got %+v, request %s", got, f.requests[api.OpReset])
	}
	f.answers[api.OpList] = api.ListResult{Keys: []api.Key{{ID: "b"}}}
	if got := f.fob(t, "", "reset", "--yes"); got.status != 0 || string(f.requests[api.OpReset]) != `{"key":"b"}` {
		t.Errorf("the only key: %+v, request %s", got, f.requests[api.OpReset])
	}
}
