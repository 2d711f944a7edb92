package main

import (
	"testing"

	"github.com/fobd/fobd/daemon/api"
)

func TestForeignTouchesInWords(t *testing.T) {
	key := &api.Key{ID: "usb-1-2", Name: "YubiKey 5"}
	for _, tt := range []struct {
		kind   api.EventType
		holder api.Holder
		want   string
	}{
		{api.EventForeign, api.Holder{Program: "fido2-cred", PID: 712, User: "alice", Outside: true}, "12:00  foreign    " + keyName(*key) + "  fido2-cred[712] of alice waits for a touch, not through fobd"},
		{api.EventForeign, api.Holder{PID: 712, Outside: true}, "12:00  foreign    " + keyName(*key) + "  process 712 waits for a touch, not through fobd"},
		{api.EventForeign, api.Holder{Outside: true}, "12:00  foreign    " + keyName(*key) + "  another program waits for a touch, not through fobd"},
		{api.EventForeignOver, api.Holder{Program: "fido2-cred", PID: 712}, "12:00  foreign-over  " + keyName(*key)},
	} {
		if got := eventLine(api.Event{Type: tt.kind, Time: "12:00", Key: key, Holder: &tt.holder}); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}
