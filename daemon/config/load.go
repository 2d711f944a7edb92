package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile bounds one file, in bytes.
const maxFile = 1 << 20

// Error says where in a file something is wrong.
type Error struct {
	File   string
	Line   int    // from 1; 0 when the whole file is meant
	Key    string // with dots, empty when no key is meant
	Reason string
}

func (e *Error) Error() string {
	s := "config: " + e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Key != "" {
		s += ": " + e.Key
	}
	return s + ": " + e.Reason
}

// Load reads a file and what is in fobd.toml.d beside it, on top of the defaults. An
// empty path means the scope's own file, which need not exist. It returns the files
// that it read. The result is not validated: the command line may still change it.
func Load(path string, s Scope) (*Config, []string, error) {
	c := Defaults(s)
	optional := path == ""
	if optional {
		if path = s.File(); path == "" {
			return &c, nil, nil
		}
	}
	// A folder of the file's own name: fobd.toml.d for fobd.toml.
	more, err := filepath.Glob(escape(path) + ".d/*.toml") // sorted
	if err != nil {
		return nil, nil, fmt.Errorf("config: %w", err)
	}
	var files []string
	for i, file := range append([]string{path}, more...) {
		data, err := read(file)
		if i == 0 && optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("config: %w", err)
		}
		if err := Parse(&c, file, data); err != nil {
			return nil, nil, err
		}
		files = append(files, file)
	}
	return &c, files, nil
}

// escape makes a path match only itself.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func read(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = &Error{File: file, Reason: fmt.Sprintf("longer than %d bytes", maxFile)}
	}
	return data, err
}

// Parse reads TOML on top of what c holds; file is its name in errors, which are
// [*Error]s, joined when there are several. Emulated keys are added to those of c. On
// an error c is unchanged.
func Parse(c *Config, file string, data []byte) error {
	next := *c
	next.Emulate = nil
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&next); err != nil {
		return located(file, data, err)
	}
	next.Emulate = append(c.Emulate[:len(c.Emulate):len(c.Emulate)], next.Emulate...)
	*c = next
	return nil
}

// located turns an error of the TOML library into ours.
func located(file string, data []byte, err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		var errs []error
		for i := range unknown.Errors {
			line, _ := unknown.Errors[i].Position()
			errs = append(errs, &Error{file, line, key(&unknown.Errors[i]), "unknown key"})
		}
		return errors.Join(errs...)
	}
	reason := strings.TrimPrefix(err.Error(), "toml: ")
	var at *toml.DecodeError
	if errors.As(err, &at) {
		line, _ := at.Position()
		return &Error{file, line, key(at), reason}
	}
	return &Error{File: file, Line: lineOf(data, err), Reason: reason}
}

// lineOf finds the line of an error that has no position (the TOML library gives none
// when a number stands where a text is wanted): the first one with which the file
// fails in the same way. It is 0 in files too long for that.
func lineOf(data []byte, err error) int {
	if bytes.Count(data, []byte("\n")) > 1000 {
		return 0
	}
	end, n := 0, 0
	for line := range bytes.Lines(data) {
		end += len(line)
		n++
		var c Config
		if e := toml.Unmarshal(data[:end], &c); e != nil && e.Error() == err.Error() {
			return n
		}
	}
	return 0
}

func key(e *toml.DecodeError) string { return strings.Join(e.Key(), ".") }
