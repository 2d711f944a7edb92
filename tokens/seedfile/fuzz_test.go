package seedfile_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/seedfile"
)

// readAny reads what may be anything, and checks what holds for all results.
func readAny(t *testing.T, b []byte, o seedfile.Options) *seedfile.Result {
	t.Helper()
	r, err := seedfile.Read(bytes.NewReader(b), o)
	if err != nil {
		if r != nil || !utf8.ValidString(err.Error()) {
			t.Fatalf("got %v with the error %q", r, err)
		}
		return &seedfile.Result{}
	}
	if len(r.Tokens)+len(r.Refused) == 0 {
		t.Fatal("a file without tokens was read")
	}
	serials := map[string]bool{}
	for _, k := range r.Tokens {
		if err := k.Params.Check(); err != nil {
			t.Fatalf("%v: %v", k, err)
		}
		if err := otp.CheckSeed(k.Seed); err != nil {
			t.Fatalf("%v: %v", k, err)
		}
		if k.Line < 1 || k.Serial != "" && serials[k.Serial] {
			t.Fatalf("%v: the line is wrong, or the serial is there twice", k)
		}
		serials[k.Serial] = true
		if uri := k.URI(); uri != "" {
			again, err := seedfile.ParseURI(uri)
			if err != nil {
				t.Fatalf("%v: its URI is not read: %v", k, err)
			}
			if again.Params != k.Params || !bytes.Equal(again.Seed, k.Seed) || again.Counter != k.Counter && k.Params.Kind == otp.HOTP {
				t.Fatalf("%v: its URI is read as %v", k, again)
			}
		}
	}
	for _, f := range r.Refused {
		if f.Line < 1 || f.Reason == "" || len(f.String()) > 2000 {
			t.Fatalf("a refusal of line %d: %q", f.Line, f)
		}
	}
	writeAgain(t, r)
	return r
}

// writeAgain writes what was read and reads that.
func writeAgain(t *testing.T, r *seedfile.Result) {
	t.Helper()
	key := make([]byte, 16)
	var b bytes.Buffer
	if len(r.Tokens) == 0 || seedfile.WritePSKC(&b, r.Tokens, seedfile.WriteOptions{Key: key}) != nil {
		return // not all tokens have a place in PSKC
	}
	again, err := seedfile.Read(&b, seedfile.Options{Key: key})
	if err != nil || len(again.Tokens) != len(r.Tokens) {
		t.Fatalf("what was written is not read: %v, %+v", err, again)
	}
	for i, want := range r.Tokens {
		got := again.Tokens[i]
		// An offset may be said as a drift or as a start: the clock is the same.
		if want.Params.Kind == otp.TOTP {
			got.Drift -= got.Params.Epoch / got.Params.Period
			want.Drift -= want.Params.Epoch / want.Params.Period
			got.Params.Epoch, want.Params.Epoch = 0, 0
		} else {
			want.Drift = 0
		}
		if want.Params.Kind == otp.TOTP {
			want.Counter = 0
		}
		if !sameToken(got, want) {
			t.Fatalf("got %v %+v %d %d, want %v %+v %d %d", got, got.Params, got.Counter, got.Drift, want, want.Params, want.Counter, want.Drift)
		}
	}
}

func FuzzPSKC(f *testing.F) {
	for name := range loadVectors(f).PSKC {
		v := loadFigure(f, name)
		f.Add([]byte(strings.ReplaceAll(strings.ReplaceAll(v.XML, ">1000<", ">10<"), ">10000<", ">10<")))
	}
	f.Add([]byte(plainPSKC("<Suite>sha256</Suite>", plainInt("TimeDrift", "-4")+plainInt("Time", "9"), "<Policy><KeyUsage>OTP</KeyUsage></Policy>")))
	key := loadFigure(f, "figure6_aes128cbc_preshared_mac").options(f).Key
	f.Fuzz(func(t *testing.T, b []byte) {
		// Iterations are what a file may cost; here they would only be slow.
		if i := bytes.Index(b, []byte("IterationCount>")); i >= 0 && !bytes.HasPrefix(b[i:], []byte("IterationCount>10<")) {
			t.Skip()
		}
		readAny(t, b, seedfile.Options{Format: seedfile.PSKC, Key: key, Passphrase: []byte("qwerty")})
	})
}

func fuzzLines(f *testing.F, format seedfile.Format, seeds ...string) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		readAny(t, b, seedfile.Options{Format: format})
		readAny(t, b, seedfile.Options{})
	})
}

func FuzzCSV(f *testing.F) {
	fuzzLines(f, seedfile.CSV, "A1,"+seed20+",T,6,60\nA2,"+seed32+",H,8,7\n", "# version: 2\na,b,c,A1,"+seed64+",totp,6,30,sha512",
		"5004011,,0,"+seed20+",,2013-12-12T11:40:00,\n", "serial,key\nO,"+seed20+",ocra,OCRA-1:HOTP-SHA1-6:QN08")
}

func FuzzURI(f *testing.F) {
	fuzzLines(f, seedfile.URI, someURI, "otpauth://hotp/a%3Ab?secret=gezd%20gnbv gy3tqojq&counter=3&digits=8&algorithm=SHA512",
		"otpauth://totp/Steam:dave?secret=GEZDGNBVGY3TQOJQ&encoder=steam\n# x\n")
}

func FuzzMigration(f *testing.F) {
	fuzzLines(f, seedfile.Migration, loadVectors(f).Migration.URI, migrationURI(1, 2, 1, "1234567890")+"\n"+migrationURI(2, 2, 0, "12345678901"),
		migrationURI(4, 1, 0, "1234567890"))
}

func FuzzUsersFile(f *testing.F) {
	fuzzLines(f, seedfile.UsersFile, "HOTP alice - "+seed20+" 1 287082 2009\nHOTP/T30/8 b + "+seed32, "HOTP/E/7\tc\t1234\t"+seed64+"\t0")
}

func FuzzDat(f *testing.F) { fuzzLines(f, seedfile.Dat, datFile) }

func FuzzXML(f *testing.F) { fuzzLines(f, seedfile.XML, tokensXML) }

func FuzzImage(f *testing.F) {
	c, err := seedfile.QR("otpauth://totp/a")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.PNG())
	f.Fuzz(func(t *testing.T, b []byte) {
		if texts, err := seedfile.ReadImage(bytes.NewReader(b)); err == nil && len(texts) == 0 {
			t.Fatal("neither a text nor an error")
		}
	})
}
