package seedfile_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/seedfile"
)

// seed20, seed32 and seed64 are the seeds of RFC 6238, appendix B.
const (
	seed20 = "3132333435363738393031323334353637383930"
	seed32 = seed20 + "313233343536373839303132"
	seed64 = seed20 + seed20 + seed20 + "31323334"
)

func read(t *testing.T, text string, o seedfile.Options) *seedfile.Result {
	t.Helper()
	r, err := seedfile.Read(strings.NewReader(text), o)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return r
}

// readOne reads a file that has one good token.
func readOne(t *testing.T, text string) seedfile.Token {
	t.Helper()
	r := read(t, text, seedfile.Options{})
	if len(r.Tokens) != 1 || len(r.Refused) != 0 {
		t.Fatalf("got %d tokens, refused %v, want one token", len(r.Tokens), r.Refused)
	}
	return r.Tokens[0]
}

// refused reads a file whose only token is refused, and returns the reason.
func refused(t *testing.T, text string) string {
	t.Helper()
	r := read(t, text, seedfile.Options{})
	if len(r.Tokens) != 0 || len(r.Refused) != 1 {
		t.Fatalf("got %v, refused %v, want one refusal", r.Tokens, r.Refused)
	}
	return r.Refused[0].String()
}

func wantIn(t *testing.T, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("got %q, want %q in it", got, want)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type vectors struct {
	PSKC      map[string]json.RawMessage
	Migration struct {
		URI     string
		Entries []struct {
			Secret  string `json:"secret_hex"`
			Name    string
			Issuer  string
			Algo    otp.Hash `json:"algorithm"`
			Digits  int
			Type    otp.Kind
			Counter uint64
		}
	}
}

func loadVectors(t testing.TB) (v vectors) {
	t.Helper()
	b, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestCSVSeedLengthDecidesHash(t *testing.T) {
	if len(seed64) != 128 {
		t.Fatalf("a seed of %d digits", len(seed64))
	}
	for seed, want := range map[string]otp.Hash{seed20: otp.SHA1, seed32: otp.SHA256, seed64: otp.SHA512, seed20[:32]: otp.SHA1} {
		got := readOne(t, "A1,"+seed+",T,6,60\n")
		if got.Params.Hash != want || got.Params.Period != 60 || got.Params.Kind != otp.TOTP || hex.EncodeToString(got.Seed) != seed {
			t.Errorf("got %+v, want %s and 60 s", got.Params, want)
		}
	}
}

func TestCSVFifthColumnIsCounterOrPeriod(t *testing.T) {
	h := readOne(t, "A1,"+seed20+",HOTP,8,60")
	if h.Counter != 60 || h.Params.Period != 0 || h.Params.Digits != 8 {
		t.Errorf("HOTP: got %d, %+v, want counter 60", h.Counter, h.Params)
	}
	o := readOne(t, "A1,"+seed20+",totp,8,60")
	if o.Counter != 0 || o.Params.Period != 60 {
		t.Errorf("TOTP: got %d, %+v, want period 60", o.Counter, o.Params)
	}
}

func TestCSVCounterHas64Bits(t *testing.T) {
	if got := readOne(t, "A1,"+seed20+",H,6,18446744073709551615").Counter; got != 1<<64-1 {
		t.Errorf("got counter %d, want 2^64-1", got)
	}
	wantIn(t, refused(t, "A1,"+seed20+",H,6,18446744073709551616"), "no counter")
}

func TestCSVLinOTPSixthColumn(t *testing.T) {
	if got := readOne(t, "A1,"+seed20+",T,6,30,sha512").Params.Hash; got != otp.SHA512 {
		t.Errorf("got %s, want SHA512", got)
	}
	wantIn(t, refused(t, "A1,"+seed20+",T,6,30,md5"), "column 6")
}

func TestCSVVersion2Prefix(t *testing.T) {
	got := readOne(t, "# version: 2\nalice,ldap,realm1,A1,"+seed20+",T,6,30\n")
	if got.Account != "alice" || got.Serial != "A1" || got.Line != 2 {
		t.Errorf("got %v account %q, want alice's A1 on line 2", got, got.Account)
	}
}

func TestCSVOCRA(t *testing.T) {
	got := readOne(t, "A1,"+seed20+",OCRA,OCRA-1:HOTP-SHA1-6:QN08")
	if got.Params != (otp.Parameters{Kind: otp.OCRA, Suite: "OCRA-1:HOTP-SHA1-6:QN08"}) {
		t.Errorf("got %+v", got.Params)
	}
	wantIn(t, refused(t, "A1,"+seed20+",OCRA,OCRA-2"), "OCRA suite")
}

func TestCSVHeaderSpacesQuotesAndMark(t *testing.T) {
	got := readOne(t, "\xef\xbb\xbfserial, key, type\r\n\r\n# note\r\n \"A1\" , \""+seed20+"\", h \r\n")
	if got.Serial != "A1" || got.Params.Kind != otp.HOTP || got.Params.Digits != 6 || got.Line != 4 {
		t.Errorf("got %v %+v, want A1 on line 4", got, got.Params)
	}
}

func TestCSVRefusals(t *testing.T) {
	for line, want := range map[string]string{
		"A1," + seed20[1:] + ",H,6":       "odd number",
		"A1,zz" + seed20 + ",H,6":         "not hexadecimal",
		"A1,3132,H,6":                     "a seed of 2 bytes",
		"A1," + seed20 + ",X,6":           "column 3",
		"A1," + seed20 + ",H,5":           "5 digits",
		"A1," + seed20 + ",H,six":         "column 4",
		"A1," + seed20 + ",T,6,0":         "column 5",
		"A1," + seed20 + ",T,6,9999999":   "column 5",
		"A\x01," + seed20 + ",T,6":        "cannot be printed",
		"," + seed20 + ",T,6":             "no serial",
		"A1," + strings.Repeat("31", 200): "at most 256",
	} {
		wantIn(t, refused(t, line), want)
	}
}

func TestRefusalNeverShowsASeed(t *testing.T) {
	// The columns are in the wrong order.
	for _, line := range []string{seed20 + ",A1,T,6", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ,A1,H", seed20 + "," + seed20[1:]} {
		got := refused(t, line)
		if strings.Contains(got, "313233") || strings.Contains(got, "GEZD") {
			t.Errorf("the refusal shows the seed: %q", got)
		}
	}
}

func TestRefusalShowsSerials(t *testing.T) {
	for _, serial := range []string{"2600000000001", "UBOM000000012345", "F800574", "00040008CFA5", "1234567890123456"} {
		wantIn(t, refused(t, serial+",3132,H"), serial)
	}
}

func TestSerialTwice(t *testing.T) {
	r := read(t, "A1,"+seed20+",H\nA2,"+seed20+",H\nA1,"+seed32+",T\n", seedfile.Options{})
	if len(r.Tokens) != 2 || len(r.Refused) != 1 {
		t.Fatalf("got %d tokens, refused %v, want 2 and 1", len(r.Tokens), r.Refused)
	}
	wantIn(t, r.Refused[0].String(), `line 3: serial "A1": the serial is also on line 1`)
}

func TestYubico(t *testing.T) {
	r := read(t, "5004011,,0,"+seed20+",,2013-12-12T11:40:00,\n"+
		"5004012,,,"+seed20+",,2013-12-12T11:40:00,\n"+
		"5004013,cbdefghijkln,0102030405,31323334353637383930313233343536,,2013-12-12T11:40:00,\n", seedfile.Options{})
	if r.Format != seedfile.Yubico || len(r.Tokens) != 1 || len(r.Refused) != 2 {
		t.Fatalf("got %s, %v, refused %v, want one token and two refusals", r.Format, r.Tokens, r.Refused)
	}
	if got := r.Tokens[0]; got.Serial != "5004011" || got.Params.Kind != otp.HOTP || got.Params.Digits != 6 {
		t.Errorf("got %v %+v", got, got.Params)
	}
	wantIn(t, r.Refused[0].Reason, "static password")
	wantIn(t, r.Refused[1].Reason, "Yubico's own OTP")
}

func TestUsersFile(t *testing.T) {
	r := read(t, "# users\nHOTP\talice\t-\t"+seed20+"\n"+
		"HOTP/E/8 bob 1234 "+seed32+" 7\n"+
		"HOTP/T60/7 carol + "+seed64+" 0 328482 2009-12-07T23:23:49L\n"+
		"HOTP/T30/9 dave - "+seed20+"31\nHOTP/X eve - "+seed20+"32\nHOTP frank -\n", seedfile.Options{})
	if r.Format != seedfile.UsersFile || len(r.Tokens) != 3 || len(r.Refused) != 3 {
		t.Fatalf("got %s, %v, refused %v, want three and three", r.Format, r.Tokens, r.Refused)
	}
	want := []otp.Parameters{
		{Kind: otp.HOTP, Hash: otp.SHA1, Digits: 6},
		{Kind: otp.HOTP, Hash: otp.SHA1, Digits: 8},
		{Kind: otp.TOTP, Hash: otp.SHA1, Digits: 7, Period: 60},
	}
	for i, w := range want {
		if got := r.Tokens[i]; got.Params != w || got.Account != []string{"alice", "bob", "carol"}[i] || got.Counter != []uint64{0, 7, 0}[i] {
			t.Errorf("token %d: got %+v of %q at %d, want %+v", i, got.Params, got.Account, got.Counter, w)
		}
	}
}

// The counter in the file may be that of the last code: it must not be accepted again.
func TestUsersFileCounterAfterLastCode(t *testing.T) {
	// RFC 4226, appendix D: 755224 is the code of 0, 287082 that of 1.
	if got := readOne(t, "HOTP a - "+seed20+" 1 287082 2009-12-07T23:23:49L").Counter; got != 2 {
		t.Errorf("after the code of counter 1: got %d, want 2", got)
	}
	if got := readOne(t, "HOTP a - "+seed20+" 1 755224 2009-12-07T23:23:49L").Counter; got != 1 {
		t.Errorf("after the code of counter 0: got %d, want 1", got)
	}
}

func TestUsersFileDuplicateLines(t *testing.T) { // CVE-2013-7322
	r := read(t, "HOTP a - "+seed20+" 5\nHOTP a - "+strings.ToUpper(seed20)+" 0\n", seedfile.Options{})
	if len(r.Tokens) != 1 || len(r.Refused) != 1 {
		t.Fatalf("got %v, refused %v, want the second refused", r.Tokens, r.Refused)
	}
	wantIn(t, r.Refused[0].String(), "same seed is also on line 1")
}

const datFile = `# ===== SafeWord Authenticator Records $Version: 100$ =====
dn: sccAuthenticatorId=F800574
objectclass: sccCustomAuthenticator
sccAuthenticatorId: F800574
sccTokenType: eToken-PASS-TS
sccTokenData: sccKey=` + seed32 + `;sccMode=T;sccPwLen=8;sccTick=60;sccPrTime=2013/03/12 00:00:00;crypto=HmacSHA256;sccVer=6.20;
sccSignature:MC0CFGxPRxTP

dn: sccAuthenticatorId=RX1800011
sccAuthenticatorId: RX1800011
sccTokenData: sccKey=` + seed20 + `;sccMode=E;sccPwLen=6;sccVer=6.20;
`

func TestDatTimeCountsFrom2000(t *testing.T) {
	r := read(t, datFile, seedfile.Options{})
	if r.Format != seedfile.Dat || len(r.Tokens) != 2 || len(r.Refused) != 0 {
		t.Fatalf("got %s, %v, refused %v, want two", r.Format, r.Tokens, r.Refused)
	}
	want := otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA256, Digits: 8, Period: 60, Epoch: 946684800}
	if got := r.Tokens[0]; got.Params != want || got.Serial != "F800574" || got.Line != 2 {
		t.Errorf("got %v %+v, want %+v", got, got.Params, want)
	}
	want = otp.Parameters{Kind: otp.HOTP, Hash: otp.SHA1, Digits: 6}
	if got := r.Tokens[1]; got.Params != want || got.Serial != "RX1800011" {
		t.Errorf("got %v %+v, want %+v", got, got.Params, want)
	}
}

func TestDatRefusals(t *testing.T) {
	for data, want := range map[string]string{
		"sccKey=" + seed20 + ";sccMode=Q;sccPwLen=6":             "sccMode",
		"sccKey=" + seed20 + ";sccKey=" + seed20 + ";sccMode=E":  "not understood",
		"sccKey=" + seed20[1:] + ";sccMode=E":                    "odd number",
		"sccMode=E":                                              "no seed",
		"sccKey=" + seed20 + ";sccMode=E;crypto=HmacMD5":         "not understood",
		"sccKey=" + seed20 + ";sccMode=T;sccTick=0;sccPwLen=6;x": "not understood",
	} {
		got := "dn: sccAuthenticatorId=A\nsccAuthenticatorId: A\nsccTokenData: " + data
		wantIn(t, refused(t, got), want)
	}
	wantIn(t, refused(t, "dn: sccAuthenticatorId=A\nsccAuthenticatorId: A\n"), "without sccTokenData")
	two := "dn: x\nsccAuthenticatorId: A\nsccTokenData: sccKey=" + seed20 + ";sccMode=E\n"
	wantIn(t, refused(t, two+"sccTokenData: sccKey="+seed20+";sccMode=E"), "twice")
	wantIn(t, refused(t, strings.Replace(two, "sccTokenData", "sccAuthenticatorId: B\nsccTokenData", 1)), "two serials")
	wantIn(t, refused(t, "dn: x\nsccTokenData: sccKey="+seed20+";sccMode=E"), "without sccAuthenticatorId")
}

func TestURI(t *testing.T) {
	const b32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for uri, want := range map[string]seedfile.Token{
		"otpauth://totp/ACME%3Aalice%40example.org?secret=" + b32: {
			Issuer: "ACME", Account: "alice@example.org", Params: otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA1, Digits: 6, Period: 30},
		},
		"otpauth://hotp/bob?secret=gezd%20gnbv gy3tqojq-GEZDGNBVGY3TQOJQ%3D%3D&counter=18446744073709551615&algorithm=sha256&digits=8": {
			Account: "bob", Params: otp.Parameters{Kind: otp.HOTP, Hash: otp.SHA256, Digits: 8}, Counter: 1<<64 - 1,
		},
		"otpauth://totp/x:carol?secret=" + b32 + "&issuer=A%20B&period=60&algorithm=SHA512&image=http%3A%2F%2Fx": {
			Issuer: "A B", Account: "carol", Params: otp.Parameters{Kind: otp.TOTP, Hash: otp.SHA512, Digits: 6, Period: 60},
		},
		"otpauth://totp/Steam:dave?secret=" + b32 + "&encoder=steam": {
			Issuer: "Steam", Account: "dave", Params: otp.Parameters{Kind: otp.Steam, Hash: otp.SHA1, Digits: 5, Period: 30},
		},
	} {
		got := readOne(t, uri)
		if got.Issuer != want.Issuer || got.Account != want.Account || got.Params != want.Params || got.Counter != want.Counter ||
			hex.EncodeToString(got.Seed) != seed20 {
			t.Errorf("%s: got %q %q %+v %d", uri, got.Issuer, got.Account, got.Params, got.Counter)
		}
		again, err := seedfile.ParseURI(got.URI())
		if err != nil || again.Issuer != got.Issuer || again.Account != got.Account || again.Params != got.Params ||
			again.Counter != got.Counter || !bytes.Equal(again.Seed, got.Seed) {
			t.Errorf("%s: read again: got %v %+v, %v", uri, again, again.Params, err)
		}
	}
}

