package statement_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/statement"
)

var now = time.Unix(1_700_000_000, 0)

// RFC 8037, appendix A.1.
var seed, _ = hex.DecodeString("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")

func key() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(seed) }

func set(t *testing.T, id string) []byte {
	t.Helper()
	data, err := json.Marshal(statement.Set{Keys: []statement.PublicKey{statement.Public("other", make([]byte, 32)), statement.Public(id, key().Public().(ed25519.PublicKey))}})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func claims() statement.Claims {
	return statement.Claims{
		Issuer: "fobd", Subject: "alice", Audience: "backup", Nonce: "n-1", AuthTime: now.Add(-time.Minute), IssuedAt: now, Expires: now.Add(5 * time.Minute),
		Methods: []string{statement.HardwareKey, statement.UserPresence}, Tokens: []string{"key-1"},
	}
}

func TestStatement(t *testing.T) {
	want := claims()
	text, err := statement.Sign(want, "k1", key())
	if err != nil {
		t.Fatal(err)
	}
	got, err := statement.Check(text, set(t, "k1"), "backup", now.Add(time.Second))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v, %v\nwant %+v", got, err, want)
	}
	header, _ := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[0])
	var h map[string]string
	if json.Unmarshal(header, &h) != nil || h["alg"] != "EdDSA" || h["kid"] != "k1" || h["typ"] != statement.Type {
		t.Errorf("header %s", header)
	}
	for name, check := range map[string]func() error{
		"expired": func() error {
			_, err := statement.Check(text, set(t, "k1"), "backup", now.Add(6*time.Minute))
			return err
		},
		"for others":    func() error { _, err := statement.Check(text, set(t, "k1"), "mail", now); return err },
		"for nobody":    func() error { _, err := statement.Check(text, set(t, "k1"), "", now); return err },
		"key not there": func() error { _, err := statement.Check(text, set(t, "k2"), "backup", now); return err },
		"another key":   func() error { _, err := statement.Check(text, set(t, "other"), "backup", now); return err },
		"no keys":       func() error { _, err := statement.Check(text, []byte("no"), "backup", now); return err },
		"changed": func() error {
			_, err := statement.Check(text[:40]+"A"+text[41:], set(t, "k1"), "backup", now)
			return err
		},
		"without signature": func() error {
			_, err := statement.Check(text[:strings.LastIndex(text, ".")+1], set(t, "k1"), "backup", now)
			return err
		},
		"algorithm none": func() error { _, err := statement.Check(none(t, text), set(t, "k1"), "backup", now); return err },
		"another kind":   func() error { _, err := statement.Check(retyped(t, text), set(t, "k1"), "backup", now); return err },
		"nothing at all": func() error { _, err := statement.Check("", set(t, "k1"), "backup", now); return err },
		"issued later": func() error {
			_, err := statement.Check(text, set(t, "k1"), "backup", now.Add(-time.Minute))
			return err
		},
		"three empty pieces": func() error { _, err := statement.Check("..", set(t, "k1"), "backup", now); return err },
	} {
		if err := check(); !errors.Is(err, statement.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func none(t *testing.T, text string) string {
	t.Helper()
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1","typ":"` + statement.Type + `"}`))
	return head + "." + strings.Split(text, ".")[1] + "."
}

// retyped is signed well, as a token of another kind.
func retyped(t *testing.T, text string) string {
	t.Helper()
	head := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"k1","typ":"JWT"}`))
	body := head + "." + strings.Split(text, ".")[1]
	return body + "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(key(), []byte(body)))
}

// TestJudge has Python's cryptography check a statement, which shares nothing with us.
func TestJudge(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import cryptography").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3-cryptography is not there")
		}
		t.Skip("no python3-cryptography")
	}
	text, err := statement.Sign(claims(), "k1", key())
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", `
import base64, json, sys
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
def d(s): return base64.urlsafe_b64decode(s + "=" * (-len(s) % 4))
head, body, signature = sys.argv[1].split(".")
keys = {k["kid"]: k for k in json.loads(sys.argv[2])["keys"]}
k = keys[json.loads(d(head))["kid"]]
assert k["kty"] == "OKP" and k["crv"] == "Ed25519"
Ed25519PublicKey.from_public_bytes(d(k["x"])).verify(d(signature), (head + "." + body).encode())
c = json.loads(d(body))
print(c["sub"], c["aud"][0], " ".join(c["amr"]), c["auth_time"], c["exp"] - c["iat"])
`, text, string(set(t, "k1"))).CombinedOutput()
	if got, want := strings.TrimSpace(string(out)), "alice backup hwk user 1699999940 300"; err != nil || got != want {
		t.Errorf("got %s, %v, want %s", got, err, want)
	}
}

func FuzzCheck(f *testing.F) {
	text, _ := statement.Sign(claims(), "k1", key())
	f.Add(text)
	f.Add("..")
	keys, _ := json.Marshal(statement.Set{Keys: []statement.PublicKey{statement.Public("k1", key().Public().(ed25519.PublicKey))}})
	f.Fuzz(func(t *testing.T, s string) {
		if _, err := statement.Check(s, keys, "backup", now); err == nil && s != text {
			// Base64 has bits that do not count.
			if !strings.HasPrefix(s, text[:strings.LastIndex(text, ".")]) {
				t.Errorf("accepted %q", s)
			}
		}
	})
}
