package seedfile

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"

	"github.com/fobd/fobd/tokens/otp"
)

// DefaultIterations is how often the hash of a passphrase is taken if WriteOptions do not say.
const DefaultIterations = 600_000

// WriteOptions say what a file is encrypted with: a key or a passphrase, one of them.
type WriteOptions struct {
	Key     []byte `json:"-"` // 16, 24 or 32 bytes
	KeyName string // what the other side calls the key
	// Passphrase is what the key is derived from, by PBKDF2 with HMAC-SHA256.
	Passphrase []byte `json:"-"`
	Iterations int    // 0 for DefaultIterations; at least 1000
}

// String has neither key nor passphrase.
func (o WriteOptions) String() string {
	return fmt.Sprintf("{key=%s name=%q passphrase=%s iterations=%d}", given(o.Key), o.KeyName, given(o.Passphrase), o.Iterations)
}

// Format prints what String says, for every verb.
func (o WriteOptions) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, o.String()) }

// ErrWrite says that tokens cannot be written.
var ErrWrite = errors.New("seedfile: cannot write PSKC")

// WritePSKC writes an encrypted PSKC file (RFC 6030): AES-CBC with a MAC of HMAC-SHA256. There is no plain one.
// Every token needs a serial. The error is an [ErrWrite], or w's.
func WritePSKC(w io.Writer, tokens []Token, o WriteOptions) error {
	if len(tokens) == 0 {
		return fmt.Errorf("%w: no tokens", ErrWrite)
	}
	for i := range tokens {
		if err := writable(&tokens[i]); err != nil {
			return err
		}
	}
	p := &writer{w: bufio.NewWriter(w)}
	defer p.wipe()
	if err := p.header(o); err != nil {
		return err
	}
	for i := range tokens {
		p.token(&tokens[i], i+1)
	}
	p.put("</pskc:KeyContainer>\n")
	return p.w.Flush()
}

// writable says why a token has no place in PSKC.
func writable(t *Token) error {
	fail := func(what string) error { return fmt.Errorf("%w: token %.80q: %s", ErrWrite, t.Serial, what) }
	reason := check(&Token{
		Serial: t.Serial, Manufacturer: t.Manufacturer, Model: t.Model, Issuer: t.Issuer, Account: t.Account,
		Params: t.Params.Default(), Seed: t.Seed, Start: t.Start, Expiry: t.Expiry,
	})
	switch {
	case t.Serial == "":
		return fail("it has no serial; give it one")
	case reason != "":
		return fail(reason)
	case t.Params.Kind == otp.Steam:
		return fail("PSKC has no Steam tokens; leave it out")
	case t.Counter > math.MaxInt64:
		return fail("its counter is more than PSKC can say")
	case t.Params.Epoch%max(t.Params.Period, 1) != 0:
		return fail("its clock begins within a time step, which PSKC cannot say")
	}
	return nil
}

// writer writes a container. Errors of w stay in the bufio.Writer until Flush.
type writer struct {
	w      *bufio.Writer
	block  cipher.Block
	method string
	macKey [32]byte
	key    []byte
}

func (p *writer) wipe() {
	clear(p.key)
	clear(p.macKey[:])
}

func (p *writer) put(format string, args ...any) { fmt.Fprintf(p.w, format, args...) }

// element writes an element with a text, if there is one.
func (p *writer) element(name, text string) {
	if text == "" {
		return
	}
	p.put("<pskc:%s>", name)
	_ = xml.EscapeText(p.w, []byte(text))
	p.put("</pskc:%s>", name)
}

func (p *writer) header(o WriteOptions) error {
	fail := func(what string) error { return fmt.Errorf("%w: %s", ErrWrite, what) }
	switch {
	case len(o.Key) > 0 && len(o.Passphrase) > 0:
		return fail("a key and a passphrase; give one of them")
	case len(o.Key) == 0 && len(o.Passphrase) == 0:
		return fail("no key and no passphrase; give one of them")
	case len(o.Key) != 0 && len(o.Key) != 16 && len(o.Key) != 24 && len(o.Key) != 32:
		return fail(fmt.Sprintf("a key of %d bytes, want 16, 24 or 32", len(o.Key)))
	case o.Iterations != 0 && (o.Iterations < 1000 || o.Iterations > maxIterations):
		return fail(fmt.Sprintf("%d iterations, want 1000 to %d", o.Iterations, maxIterations))
	case checkText("key name", o.KeyName) != "":
		return fail(checkText("key name", o.KeyName))
	}
	p.put(xml.Header+`<pskc:KeyContainer xmlns:pskc=%q xmlns:ds=%q xmlns:xenc=%q xmlns:xenc11=%q xmlns:pkcs5=%q Version="1.0">`+"\n",
		nsPSKC, nsDS, nsXenc, nsXenc11, nsPKCS5)
	p.put("<pskc:EncryptionKey>")
	if len(o.Key) > 0 {
		p.key = append([]byte(nil), o.Key...)
		name := o.KeyName
		if name == "" {
			name = "Pre-shared-key"
		}
		p.put("<ds:KeyName>")
		_ = xml.EscapeText(p.w, []byte(name))
		p.put("</ds:KeyName>")
	} else if err := p.derive(o); err != nil {
		return err
	}
	p.put("</pskc:EncryptionKey>\n")
	var err error
	if p.block, err = aes.NewCipher(p.key); err != nil {
		return fail(err.Error())
	}
	p.method = fmt.Sprintf("%saes%d-cbc", nsXenc, 8*len(p.key))
	_, _ = rand.Read(p.macKey[:])
	p.put("<pskc:MACMethod Algorithm=%q><pskc:MACKey>", nsMore+"hmac-sha256")
	p.encrypt(p.macKey[:])
	p.put("</pskc:MACKey></pskc:MACMethod>\n")
	return nil
}

