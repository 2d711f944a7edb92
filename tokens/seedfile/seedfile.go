// Package seedfile reads and writes the files that vendors deliver seeds in, and what authenticator apps hand
// over: PSKC (RFC 6030), the CSV files of OATH and Yubico, SafeNet's XML, SafeWord's records, pam_oath's users
// file, otpauth and otpauth-migration URIs, and pictures of them.
//
// A file is readable whole or an error. A token in it that is not usable is a [Refusal], with its line and the
// reason; whether the others are taken is the caller's choice. No error and no refusal has a byte of a seed, a
// key or a passphrase.
package seedfile

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Format is a kind of file.
type Format string

// The formats.
const (
	PSKC      Format = "pskc"      // RFC 6030, plain or encrypted
	CSV       Format = "csv"       // OATH's: serial,seed,type,digits,counter or period
	Yubico    Format = "yubico"    // Yubico's CSV: serial,,0,key,,date,
	XML       Format = "xml"       // SafeNet's and Gemalto's Tokens/Token/Applications/Application
	Dat       Format = "dat"       // SafeWord's and eToken's records
	UsersFile Format = "usersfile" // pam_oath's
	URI       Format = "uri"       // otpauth:// one a line
	Migration Format = "migration" // otpauth-migration:// one a line
)

// Formats are all formats, for texts that list them.
func Formats() []Format {
	return []Format{PSKC, CSV, Yubico, XML, Dat, UsersFile, URI, Migration}
}

// Limits of a file. What is over them is an error.
const (
	// MaxSize is in bytes.
	MaxSize = 256 << 20
	// MaxTokens counts the refused ones too.
	MaxTokens = 1_000_000
)

// ErrFormat says that a file is none of the formats, or not the one that was asked for.
var ErrFormat = errors.New("seedfile: not a seed file")

// ErrTooLarge says that a file is over [MaxSize] or [MaxTokens].
var ErrTooLarge = errors.New("seedfile: the file is too large; split it")

// Options say how a file is read. The zero value reads any plain one.
type Options struct {
	// Format is what the file must be; empty to find out.
	Format Format
	// Key opens a PSKC file with a pre-shared key: 16, 24 or 32 bytes. It is not kept.
	Key []byte `json:"-"`
	// Passphrase opens a PSKC file with a derived key. It is not kept.
	Passphrase []byte `json:"-"`
	// Progress, if set, is called now and then with the number of tokens read, and at the end. It runs in Read.
	Progress func(done int) `json:"-"`
}

// String has neither key nor passphrase.
func (o Options) String() string {
	return fmt.Sprintf("{format=%s key=%s passphrase=%s}", o.Format, given(o.Key), given(o.Passphrase))
}

// GoString is String.
func (o Options) GoString() string { return o.String() }

func given(secret []byte) string {
	if len(secret) == 0 {
		return "none"
	}
	return hidden
}

// Result is what a file has.
type Result struct {
	Format  Format
	Tokens  []Token
	Refused []Refusal
}

// Wipe overwrites all seeds.
func (r *Result) Wipe() {
	for i := range r.Tokens {
		r.Tokens[i].Wipe()
	}
}

// Refusal is a token that is not usable.
type Refusal struct {
	Line   int    // where it begins, from 1
	Serial string // empty when there is none, or when it may be a seed in the wrong place
	Reason string // what is wrong and what to do
}

// String is the refusal in one line.
func (r Refusal) String() string {
	if r.Serial == "" {
		return fmt.Sprintf("line %d: %s", r.Line, r.Reason)
	}
	return fmt.Sprintf("line %d: serial %q: %s", r.Line, r.Serial, r.Reason)
}

// Read reads a file whole. Errors are [ErrFormat], [ErrTooLarge], [ErrKey], [ErrNeedKey], what r says, or say the
// line and what is wrong with it.
func Read(r io.Reader, o Options) (*Result, error) {
	in := bufio.NewReaderSize(&limited{r: r, left: MaxSize}, headSize)
	head, err := in.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) { // a byte order mark
		_, _ = in.Discard(3)
		head = head[3:]
	}
	found := detect(head)
	asked := o.Format
	if asked == "" {
		o.Format = found
	}
	c := newCollector(o)
	switch {
	case found == XML || found == PSKC: // the root element tells them apart
		err = readXML(in, c, asked)
	case found == "" && len(head) > 0 && (head[0] == 0xff || head[0] == 0xfe || bytes.IndexByte(head, 0) >= 0):
		err = fmt.Errorf("%w: not UTF-8 text; save it as UTF-8", ErrFormat)
	default:
		err = readLines(in, c)
	}
	if err == nil {
		err = c.finish()
	}
	if err != nil {
		c.result.Wipe()
		return nil, err
	}
	return c.result, nil
}

func readLines(in io.Reader, c *collector) error {
	each, ok := map[Format]func(*lines, *collector) error{
		CSV: readCSV, Yubico: readYubico, Dat: readDat, UsersFile: readUsersFile, URI: readURIs, Migration: readURIs,
	}[c.o.Format]
	if !ok {
		return fmt.Errorf("%w; want one of %v", ErrFormat, Formats())
	}
	c.result.Format = c.o.Format
	l := newLines(in)
	defer l.wipe()
	if err := each(l, c); err != nil {
		return err
	}
	return l.err
}

// headSize is how much of a file is looked at to find its format.
const headSize = 16 << 10

// detect finds the format by the first lines.
func detect(head []byte) Format {
	for line := range bytes.Lines(head) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' && !bytes.Contains(line, []byte("SafeWord Authenticator")) {
			continue
		}
		return detectLine(line)
	}
	return ""
}

func detectLine(line []byte) Format {
	has := func(prefix string) bool {
		return len(line) >= len(prefix) && bytes.EqualFold(line[:len(prefix)], []byte(prefix))
	}
	switch {
	case line[0] == '<':
		return XML
	case has("otpauth-migration:"):
		return Migration
	case has("otpauth:"):
		return URI
	case has("dn:"), has("scc"), has("#"):
		return Dat
	case has("HOTP") && len(line) > 4 && bytes.IndexByte([]byte("/ \t"), line[4]) >= 0:
		return UsersFile
	case looksYubico(split(line)):
		return Yubico
	case bytes.IndexByte(line, ',') >= 0:
		return CSV
	}
	return ""
}

// limited is a reader that fails past its limit, where io.LimitedReader would look like a file that ends.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left+1 {
		p = p[:l.left+1]
	}
	n, err := l.r.Read(p)
	if l.left -= int64(n); l.left < 0 {
		return 0, ErrTooLarge
	}
	return n, err
}
