package seedfile

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Limits of XML. There are no DTDs, and so no entities but XML's own.
const (
	maxDepth   = 24
	maxNodes   = 2000     // below one child of the root
	maxXMLPart = 64 << 10 // one tag with its attributes, or one text
)

// node is an element with all that is below it.
type node struct {
	name  xml.Name
	attr  []xml.Attr
	text  []byte
	child []*node
	line  int
}

// xmlReader reads the children of the root one by one, so that a large file is never in memory as a tree.
type xmlReader struct {
	d  *xml.Decoder
	in *xmlBytes
}

// xmlBytes bounds what the decoder reads for one tag or text.
type xmlBytes struct {
	r    io.ByteReader
	left int
}

var errXMLPart = fmt.Errorf("a tag or a text of more than %d bytes", maxXMLPart)

func (b *xmlBytes) ReadByte() (byte, error) {
	if b.left--; b.left < 0 {
		return 0, errXMLPart
	}
	return b.r.ReadByte()
}

// Read is not used: a decoder reads bytes from what has ReadByte.
func (b *xmlBytes) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	var err error
	p[0], err = b.ReadByte()
	if err != nil {
		return 0, err
	}
	return 1, nil
}

// latin1 turns ISO-8859-1 into UTF-8: some vendors' files are from Windows.
type latin1 struct {
	*xmlBytes
	second byte // of a character, 0 for none
}

func (l *latin1) ReadByte() (byte, error) {
	if b := l.second; b != 0 {
		l.second = 0
		return b, nil
	}
	b, err := l.xmlBytes.ReadByte()
	if err != nil || b < 0x80 {
		return b, err
	}
	l.second = 0x80 | b&0x3f
	return 0xc0 | b>>6, nil
}

// charset knows the encodings that a declaration may name besides UTF-8.
func charset(label string, in io.Reader) (io.Reader, error) {
	b, ok := in.(*xmlBytes)
	switch strings.ToLower(label) {
	case "iso-8859-1", "windows-1252", "us-ascii":
		if ok {
			return &latin1{xmlBytes: b}, nil
		}
	}
	return nil, errors.New("an encoding that is not known")
}

// readXML reads the formats that are XML. asked is empty for any.
func readXML(in io.ByteReader, c *collector, asked Format) error {
	x := &xmlReader{in: &xmlBytes{r: in}}
	x.d = xml.NewDecoder(x.in)
	x.d.CharsetReader = charset
	root, err := x.next()
	if err != nil {
		return err
	}
	if root == nil {
		return x.failf("no element")
	}
	var found Format
	switch root.name {
	case xml.Name{Space: nsPSKC, Local: "KeyContainer"}:
		found = PSKC
	case xml.Name{Local: "Tokens"}:
		found = XML
	default:
		return x.failf("the root element is neither KeyContainer of %s nor Tokens", nsPSKC)
	}
	if asked != "" && asked != found {
		return fmt.Errorf("%w of format %s; it is %s", ErrFormat, asked, found)
	}
	c.result.Format, c.o.Format = found, found
	if found == PSKC {
		return readPSKC(x, root, c)
	}
	return readTokens(x, c)
}

// failf says what is wrong at the line that was read last. Its texts never have a part of the file.
func (x *xmlReader) failf(format string, args ...any) error {
	line, _ := x.d.InputPos()
	return fmt.Errorf("%w: line %d: %s", ErrFormat, line, fmt.Sprintf(format, args...))
}

// token reads a tag or a text; nil is the end.
func (x *xmlReader) token() (xml.Token, error) {
	x.in.left = maxXMLPart
	t, err := x.d.Token()
	switch {
	case errors.Is(err, io.EOF):
		return nil, nil
	case errors.Is(err, ErrTooLarge):
		return nil, err
	case errors.Is(err, errXMLPart):
		return nil, x.failf("%v", errXMLPart)
	case err != nil:
		var syntax *xml.SyntaxError
		if errors.As(err, &syntax) || strings.Contains(err.Error(), "encoding") {
			return nil, x.failf("not well-formed XML in UTF-8 or ISO-8859-1; ask the vendor for the file again") // err may have a part of a seed
		}
		return nil, err
	}
	if _, ok := t.(xml.Directive); ok {
		return nil, x.failf("a document type declaration, which is not accepted; remove it")
	}
	return t, nil
}

// next finds the next start tag; nil is the end of the element around it.
func (x *xmlReader) next() (*node, error) {
	for {
		t, err := x.token()
		if err != nil {
			return nil, err
		}
		switch t := t.(type) {
		case nil, xml.EndElement:
			return nil, nil
		case xml.StartElement:
			return x.start(t), nil
		}
	}
}

func (x *xmlReader) start(t xml.StartElement) *node {
	line, _ := x.d.InputPos()
	return &node{name: t.Name, attr: t.Attr, line: line}
}

// end reads what is behind the root.
func (x *xmlReader) end() error {
	for {
		t, err := x.token()
		if err != nil || t == nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			return x.failf("a second root element")
		case xml.CharData:
			if len(bytes.TrimSpace(t)) > 0 {
				return x.failf("text behind the root element")
			}
		}
	}
}

// fill reads all that is below an element.
func (x *xmlReader) fill(top *node) error {
	stack, nodes := []*node{top}, 0
	for len(stack) > 0 {
		n := stack[len(stack)-1]
		t, err := x.token()
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case nil:
			return x.failf("the file ends too early")
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			if len(n.text)+len(t) > maxXMLPart {
				return x.failf("%v", errXMLPart)
			}
			if len(n.text) > 0 || len(bytes.TrimSpace(t)) > 0 {
				n.text = append(n.text, t...)
			}
		case xml.StartElement:
			if nodes++; nodes > maxNodes || len(stack) >= maxDepth {
				return x.failf("elements too many or too deep")
			}
			child := x.start(t)
			n.child = append(n.child, child)
			stack = append(stack, child)
		}
	}
	return nil
}

// wipe overwrites the texts, which may be seeds.
func (n *node) wipe() {
	clear(n.text)
	for _, c := range n.child {
		c.wipe()
	}
}

// get finds the one element of a path; all names are of the namespace. It is nil when one is missing.
func (n *node) get(space string, path ...string) *node {
	for _, local := range path {
		if n == nil {
			return nil
		}
		var found *node
		for _, c := range n.child {
			if c.name.Local == local && c.name.Space == space {
				found = c
				break
			}
		}
		n = found
	}
	return n
}

// string is the text without the space around it; empty for nil.
func (n *node) string() string {
	if n == nil {
		return ""
	}
	return string(bytes.TrimSpace(n.text))
}

// attribute is an attribute without namespace; empty for nil or none.
func (n *node) attribute(name string) string {
	if n == nil {
		return ""
	}
	for _, a := range n.attr {
		if a.Name.Local == name && a.Name.Space == "" {
			return strings.TrimSpace(a.Value)
		}
	}
	return ""
}

// base64 decodes the text; false for nil, for nothing and for what is not base64.
func (n *node) base64() ([]byte, bool) {
	if n == nil {
		return nil, false
	}
	text := make([]byte, 0, len(n.text))
	for _, b := range n.text {
		if b != ' ' && b != '\t' && b != '\r' && b != '\n' {
			text = append(text, b)
		}
	}
	defer clear(text)
	out := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	size, err := base64.StdEncoding.Decode(out, text)
	return out[:size], err == nil && size > 0
}
