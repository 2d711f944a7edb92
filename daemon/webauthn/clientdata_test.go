package webauthn_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/fobd/fobd/daemon/webauthn"
)

func TestClientDataIsByteExact(t *testing.T) {
	got := webauthn.ClientData{Type: webauthn.TypeCreate, Challenge: []byte{0xFF, 0xFE, 0}, Origin: "https://example.org:8443"}.JSON()
	want := `{"type":"webauthn.create","challenge":"__4A","origin":"https://example.org:8443","crossOrigin":false}`
	if string(got) != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(webauthn.Hash(got)) != 32 {
		t.Error("the hash is not a SHA-256")
	}
}

func FuzzClientData(f *testing.F) {
	f.Add([]byte("challenge"), "https://example.org")
	f.Add([]byte{}, "a\"b\\c\x00\x1f<é\u2028")
	f.Fuzz(func(t *testing.T, challenge []byte, origin string) {
		data := webauthn.ClientData{Type: webauthn.TypeGet, Challenge: challenge, Origin: origin}.JSON()
		var got struct {
			Type, Challenge, Origin string
			CrossOrigin             *bool
		}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if got.Type != webauthn.TypeGet || got.CrossOrigin == nil || *got.CrossOrigin || got.Origin != string(bytes.ToValidUTF8([]byte(origin), []byte("\uFFFD"))) && bytes.ContainsRune([]byte(got.Origin), '\uFFFD') == false {
			t.Errorf("%q reads as %+v", data, got)
		}
	})
}
