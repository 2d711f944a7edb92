package daemon

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/registry"
	"github.com/fobd/fobd/daemon/store"
	"github.com/fobd/fobd/daemon/webauthn"
)

// People says how the security keys of people are enrolled, and what statements say.
type People struct {
	// RPID is the site that credentials of people are made for, RPName its name for people. The default, fobd.invalid, is one
	// that no browser ever visits (RFC 6761, section 6.4).
	RPID, RPName string
	// Issuer is the daemon's name in statements, Lifetime how long they hold. Defaults: fobd, 5 minutes.
	Issuer   string
	Lifetime time.Duration
	// Models says which models of keys are taken. Default: all.
	Models Models
	// Reseal makes a new key that seeds are sealed with, and returns the file that has it. Default: that cannot be done.
	Reseal func() (file string, err error)
}

// Models are those of security keys that are taken.
type Models interface {
	// Check makes the relying party's check of a registration, and asks whether the model is taken.
	Check(r *api.CheckRequest) (*api.CheckResult, error)
	// Name is what a model is called, empty if it is not known.
	Name(aaguid string) string
	// Distrusted is true of a model that is not to be trusted any more, also when a key of it was enrolled before that was known.
	Distrusted(aaguid string) bool
}

// DefaultRPID is that of [People].
const DefaultRPID = "fobd.invalid"

func (p *People) setDefaults() error {
	p.RPID = cmp.Or(p.RPID, DefaultRPID)
	p.RPName = cmp.Or(p.RPName, p.RPID)
	p.Issuer = cmp.Or(p.Issuer, "fobd")
	p.Lifetime = cmp.Or(p.Lifetime, 5*time.Minute)
	domain, err := webauthn.ParseOrigin(p.origin())
	if err == nil {
		_, err = webauthn.RPID(domain, p.RPID)
	}
	if err != nil {
		return fmt.Errorf("daemon: people's RP ID %q: %w", p.RPID, err)
	}
	return nil
}

// origin is that of the client data.
func (p *People) origin() string { return "https://" + p.RPID }

// maxName bounds a person's name, in characters (store.SaveUser).
const maxName = 256

// about names the person that an operation is about.
func (c *call) aboutPerson(name string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }
	if name == "" || utf8.RuneCountInString(name) > maxName || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) || strings.TrimSpace(name) != name {
		return &api.Error{Code: api.CodeInvalidRequest, Message: "that is no name of a person", Hint: fmt.Sprintf("want 1 to %d characters that can be printed", maxName)}
	}
	c.about, c.person = "for "+name, name
	return nil
}

// forPeople notes that a key is to be used for the daemon's own site.
func (c *call) forPeople(purpose string) error {
	if err := c.setPurpose(purpose); err != nil {
		return err
	}
	// No program claims a web site.
	c.rpID, c.site.rpID = c.e.cfg.People.RPID, c.e.cfg.People.RPID
	return nil
}

