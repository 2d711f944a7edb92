package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commands gives all commands that a person sees but those of cobra itself.
func commands(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			all = append(all, commands(c)...)
		}
	}
	return all
}

// scriptUses tells which commands and flags the scripts try: "fob pin set" and
// "fob pin set --key".
func scriptUses(t *testing.T, root *cobra.Command) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	word := regexp.MustCompile(`[^\s'"]+`)
	uses := map[string]bool{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		script, _, _ := strings.Cut(string(data), "\n-- ")
		for line := range strings.Lines(script) {
			words := word.FindAllString(line, -1)
			at := slices.Index(words, "fob")
			if at < 0 || !slices.Contains([]string{"exec", "status", "term"}, words[0]) {
				continue
			}
			cmd, _, err := root.Find(words[at+1:])
			if err != nil || slices.Contains(words, cobra.ShellCompRequestCmd) {
				continue // a test of an unknown command
			}
			uses[cmd.CommandPath()] = true
			for _, w := range words[at+1:] {
				if w == "--" {
					break // what follows is another program's
				}
				if strings.HasPrefix(w, "--") {
					name, _, _ := strings.Cut(w, "=")
					uses[cmd.CommandPath()+" "+name] = true
					uses[name] = true
				}
			}
		}
	}
	return uses
}

// Habit 23: every command and flag is in the usage text, in the man page and in a script.
func TestUsageManPagesAndScriptsAgree(t *testing.T) {
	dir := t.TempDir()
	a := &app{out: os.Stdout, err: os.Stderr}
	if status := a.main(t.Context(), []string{"man", dir}); status != 0 {
		t.Fatalf("fob man: status %d", status)
	}
	root := (&app{}).root()
	uses := scriptUses(t, root)
	for _, cmd := range commands(root) {
		path := cmd.CommandPath()
		page := filepath.Join(dir, strings.ReplaceAll(path, " ", "-")+".1")
		man, err := os.ReadFile(page)
		if err != nil {
			t.Errorf("%s has no man page: %v", path, err)
		}
		if cmd.Runnable() && !cmd.HasSubCommands() && !uses[path] {
			t.Errorf("no script runs %s", path)
		}
		if cmd.Short == "" {
			t.Errorf("%s has no short help", path)
		}
		if p := cmd.Parent(); p != nil && !strings.Contains(p.UsageString(), cmd.Name()) {
			t.Errorf("the usage text of %s does not name %s", p.CommandPath(), cmd.Name())
		}
		usage := cmd.UsageString()
		check := func(f *pflag.Flag, tried bool) {
			if f.Name == "help" || f.Hidden {
				return
			}
			if !strings.Contains(usage, "--"+f.Name) {
				t.Errorf("the usage text of %s does not name --%s", path, f.Name)
			}
			if !bytes.Contains(man, []byte(`--`+f.Name)) && !bytes.Contains(man, []byte(`\-\-`+strings.ReplaceAll(f.Name, "-", `\-`))) {
				t.Errorf("the man page of %s does not name --%s", path, f.Name)
			}
			if !tried {
				t.Errorf("no script tries %s --%s", path, f.Name)
			}
		}
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			check(f, uses[path+" --"+f.Name] || strings.HasPrefix(path, "fob completion"))
		})
		cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { check(f, uses["--"+f.Name]) })
	}
	for use := range uses {
		if path, flag, ok := strings.Cut(use, " --"); ok {
			cmd, _, err := root.Find(strings.Fields(path)[1:])
			if err != nil || cmd.Flag(flag) == nil && flag != "bogus" && flag != "help" {
				t.Errorf("a script uses %s --%s, which does not exist", path, flag)
			}
		}
	}
}

func TestManPagesRepeat(t *testing.T) {
	var pages [2]string
	for i := range pages {
		dir := t.TempDir()
		if status := (&app{}).main(t.Context(), []string{"man", dir}); status != 0 {
			t.Fatalf("fob man: status %d", status)
		}
		names, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil || len(names) < 20 {
			t.Fatalf("%d man pages, %v", len(names), err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			pages[i] += filepath.Base(name) + "\n" + string(data)
		}
	}
	if pages[0] != pages[1] {
		t.Error("the man pages differ from run to run")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "0")
	dir := t.TempDir()
	if status := (&app{}).main(t.Context(), []string{"man", dir}); status != 0 {
		t.Fatalf("fob man: status %d", status)
	}
	data, err := os.ReadFile(filepath.Join(dir, "fob.1"))
	if err != nil || !strings.Contains(string(data), "Jan 1970") {
		t.Errorf("SOURCE_DATE_EPOCH does not date the page: %v", err)
	}
}

// The unit starts a command that there is, with flags that it has.
func TestAgentUnit(t *testing.T) {
	unit, err := os.ReadFile("../../packaging/systemd/user/fob-agent.service")
	if err != nil {
		t.Fatal(err)
	}
	match := regexp.MustCompile(`(?m)^ExecStart=fob (.*)$`).FindSubmatch(unit)
	if match == nil {
		t.Fatalf("no fob in %s", unit)
	}
	cmd, args, err := (&app{}).root().Find(strings.Fields(string(match[1])))
	if err != nil || cmd.Name() != "agent" {
		t.Fatalf("got %v, %v", cmd, err)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Error(err)
	}
}
