package seedfile

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/fobd/fobd/tokens/otp"
)

const migrationScheme = "otpauth-migration:"

// maxBatches is how many pictures one export may have.
const maxBatches = 1000

// errMigration is why a payload cannot be read.
var errMigration = errors.New("not a migration payload; export it from the app again")

// batches are the exports of a file, by id; an export of many tokens comes in several URIs.
type batches struct {
	byID map[uint64]*batch
	ids  []uint64
}

type batch struct {
	size int
	seen map[int]int // index to line
}

// line reads one URI and adds its tokens.
func (b *batches) line(l *lines, c *collector) error {
	fail := func(err error) error { return fmt.Errorf("%w: line %d: %w", ErrFormat, l.line, err) }
	_, raw, ok := strings.Cut(string(l.text), "?")
	query, reason := queryOf(raw)
	if !ok || reason != "" || query["data"] == "" {
		return fail(errMigration)
	}
	data := strings.NewReplacer("-", "+", "_", "/", " ", "+").Replace(strings.TrimRight(query["data"], "="))
	payload, err := base64.RawStdEncoding.DecodeString(data)
	defer clear(payload)
	if err != nil {
		return fail(errMigration)
	}
	p, err := parsePayload(payload, l.line)
	if err == nil {
		err = b.add(p, l.line)
	}
	if err != nil {
		for i := range p.tokens {
			p.tokens[i].Wipe()
		}
		return fail(err)
	}
	for _, t := range p.tokens {
		if err := c.take(t.Token, t.reason); err != nil {
			return err
		}
	}
	return nil
}

func (b *batches) add(p payload, line int) error {
	size := max(p.size, 1)
	if size > maxBatches || p.index >= size {
		return fmt.Errorf("part %d of %d: %w", p.index+1, size, errMigration)
	}
	known, ok := b.byID[p.id]
	if !ok {
		if b.byID == nil {
			b.byID = map[uint64]*batch{}
		}
		known = &batch{size: int(size), seen: map[int]int{}}
		b.byID[p.id] = known
		b.ids = append(b.ids, p.id)
	}
	if known.size != int(size) {
		return fmt.Errorf("an export of %d parts, but of %d on an earlier line: %w", size, known.size, errMigration)
	}
	if earlier, ok := known.seen[int(p.index)]; ok {
		return fmt.Errorf("part %d of %d is also on line %d; remove one of them", p.index+1, size, earlier)
	}
	known.seen[int(p.index)] = line
	return nil
}

// complete says which parts are missing.
func (b *batches) complete() error {
	for _, id := range b.ids {
		batch := b.byID[id]
		if len(batch.seen) == batch.size {
			continue
		}
		var missing []string
		first := 0
		for i := range batch.size {
			if line, ok := batch.seen[i]; !ok {
				missing = append(missing, fmt.Sprint(i+1))
			} else if first == 0 || line < first {
				first = line
			}
		}
		return fmt.Errorf("%w: the export that begins on line %d has %d parts, missing: %s; scan those pictures too",
			ErrFormat, first, batch.size, strings.Join(missing, ", "))
	}
	return nil
}

type payload struct {
	tokens      []migrated
	size, index uint64
	id          uint64
}

type migrated struct {
	Token
	reason string
}

// parsePayload reads a MigrationPayload: 1 the tokens, 2 version, 3 parts, 4 which part, 5 id of the export.
func parsePayload(b []byte, line int) (p payload, err error) {
	err = protoFields(b, func(field uint64, value uint64, data []byte) error {
		switch field {
		case 1:
			t, reason, err := parseMigrated(data)
			t.Line = line
			p.tokens = append(p.tokens, migrated{t, reason})
			return err
		case 3:
			p.size = value
		case 4:
			p.index = value
		case 5:
			p.id = value
		}
		return nil
	})
	return p, err
}

// parseMigrated reads OtpParameters: 1 secret, 2 name, 3 issuer, 4 algorithm, 5 digits, 6 type, 7 counter.
func parseMigrated(b []byte) (t Token, reason string, err error) {
	var algorithm, digits, kind uint64
	var label, issuer string
	err = protoFields(b, func(field uint64, value uint64, data []byte) error {
		switch field {
		case 1:
			clear(t.Seed)
			t.Seed = slices.Clone(data)
		case 2:
			label = string(data)
		case 3:
			issuer = string(data)
		case 4:
			algorithm = value
		case 5:
			digits = value
		case 6:
			kind = value
		case 7:
			t.Counter = value
		}
		return nil
	})
	if err != nil {
		t.Wipe()
		return t, "", err
	}
	t.label(label, issuer)
	switch algorithm {
	case 0, 1:
		t.Params.Hash = otp.SHA1
	case 2:
		t.Params.Hash = otp.SHA256
	case 3:
		t.Params.Hash = otp.SHA512
	case 4:
		reason = "its algorithm is MD5, which is not accepted; enrol the account anew"
	default:
		reason = "its algorithm is not known"
	}
	switch digits {
	case 0, 1:
		t.Params.Digits = 6
	case 2:
		t.Params.Digits = 8
	default:
		reason = "its number of digits is not known"
	}
	switch kind {
	case 1:
		t.Params.Kind = otp.HOTP
	case 0, 2:
		t.Params.Kind, t.Params.Period = otp.TOTP, 30
		t.Counter = 0
	default:
		reason = "its type is not known"
	}
	return t, reason, nil
}

// protoFields calls each for every field of a protobuf message: value for a varint, data for bytes.
func protoFields(b []byte, each func(field, value uint64, data []byte) error) error {
	for len(b) > 0 {
		tag, n := binary.Uvarint(b)
		if n <= 0 {
			return errMigration
		}
		b = b[n:]
		var value uint64
		var data []byte
		switch tag & 7 {
		case 0, 2:
			if value, n = binary.Uvarint(b); n <= 0 {
				return errMigration
			}
			b = b[n:]
			if tag&7 == 0 {
				break
			}
			if value > uint64(len(b)) {
				return errMigration
			}
			data, b = b[:value], b[value:]
		case 1, 5:
			size := 8
			if tag&7 == 5 {
				size = 4
			}
			if len(b) < size {
				return errMigration
			}
			b = b[size:]
			continue
		default:
			return errMigration
		}
		if err := each(tag>>3, value, data); err != nil {
			return err
		}
	}
	return nil
}
