package otp_test

import (
	"bytes"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	ours "github.com/fobd/fobd/tokens/otp"
)

var seed20 = []byte("12345678901234567890")

// Trap: liboath takes the number of digits from the code, so that a token of 6 digits takes 8, too.
func TestDigitsAreTheTokens(t *testing.T) {
	six := newKey(t, ours.Parameters{Kind: ours.HOTP}, seed20)
	eight := newKey(t, ours.Parameters{Kind: ours.HOTP, Digits: 8}, seed20)
	ten := newKey(t, ours.Parameters{Kind: ours.HOTP, Digits: 10}, seed20)
	if got := ten.Code(0); got != "1284755224" {
		t.Errorf("ten digits: got %s", got)
	}
	for _, k := range []*ours.Key{six, eight, ten} {
		for _, other := range []*ours.Key{six, eight, ten} {
			code := other.Code(0)
			if _, ok := k.Scan(code, 0, 5); ok != (k == other) {
				t.Errorf("%d digits, code %s: got %v", k.Parameters().Digits, code, ok)
			}
		}
	}
	for _, code := range []string{"", "75522", "7552240", "75522x", "７５５２２４", "755 224", "-55224", "+55224", "0x1234", strings.Repeat("7", 1000)} {
		if at, ok := six.Scan(code, 0, 100); ok {
			t.Errorf("%q is at %d", code, at)
		}
	}
	if _, ok := six.Scan(ours.Clean(" 755 224\t"), 0, 0); !ok {
		t.Error("with spaces, cleaned: not found")
	}
	steam := newKey(t, ours.Parameters{Kind: ours.Steam}, seed20)
	code := steam.Code(1)
	if _, ok := steam.Scan(ours.Clean(strings.ToLower(code)), 1, 1); !ok {
		t.Errorf("%s in small letters: not found", code)
	}
	if _, ok := steam.Scan("AAAAA", 0, 100); ok {
		t.Error("letters that are not Steam's")
	}
}

// Trap: a window is closed at both ends.
func TestWindowIsClosed(t *testing.T) {
	k := newKey(t, ours.Parameters{Kind: ours.TOTP}, seed20)
	for at := range uint64(40) {
		_, ok := k.Scan(k.Code(at), 10, 30)
		if want := at >= 10 && at <= 30; ok != want {
			t.Errorf("%d in 10 to 30: got %v", at, ok)
		}
	}
	if _, ok := k.Scan(k.Code(5), 6, 5); ok {
		t.Error("an empty window has a code")
	}
	const most = ^uint64(0)
	if at, ok := k.Scan(k.Code(most), most-3, most); !ok || at != most {
		t.Errorf("at the end of all counters: %d, %v", at, ok)
	}
	if _, ok := k.Scan(k.Code(ours.MaxScan), 0, most); ok {
		t.Error("a window has no bound")
	}
	if at, ok := k.Scan(k.Code(ours.MaxScan-1), 0, most); !ok || at != ours.MaxScan-1 {
		t.Errorf("at the bound: %d, %v", at, ok)
	}
}

func TestTwoCodes(t *testing.T) {
	k := newKey(t, ours.Parameters{Kind: ours.HOTP}, seed20)
	for _, c := range []struct {
		one, two uint64
		ok       bool
	}{{0, 1, true}, {7, 8, true}, {19, 20, true}, {20, 21, false}, {7, 9, false}, {8, 7, false}, {7, 7, false}} {
		at, ok := k.ScanTwo(k.Code(c.one), k.Code(c.two), 0, 20)
		if ok != c.ok || ok && at != c.one {
			t.Errorf("codes %d and %d: got %d, %v", c.one, c.two, at, ok)
		}
	}
	if _, ok := k.ScanTwo("", "", 0, 20); ok {
		t.Error("no codes are found")
	}
	if _, ok := k.ScanTwo("000000", "000000", 0, 20); ok {
		t.Error("zeros are found")
	}
}

// The earliest counter counts, where two have the same code.
func TestEarliest(t *testing.T) {
	k := newKey(t, ours.Parameters{Kind: ours.HOTP}, seed20)
	seen := map[string]uint64{}
	for c := range uint64(9000) {
		code := k.Code(c)
		before, twice := seen[code]
		if !twice {
			seen[code] = c
			continue
		}
		if at, ok := k.Scan(code, 0, 9000); !ok || at != before {
			t.Errorf("%s: got %d, want %d, not %d", code, at, before, c)
		}
		return
	}
	t.Fatal("no two counters have one code")
}

