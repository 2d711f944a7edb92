package seedfile_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fobd/fobd/tokens/otp"
	"github.com/fobd/fobd/tokens/seedfile"
)

type figure struct {
	XML        string
	Preshared  string `json:"preshared_key_hex"`
	Passphrase string `json:"password"`
	Keys       []struct {
		ID, Serial, Manufacturer, Issuer string
		Algorithm                        string
		Hash                             otp.Hash
		Digits                           int
		Period, Drift                    int64
		TimeDrift                        int64 `json:"time_drift"`
		Counter                          uint64
		Secret                           string `json:"secret_hex"`
		Start, Expiry                    time.Time
	}
}

func loadFigure(t testing.TB, name string) (f figure) {
	t.Helper()
	if err := json.Unmarshal(loadVectors(t).PSKC[name], &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f figure) options(t testing.TB) seedfile.Options {
	t.Helper()
	key, err := hex.DecodeString(f.Preshared)
	if err != nil {
		t.Fatal(err)
	}
	return seedfile.Options{Key: key, Passphrase: []byte(f.Passphrase)}
}

func TestPSKCFigures(t *testing.T) {
	for name, refusals := range map[string]int{
		"figure2_plain_minimal":                 0, // below; its seed is shorter than any token's
		"figure5_plain_pin_policy":              0,
		"figure6_aes128cbc_preshared_mac":       0,
		"figure7_pbkdf2_mac":                    0,
		"figure10_bulk":                         1, // a serial twice
		"own_totp_pbkdf2_sha256_aes256_hmac256": 0,
		"own_vendor_style_totp_plain":           0,
	} {
		t.Run(name, func(t *testing.T) {
			f := loadFigure(t, name)
			r := read(t, f.XML, f.options(t))
			if name == "figure2_plain_minimal" {
				if len(r.Tokens) != 0 || len(r.Refused) != 1 || r.Refused[0].Serial != f.Keys[0].ID {
					t.Fatalf("got %v, refused %v, want the token refused by its key's id", r.Tokens, r.Refused)
				}
				wantIn(t, r.Refused[0].Reason, "a seed of 4 bytes")
				return
			}
			var tokens int
			for _, want := range f.Keys {
				if want.Algorithm == "pin" || tokens == len(r.Tokens) {
					continue
				}
				got := r.Tokens[tokens]
				tokens++
				period := want.Period
				if want.Algorithm == "totp" && period == 0 {
					period = 30
				}
				if want.Hash == "" {
					want.Hash = otp.SHA1
				}
				params := otp.Parameters{Kind: otp.Kind(want.Algorithm), Hash: want.Hash, Digits: want.Digits, Period: period}
				if got.Serial != want.Serial || got.Params != params || hex.EncodeToString(got.Seed) != want.Secret ||
					got.Counter != want.Counter || got.Drift != want.TimeDrift || !got.Start.Equal(want.Start) || !got.Expiry.Equal(want.Expiry) {
					t.Errorf("got %v %+v counter %d drift %d from %v to %v, want %+v", got, got.Params, got.Counter, got.Drift, got.Start, got.Expiry, want)
				}
			}
			if r.Format != seedfile.PSKC || len(r.Refused) != refusals {
				t.Errorf("got %s, refused %v, want pskc and %d", r.Format, r.Refused, refusals)
			}
		})
	}
}

func TestPSKCDuplicateSerial(t *testing.T) { // figure 10 has 9999999 twice
	r := read(t, loadFigure(t, "figure10_bulk").XML, seedfile.Options{})
	if len(r.Tokens) != 3 || len(r.Refused) != 1 || r.Refused[0].Serial != "9999999" {
		t.Fatalf("got %v, refused %v, want the second 9999999 refused", r.Tokens, r.Refused)
	}
	wantIn(t, r.Refused[0].Reason, "also on line")
}

func TestPSKCBadMAC(t *testing.T) {
	f := loadFigure(t, "own_bad_mac")
	_, err := seedfile.Read(strings.NewReader(f.XML), f.options(t))
	if !errors.Is(err, seedfile.ErrKey) {
		t.Errorf("got %v, want ErrKey", err)
	}
}

func TestPSKCOneBadMACIsARefusal(t *testing.T) {
	f := loadFigure(t, "figure6_aes128cbc_preshared_mac")
	i, j := strings.Index(f.XML, "<KeyPackage>"), strings.Index(f.XML, "</KeyContainer>")
	second := strings.NewReplacer("987654321", "111", "AAECAwQF", "BAECAwQF").Replace(f.XML[i:j])
	r := read(t, f.XML[:j]+second+f.XML[j:], f.options(t))
	if len(r.Tokens) != 1 || len(r.Refused) != 1 || r.Refused[0].Serial != "111" {
		t.Fatalf("got %v, refused %v, want 111 refused", r.Tokens, r.Refused)
	}
	wantIn(t, r.Refused[0].Reason, "MAC does not fit")
}

// The IV is part of what the MAC is over: a changed IV changes the first bytes of the seed.
func TestPSKCMACCoversIV(t *testing.T) {
	f := loadFigure(t, "figure6_aes128cbc_preshared_mac")
	_, err := seedfile.Read(strings.NewReader(strings.Replace(f.XML, "AAECAwQF", "AAECAwQG", 1)), f.options(t))
	if !errors.Is(err, seedfile.ErrKey) {
		t.Errorf("got %v, want ErrKey", err)
	}
}

func TestPSKCKeys(t *testing.T) {
	f6, f7 := loadFigure(t, "figure6_aes128cbc_preshared_mac"), loadFigure(t, "figure7_pbkdf2_mac")
	for name, c := range map[string]struct {
		xml  string
		o    seedfile.Options
		want error
	}{
		"no key":            {f6.XML, seedfile.Options{}, seedfile.ErrNeedKey},
		"no passphrase":     {f7.XML, seedfile.Options{Key: make([]byte, 16)}, seedfile.ErrNeedPassphrase},
		"and that is a key": {f7.XML, seedfile.Options{}, seedfile.ErrNeedKey},
		"wrong key":         {f6.XML, seedfile.Options{Key: make([]byte, 16)}, seedfile.ErrKey},
		"longer key":        {f6.XML, seedfile.Options{Key: make([]byte, 32)}, seedfile.ErrKey},
		"key of 5 bytes":    {f6.XML, seedfile.Options{Key: make([]byte, 5)}, seedfile.ErrKey},
		"wrong passphrase":  {f7.XML, seedfile.Options{Passphrase: []byte("qwertz-hidden")}, seedfile.ErrKey},
	} {
		_, err := seedfile.Read(strings.NewReader(c.xml), c.o)
		if !errors.Is(err, c.want) || strings.Contains(err.Error(), "qwert") {
			t.Errorf("%s: got %v, want %v without the passphrase", name, err, c.want)
		}
	}
}

// plainPSKC makes a container with one TOTP token, and more of the schema where it says.
func plainPSKC(parameters, data, policy string) string {
	return `<?xml version="1.0"?><KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"><KeyPackage>
<DeviceInfo><Manufacturer>oath.EX</Manufacturer><SerialNo>S1</SerialNo><Model>M1</Model></DeviceInfo>
<Key Id="k1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:totp"><Issuer>I</Issuer>
<AlgorithmParameters>` + parameters + `</AlgorithmParameters>
<Data><Secret><PlainValue>MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=</PlainValue></Secret>` + data + `</Data><UserId>uid=a</UserId>` + policy + `</Key></KeyPackage></KeyContainer>`
}

func plainInt(name, value string) string {
	return "<" + name + "><PlainValue>" + value + "</PlainValue></" + name + ">"
}

func TestPSKCTimeDriftIsInSteps(t *testing.T) {
	got := readOne(t, plainPSKC("", plainInt("TimeInterval", "60")+plainInt("TimeDrift", "-4"), ""))
	if got.Drift != -4 || got.Params.Period != 60 {
		t.Errorf("got drift %d, period %d, want -4 steps of 60 s", got.Drift, got.Params.Period)
	}
	if got.Manufacturer != "oath.EX" || got.Model != "M1" || got.Issuer != "I" || got.Account != "uid=a" || got.Line != 1 {
		t.Errorf("got %q %q %q %q line %d", got.Manufacturer, got.Model, got.Issuer, got.Account, got.Line)
	}
}

func TestPSKCTimeIsInSteps(t *testing.T) {
	for value, want := range map[string]int64{"0": 2, "3": 5, "58000000": 2} { // with a drift of 2
		got := readOne(t, plainPSKC("", plainInt("Time", value)+plainInt("TimeDrift", "2"), ""))
		if got.Drift != want {
			t.Errorf("Time %s: got drift %d, want %d", value, got.Drift, want)
		}
	}
}

func TestPSKCSuites(t *testing.T) {
	for suite, want := range map[string]otp.Hash{
		"<Suite>sha256</Suite>": otp.SHA256, "<Suite>HMAC-SHA512</Suite>": otp.SHA512, `<Suite hashalgo="SHA-256"/>`: otp.SHA256, "": otp.SHA1,
	} {
		if got := readOne(t, plainPSKC(suite, "", "")).Params.Hash; got != want {
			t.Errorf("%s: got %s, want %s", suite, got, want)
		}
	}
}

func TestPSKCRefusals(t *testing.T) {
	response := func(a string) string { return "<ResponseFormat " + a + "/>" }
	for want, text := range map[string]string{
		"policy that is not known;":    plainPSKC("", "", "<Policy><NumberOfTransactions>5</NumberOfTransactions></Policy>"),
		"a policy that is not known":   plainPSKC("", "", `<Policy><x:Odd xmlns:x="urn:x"/></Policy>`),
		"does not allow codes":         plainPSKC("", "", "<Policy><KeyUsage>Encrypt</KeyUsage></Policy>"),
		"have a PIN in them":           plainPSKC("", "", `<Policy><PINPolicy PINUsageMode="Append"/></Policy>`),
		"StartDate is no date":         plainPSKC("", "", "<Policy><StartDate>soon</StartDate></Policy>"),
		"expires before it starts":     plainPSKC("", "", "<Policy><StartDate>2030-01-01T00:00:00Z</StartDate><ExpiryDate>2029-01-01T00:00:00Z</ExpiryDate></Policy>"),
		"check digits":                 plainPSKC(response(`Length="6" Encoding="DECIMAL" CheckDigits="true"`), "", ""),
		"not decimal":                  plainPSKC(response(`Length="6" Encoding="HEXADECIMAL"`), "", ""),
		"ResponseFormat has no length": plainPSKC(response(`Length="x" Encoding="DECIMAL"`), "", ""),
		"4 digits":                     plainPSKC(response(`Length="4" Encoding="DECIMAL"`), "", ""),
		"Suite that is not known":      plainPSKC("<Suite>MD5</Suite>", "", ""),
		"TimeInterval of 100000 s":     plainPSKC("", plainInt("TimeInterval", "100000"), ""),
		"TimeDrift is no number":       plainPSKC("", plainInt("TimeDrift", "x"), ""),
		"TimeDrift that no clock has":  plainPSKC("", plainInt("TimeDrift", "9223372036854775807"), ""),
		"neither plain nor encrypted":  plainPSKC("", "<Counter/>", ""),
		"algorithm that is not known":  strings.Replace(plainPSKC("", "", ""), "pskc:totp", "pskc:odd", 1),
		"neither SerialNo nor":         strings.NewReplacer("<SerialNo>S1</SerialNo>", "", `Id="k1"`, "").Replace(plainPSKC("", "", "")),
		"secret is not base64":         strings.Replace(plainPSKC("", "", ""), "MTIz", "M!Iz", 1),
		"has no secret":                strings.NewReplacer("<Secret>", "<NoSecret>", "</Secret>", "</NoSecret>").Replace(plainPSKC("", "", "")),
		"both plain and encrypted":     strings.Replace(plainPSKC("", "", ""), "</Secret>", "<EncryptedValue/></Secret>", 1),
	} {
		got := refused(t, text)
		wantIn(t, got, want)
		if strings.Contains(got, "NDU2") {
			t.Errorf("the refusal shows the seed: %q", got)
		}
	}
}

func TestPSKCErrors(t *testing.T) {
	good := plainPSKC("", "", "")
	deep := strings.Repeat("<a>", 50) + strings.Repeat("</a>", 50)
	for want, text := range map[string]string{
		"document type":           strings.Replace(good, "<KeyContainer", `<!DOCTYPE x [<!ENTITY e "MTIz">]><KeyContainer`, 1),
		"not well-formed":         strings.Replace(good, "</Secret>", "</Sekret>", 1),
		"not well-formed XML":     strings.Replace(good, "MTIz", "&MTIzNDU2;", 1),
		"neither KeyContainer":    strings.Replace(good, "keyprov:pskc\"", "keyprov:pskc:1.0\"", 1),
		"version":                 strings.Replace(good, `Version="1.0"`, `Version="2.0"`, 1),
		"too many or too deep":    strings.Replace(good, "<Data>", deep+"<Data>", 1),
		"elements too many":       strings.Replace(good, "<Data>", strings.Repeat("<a/>", 2001)+"<Data>", 1),
		"a text of more than":     strings.Replace(good, "MTIz", strings.Repeat("MTIz", 20000), 1),
		"a tag or a text of more": strings.Replace(good, `Id="k1"`, `Id="`+strings.Repeat("k", 70000)+`"`, 1),
		"in UTF-8":                strings.Replace(good, `<?xml version="1.0"?>`, `<?xml version="1.0" encoding="UTF-16"?>`, 1),
		"8859-1;":                 strings.Replace(good, "oath.EX", "oath\xff", 1),
		"second root":             good + "<KeyContainer/>",
		"text behind":             good + "x",
		"XML in UTF-8":            good[:len(good)-9],
		"no EncryptionKey before": strings.NewReplacer("<PlainValue>", "<EncryptedValue>", "</PlainValue>", "</EncryptedValue>").Replace(good),
		"behind a KeyPackage":     strings.Replace(good, "</KeyPackage>", "</KeyPackage><EncryptionKey/>", 1),
		"no token in it":          `<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc"/>`,
	} {
		_, err := seedfile.Read(strings.NewReader(text), seedfile.Options{})
		if !errors.Is(err, seedfile.ErrFormat) {
			t.Errorf("%s: got %v, want ErrFormat", want, err)
			continue
		}
		wantIn(t, err.Error(), want)
		if strings.Contains(err.Error(), "MTIz") {
			t.Errorf("the error shows the seed: %v", err)
		}
	}
}

func TestPSKCLatin1(t *testing.T) {
	text := strings.NewReplacer(`<?xml version="1.0"?>`, `<?xml version="1.0" encoding="ISO-8859-1"?>`, "oath.EX", "M\xfcller").Replace(plainPSKC("", "", ""))
	if got := readOne(t, text).Manufacturer; got != "Müller" {
		t.Errorf("got %q, want Müller", got)
	}
}

func TestPSKCExactNamespaces(t *testing.T) {
	// A Secret of another namespace is none.
	text := strings.Replace(plainPSKC("", "", ""), "<Secret>", `<Secret xmlns="urn:other">`, 1)
	wantIn(t, refused(t, text), "no secret")
}

func TestFormatAskedForIsNotTheOneFound(t *testing.T) {
	_, err := seedfile.Read(strings.NewReader(plainPSKC("", "", "")), seedfile.Options{Format: seedfile.CSV})
	if !errors.Is(err, seedfile.ErrFormat) {
		t.Errorf("got %v, want ErrFormat", err)
	}
}

// encryptedPSKC makes a container whose secret is encrypted under a pre-shared key.
func encryptedPSKC(algorithm string, ciphertext []byte, macMethod, valueMAC string) string {
	return `<KeyContainer Version="1.0" xmlns="urn:ietf:params:xml:ns:keyprov:pskc" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">
<EncryptionKey><ds:KeyName>k</ds:KeyName></EncryptionKey>` + macMethod + `<KeyPackage><DeviceInfo><SerialNo>S1</SerialNo></DeviceInfo>
<Key Id="1" Algorithm="urn:ietf:params:xml:ns:keyprov:pskc:hotp"><Data><Secret><EncryptedValue><xenc:EncryptionMethod Algorithm="` + algorithm +
		`"/><xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(ciphertext) + `</xenc:CipherValue></xenc:CipherData></EncryptedValue>` +
		valueMAC + `</Secret></Data></Key></KeyPackage></KeyContainer>`
}

func TestPSKCMACKeyMissingIsTheEncryptionKey(t *testing.T) {
	key := unhex(t, seed20[:32])
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 48)
	plain := append(unhex(t, seed20), 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12, 12)
	cipher.NewCBCEncrypter(block, text[:16]).CryptBlocks(text[16:], plain)
	mac := hmac.New(sha1.New, key)
	mac.Write(text)
	sum := "<ValueMAC>" + base64.StdEncoding.EncodeToString(mac.Sum(nil)) + "</ValueMAC>"
	method := `<MACMethod Algorithm="http://www.w3.org/2000/09/xmldsig#hmac-sha1"/>`
	const cbc = "http://www.w3.org/2001/04/xmlenc#aes128-cbc"
	r := read(t, encryptedPSKC(cbc, text, method, sum), seedfile.Options{Key: key})
	if len(r.Tokens) != 1 || hex.EncodeToString(r.Tokens[0].Seed) != seed20 {
		t.Fatalf("got %v, refused %v, want the token", r.Tokens, r.Refused)
	}
	// ActivIdentity's files have the MAC over the plain text, which can only be checked after decrypting.
	mac.Reset()
	mac.Write(unhex(t, seed20))
	over := "<ValueMAC>" + base64.StdEncoding.EncodeToString(mac.Sum(nil)) + "</ValueMAC>"
	if _, err := seedfile.Read(strings.NewReader(encryptedPSKC(cbc, text, method, over)), seedfile.Options{Key: key}); !errors.Is(err, seedfile.ErrKey) {
		t.Errorf("a MAC over the plain text: got %v, want ErrKey", err)
	}
	r = read(t, encryptedPSKC(cbc, text, "", ""), seedfile.Options{Key: key})
	if len(r.Tokens) != 0 || len(r.Refused) != 1 {
		t.Fatalf("without MAC: got %v, want a refusal", r.Tokens)
	}
	wantIn(t, r.Refused[0].Reason, "encrypted without MAC")
	r = read(t, encryptedPSKC("http://www.w3.org/2001/04/xmlenc#tripledes-cbc", text, method, sum), seedfile.Options{Key: key})
	if len(r.Refused) != 1 {
		t.Fatalf("3DES: got %v, want a refusal", r.Tokens)
	}
	wantIn(t, r.Refused[0].Reason, "encryption that is not known")
}

// wrap is RFC 3394, section 2.2.1, in the form with indices.
func wrap(t *testing.T, key, iv, plain []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	n := len(plain) / 8
	out := append(append([]byte{}, iv...), plain...)
	var b [16]byte
	for j := range 6 {
		for i := 1; i <= n; i++ {
			copy(b[:8], out)
			copy(b[8:], out[8*i:])
			block.Encrypt(b[:], b[:])
			binary.BigEndian.PutUint64(out, binary.BigEndian.Uint64(b[:8])^uint64(n*j+i))
			copy(out[8*i:], b[8:])
		}
	}
	return out
}

func TestPSKCKeyWrap(t *testing.T) {
	// RFC 3394, section 4.6: 256 bits of key data with a key of 256 bits.
	vector := unhex(t, "28C9F404C4B810F4CBCCB35CFB87F8263F5786E2D80ED326CBC7F0E71A99F43BFB988B9B7A02DD21")
	key := unhex(t, "000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F")
	data := "00112233445566778899aabbccddeeff000102030405060708090a0b0c0d0e0f"
	iv := unhex(t, "a6a6a6a6a6a6a6a6")
	if got := wrap(t, key, iv, unhex(t, data)); hex.EncodeToString(got) != hex.EncodeToString(vector) {
		t.Fatalf("wrap: got %x, want %x", got, vector)
	}
	for bits := 128; bits <= 256; bits += 64 {
		name := fmt.Sprintf("http://www.w3.org/2001/04/xmlenc#kw-aes%d", bits)
		key := key[:bits/8]
		for seed, iv := range map[string]string{data: "a6a6a6a6a6a6a6a6", seed20 + "00000000": "a65959a600000014"} {
			text := wrap(t, key, unhex(t, iv), unhex(t, seed))
			r := read(t, encryptedPSKC(name, text, "", ""), seedfile.Options{Key: key})
			if len(r.Tokens) != 1 || hex.EncodeToString(r.Tokens[0].Seed) != strings.TrimSuffix(seed, "00000000") {
				t.Errorf("%d bits: got %v, refused %v, want the token", bits, r.Tokens, r.Refused)
			}
			text[9] ^= 1
			if _, err := seedfile.Read(strings.NewReader(encryptedPSKC(name, text, "", "")), seedfile.Options{Key: key}); !errors.Is(err, seedfile.ErrKey) {
				t.Errorf("%d bits, changed: got %v, want ErrKey", bits, err)
			}
		}
	}
	// RFC 5649, section 6, with a key of 192 bits: 20 bytes and 7 bytes.
	kek := unhex(t, "5840df6e29b02af1ab493b705bf16ea1ae8338f4dcc176a8")
	text := unhex(t, "138bdeaa9b8fa7fc61f97742e72248ee5ae6ae5360d1ae6a5f54f373fa543b6a")
	r := read(t, encryptedPSKC("http://www.w3.org/2009/xmlenc11#kw-aes-192-pad", text, "", ""), seedfile.Options{Key: kek})
	if len(r.Tokens) != 1 || hex.EncodeToString(r.Tokens[0].Seed) != "c37b7e6492584340bed12207808941155068f738" {
		t.Errorf("RFC 5649: got %v, refused %v", r.Tokens, r.Refused)
	}
	text = unhex(t, "afbeb0f07dfbf5419200f2ccb50bb24f")
	r = read(t, encryptedPSKC("http://www.w3.org/2009/xmlenc11#kw-aes-192-pad", text, "", ""), seedfile.Options{Key: kek})
	if len(r.Refused) != 1 || !strings.Contains(r.Refused[0].Reason, "a seed of 7 bytes") {
		t.Errorf("RFC 5649, 7 bytes: got refused %v, want a seed of 7 bytes", r.Refused)
	}
}

func TestPSKCDerivedKeyLimits(t *testing.T) {
	f := loadFigure(t, "figure7_pbkdf2_mac")
	for want, text := range map[string]string{
		"iterations":        strings.Replace(f.XML, ">1000<", ">10000001<", 1),
		"length of the key": strings.Replace(f.XML, ">16<", ">17<", 1),
		"no salt":           strings.Replace(f.XML, "Ej7/PEpyEpw=", "!", 1),
		"a PRF":             strings.Replace(f.XML, "<PRF/>", `<PRF Algorithm="urn:md5"/>`, 1),
		"key derivation":    strings.Replace(f.XML, "#pbkdf2", "#scrypt", 1),
		"a MAC that":        strings.Replace(f.XML, "#hmac-sha1", "#hmac-md5", 1),
	} {
		_, err := seedfile.Read(strings.NewReader(text), f.options(t))
		if !errors.Is(err, seedfile.ErrFormat) {
			t.Errorf("got %v, want ErrFormat and %q", err, want)
			continue
		}
		wantIn(t, err.Error(), want)
	}
}

const tokensXML = `<?xml version="1.0" encoding="utf-8"?>
<Tokens>
 <Token serial="00040008CFA5">
  <CaseModel>5</CaseModel><Model>101</Model><ProductionDate>02/19/2009</ProductionDate><ProductName>Safeword Alpine</ProductName>
  <Applications>
   <Application ConnectorID="{a61c4073-2fc8-4170-99d1-9f5b70a2cec6}"><Seed>` + seed20 + `</Seed><MovingFactor>7</MovingFactor></Application>
   <Application ConnectorID="{ab1397d2-ddb6-4705-b66e-9f83f322deb9}"><Seed>` + seed20 + `</Seed><MovingFactor>1</MovingFactor></Application>
  </Applications>
 </Token>
</Tokens>`

func TestTokensXML(t *testing.T) {
	got := readOne(t, tokensXML)
	want := otp.Parameters{Kind: otp.HOTP, Hash: otp.SHA1, Digits: 6}
	if got.Serial != "00040008CFA5" || got.Params != want || got.Counter != 7 || got.Model != "Safeword Alpine" || got.Line != 3 {
		t.Errorf("got %v %+v %d %q line %d", got, got.Params, got.Counter, got.Model, got.Line)
	}
	for old, c := range map[string][2]string{
		"<Seed>" + seed20:             {"<Seed>" + seed20[1:], "odd number"},
		"<Seed>" + seed20 + "</Seed>": {"", "without Seed"},
		"<Seed>3":                     {"<Seed>4", "different seeds"},
		"<Seed>31":                    {"<Seed>", "zeros were lost"},
		"<MovingFactor>7":             {"<MovingFactor>-7", "MovingFactor"},
		` serial="00040008CFA5"`:      {"", "without serial"},
		"<Applications>":              {"<Applications/><Applications>", "no Application"},
	} {
		wantIn(t, refused(t, strings.Replace(tokensXML, old, c[0], 1)), c[1])
	}
}
