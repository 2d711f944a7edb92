package daemon_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

// The length of a PIN is counted in code points of Unicode normalization form C (CTAP 2.3,
// section 6.5.1), and its size in bytes.
func TestNewPINLength(t *testing.T) {
	for name, test := range map[string]struct {
		pin string
		ok  bool
	}{
		"one too few":                    {"12345", false},
		"just enough":                    {"123456", true},
		"five, if composed":              {"1234e\u0301", false},
		"six, if composed":               {"12345e\u0301", true},
		"six of several bytes":           {"✓✓✓✓✓✓", true},
		"most bytes":                     {strings.Repeat("x", 63), true},
		"a byte too many":                {strings.Repeat("x", 64), false},
		"most bytes in few code points":  {strings.Repeat("✓", 21), true},
		"bytes too many, in code points": {strings.Repeat("✓", 22), false},
		"fits composed":                  {strings.Repeat("e\u0301", 31), true},
		"not text":                       {"\xff\xfe123456", false},
		"a zero byte":                    {"123\x00456", false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.soft("k1", softkey.Config{MinPINLength: 6})
				p := &person{pins: []string{test.pin}}
				if !test.ok {
					l.fails(api.OpPINSet, api.KeyRequest{}, p, api.CodePINPolicy)
					return
				}
				must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
				if got := p.seen[0]; got.MinLength != 6 {
					t.Errorf("got %+v", got)
				}
				// Either form is that PIN.
				composed := strings.ReplaceAll(test.pin, "e\u0301", "é")
				must[api.CredentialListResult](l, api.OpCredentialList, api.CredentialListRequest{}, &person{pins: []string{composed}})
			})
		})
	}
}

// A key that refuses PINs that are too simple says so, and the person is told.
func TestPINComplexity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{PINComplexity: true})
		if got := must[api.PINStatusResult](l, api.OpPINStatus, api.KeyRequest{}, nil); got.Complexity == nil || !*got.Complexity || got.Set {
			t.Errorf("got %+v", got)
		}
		e := l.fails(api.OpPINSet, api.KeyRequest{}, &person{pins: []string{"111111"}}, api.CodePINPolicy)
		if !strings.Contains(e.Hint, "less simple") {
			t.Errorf("got %+v", e)
		}
		must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, &person{pins: []string{"731946"}})
	})
}