func TestURIRefusals(t *testing.T) {
	const b32 = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
	for uri, want := range map[string]string{
		"otpauth://hotp/a?secret=" + b32:                              "without counter",
		"otpauth://totp/a?secret=" + b32 + "&secret=" + b32:           "there twice",
		"otpauth://totp/a?secret=" + b32 + "&algorithm=MD5":           "algorithm",
		"otpauth://totp/a?secret=" + b32 + "&digits=1x":               "digits",
		"otpauth://totp/a?secret=" + b32 + "&period=0":                "period",
		"otpauth://totp/a?secret=" + b32 + "&encoder=other":           "encoder",
		"otpauth://totp/a?secret=0189" + b32:                          "not base32",
		"otpauth://totp/a?x=1":                                        "no secret",
		"otpauth://other/a?secret=" + b32:                             "not an otpauth URI",
		"otpauth://totp/%zz?secret=" + b32:                            "not an otpauth URI",
		"otpauth://totp/a?secret=" + b32 + "&algorithm=SHA1&digits=5": "5 digits",
	} {
		got := refused(t, uri)
		wantIn(t, got, want)
		if strings.Contains(got, "GEZD") {
			t.Errorf("the refusal shows the secret: %q", got)
		}
		if _, err := seedfile.ParseURI(uri); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseURI: got %v, want %q", err, want)
		}
	}
}

