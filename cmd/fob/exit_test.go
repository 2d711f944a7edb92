package main

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strconv"
	"testing"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/client"
)

// codes reads every code out of the source of daemon/api, so that a new one cannot be
// forgotten here.
func codes(t *testing.T) []api.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../daemon/api/error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all []api.Code
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "Code" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, api.Code(value))
		}
		return true
	})
	return all
}

func TestEveryCodeHasAnExitStatus(t *testing.T) {
	all := codes(t)
	if len(all) < 30 {
		t.Fatalf("found %d codes in daemon/api, want all of them", len(all))
	}
	for _, code := range all {
		if status, ok := exits[code]; !ok || status == exitDone {
			t.Errorf("exit status of %s = %d, %t, want one that is not 0", code, status, ok)
		}
	}
	if got, want := len(exits), len(all); got != want {
		t.Errorf("the table has %d codes, daemon/api %d", got, want)
	}
}

func TestExitOf(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, 0},
		{"usage", usagef("no"), 2},
		{"wrapped usage", fmt.Errorf("x: %w", usagef("no")), 2},
		{"denied", &api.Error{Code: api.CodeDenied}, 3},
		{"wrapped answer", fmt.Errorf("x: %w", &api.Error{Code: api.CodeNoKey}), 4},
		{"time-out", errTimeout, 5},
		{"interrupted", fmt.Errorf("client: %w", context.Canceled), 5},
		{"newer code", &api.Error{Code: "from-the-future"}, 1},
		{"socket of others", &client.ConnectError{Err: fs.ErrPermission}, 3},
		{"no daemon", &client.ConnectError{Err: fs.ErrNotExist}, 1},
		{"anything", errors.New("x"), 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := exitOf(test.err); got != test.want {
				t.Errorf("exitOf(%v) = %d, want %d", test.err, got, test.want)
			}
		})
	}
}
