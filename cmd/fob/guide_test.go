package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/creack/pty"
	"github.com/rogpeppe/go-internal/testscript"
)

// guide is the document for people whose examples are run, wherever a script is.
var guide = func() string {
	path, err := filepath.Abs("../../docs/keys.md")
	if err != nil {
		panic(err)
	}
	return path
}()

// guideLines gives the lines of fob in a section of a document: those that are indented.
func guideLines(document, section string) (lines []string) {
	here := false
	for line := range strings.Lines(document) {
		line = strings.TrimSuffix(line, "\n")
		if title, ok := strings.CutPrefix(line, "## "); ok {
			here = title == section
		} else if code, ok := strings.CutPrefix(line, "    fob "); ok && here {
			lines = append(lines, "fob "+code)
		}
	}
	return lines
}

// followGuide runs the examples of a section of docs/keys.md as they stand there, each in a
// terminal where a person types the PIN or, where that is asked for, the new one, and agrees to
// everything. All must succeed. OMIT are the beginnings of examples to leave out.
//
//	guide SECTION PIN NEW-PIN [OMIT...]
func followGuide(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: guide section pin new-pin [omit...]")
	}
	document, err := os.ReadFile(guide)
	ts.Check(err)
	lines := guideLines(string(document), args[0])
	for _, omit := range args[3:] {
		var rest []string
		for _, line := range lines {
			if !strings.HasPrefix(line, omit) {
				rest = append(rest, line)
			}
		}
		if len(rest) == len(lines) {
			ts.Fatalf("no example begins with %q", omit)
		}
		lines = rest
	}
	if len(lines) == 0 {
		ts.Fatalf("no examples under %q", args[0])
	}
	p := &agreeable{pin: args[1], fresh: args[2]}
	for _, line := range lines {
		if err := p.run(program(ts, []string{"sh", "-c", line})); err != nil {
			ts.Fatalf("%s: %v", line, err)
		}
	}
}

// agreeable is a person who knows the PIN and says yes.
type agreeable struct{ pin, fresh string }

// questions are those that fob asks at a terminal, at the end of what is on the screen.
var questions = regexp.MustCompile(`(Enter the PIN [^\r\n]*: |Enter a new PIN [^\r\n]*: |The same again: |Type yes: )$`)

// run runs a program in a terminal and answers what it asks.
func (p *agreeable) run(cmd *exec.Cmd) error {
	f, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 200})
	if err != nil {
		return err
	}
	defer f.Close()
	late := time.AfterFunc(scriptTimeout, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	var said strings.Builder
	b := make([]byte, 4096)
	for {
		n, err := f.Read(b)
		said.Write(b[:n])
		if err != nil {
			break // the program has ended
		}
		switch q := questions.FindString(said.String()); {
		case q == "":
			continue
		case q == "Type yes: ":
			_, err = io.WriteString(f, "yes\r")
		case strings.HasPrefix(q, "Enter the PIN"):
			_, err = io.WriteString(f, p.pin+"\r")
		default:
			_, err = io.WriteString(f, p.fresh+"\r")
		}
		if err != nil {
			return err
		}
		said.WriteString("\n") // what is answered is not asked any more
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w; on the screen:\n%q", err, said.String())
	}
	return nil
}
