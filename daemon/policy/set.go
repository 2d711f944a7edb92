package policy

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	_ "embed" // default rules

	"github.com/cedar-policy/cedar-go"
	xast "github.com/cedar-policy/cedar-go/x/exp/ast"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed default.cedar
var defaultRules []byte

// DefaultFile is the name under which rules and errors name the rules that are built in.
const DefaultFile = "default.cedar"

// maxFile bounds a file of rules, maxRules all rules together.
const (
	maxFile  = 1 << 20
	maxRules = 20000
)

// Config is how a [Set] is made.
type Config struct {
	// Actions are those that rules can name.
	Actions []Action
	// Owner is the user that the daemon runs as.
	Owner uint32
	// OwnerRules says that this user, if not root, is a person whose own daemon it is.
	OwnerRules bool
	// Dir holds files *.cedar, read in the order of their names. It need not exist; empty for none.
	Dir string
	// NoDefault leaves the rules out that are built in.
	NoDefault bool
}

// Set is rules in Cedar. It is made by [New].
type Set struct {
	cfg       Config
	validator *validate.Validator
	rules     atomic.Pointer[rules]

	mu sync.Mutex // held by Reload
}

// rules are what a set holds at a time. They never change.
type rules struct {
	list  []*rule
	index index
	// timed says that some rule looks at the time as it is; then decisions are not kept.
	timed bool
	kept  *decisions
}

// rule is a policy of Cedar with what is asked of it each time.
type rule struct {
	Rule
	policy *cedar.Policy
	text   string
	ask    bool
	grants []string
}

// FileError says where in a file of rules something is wrong.
type FileError struct {
	File   string
	Line   int // from 1; 0 when the whole file is meant
	Rule   string
	Reason string
}

func (e *FileError) Error() string {
	s := "policy: " + e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Rule != "" {
		s += ": rule " + e.Rule
	}
	return s + ": " + e.Reason
}

// New reads the rules.
func New(cfg Config) (*Set, error) {
	v, err := validator(cfg.Actions)
	if err != nil {
		return nil, err
	}
	s := &Set{cfg: cfg, validator: v}
	if err := s.Reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Reload reads the rules again. On an error, which may be several joined [*FileError]s, those that were
// there still hold.
func (s *Set) Reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*rule
	var errs []error
	add := func(file string, data []byte) {
		more, err := s.parse(file, data)
		if err != nil {
			errs = append(errs, err)
		}
		list = append(list, more...)
	}
	if !s.cfg.NoDefault {
		add(DefaultFile, defaultRules)
	}
	files, err := s.files()
	if err != nil {
		return err
	}
	for _, file := range files {
		data, err := readFile(file, s.cfg.Owner)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		add(file, data)
	}
	errs = append(errs, check(list))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.rules.Store(compile(list))
	return nil
}

// Check says what is wrong with a file of rules, if it stood beside those that are there now.
func (s *Set) Check(name string, data []byte) error {
	list, err := s.parse(name, data)
	if err != nil {
		return err
	}
	for _, r := range s.rules.Load().list {
		if filepath.Base(r.File) != filepath.Base(name) {
			list = append(list, r)
		}
	}
	return check(list)
}

func (s *Set) files() ([]string, error) {
	if s.cfg.Dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(s.cfg.Dir) // sorted
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("policy: %w", err)
	}
	var files []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".cedar") && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(s.cfg.Dir, e.Name()))
		}
	}
	return files, nil
}