// userEnroll is the operation user-enroll: a registration (WebAuthn Level 3, section 7.1) with the daemon as the relying party.
func (c *call) userEnroll(ctx context.Context, r *api.UserEnrollRequest) (*api.UserEnrollResult, error) {
	s, err := c.registry()
	if err != nil {
		return nil, err
	}
	if err := c.aboutPerson(r.User); err != nil {
		return nil, err
	}
	if err := c.forPeople(r.Purpose); err != nil {
		return nil, err
	}
	if err := s.Room(ctx, r.User); err != nil {
		return nil, registryError(err)
	}
	mine, err := s.Tokens(ctx, store.Filter{Owner: r.User})
	if err != nil {
		return nil, registryError(err)
	}
	options, err := c.enrollOptions(s, r.User, mine)
	if err != nil {
		return nil, err
	}
	p := &c.e.cfg.People
	parsed, err := webauthn.ParseCreationOptions(options)
	if err != nil {
		return nil, err
	}
	made, info, err := c.make(ctx, &api.RegisterRequest{Key: r.Key, Origin: p.origin(), Options: options, AllowLastRetry: r.AllowLastRetry}, parsed, p.RPID)
	if err != nil {
		var key *keyError
		if errors.Is(err, ctap2.ErrCredentialExcluded) && errors.As(err, &key) {
			return nil, &api.Error{Code: api.CodeConflict, Message: key.key.Name() + " is enrolled for " + r.User + " already", Hint: "use another key; user-show has theirs", Key: key.key.ID()}
		}
		return nil, err
	}
	checked, err := c.models().Check(&api.CheckRequest{Origin: p.origin(), CreationOptions: options, Credential: made.Credential})
	if err != nil {
		return nil, err
	}
	model := c.models().Name(checked.Registered.AAGUID)
	k, err := s.AddKey(ctx, r.User, registry.Key{
		Credential: store.Credential{
			ID: checked.Registered.CredentialID, PublicKey: checked.Registered.PublicKey, UserHandle: checked.Registered.UserID, RPID: p.RPID,
			AAGUID: checked.Registered.AAGUID, Firmware: firmware(info), Attestation: checked.Attestation, Format: checked.Format,
			BackupEligible: checked.Registered.BackupEligible, Emulated: made.Key.Emulated,
		},
		Manufacturer: made.Key.Manufacturer, Model: cmp.Or(model, made.Key.Product), SignCount: checked.Registered.SignCount,
	})
	if err != nil {
		return nil, registryError(err)
	}
	c.token = k.Serial
	return &api.UserEnrollResult{Key: made.Key, Token: describeToken(k)}, nil
}

// models are those that are taken.
func (c *call) models() Models {
	if m := c.e.cfg.People.Models; m != nil {
		return m
	}
	return anyModel{c.e}
}

// anyModel takes every model that passes the relying party's check.
type anyModel struct{ e *Engine }

func (m anyModel) Check(r *api.CheckRequest) (*api.CheckResult, error) {
	if m.e.cfg.Verifier == nil {
		return nil, &api.Error{Code: api.CodeUnsupported, Message: "this daemon has no relying party check"}
	}
	return m.e.cfg.Verifier.Verify(context.Background(), r)
}

func (anyModel) Name(string) string { return "" }

func (anyModel) Distrusted(string) bool { return false }

// descriptor is a PublicKeyCredentialDescriptorJSON (WebAuthn Level 3, section 5.8.3).
type descriptor struct {
	Type string    `json:"type"`
	ID   api.Bytes `json:"id"`
}

func descriptors(tokens []*store.Token) []descriptor {
	list := []descriptor{}
	for _, k := range tokens {
		if k.Credential != nil {
			list = append(list, descriptor{"public-key", k.Credential.ID})
		}
	}
	return list
}

// challenge is a random one (WebAuthn Level 3, section 13.4.3: at least 16 bytes).
func challenge() api.Bytes {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return b
}

// enrollOptions are a PublicKeyCredentialCreationOptionsJSON. Keys that the person has are excluded, whatever their state: a lost one that was found is enabled, not
// enrolled again.
func (c *call) enrollOptions(s *registry.Service, user string, mine []*store.Token) ([]byte, error) {
	p := &c.e.cfg.People
	mine = slices.DeleteFunc(slices.Clone(mine), func(k *store.Token) bool { return k.State == store.Retired })
	algorithms := []map[string]any{}
	for _, alg := range []int{-7, -8, -35, -36, -257} { // ES256, EdDSA, ES384, ES512, RS256
		algorithms = append(algorithms, map[string]any{"type": "public-key", "alg": alg})
	}
	return json.Marshal(map[string]any{
		"rp": map[string]any{"id": p.RPID, "name": p.RPName},
		// The handle tells nothing of the name, and is the same for all keys of a person.
		"user":                   map[string]any{"id": api.Bytes(s.Handle(user)), "name": user, "displayName": user},
		"challenge":              challenge(),
		"pubKeyCredParams":       algorithms,
		"excludeCredentials":     descriptors(mine),
		"authenticatorSelection": map[string]any{"residentKey": "discouraged", "userVerification": "discouraged"},
		"attestation":            "direct",
	})
}

// firmware is what a key says of its firmware, 0 if it says nothing.
func firmware(info *ctap2.Info) uint64 {
	if info == nil {
		return 0
	}
	return uint64(info.FirmwareVersion)
}
