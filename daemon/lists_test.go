package daemon_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

// strangers are credentials of other keys, with IDs like those of r.
func strangers(n int, r *registered) []*registered {
	var list []*registered
	for i := range n {
		id := make(api.Bytes, len(r.ID))
		copy(id, fmt.Sprint("a credential of another key ", i))
		list = append(list, &registered{ID: id})
	}
	return list
}

// excluding makes creation options with a list.
func excluding(list ...*registered) json.RawMessage {
	var ids []string
	for _, r := range list {
		ids = append(ids, fmt.Sprintf(`{"type":"public-key","id":%q}`, r.ID))
	}
	return creation("alice", ``, `,"excludeCredentials":[`+strings.Join(ids, ",")+`]`)
}

// Lists of any length work with every kind of key, with and without a PIN, whatever it takes at
// once.
func TestListsOfAThousand(t *testing.T) {
	for _, profile := range softkey.Profiles() {
		for _, pin := range []bool{false, true} {
			if old := profile == softkey.ProfileU2F || profile == softkey.ProfileMinimal; old && pin {
				continue
			}
			t.Run(fmt.Sprintf("%s pin=%v", profile, pin), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newLab(t)
					l.soft("k1", softkey.Config{Profile: profile, CTAP1Only: profile == softkey.ProfileU2F})
					p := always()
					if pin {
						must[api.KeyResult](l, api.OpPINSet, api.KeyRequest{}, p)
					}
					r := l.registers(creation("alice", ``, ``), p)
					many := strangers(1000, r)
					for _, verification := range []string{"preferred", "discouraged"} {
						l.asserts(request(verification, append(many, r)...), p, r)
						p.seen = nil
						l.fails(api.OpAssert, api.AssertRequest{Origin: origin, Options: request(verification, many...)}, p, api.CodeNoCredentials)
						if len(p.now(api.PromptTouch)) != 0 {
							t.Error("it blinks for nothing")
						}
					}
					l.fails(api.OpRegister, api.RegisterRequest{Origin: origin, Options: excluding(append(many, r)...)}, p, api.CodeCredentialExcluded)
					l.registers(excluding(many...), p)
				})
			})
		}
	}
}