// readFile reads a file that nobody else than root and the daemon's own user can write.
func readFile(path string, owner uint32) ([]byte, error) {
	refuse := func(format string, args ...any) ([]byte, error) {
		return nil, &FileError{File: path, Reason: fmt.Sprintf(format, args...)}
	}
	f, err := os.Open(path)
	if err != nil {
		return refuse("%v", err)
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return refuse("%v", err)
	}
	if !info.Mode().IsRegular() {
		return refuse("is no file")
	}
	if info.Mode().Perm()&0o022 != 0 {
		return refuse("others may write it (mode %04o); chmod go-w", info.Mode().Perm())
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 && stat.Uid != owner {
		return refuse("belongs to user %d, who is neither root nor the daemon's own; chown", stat.Uid)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return refuse("%v", err)
	}
	if len(data) > maxFile {
		return refuse("longer than %d bytes", maxFile)
	}
	return data, nil
}

// parse reads one file. What it returns with an error is of no use but to find further errors.
func (s *Set) parse(file string, data []byte) ([]*rule, error) {
	policies, err := cedar.NewPolicyListFromBytes(file, data)
	if err != nil {
		line, reason := position(err)
		return nil, &FileError{File: file, Line: line, Reason: reason}
	}
	var list []*rule
	var errs []error
	for i, p := range policies {
		r := &rule{policy: p, Rule: Rule{File: file, Line: p.Position().Line, Effect: Allow}}
		if p.Effect() == cedar.Forbid {
			r.Effect = Deny
		}
		fail := func(format string, args ...any) {
			errs = append(errs, &FileError{file, r.Line, r.ID, fmt.Sprintf(format, args...)})
		}
		if r.ID = string(p.Annotations()["id"]); r.ID == "" {
			r.ID = fmt.Sprintf("%s#%d", strings.TrimSuffix(filepath.Base(file), ".cedar"), i+1)
		}
		r.Reason = string(p.Annotations()["reason"])
		r.text = strings.TrimSpace(string(p.MarshalCedar()))
		_, r.ask = p.Annotations()["ask"]
		if r.ask && r.Effect == Deny {
			fail("@ask is for rules that permit")
		}
		if r.grants, err = parseGrants(string(p.Annotations()["grant"])); err != nil {
			fail("%v", err)
		}
		for name := range p.Annotations() {
			if !slices.Contains([]string{"id", "reason", "ask", "grant"}, string(name)) {
				fail("no annotation @%s; there are @id, @reason, @ask and @grant", name)
			}
		}
		if err := s.validator.Policy(r.ID, (*xast.Policy)(p.AST())); err != nil {
			fail("%s", strings.TrimPrefix(err.Error(), "validation error: "))
		}
		list = append(list, r)
	}
	return list, errors.Join(errs...)
}

// wanted is what Cedar's parser says of a word in the wrong place.
var wanted = regexp.MustCompile(`^".*": exact got (.*) want (.+)$`)

// position takes the line out of an error of Cedar's parser.
func position(err error) (line int, reason string) {
	reason = strings.TrimPrefix(err.Error(), "parser error: ")
	var column int
	if _, rest, ok := strings.Cut(reason, "parse error at <input>:"); ok {
		if n, _ := fmt.Sscanf(rest, "%d:%d", &line, &column); n == 2 {
			_, reason, _ = strings.Cut(rest, " ")
			if m := wanted.FindStringSubmatch(reason); m != nil {
				reason = fmt.Sprintf("want %q, not %q", m[2], m[1])
				if m[1] == "" {
					reason = fmt.Sprintf("want %q, and the file ends", m[2])
				}
			}
			reason = fmt.Sprintf("column %d: %s", column, reason)
		}
	}
	return line, reason
}

// Spans of a grant that are no durations.
const (
	GrantOnce   = "once"
	GrantLock   = "lock"
	GrantUnplug = "unplug"
)

// MaxGrant is the longest duration of a grant.
const MaxGrant = 24 * time.Hour

func parseGrants(text string) ([]string, error) {
	if text == "" {
		return []string{GrantOnce}, nil
	}
	var grants []string
	for span := range strings.SplitSeq(text, ",") {
		span = strings.TrimSpace(span)
		switch span {
		case GrantOnce, GrantLock, GrantUnplug:
		default:
			d, err := time.ParseDuration(span)
			if err != nil || d < time.Second || d > MaxGrant {
				return nil, fmt.Errorf("@grant: %q is neither once, lock, unplug nor a duration from 1s to 24h", span)
			}
		}
		if slices.Contains(grants, span) {
			return nil, fmt.Errorf("@grant: %q comes twice", span)
		}
		grants = append(grants, span)
	}
	return grants, nil
}

// check says what is wrong with rules together.
func check(list []*rule) error {
	if len(list) > maxRules {
		return fmt.Errorf("policy: %d rules are more than %d", len(list), maxRules)
	}
	var errs []error
	seen := map[string]*rule{}
	for _, r := range list {
		if other := seen[r.ID]; other != nil {
			errs = append(errs, &FileError{r.File, r.Line, r.ID, fmt.Sprintf("another rule has this @id: %s:%d", other.File, other.Line)})
		}
		seen[r.ID] = r
	}
	return errors.Join(errs...)
}

// Listed is a rule with its text.
type Listed struct {
	Rule
	Text string
}

// List returns the rules that hold now, in the order of the files.
func (s *Set) List() []Listed {
	var list []Listed
	for _, r := range s.rules.Load().list {
		list = append(list, Listed{r.Rule, r.text})
	}
	return list
}