func TestMigration(t *testing.T) {
	v := loadVectors(t).Migration
	r := read(t, v.URI+"\n", seedfile.Options{})
	if r.Format != seedfile.Migration || len(r.Tokens) != 3 || len(r.Refused) != 0 {
		t.Fatalf("got %s, %v, refused %v, want three", r.Format, r.Tokens, r.Refused)
	}
	for i, want := range v.Entries {
		got := r.Tokens[i]
		account := strings.TrimPrefix(want.Name, want.Issuer+":")
		if got.Account != account || got.Issuer != want.Issuer || got.Params.Kind != want.Type || got.Params.Hash != want.Algo ||
			got.Params.Digits != want.Digits || got.Counter != want.Counter || hex.EncodeToString(got.Seed) != want.Secret {
			t.Errorf("entry %d: got %q %q %+v %d, want %+v", i, got.Issuer, got.Account, got.Params, got.Counter, want)
		}
	}
}

// migrationURI makes a part of an export with one token.
func migrationURI(algorithm, size, index byte, seed string) string {
	token := append([]byte{0x0a, byte(len(seed))}, seed...)
	token = append(token, 0x20, algorithm, 0x30, 2)
	payload := append([]byte{0x0a, byte(len(token))}, token...)
	payload = append(payload, 0x10, 1, 0x18, size, 0x20, index, 0x28, 9)
	return "otpauth-migration://offline?data=" + base64.StdEncoding.EncodeToString(payload)
}

