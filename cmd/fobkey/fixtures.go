package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// fixtures are what a test does to a key from behind: things that no real key lets happen.
type fixtures interface {
	// faults are those that are switched on, as people write them.
	faults() []string
	// setFaults switches faults on, all of them or none.
	setFaults(specs []string) error
	unsetFaults(names []string) error
	clearFaults() error
	// advance moves the key's clock.
	advance(d time.Duration)
	// observe returns a function that calls line with a line of JSON for what the key was asked
	// since observe was called, until ctx ends or line fails.
	observe() func(ctx context.Context, line func(string) error) error
}

// stored are fixtures of what the key keeps.
type stored interface {
	// snapshot is the whole state, secrets included.
	snapshot() ([]byte, error)
	restore(snapshot []byte) error
	// importCredentials and exportCredentials use JSON.
	importCredentials(data []byte) (count int, err error)
	exportCredentials() (data []byte, count int, err error)
}

var errNoFixtures = errors.New("this key can't do that")

// maxFixture bounds a file that is read, in bytes.
const maxFixture = 64 << 20

// fixture follows an order about fixtures.
func (k *key) fixture(o order) (string, error) {
	f, ok := k.auth.(fixtures)
	if !ok {
		return "", errNoFixtures
	}
	switch o.verb {
	case "fault":
		return k.fault(f, o)
	case "clock":
		d, err := duration(o.args[0])
		if err != nil {
			return "", err
		}
		f.advance(d)
		return "", nil
	}
	return k.keep(o)
}

// keep follows an order about what the key keeps, with a file.
func (k *key) keep(o order) (string, error) {
	s, ok := k.auth.(stored)
	if !ok {
		return "", errNoFixtures
	}
	name := o.args[0]
	switch o.verb {
	case "snapshot":
		data, err := s.snapshot()
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d bytes", len(data)), writeFixture(name, data)
	case "export":
		data, n, err := s.exportCredentials()
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("%d credentials", n), writeFixture(name, data)
	}
	data, err := readFixture(name)
	if err != nil {
		return "", err
	}
	if o.verb == "restore" {
		return "", s.restore(data)
	}
	n, err := s.importCredentials(data)
	return fmt.Sprintf("%d credentials", n), err
}

func readFixture(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no file", name)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFixture+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFixture {
		return nil, fmt.Errorf("%s is longer than %d bytes", name, maxFixture)
	}
	return data, nil
}

// writeFixture puts a file in its place as a whole: it holds private keys, so it is for its owner
// only from the beginning.
func writeFixture(name string, data []byte) error {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no file", name)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".fobkey-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	if e := file.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		_ = os.Remove(file.Name())
	}
	return err
}
