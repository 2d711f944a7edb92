package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// createFile writes a file that only its owner can read, whole or not at all. One that is there stays as it is.
func createFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".fob-*")
	if err != nil {
		return usagef("%w", err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		// Unlike a renaming, this does not replace. Some file systems, such as those of memory sticks, have no links.
		if err = os.Link(f.Name(), name); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrPermission) {
			if err = notThere(name); err == nil {
				return os.Rename(f.Name(), name)
			}
		}
	}
	err = errors.Join(err, os.Remove(f.Name()))
	if errors.Is(err, os.ErrExist) {
		return usagef("%s is there already; choose another name", name)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// notThere fails if a file is there, before anything is done that would be written to it.
func notThere(name string) error {
	if _, err := os.Lstat(name); err == nil {
		return usagef("%s is there already; choose another name", name)
	}
	return nil
}