func TestMigrationBatches(t *testing.T) {
	part := func(i byte) string { return migrationURI(1, 3, i, fmt.Sprintf("1234567890%d", i)) + "\n" }
	if r := read(t, part(2)+part(0)+part(1), seedfile.Options{}); len(r.Tokens) != 3 {
		t.Errorf("got %v, want three tokens", r.Tokens)
	}
	_, err := seedfile.Read(strings.NewReader(part(1)), seedfile.Options{})
	if !errors.Is(err, seedfile.ErrFormat) || !strings.Contains(err.Error(), "3 parts, missing: 1, 3") {
		t.Errorf("got %v, want parts 1 and 3 missing", err)
	}
	_, err = seedfile.Read(strings.NewReader(part(1)+part(1)), seedfile.Options{})
	if err == nil || !strings.Contains(err.Error(), "line 2: part 2 of 3 is also on line 1") {
		t.Errorf("got %v, want the part to be there twice", err)
	}
}

func TestMigrationMD5Refused(t *testing.T) {
	wantIn(t, refused(t, migrationURI(4, 1, 0, "1234567890")), "MD5")
}

func TestMigrationRefusals(t *testing.T) {
	uri := func(fields ...byte) string {
		token := append([]byte{0x0a, 10}, "1234567890"...)
		token = append(token, fields...)
		return "otpauth-migration://offline?data=" + base64.RawURLEncoding.EncodeToString(append([]byte{0x0a, byte(len(token))}, token...))
	}
	for want, text := range map[string]string{
		"algorithm is not known":        uri(0x20, 9),
		"number of digits is not known": uri(0x28, 9),
		"type is not known":             uri(0x30, 9),
		"a seed of 3 bytes":             uri(0x0a, 3, 1, 2, 3),
		"not UTF-8":                     uri(0x12, 1, 0xff),
	} {
		wantIn(t, refused(t, text), want)
	}
	// Fields that are not known are skipped, whatever their type.
	got := readOne(t, uri(0x49, 1, 2, 3, 4, 5, 6, 7, 8, 0x4d, 1, 2, 3, 4, 0x78, 1, 0x7a, 1, 0))
	if got.Params.Kind != otp.TOTP || got.Params.Period != 30 || got.Params.Digits != 6 {
		t.Errorf("got %+v, want the defaults", got.Params)
	}
	for name, text := range map[string]string{
		"group": uri(0x4b), "cut": uri(0x4d, 1), "cut varint": uri(0x20, 0x80), "cut bytes": uri(0x12, 5, 1), "cut tag": uri(0x80),
	} {
		if _, err := seedfile.Read(strings.NewReader(text), seedfile.Options{}); !errors.Is(err, seedfile.ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", name, err)
		}
	}
}

