package cmd_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// coverage is the table of what of CTAP is implemented where and shown by which test.
const coverage = "../docs/ctap-2.3.md"

// source is what the table may name: by folder, the declarations (Name and Type.Name) and the
// tests.
type source map[string]map[string]bool

func readSource(t *testing.T) source {
	t.Helper()
	s := make(source)
	err := filepath.WalkDir("..", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && file != ".." && strings.HasPrefix(d.Name(), ".") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(file, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel("..", filepath.Dir(file))
		if err != nil {
			return err
		}
		if s[folder] == nil {
			s[folder] = make(map[string]bool)
		}
		for _, decl := range parsed.Decls {
			for _, name := range declared(decl) {
				s[folder][name] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// declared names what a declaration declares.
func declared(decl ast.Decl) []string {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Recv == nil {
			return []string{decl.Name.Name}
		}
		receiver := decl.Recv.List[0].Type
		if star, ok := receiver.(*ast.StarExpr); ok {
			receiver = star.X
		}
		if id, ok := receiver.(*ast.Ident); ok {
			return []string{id.Name + "." + decl.Name.Name}
		}
	case *ast.GenDecl:
		var names []string
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				names = append(names, spec.Name.Name)
				if s, ok := spec.Type.(*ast.StructType); ok {
					for _, field := range s.Fields.List {
						for _, name := range field.Names {
							names = append(names, spec.Name.Name+"."+name.Name)
						}
					}
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					names = append(names, name.Name)
				}
			}
		}
		return names
	}
	return nil
}

// rows are the cells of all rows of all tables of a Markdown text, with the heading above.
func rows(text string) (list [][]string) {
	heading := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if h, ok := strings.CutPrefix(line, "## "); ok {
			heading = h
		}
		if !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|--") || strings.HasPrefix(line, "| --") {
			continue
		}
		cells := []string{heading}
		for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
			cells = append(cells, strings.TrimSpace(cell))
		}
		list = append(list, cells)
	}
	return list
}

var quoted = regexp.MustCompile("`([^`]+)`")

// A row is: item, number, client, softkey, test, note. Client and softkey cells name declarations
// of ctap2 and tokens/softkey; test cells name folder.Test.
func TestCoverageTableIsTrue(t *testing.T) {
	text, err := os.ReadFile(coverage)
	if err != nil {
		t.Fatal(err)
	}
	have := readSource(t)
	items := 0
	for _, row := range rows(string(text)) {
		if len(row) != 7 {
			t.Errorf("%s: a row has %d cells, want 6: %v", row[0], len(row)-1, row[1:])
			continue
		}
		if row[1] == "Item" {
			continue
		}
		items++
		client, softkey, tests, note := row[3], row[4], row[5], row[6]
		if (client == "" && softkey == "" || tests == "") && note == "" {
			t.Errorf("%s: %s is claimed and not shown, and no note says why", row[0], row[1])
		}
		for folder, cell := range map[string]string{"ctap2": client, "tokens/softkey": softkey} {
			for _, m := range quoted.FindAllStringSubmatch(cell, -1) {
				if !have[folder][m[1]] {
					t.Errorf("%s: %s names %s, which is not in %s", row[0], row[1], m[1], folder)
				}
			}
		}
		for _, m := range quoted.FindAllStringSubmatch(tests, -1) {
			folder, name := path.Split(m[1])
			last, test, ok := strings.Cut(name, ".")
			if !ok || !have[folder+last][test] {
				t.Errorf("%s: %s is said to be shown by %s, which is not there", row[0], row[1], m[1])
			}
		}
	}
	if items < 150 {
		t.Errorf("%d items: the table is not all of CTAP", items)
	}
}

// What the package ctap2 declares of the protocol is in the table, with its number.
func TestCoverageTableIsComplete(t *testing.T) {
	text, err := os.ReadFile(coverage)
	if err != nil {
		t.Fatal(err)
	}
	numbers := make(map[string]map[string]bool) // heading → numbers
	items := make(map[string]bool)
	for _, row := range rows(string(text)) {
		if numbers[row[0]] == nil {
			numbers[row[0]] = make(map[string]bool)
		}
		numbers[row[0]][row[2]] = true
		items[strings.Trim(row[1], "`")] = true
	}
	files, err := filepath.Glob("../ctap2/*.go")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			literal, ok := spec.Values[0].(*ast.BasicLit)
			if !ok {
				return true
			}
			kind, _ := spec.Type.(*ast.Ident)
			name := spec.Names[0].Name
			switch {
			case literal.Kind == token.STRING && (strings.HasPrefix(name, "Option") || strings.HasPrefix(name, "Extension") || strings.HasPrefix(name, "Version")):
				found++
				if text, _ := strconv.Unquote(literal.Value); !items[text] {
					t.Errorf("%s = %s is not in the table", name, literal.Value)
				}
			case kind != nil && headings[kind.Name] != "":
				found++
				if n, err := strconv.ParseUint(literal.Value, 0, 64); err != nil || !numbers[headings[kind.Name]][hexByte(n)] {
					t.Errorf("%s = %s is not in the table under %q", name, literal.Value, headings[kind.Name])
				}
			}
			return true
		})
	}
	if found < 120 {
		t.Errorf("only %d constants were looked at", found)
	}
	for n := range 0x1F {
		if !numbers["authenticatorGetInfo"][hexByte(uint64(n+1))] {
			t.Errorf("member %#02x of getInfo is not in the table", n+1)
		}
	}
}

// headings are where the constants of a type belong.
var headings = map[string]string{
	"Cmd":                            "Commands",
	"ClientPINSubcommand":            "authenticatorClientPIN",
	"CredentialManagementSubcommand": "authenticatorCredentialManagement",
	"BioEnrollmentSubcommand":        "authenticatorBioEnrollment",
	"ConfigSubcommand":               "authenticatorConfig",
	"Permission":                     "Permissions",
	"SampleStatus":                   "Fingerprint samples",
	"Status":                         "Status codes",
}

func hexByte(n uint64) string {
	s := strings.ToUpper(strconv.FormatUint(n, 16))
	if len(s) < 2 {
		s = "0" + s
	}
	return "0x" + s
}
