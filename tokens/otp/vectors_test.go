package otp_test

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/otp"
)

// vectors are those of RFC 4226, appendix D; RFC 6238, appendix B; RFC 6287, appendix C; and more that were
// computed by two other implementations.
type vectors struct {
	HOTP struct {
		Secret  string `json:"secret_hex"`
		Vectors []struct {
			Counter uint64
			HOTP    string
		}
	} `json:"rfc4226_appendix_d"`
	TOTP struct {
		Secrets map[otp.Hash]string `json:"secrets_hex"`
		Vectors []struct {
			Time      int64
			Step      uint64
			Algorithm otp.Hash
			TOTP      string
		}
	} `json:"rfc6238_appendix_b"`
	OCRA struct {
		Keys    map[string]string `json:"keys_hex"`
		Vectors []struct {
			Suite, Key, Q, P, Response string
			C, T                       uint64
		}
	} `json:"rfc6287_appendix_c"`
	Digits []struct {
		Counter uint64
		Digits  int
		HOTP    string
	} `json:"hotp_digits"`
	Zeros []struct {
		Counter uint64
		HOTP    string
	} `json:"hotp_leading_zeros"`
	Big []struct {
		Counter, HOTP string
	} `json:"hotp_big_counters"`
	Steam struct {
		Secret  string `json:"secret_hex"`
		Vectors []struct {
			Time int64
			Code string
		}
	}
}

func readVectors(t testing.TB) (v vectors) {
	t.Helper()
	data, err := os.ReadFile("testdata/rfc.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func newKey(t testing.TB, p otp.Parameters, seed []byte) *otp.Key {
	t.Helper()
	k, err := otp.NewKey(p.Default(), seed)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// both makes a code, and finds it again.
func both(t *testing.T, k *otp.Key, counter uint64, want string) {
	t.Helper()
	if got := k.Code(counter); got != want {
		t.Errorf("%+v at %d: got %s, want %s", k.Parameters(), counter, got, want)
	}
	first := counter - min(counter, 2)
	if at, ok := k.Scan(want, first, max(counter, counter+2)); !ok || at != counter {
		t.Errorf("%+v: %s is at %d (%v), want %d", k.Parameters(), want, at, ok, counter)
	}
}

func TestVectors(t *testing.T) {
	v := readVectors(t)
	if len(v.HOTP.Vectors) != 10 || len(v.TOTP.Vectors) != 18 || len(v.OCRA.Vectors) < 40 || len(v.Digits) == 0 || len(v.Zeros) == 0 || len(v.Big) == 0 || len(v.Steam.Vectors) == 0 {
		t.Fatal("vectors are missing")
	}
	seed := unhex(t, v.HOTP.Secret)
	for _, c := range v.HOTP.Vectors {
		both(t, newKey(t, otp.Parameters{Kind: otp.HOTP}, seed), c.Counter, c.HOTP)
	}
	for _, c := range v.Zeros {
		both(t, newKey(t, otp.Parameters{Kind: otp.HOTP}, seed), c.Counter, c.HOTP)
	}
	for _, c := range v.Digits {
		both(t, newKey(t, otp.Parameters{Kind: otp.HOTP, Digits: c.Digits}, seed), c.Counter, c.HOTP)
	}
	for _, c := range v.Big {
		n, err := strconv.ParseUint(c.Counter, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		both(t, newKey(t, otp.Parameters{Kind: otp.HOTP}, seed), n, c.HOTP)
	}
	for _, c := range v.TOTP.Vectors {
		p := otp.Parameters{Kind: otp.TOTP, Hash: c.Algorithm, Digits: 8}.Default()
		step, ok := p.Step(time.Unix(c.Time, 0))
		if !ok || step != c.Step {
			t.Errorf("step at %d: got %d, want %d", c.Time, step, c.Step)
		}
		both(t, newKey(t, p, unhex(t, v.TOTP.Secrets[c.Algorithm])), c.Step, c.TOTP)
	}
	for _, c := range v.Steam.Vectors {
		p := otp.Parameters{Kind: otp.Steam}.Default()
		step, _ := p.Step(time.Unix(c.Time, 0))
		both(t, newKey(t, p, unhex(t, v.Steam.Secret)), step, c.Code)
	}
	for _, c := range v.OCRA.Vectors {
		k, err := otp.NewOCRA(c.Suite, unhex(t, v.OCRA.Keys[c.Key]))
		if err != nil {
			t.Errorf("%s: %v", c.Suite, err)
			continue
		}
		in := otp.Input{Counter: c.C, Question: c.Q, PIN: []byte(c.P)}
		s, err := otp.ParseSuite(c.Suite)
		if err != nil {
			t.Fatal(err)
		}
		in.Time = time.Unix(int64(c.T)*s.Step, 0)
		if got, err := k.Code(in); err != nil || got != c.Response {
			t.Errorf("%s of %s: got %s, %v, want %s", c.Suite, c.Q, got, err, c.Response)
		}
		// From a little before, in counter and time.
		early := in
		early.Counter -= min(early.Counter, 2)
		early.Time = in.Time.Add(-2 * time.Duration(s.Step) * time.Second)
		m, ok, err := k.Scan(c.Response, early, 3, 3)
		if err != nil || !ok || s.Counter && m.Counter != c.C || s.Step > 0 && m.Step != c.T {
			t.Errorf("%s of %s: found at %+v, %v, %v", c.Suite, c.Q, m, ok, err)
		}
	}
}