func TestMigrationBroken(t *testing.T) {
	for _, uri := range []string{"otpauth-migration://offline", "otpauth-migration://offline?data=!", "otpauth-migration://offline?data=CjoK"} {
		if _, err := seedfile.Read(strings.NewReader(uri), seedfile.Options{}); !errors.Is(err, seedfile.ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", uri, err)
		}
	}
}

func TestTokenNeverShowsItsSeed(t *testing.T) {
	tok := readOne(t, "A1,"+seed20+",H")
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "token", tok, "p", &tok)
	j, err := json.Marshal(tok)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{fmt.Sprintf("%v %+v %#v %s %x %q %d", tok, tok, tok, tok, tok, tok, &tok), log.String(), string(j)} {
		wantIn(t, got, "[secret]")
		for _, secret := range []string{seed20, "1234567890", "49 50", "MTIz"} {
			if strings.Contains(got, secret) {
				t.Errorf("the seed is in %q", got)
			}
		}
	}
	seed := tok.Seed
	tok.Wipe()
	if !bytes.Equal(seed, make([]byte, 20)) || tok.Seed != nil {
		t.Error("Wipe left the seed")
	}
}

func TestOptionsNeverShowSecrets(t *testing.T) {
	secret := []byte("hidden-passphrase")
	o := seedfile.Options{Key: secret, Passphrase: secret}
	w := seedfile.WriteOptions{Key: secret, Passphrase: secret, KeyName: "name"}
	j, err := json.Marshal([]any{o, w})
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%v %+v %#v %s %v %+v %#v %s", o, o, o, o, w, w, w, w) + string(j)
	if strings.Contains(got, "hidden-") || strings.Contains(got, "104 105") || strings.Contains(got, "0x68") || strings.Contains(got, "aGlk") {
		t.Errorf("the secret is in %s", got)
	}
	wantIn(t, got, "[secret]")
}

func TestUnknownFormats(t *testing.T) {
	for _, text := range []string{"", "\n\n", "hello", "\xff\xfeA\x00", "# only\n", "<html></html>", "A1\x00"} {
		if _, err := seedfile.Read(strings.NewReader(text), seedfile.Options{}); !errors.Is(err, seedfile.ErrFormat) {
			t.Errorf("%q: got %v, want ErrFormat", text, err)
		}
	}
	if _, err := seedfile.Read(strings.NewReader("A1,"+strings.Repeat("3", 1<<17)), seedfile.Options{}); !errors.Is(err, seedfile.ErrFormat) ||
		!strings.Contains(err.Error(), "line 1") {
		t.Errorf("a line of 128 KiB: got %v, want ErrFormat", err)
	}
}
