// Package cli is what the command lines of fob, fobd and fobkey have in common.
package cli

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// WriteManPages writes the man pages of a tree of commands into a directory, which is made when it
// is not there. section is that of the manual, "1" or "8".
func WriteManPages(root *cobra.Command, section, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	date := manDate()
	header := &doc.GenManHeader{Section: section, Source: "fobd", Manual: "Security keys", Date: &date}
	return doc.GenManTree(root, header, dir)
}

// manDate is the date in the man pages: that of the sources where the builder says it
// (https://reproducible-builds.org/specs/source-date-epoch/), else a fixed one, so that
// the same sources give the same pages.
func manDate() time.Time {
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0).UTC()
	}
	return time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
}

// ManCommand is the hidden command of a program that writes its man pages, for packagers.
func ManCommand(program, section string) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write the man pages of " + program + " into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return WriteManPages(cmd.Root(), section, args[0])
		},
	}
}

// maxSeed bounds a file with a seed, in bytes.
const maxSeed = 1024

// ReadSeed reads a file of hexadecimal bytes, at most 1024 characters, that make an emulated key repeat
// itself. The error names the file, never what is in it.
func ReadSeed(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSeed+1))
	if err == nil && len(data) > maxSeed {
		err = errors.New("too long")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(seed) == 0 {
		return nil, fmt.Errorf("%s: want hexadecimal bytes", name)
	}
	return seed, nil
}
