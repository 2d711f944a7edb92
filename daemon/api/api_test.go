package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
)

func TestBytes(t *testing.T) {
	data, err := json.Marshal(api.Bytes{0xFF, 0xFE, 0})
	if err != nil || string(data) != `"__4A"` {
		t.Errorf("got %s, %v", data, err)
	}
	for in, want := range map[string]string{`"__4A"`: "\xFF\xFE\x00", `"AQ"`: "\x01", `"AQ=="`: "\x01", `""`: ""} {
		var b api.Bytes
		if err := json.Unmarshal([]byte(in), &b); err != nil || string(b) != want {
			t.Errorf("%s: got %x, %v, want %x", in, b, err, want)
		}
	}
	for _, in := range []string{`7`, `"+/"`, `"A"`, `"A B"`, `[]`, `{}`} {
		var b api.Bytes
		if err := json.Unmarshal([]byte(in), &b); err == nil {
			t.Errorf("%s reads as %x", in, b)
		}
	}
}

func FuzzBytes(f *testing.F) {
	f.Add([]byte("abc"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, in []byte) {
		data, err := json.Marshal(api.Bytes(in))
		if err != nil {
			t.Fatal(err)
		}
		var out api.Bytes
		if err := json.Unmarshal(data, &out); err != nil || !bytes.Equal(in, out) {
			t.Errorf("%x became %x, %v", in, out, err)
		}
	})
}

func TestSecretsDoNotShow(t *testing.T) {
	s := api.NewSecret([]byte("5551212"))
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "pin", s)
	all := fmt.Sprintf("%v %+v %#v %s %q %x %d %v", s, s, s, s, s, s, s, []any{s, struct{ S api.Secret }{s}}) + log.String()
	if strings.Contains(all, "5551212") || strings.Contains(all, "35353531") || strings.Contains(all, "53 53 53") {
		t.Errorf("it shows: %s", all)
	}
	if _, err := json.Marshal(s); err == nil {
		t.Error("it has a JSON form")
	}
	if string(s.Bytes()) != "5551212" {
		t.Error("it is not there")
	}
	s.Wipe()
	if !bytes.Equal(s.Bytes(), make([]byte, 7)) {
		t.Error("it is not wiped")
	}
}

func TestErrorIs(t *testing.T) {
	err := fmt.Errorf("x: %w", &api.Error{Code: api.CodeBusy, Message: "taken"})
	if !errors.Is(err, &api.Error{Code: api.CodeBusy}) {
		t.Error("not the code that it is")
	}
	if errors.Is(err, &api.Error{Code: api.CodeDenied}) || errors.Is(err, &api.Error{Code: api.CodeBusy, Message: "other"}) {
		t.Error("taken for another error")
	}
}

func TestTimeouts(t *testing.T) {
	for _, r := range []interface{ Timeout() time.Duration }{
		api.KeyRequest{TimeoutMS: 1500},
		api.TouchRequest{TimeoutMS: 1500},
		api.RegisterRequest{TimeoutMS: 1500},
		api.AssertRequest{TimeoutMS: 1500},
		api.PINChangeRequest{TimeoutMS: 1500},
		api.ResetRequest{TimeoutMS: 1500},
		api.PINSetRequest{TimeoutMS: 1500},
		api.CredentialListRequest{TimeoutMS: 1500},
		api.CredentialRequest{TimeoutMS: 1500},
		api.CredentialRenameRequest{TimeoutMS: 1500},
		api.FingerprintListRequest{TimeoutMS: 1500},
		api.FingerprintAddRequest{TimeoutMS: 1500},
		api.FingerprintRequest{TimeoutMS: 1500},
		api.FingerprintRenameRequest{TimeoutMS: 1500},
		api.BlobListRequest{TimeoutMS: 1500},
		api.BlobRequest{TimeoutMS: 1500},
		api.BlobSetRequest{TimeoutMS: 1500},
		api.BlobCollectRequest{TimeoutMS: 1500},
		api.ConfigRequest{TimeoutMS: 1500},
		api.ConfigIdentifyRequest{TimeoutMS: 1500},
		api.ConfigEnterpriseRequest{TimeoutMS: 1500},
		api.ConfigAlwaysUVRequest{TimeoutMS: 1500},
		api.ConfigMinPINRequest{TimeoutMS: 1500},
		api.ConfigLongTouchRequest{TimeoutMS: 1500},
		api.ConfigVendorRequest{TimeoutMS: 1500},
		api.EmulateObserveRequest{TimeoutMS: 1500},
	} {
		if got := r.Timeout(); got != 1500*time.Millisecond {
			t.Errorf("%T: got %v", r, got)
		}
	}
}