func (p *writer) derive(o WriteOptions) error {
	iterations := o.Iterations
	if iterations == 0 {
		iterations = DefaultIterations
	}
	var salt [16]byte
	_, _ = rand.Read(salt[:])
	var err error
	if p.key, err = pbkdf2.Key(sha256.New, string(o.Passphrase), salt[:], iterations, 32); err != nil {
		return fmt.Errorf("%w: %w", ErrWrite, err)
	}
	p.put("<xenc11:DerivedKey><xenc11:KeyDerivationMethod Algorithm=%q><pkcs5:PBKDF2-params>"+
		"<Salt><Specified>%s</Specified></Salt><IterationCount>%d</IterationCount><KeyLength>32</KeyLength><PRF Algorithm=%q/>"+
		"</pkcs5:PBKDF2-params></xenc11:KeyDerivationMethod></xenc11:DerivedKey>",
		nsPKCS5+"pbkdf2", base64.StdEncoding.EncodeToString(salt[:]), iterations, nsMore+"hmac-sha256")
	return nil
}

// encrypt writes a value as a fresh IV and AES-CBC, and returns what the MAC is over.
func (p *writer) encrypt(plain []byte) []byte {
	const size = aes.BlockSize
	pad := size - len(plain)%size
	text := make([]byte, size+len(plain)+pad)
	_, _ = rand.Read(text[:size])
	body := text[size:]
	copy(body, plain)
	for i := len(plain); i < len(body); i++ {
		body[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(p.block, text[:size]).CryptBlocks(body, body)
	p.put("<xenc:EncryptionMethod Algorithm=%q/><xenc:CipherData><xenc:CipherValue>%s</xenc:CipherValue></xenc:CipherData>",
		p.method, base64.StdEncoding.EncodeToString(text))
	return text
}

func (p *writer) token(t *Token, number int) {
	params := t.Params.Default()
	p.put("<pskc:KeyPackage><pskc:DeviceInfo>")
	p.element("Manufacturer", t.Manufacturer)
	p.element("SerialNo", t.Serial)
	p.element("Model", t.Model)
	algorithm := string(params.Kind)
	if params.Kind == otp.OCRA {
		algorithm = "ocra-1"
	}
	p.put("</pskc:DeviceInfo><pskc:Key Id=\"%d\" Algorithm=%q>", number, nsPSKC+":"+algorithm)
	p.element("Issuer", t.Issuer)
	p.put("<pskc:AlgorithmParameters>")
	if params.Kind == otp.OCRA {
		p.element("Suite", params.Suite)
	} else {
		if params.Hash != otp.SHA1 {
			p.element("Suite", "HMAC-"+string(params.Hash))
		}
		p.put(`<pskc:ResponseFormat Length="%d" Encoding="DECIMAL"/>`, params.Digits)
	}
	p.put("</pskc:AlgorithmParameters><pskc:Data><pskc:Secret><pskc:EncryptedValue>")
	mac := hmac.New(sha256.New, p.macKey[:])
	mac.Write(p.encrypt(t.Seed))
	p.put("</pskc:EncryptedValue><pskc:ValueMAC>%s</pskc:ValueMAC></pskc:Secret>", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	if params.Kind == otp.TOTP {
		p.integer("Time", 0)
		p.integer("TimeInterval", params.Period)
		// PSKC's clocks begin in 1970: another start is an offset of whole steps.
		if drift := t.Drift - params.Epoch/params.Period; drift != 0 {
			p.integer("TimeDrift", drift)
		}
	} else {
		p.integer("Counter", int64(t.Counter))
	}
	p.put("</pskc:Data>")
	p.element("UserId", t.Account)
	if !t.Start.IsZero() || !t.Expiry.IsZero() {
		p.put("<pskc:Policy>")
		p.date("StartDate", t.Start)
		p.date("ExpiryDate", t.Expiry)
		p.put("</pskc:Policy>")
	}
	p.put("</pskc:Key></pskc:KeyPackage>\n")
}

func (p *writer) integer(name string, value int64) {
	p.put("<pskc:%s>", name)
	p.element("PlainValue", strconv.FormatInt(value, 10))
	p.put("</pskc:%s>", name)
}

func (p *writer) date(name string, when time.Time) {
	if !when.IsZero() {
		p.element(name, when.UTC().Format(time.RFC3339Nano))
	}
}
