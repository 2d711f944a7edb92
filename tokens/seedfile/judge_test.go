package seedfile_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/seedfile"
)

// Other programs judge what we write, and write what we read.

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	return string(out)
}

func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// liboath's tool checks what we write against the schema of RFC 6030.
func TestPskctoolValidatesWhatWeWrite(t *testing.T) {
	pskctool := tool(t, "pskctool")
	for name, o := range map[string]seedfile.WriteOptions{
		"key": {Key: make([]byte, 16)}, "passphrase": {Passphrase: []byte("x"), Iterations: 1000},
	} {
		out := run(t, pskctool, "--validate", file(t, write(t, someTokens(t), o)))
		if !strings.Contains(out, "OK") {
			t.Errorf("%s: got %q, want OK", name, out)
		}
	}
	out := run(t, pskctool, "--info", file(t, write(t, someTokens(t), seedfile.WriteOptions{Key: make([]byte, 16)})))
	for _, want := range []string{"H<1>&", "oath.EX", "TimeDrift: 4294967293"} /* -3, as it prints it */ {
		wantIn(t, out, want)
	}
}

// A signed file has a Signature, which is not for us to check but must not be in the way.
func TestWeReadWhatPskctoolSigns(t *testing.T) {
	pskctool := tool(t, "pskctool")
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vendor"}, NotAfter: time.Now().Add(time.Hour)}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(private)})))
	crt := file(t, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})))
	signed := run(t, pskctool, "--sign", "--sign-key", key, "--sign-crt", crt, file(t, loadFigure(t, "own_vendor_style_totp_plain").XML))
	wantIn(t, signed, "Signature")
	if got := readOne(t, signed); got.Serial != "2600000000001" || hex.EncodeToString(got.Seed) != seed20 {
		t.Errorf("got %v", got)
	}
}

// python runs a script with Debian's python3-pskc.
func python(t *testing.T, script string, args ...string) string {
	t.Helper()
	const interpreter = "/usr/bin/python3"
	if err := exec.CommandContext(t.Context(), interpreter, "-c", "import pskc").Run(); err != nil {
		t.Skip("python3-pskc is not installed")
	}
	return run(t, interpreter, append([]string{"-c", script}, args...)...)
}

func TestPythonReadsWhatWeWrite(t *testing.T) {
	const script = `
import sys, binascii
from pskc import PSKC
p = PSKC(sys.argv[1])
if sys.argv[2] == "key": p.encryption.key = binascii.unhexlify(sys.argv[3])
else: p.encryption.derive_key(sys.argv[3])
for k in p.keys:
    print(k.serial, k.algorithm.split(":")[-1], binascii.hexlify(k.secret).decode(), k.counter, k.time_interval, k.time_drift,
        k.response_length, k.algorithm_suite, k.check(), sep="|")
`
	tokens := someTokens(t)
	want := strings.Join([]string{
		"H<1>&|hotp|" + seed20 + "|9223372036854775807|None|None|8|None|True",
		"T1|totp|" + seed32 + "|None|60|-3|6|HMAC-SHA256|True",
		"E1|totp|" + seed64 + "|None|30|-31556160|10|HMAC-SHA512|True",
		"O1|ocra-1|" + seed20 + "|4|None|None|None|OCRA-1:HOTP-SHA1-6:C-QN08|True",
	}, "\n") + "\n"
	for _, size := range []int{16, 24, 32} {
		key := []byte(strings.Repeat("k", size))
		got := python(t, script, file(t, write(t, tokens, seedfile.WriteOptions{Key: key})), "key", hex.EncodeToString(key))
		if got != want {
			t.Errorf("key of %d bytes: got %s\nwant %s", size, got, want)
		}
	}
	got := python(t, script, file(t, write(t, tokens, seedfile.WriteOptions{Passphrase: []byte("päss"), Iterations: 5000})), "passphrase", "päss")
	if got != want {
		t.Errorf("passphrase: got %s\nwant %s", got, want)
	}
}

func TestWeReadWhatPythonWrites(t *testing.T) {
	const script = `
import sys, binascii
from pskc import PSKC
p = PSKC()
for i, (alg, seed) in enumerate([("hotp", sys.argv[2]), ("totp", sys.argv[3])]):
    k = p.add_key(id="k%d" % i, serial="S%d" % i, manufacturer="oath.EX", algorithm="urn:ietf:params:xml:ns:keyprov:pskc:" + alg,
        secret=binascii.unhexlify(seed), response_length=8, response_encoding="DECIMAL")
    if alg == "hotp": k.counter = 77
    else: k.time_interval, k.time_drift, k.algorithm_suite = 60, 5, "HMAC-SHA256"
fields = ["secret", "counter"]
how = sys.argv[4].split(":")
if how[0] == "key":
    p.encryption.setup_preshared_key(algorithm=how[1], key=binascii.unhexlify(sys.argv[5]), fields=fields)
elif how[0] == "passphrase":
    p.encryption.setup_pbkdf2(sys.argv[5], iterations=3000, prf=how[1] or None, fields=fields)
p.write(sys.argv[1])
`
	o := seedfile.Options{Passphrase: []byte("qwerty")}
	cases := []string{"plain", "passphrase:", "passphrase:hmac-sha256", "passphrase:hmac-sha512"}
	for _, bits := range []int{128, 192, 256} {
		cases = append(cases, fmt.Sprintf("key:aes%d-cbc", bits), fmt.Sprintf("key:kw-aes%d", bits))
	}
	for _, how := range cases {
		t.Run(how, func(t *testing.T) {
			path, secret := filepath.Join(t.TempDir(), "f"), "qwerty"
			if strings.HasPrefix(how, "key") {
				var bits int
				digits := strings.TrimFunc(how, func(r rune) bool { return r < '0' || r > '9' })
				if _, err := fmt.Sscan(digits, &bits); err != nil {
					t.Fatal(err)
				}
				o.Key = []byte(strings.Repeat("k", bits/8))
				secret = hex.EncodeToString(o.Key)
			}
			python(t, script, path, seed20, seed32, how, secret)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			r := read(t, string(text), o)
			if len(r.Tokens) != 2 || len(r.Refused) != 0 {
				t.Fatalf("got %v, refused %v, want two tokens from\n%s", r.Tokens, r.Refused, text)
			}
			h, o := r.Tokens[0], r.Tokens[1]
			if h.Serial != "S0" || h.Counter != 77 || h.Params.Digits != 8 || hex.EncodeToString(h.Seed) != seed20 {
				t.Errorf("got %v %+v counter %d", h, h.Params, h.Counter)
			}
			want := otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA256, Digits: 8, Period: 60}
			if o.Serial != "S1" || o.Drift != 5 || o.Params != want || hex.EncodeToString(o.Seed) != seed32 {
				t.Errorf("got %v %+v drift %d", o, o.Params, o.Drift)
			}
		})
	}
}