func TestSteps(t *testing.T) {
	p := ours.Parameters{Kind: ours.TOTP, Epoch: 946684800, Period: 60}.Default() // SafeWord's clock
	for when, want := range map[int64]uint64{946684800: 0, 946684859: 0, 946684860: 1, 946684800 + 60*5e8: 5e8} {
		if got, ok := p.Step(time.Unix(when, 0)); !ok || got != want {
			t.Errorf("%d: got %d, %v, want %d", when, got, ok, want)
		}
	}
	for _, when := range []int64{946684799, 0, -5} {
		if got, ok := p.Step(time.Unix(when, 0)); ok {
			t.Errorf("%d: got step %d before the first one", when, got)
		}
	}
	if got := p.Starts(1).Unix(); got != 946684860 {
		t.Errorf("step 1 starts at %d", got)
	}
}

func TestParameters(t *testing.T) {
	for _, p := range []ours.Parameters{
		{Kind: ours.HOTP},
		{Kind: ours.TOTP},
		{Kind: ours.Steam},
		{Kind: ours.TOTP, Hash: ours.SHA512, Digits: 10, Period: 1, Epoch: -5},
		{Kind: ours.OCRA, Suite: "OCRA-1:HOTP-SHA1-6:QN08"},
	} {
		if err := p.Default().Check(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for _, p := range []ours.Parameters{
		{},
		{Kind: "md5"},
		{Kind: ours.HOTP, Hash: "MD5"},
		{Kind: ours.HOTP, Digits: 5},
		{Kind: ours.HOTP, Digits: 11},
		{Kind: ours.HOTP, Period: 30},
		{Kind: ours.HOTP, Epoch: 1},
		{Kind: ours.TOTP, Period: -1},
		{Kind: ours.TOTP, Period: 86401},
		{Kind: ours.Steam, Digits: 6},
		{Kind: ours.Steam, Hash: ours.SHA256},
		{Kind: ours.TOTP, Suite: "x"},
		{Kind: ours.OCRA},
		{Kind: ours.OCRA, Suite: "OCRA-1:HOTP-SHA1-6:QN08", Digits: 6},
	} {
		if err := p.Default().Check(); !errors.Is(err, ours.ErrParameters) {
			t.Errorf("%+v: got %v", p, err)
		}
	}
	for _, n := range []int{0, 9, 129} {
		if _, err := ours.NewKey(ours.Parameters{Kind: ours.HOTP}.Default(), make([]byte, n)); !errors.Is(err, ours.ErrParameters) {
			t.Errorf("a seed of %d bytes: got %v", n, err)
		}
		if _, err := ours.NewOCRA("OCRA-1:HOTP-SHA1-6:QN08", make([]byte, n)); !errors.Is(err, ours.ErrParameters) {
			t.Errorf("OCRA, a seed of %d bytes: got %v", n, err)
		}
	}
}

func TestSuites(t *testing.T) {
	for text, want := range map[string]ours.Suite{
		"OCRA-1:HOTP-SHA1-6:QN08":                       {Hash: ours.SHA1, Digits: 6, Format: 'N', Length: 8},
		"OCRA-1:HOTP-SHA512-8:C-QH40-PSHA256-S064-T48H": {Hash: ours.SHA512, Digits: 8, Counter: true, Format: 'H', Length: 40, PIN: ours.SHA256, Session: 64, Step: 172800},
		"OCRA-1:HOTP-SHA256-0:QA64-S-T1S":               {Hash: ours.SHA256, Format: 'A', Length: 64, Session: 64, Step: 1},
		"OCRA-1:HOTP-SHA256-10:QA04-T59M":               {Hash: ours.SHA256, Digits: 10, Format: 'A', Length: 4, Step: 3540},
	} {
		want.Text = text
		if got, err := ours.ParseSuite(text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{
		"", "OCRA-2:HOTP-SHA1-6:QN08", "OCRA-1:HOTP-SHA1-6", "OCRA-1:TOTP-SHA1-6:QN08", "OCRA-1:HOTP-MD5-6:QN08", "OCRA-1:HOTP-SHA1-3:QN08",
		"OCRA-1:HOTP-SHA1-11:QN08", "OCRA-1:HOTP-SHA1-6:", "OCRA-1:HOTP-SHA1-6:C", "OCRA-1:HOTP-SHA1-6:QX08", "OCRA-1:HOTP-SHA1-6:QN3", "OCRA-1:HOTP-SHA1-6:QN03",
		"OCRA-1:HOTP-SHA1-6:QN65", "OCRA-1:HOTP-SHA1-6:QN08-C", "OCRA-1:HOTP-SHA1-6:QN08-PMD5", "OCRA-1:HOTP-SHA1-6:QN08-S64", "OCRA-1:HOTP-SHA1-6:QN08-S513",
		"OCRA-1:HOTP-SHA1-6:QN08-T", "OCRA-1:HOTP-SHA1-6:QN08-T0M", "OCRA-1:HOTP-SHA1-6:QN08-T60M", "OCRA-1:HOTP-SHA1-6:QN08-T49H", "OCRA-1:HOTP-SHA1-6:QN08-T1D",
		"OCRA-1:HOTP-SHA1-6:QN08-T1M-S064", "OCRA-1:HOTP-SHA1-6:QN08-T1M-X", "OCRA-1:HOTP-SHA1--6:QN08", "OCRA-1:HOTP-SHA1-+6:QN08", strings.Repeat("O", 500),
	} {
		if got, err := ours.ParseSuite(text); !errors.Is(err, ours.ErrParameters) {
			t.Errorf("%.60s: got %+v, %v", text, got, err)
		}
	}
}

func TestOCRAInputs(t *testing.T) {
	code := func(suite string, in ours.Input) (string, error) {
		k, err := ours.NewOCRA(suite, seed20)
		if err != nil {
			t.Fatal(err)
		}
		return k.Code(in)
	}
	for _, c := range []struct {
		suite string
		in    ours.Input
	}{
		{"OCRA-1:HOTP-SHA1-6:QN08", ours.Input{}},
		{"OCRA-1:HOTP-SHA1-6:QN08", ours.Input{Question: "1234567x"}},
		{"OCRA-1:HOTP-SHA1-6:QN08", ours.Input{Question: "-1234567"}},
		{"OCRA-1:HOTP-SHA1-6:QN08", ours.Input{Question: strings.Repeat("1", 17)}},
		{"OCRA-1:HOTP-SHA1-6:QH08", ours.Input{Question: "zz"}},
		{"OCRA-1:HOTP-SHA1-6:QA08", ours.Input{Question: "ä"}},
		{"OCRA-1:HOTP-SHA1-6:QN08-S004", ours.Input{Question: "1", Session: make([]byte, 5)}},
		{"OCRA-1:HOTP-SHA1-6:QN08-T1M", ours.Input{Question: "1", Time: time.Unix(-100, 0)}},
	} {
		if got, err := code(c.suite, c.in); err == nil {
			t.Errorf("%s of %+v: got %s", c.suite, c.in, got)
		}
	}
	whole, err := code("OCRA-1:HOTP-SHA256-0:QN08", ours.Input{Question: "12345678"})
	if err != nil || len(whole) != 64 {
		t.Errorf("without truncation: %s, %v", whole, err)
	}
	short, _ := code("OCRA-1:HOTP-SHA1-6:QN08-S004", ours.Input{Question: "1", Session: []byte("x")})
	long, _ := code("OCRA-1:HOTP-SHA1-6:QN08-S004", ours.Input{Question: "1", Session: []byte("\x00\x00\x00x")})
	if short != long {
		t.Errorf("session information is filled up to %s, want %s", short, long)
	}
	k, _ := ours.NewOCRA("OCRA-1:HOTP-SHA1-6:C-QN08-T1M", seed20)
	for _, w := range [][2]uint64{{ours.MaxScan, 0}, {0, ours.MaxScan}, {100, 100}, {^uint64(0), 1}} {
		if _, _, err := k.Scan("1", ours.Input{Question: "1", Time: time.Unix(1e9, 0)}, w[0], w[1]); err == nil {
			t.Errorf("a window of %d and %d is taken", w[0], w[1])
		}
	}
}

// Two other implementations say the same.
func TestOthersAgree(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	hashes := map[ours.Hash]otp.Algorithm{ours.SHA1: otp.AlgorithmSHA1, ours.SHA256: otp.AlgorithmSHA256, ours.SHA512: otp.AlgorithmSHA512}
	for range 300 {
		seed := make([]byte, 10+random.IntN(90))
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		secret := base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(seed)
		for h, theirs := range hashes {
			digits, counter := 6+random.IntN(3), random.Uint64()
			k := newKey(t, ours.Parameters{Kind: ours.HOTP, Hash: h, Digits: digits}, seed)
			want, err := hotp.GenerateCodeCustom(secret, counter, hotp.ValidateOpts{Digits: otp.Digits(digits), Algorithm: theirs})
			if got := k.Code(counter); err != nil || got != want {
				t.Fatalf("HOTP %s at %d: got %s, pquerna says %s, %v", h, counter, got, want, err)
			}
			when := time.Unix(int64(random.Uint32()), 0)
			k = newKey(t, ours.Parameters{Kind: ours.TOTP, Hash: h, Digits: digits, Period: 45}, seed)
			want, err = totp.GenerateCodeCustom(secret, when, totp.ValidateOpts{Period: 45, Digits: otp.Digits(digits), Algorithm: theirs})
			step, _ := k.Parameters().Step(when)
			if got := k.Code(step); err != nil || got != want {
				t.Fatalf("TOTP %s at %v: got %s, pquerna says %s, %v", h, when, got, want, err)
			}
		}
	}
	oathtool, err := exec.LookPath("oathtool")
	if err != nil {
		t.Skip("no oathtool")
	}
	for range 10 {
		seed := make([]byte, 10+random.IntN(54))
		for i := range seed {
			seed[i] = byte(random.Uint32())
		}
		counter, digits := random.Uint64()>>1, 6+random.IntN(3)
		out, err := exec.CommandContext(t.Context(), oathtool, "-c", fmt.Sprint(counter), "-d", fmt.Sprint(digits), hex.EncodeToString(seed)).Output()
		k := newKey(t, ours.Parameters{Kind: ours.HOTP, Digits: digits}, seed)
		if got := k.Code(counter); err != nil || got != string(bytes.TrimSpace(out)) {
			t.Errorf("HOTP at %d: got %s, oathtool says %s, %v", counter, got, out, err)
		}
		for _, h := range []ours.Hash{ours.SHA1, ours.SHA256, ours.SHA512} {
			when := int64(random.Uint32())
			out, err = exec.CommandContext(t.Context(), oathtool, "--totp="+string(h), "-N", fmt.Sprintf("@%d", when), "-d", fmt.Sprint(digits), hex.EncodeToString(seed)).Output()
			k = newKey(t, ours.Parameters{Kind: ours.TOTP, Hash: h, Digits: digits}, seed)
			step, _ := k.Parameters().Step(time.Unix(when, 0))
			if got := k.Code(step); err != nil || got != string(bytes.TrimSpace(out)) {
				t.Errorf("TOTP %s at %d: got %s, oathtool says %s, %v", h, when, got, out, err)
			}
		}
	}
}

func FuzzSuite(f *testing.F) {
	for _, s := range []string{"OCRA-1:HOTP-SHA1-6:QN08", "OCRA-1:HOTP-SHA512-8:C-QH40-PSHA256-S064-T48H", "OCRA-1:HOTP-SHA256-0:QA64-S-T1S"} {
		f.Add(s, "12345678", uint64(7), int64(1e9))
	}
	f.Fuzz(func(t *testing.T, suite, question string, counter uint64, when int64) {
		s, err := ours.ParseSuite(suite)
		if err != nil {
			return
		}
		k, err := ours.NewOCRA(suite, seed20)
		if err != nil {
			t.Fatalf("%s: %v", suite, err)
		}
		code, err := k.Code(ours.Input{Question: question, Counter: counter, Time: time.Unix(when, 0)})
		if err == nil && s.Digits > 0 && len(code) != s.Digits {
			t.Errorf("%s: %s", suite, code)
		}
	})
}
