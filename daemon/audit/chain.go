package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Hash is the SHA-256 that holds a line to those before it.
type Hash [sha256.Size]byte

// String gives lower-case hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText gives lower-case hex.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText takes 64 lower-case hex digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if !h.set(text) {
		return errors.New("audit: a hash is 64 lower-case hex digits")
	}
	return nil
}

func (h *Hash) set(text []byte) bool {
	if len(text) != 2*len(h) {
		return false
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	_, err := hex.Decode(h[:], text)
	return err == nil
}

// Head names a line: whoever knows it can tell that the log still has this line and all before
// it. The zero value stands in front of the first line.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash Hash   `json:"hash"`
}

// String gives the number, a colon and the hash, as [ParseHead] takes them.
func (h Head) String() string { return strconv.FormatUint(h.Seq, 10) + ":" + h.Hash.String() }

// ParseHead reads what [Head.String] wrote.
func ParseHead(s string) (Head, error) {
	var h Head
	seq, hash, _ := strings.Cut(s, ":")
	n, ok := parseNumber([]byte(seq))
	if !ok || !h.Hash.set([]byte(hash)) {
		return Head{}, fmt.Errorf("audit: a head is a number, a colon and 64 lower-case hex digits, not %q", clean(s, 128))
	}
	h.Seq = n
	return h, nil
}

// Entry is a line of the log.
type Entry struct {
	Seq uint64 `json:"seq"`
	Record
	Prev Hash `json:"prev"`
	Hash Hash `json:"hash"`
}

// Head names the line.
func (e *Entry) Head() Head { return Head{e.Seq, e.Hash} }

// The members that make the chain, as the package's comment defines them.
const (
	domain     = "fobd-audit-v1\n"
	seqMember  = `{"seq":`
	prevMember = `,"prev":"`
	hashMember = `,"hash":"`
	prevSize   = len(prevMember) + 2*sha256.Size + len(`"`)
	hashSize   = len(hashMember) + 2*sha256.Size + len(`"}`)
	// overhead bounds what a line has around its record's members.
	overhead = len(seqMember) + 20 + prevSize + hashSize + len("\n")
)

// hasher computes hashes without allocating.
type hasher struct{ buf []byte }

func (h *hasher) sum(prev Hash, body []byte) Hash {
	h.buf = append(h.buf[:0], domain...)
	h.buf = append(h.buf, prev[:]...)
	h.buf = append(h.buf, body...)
	return sha256.Sum256(h.buf)
}

// appendLine appends the line after head, with its line feed, and gives the new head. members
// are a record's, as encoder wrote them.
func (h *hasher) appendLine(buf []byte, head Head, members []byte) ([]byte, Head) {
	start := len(buf)
	buf = append(buf, seqMember...)
	buf = strconv.AppendUint(buf, head.Seq+1, 10)
	buf = append(buf, members...)
	buf = append(buf, prevMember...)
	buf = hex.AppendEncode(buf, head.Hash[:])
	buf = append(buf, '"')
	head = Head{head.Seq + 1, h.sum(head.Hash, buf[start:])}
	buf = append(buf, hashMember...)
	buf = hex.AppendEncode(buf, head.Hash[:])
	return append(buf, "\"}\n"...), head
}

// link is what a line says of its place in the chain.
type link struct {
	seq        uint64
	prev, hash Hash
	members    []byte // of the record, part of the line
}

var (
	errShape = errors.New("it is not a line of an audit log")
	errHash  = errors.New("its hash does not fit: it was changed")
)

// open takes a line without its line feed apart and checks it against its own hash.
func (h *hasher) open(line []byte) (link, error) {
	var l link
	body, ok := cutTail(line, hashMember, `"}`, &l.hash)
	if !ok {
		return l, errShape
	}
	rest, ok := cutTail(body, prevMember, `"`, &l.prev)
	if !ok {
		return l, errShape
	}
	rest, ok = bytes.CutPrefix(rest, []byte(seqMember))
	if !ok {
		return l, errShape
	}
	end := bytes.IndexByte(rest, ',')
	if end < 0 {
		return l, errShape
	}
	l.seq, ok = parseNumber(rest[:end])
	if !ok || l.seq == 0 {
		return l, errShape
	}
	l.members = rest[end:]
	if h.sum(l.prev, body) != l.hash {
		return l, errHash
	}
	return l, nil
}

// cutTail cuts a member with a hash and what follows it off the end of a line.
func cutTail(line []byte, member, end string, hash *Hash) ([]byte, bool) {
	size := len(member) + 2*len(hash) + len(end)
	if len(line) < size {
		return nil, false
	}
	tail := line[len(line)-size:]
	digits := tail[len(member) : size-len(end)]
	if string(tail[:len(member)]) != member || string(tail[size-len(end):]) != end || !hash.set(digits) {
		return nil, false
	}
	return line[:len(line)-size], true
}

// parseNumber reads decimal digits without a sign and without zeros in front.
func parseNumber(digits []byte) (uint64, bool) {
	if len(digits) == 0 || len(digits) > 20 || digits[0] == '0' && len(digits) > 1 {
		return 0, false
	}
	var n uint64
	for _, c := range digits {
		if c < '0' || c > '9' {
			return 0, false
		}
		d := uint64(c - '0')
		if n > (1<<64-1-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}
