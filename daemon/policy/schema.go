package policy

import (
	_ "embed" // schema and default rules
	"fmt"
	"strings"

	"github.com/cedar-policy/cedar-go/x/exp/schema"
	"github.com/cedar-policy/cedar-go/x/exp/schema/validate"
)

//go:embed fobd.cedarschema
var words string

const factorWords = `	given: Set<String>,    // what the person has shown: "key", "verification" (its PIN, or a finger), "code", "recovery"
	enrolled: Set<String>, // of these, what the person could show
	kinds: Long, // how many of key, verification and code (or recovery) were shown
	keys: Long,  // how many security keys the person has
	codes: Long, // how many tokens for codes
`

// Schema is what rules can speak of, in Cedar's schema language: the file fobd.cedarschema, and an
// action for each of actions.
func Schema(actions []Action) string {
	var b strings.Builder
	b.WriteString(words)
	// What "second-factor" is told: all of Context, and the factors.
	_, rest, _ := strings.Cut(words, "type Context = {")
	common, _, _ := strings.Cut(rest, "};")
	fmt.Fprintf(&b, "type FactorContext = {%s%s};\n", common, factorWords)
	for _, scope := range []Scope{ScopeRead, ScopeUse, ScopeAdmin} {
		fmt.Fprintf(&b, "action %q;\n", string(scope))
	}
	for _, a := range actions {
		fmt.Fprintf(&b, "action %q in [%q] appliesTo { principal: User, resource: [Key, Daemon], context: Context };\n", a.Operation, string(a.Scope))
	}
	fmt.Fprintf(&b, "action %q appliesTo { principal: User, resource: [Key, Daemon], context: Context };\n", ClaimOrigin.Operation)
	fmt.Fprintf(&b, "action %q appliesTo { principal: User, resource: Daemon, context: FactorContext };\n", SecondFactor.Operation)
	return b.String()
}

// validator checks rules against the schema, so that a misspelt word is an error and no rule without effect.
func validator(actions []Action) (*validate.Validator, error) {
	var s schema.Schema
	if err := s.UnmarshalCedar([]byte(Schema(actions))); err != nil {
		return nil, fmt.Errorf("policy: schema: %w", err)
	}
	resolved, err := s.Resolve()
	if err != nil {
		return nil, fmt.Errorf("policy: schema: %w", err)
	}
	return validate.New(resolved), nil
}
