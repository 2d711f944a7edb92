package softkey

import (
	"bytes"
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/fobd/fobd/ctap2"
)

// PIN limits (CTAP 2.2, sections 6.5.2.3 and 6.5.5).
const (
	maxPINRetries = 8
	maxPINFails   = 3 // in a row, until a power cycle
	maxUVRetries  = 3
)

// state is what lasts.
type state struct {
	root
	Counter      uint32
	pin          pinState
	discoverable credentials
	created      uint64 // Created of the youngest
	starts       uint64 // how often a seeded key was loaded
	config       configState
	blobs        []byte                 // the serialized large-blob array, empty for the initial one
	templates    []template             // enrolled fingers, the oldest first
	persistent   []byte                 // persistentPinUvAuthToken, empty when none was given out
	imported     map[string]*credential // by id, those that are not discoverable

	aead        cipher.AEAD // for ids
	attestation *attestation
}

// root is made once, and again by a reset, which ends all credentials.
type root struct {
	Master      []byte `cbor:"1,keyasint"` // 32 bytes: everything of this key comes from it
	Attestation []byte `cbor:"2,keyasint"` // private key of the attestation certificate
	CA          []byte `cbor:"3,keyasint"` // DER of the CA's certificate
	Leaf        []byte `cbor:"4,keyasint"` // DER of the attestation certificate
}

type pinState struct {
	Hash      []byte `cbor:"1,keyasint,omitempty"` // LEFT(SHA-256(PIN), 16), empty: none set
	Length    uint   `cbor:"2,keyasint,omitempty"` // in code points
	Retries   uint   `cbor:"3,keyasint"`
	UVRetries uint   `cbor:"4,keyasint"`
}

func (p *pinState) set() bool { return len(p.Hash) > 0 }

// record is a change of the state, and what a [Store] keeps. Members that are set together
// happen together: after a crash all of them did or none.
type record struct {
	Root       *root       `cbor:"1,keyasint,omitempty"` // begins a fresh key
	Counter    uint32      `cbor:"2,keyasint,omitempty"`
	PIN        *pinState   `cbor:"3,keyasint,omitempty"`
	Credential *credential `cbor:"4,keyasint,omitempty"` // replaces the one of the same id, or of the same RP and user
	Starts     uint64      `cbor:"5,keyasint,omitempty"` // how often a seeded key was loaded

	Config           *configState `cbor:"6,keyasint,omitempty"`
	Blobs            *[]byte      `cbor:"7,keyasint,omitempty"`
	Template         *template    `cbor:"8,keyasint,omitempty"` // replaces the one with the same ID
	RemoveTemplate   []byte       `cbor:"9,keyasint,omitempty"`
	RemoveCredential []byte       `cbor:"10,keyasint,omitempty"`
	Persistent       *[]byte      `cbor:"11,keyasint,omitempty"` // empty takes it back
	Imported         *credential  `cbor:"12,keyasint,omitempty"` // stored, and not discoverable
}

// configState is what authenticatorConfig changes (CTAP 2.3, section 6.11).
type configState struct {
	Enterprise          bool     `cbor:"1,keyasint,omitempty"`
	AlwaysUV            *bool    `cbor:"2,keyasint,omitempty"` // nil: as the Config says
	MinPINLength        uint     `cbor:"3,keyasint,omitempty"` // 0: as the Config says
	MinPINLengthRPIDs   []string `cbor:"4,keyasint,omitempty"`
	ForcePINChange      bool     `cbor:"5,keyasint,omitempty"`
	PINComplexityPolicy bool     `cbor:"6,keyasint,omitempty"`
	LongTouchForReset   bool     `cbor:"7,keyasint,omitempty"`
}

// template is an enrolled finger (CTAP 2.3, section 6.7.6).
type template struct {
	ID   []byte `cbor:"1,keyasint"`
	Name string `cbor:"2,keyasint,omitempty"`
}

// Store keeps an authenticator's state as a sequence of records. One goroutine uses it
// at a time.
type Store interface {
	// Load calls apply with each record, in order. The slice is valid during the call.
	Load(apply func(record []byte) error) error
	// Append adds a record. It returns nil only when the record is durable; after
	// an error the store holds what it held before.
	Append(record []byte) error
	// Rewrite replaces all records at once: afterwards, also after a crash, the
	// store holds the old ones or the new ones.
	Rewrite(records [][]byte) error
	Close() error
}

// save makes a change durable and then applies it.
func (a *Authenticator) save(r *record) error {
	if err := a.state.check(r); err != nil {
		return err
	}
	if err := a.write(); err != nil {
		return fmt.Errorf("%w: %w", ctap2.ErrOther, err)
	}
	if a.cfg.Store != nil {
		b, err := ctap2.Marshal(r)
		if err != nil {
			return fmt.Errorf("softkey: save: %w", err)
		}
		if err := a.cfg.Store.Append(b); err != nil {
			// CTAP 2.2, section 8.2: no better status for a broken memory.
			return fmt.Errorf("%w: %w", ctap2.ErrOther, err)
		}
	}
	a.state.change(r)
	return nil
}

// apply changes the state in memory by a stored record. It fails on those that make no sense.
func (a *Authenticator) apply(r *record) error {
	s := &a.state
	if r.Root != nil {
		fresh, err := begin(r.Root)
		if err != nil {
			return err
		}
		// CTAP 2.2, section 6.6 does not ask for a counter that goes on, but a
		// counter that moves back is what a cloned key looks like.
		fresh.Counter, fresh.starts = s.Counter, s.starts
		*s = *fresh
		a.keys = keyCache{}
		return nil
	}
	if err := s.check(r); err != nil {
		return err
	}
	s.change(r)
	return nil
}

// begin gives the state of a fresh key.
func begin(r *root) (*state, error) {
	if len(r.Master) != 32 {
		return nil, errors.New("softkey: state without a master key")
	}
	aead, err := newAEAD(r.Master)
	if err != nil {
		return nil, err
	}
	att, err := r.attestation()
	if err != nil {
		return nil, err
	}
	return &state{
		root: *r, aead: aead, attestation: att, discoverable: newCredentials(),
		pin: pinState{Retries: maxPINRetries, UVRetries: maxUVRetries},
	}, nil
}

func (r *record) empty() bool {
	return r.PIN == nil && r.Credential == nil && r.Counter == 0 && r.Starts == 0 && r.Config == nil && r.Blobs == nil &&
		r.Template == nil && r.RemoveTemplate == nil && r.RemoveCredential == nil && r.Persistent == nil &&
		r.Imported == nil
}

// check says whether a record that begins no fresh key makes sense.
func (s *state) check(r *record) error {
	switch {
	case s.aead == nil:
		return errors.New("softkey: state does not begin with its master key")
	case r.empty():
		return errors.New("softkey: empty record in the state")
	case r.PIN != nil && (r.PIN.Retries > maxPINRetries || r.PIN.UVRetries > maxUVRetries || r.PIN.set() && len(r.PIN.Hash) != 16):
		return errors.New("softkey: impossible PIN state")
	case r.Counter != 0 && r.Counter < s.Counter:
		return errors.New("softkey: stored counter moves back")
	case r.Credential != nil && (len(r.Credential.ID) == 0 || len(r.Credential.Private) == 0):
		return errors.New("softkey: stored credential without an id or a key")
	case r.Imported != nil && (len(r.Imported.ID) == 0 || len(r.Imported.Private) == 0):
		return errors.New("softkey: imported credential without an id or a key")
	case r.Blobs != nil && len(*r.Blobs) > 0 && !validBlobs(*r.Blobs):
		return errors.New("softkey: stored large blobs are damaged")
	case r.Template != nil && len(r.Template.ID) == 0:
		return errors.New("softkey: stored finger without an id")
	}
	return nil
}

// change makes the change of a record.
func (s *state) change(r *record) {
	if r.PIN != nil {
		s.pin = *r.PIN
	}
	if r.Counter != 0 {
		s.Counter = r.Counter
	}
	if r.Starts != 0 {
		s.starts = r.Starts
	}
	if r.Credential != nil {
		s.discoverable.put(r.Credential)
		s.created = max(s.created, r.Credential.Created)
	}
	if r.RemoveCredential != nil {
		s.discoverable.remove(r.RemoveCredential)
	}
	if r.Config != nil {
		s.config = *r.Config
	}
	if r.Blobs != nil {
		s.blobs = *r.Blobs
	}
	if r.Template != nil {
		s.putTemplate(*r.Template)
	}
	if r.RemoveTemplate != nil {
		s.templates = slices.DeleteFunc(s.templates, func(t template) bool { return bytes.Equal(t.ID, r.RemoveTemplate) })
	}
	if r.Persistent != nil {
		s.persistent = *r.Persistent
	}
	if r.Imported != nil {
		s.putImported(r.Imported)
	}
}

// putTemplate adds a finger, or replaces the one with the same ID where it is.
func (s *state) putTemplate(t template) {
	for i := range s.templates {
		if bytes.Equal(s.templates[i].ID, t.ID) {
			s.templates[i] = t
			return
		}
	}
	s.templates = append(s.templates, t)
}

// load reads the stored state, or makes a fresh key.
func (a *Authenticator) load() error {
	if a.cfg.Store != nil {
		records := 0
		err := a.cfg.Store.Load(func(b []byte) error {
			records++
			r := new(record)
			if err := ctap2.Unmarshal(b, r); err != nil {
				return fmt.Errorf("softkey: record %d of the state: %w", records, err)
			}
			return a.apply(r)
		})
		if err != nil {
			return err
		}
		if records > 0 {
			if err := a.compact(records); err != nil {
				return err
			}
			return a.reseed()
		}
	}
	return a.wipe()
}

// reseed makes the stream of random numbers of a seeded key go on after it was loaded. That it
// was loaded is durable before the first number is drawn.
func (a *Authenticator) reseed() error {
	if a.cfg.Seed == nil {
		return nil
	}
	if err := a.save(&record{Starts: a.state.starts + 1}); err != nil {
		return err
	}
	a.rand = rand.NewChaCha8(seed(a.cfg.Seed, a.state.starts))
	return nil
}

// compactSlack is how many superseded records are worth a rewrite at start.
const compactSlack = 1000

// compact rewrites the state when most of its records are superseded, or when private keys are
// left in it of credentials that are gone. A key does it when it is loaded, never while it works.
func (a *Authenticator) compact(records int) error {
	if records < a.state.discoverable.len()+len(a.state.imported)+len(a.state.templates)+compactSlack && !a.state.discoverable.gone {
		return nil
	}
	few, err := a.records()
	if err != nil {
		return err
	}
	return a.cfg.Store.Rewrite(few)
}

// records is the state in as few records as there can be.
func (a *Authenticator) records() ([][]byte, error) {
	s := &a.state
	list := []*record{{Root: &s.root}, {PIN: &s.pin}}
	list = append(list, s.lasting()...)
	if !reflect.DeepEqual(s.config, configState{}) {
		list = append(list, &record{Config: &s.config})
	}
	if len(s.blobs) > 0 {
		list = append(list, &record{Blobs: &s.blobs})
	}
	if len(s.persistent) > 0 {
		list = append(list, &record{Persistent: &s.persistent})
	}
	for i := range s.templates {
		list = append(list, &record{Template: &s.templates[i]})
	}
	for _, c := range s.discoverable.list {
		list = append(list, &record{Credential: c})
	}
	for _, c := range s.importedList() {
		list = append(list, &record{Imported: c})
	}
	return marshalAll(list)
}

// lasting are the records of what a reset does not take away.
func (s *state) lasting() []*record {
	var list []*record
	if s.Counter > 0 {
		list = append(list, &record{Counter: s.Counter})
	}
	if s.starts > 0 {
		list = append(list, &record{Starts: s.starts})
	}
	return list
}

func marshalAll(list []*record) ([][]byte, error) {
	out := make([][]byte, len(list))
	for i, r := range list {
		var err error
		if out[i], err = ctap2.Marshal(r); err != nil {
			return nil, fmt.Errorf("softkey: save: %w", err)
		}
	}
	return out, nil
}

// wipe makes the key a fresh one.
func (a *Authenticator) wipe() error {
	fresh := &root{Master: make([]byte, 32)}
	if _, err := io.ReadFull(a.rand, fresh.Master); err != nil {
		return err
	}
	if err := fresh.certify(a.rand, a.cfg.AAGUID); err != nil {
		return err
	}
	if err := a.write(); err != nil {
		return fmt.Errorf("%w: %w", ctap2.ErrOther, err)
	}
	if a.cfg.Store != nil {
		// What was there before must not be found in the store any more.
		list := []*record{{Root: fresh}}
		list = append(list, a.state.lasting()...)
		records, err := marshalAll(list)
		if err != nil {
			return err
		}
		if err := a.cfg.Store.Rewrite(records); err != nil {
			return fmt.Errorf("%w: %w", ctap2.ErrOther, err)
		}
	}
	return a.apply(&record{Root: fresh})
}

// count moves the signature counter (WebAuthn Level 3, section 6.1.1); durable before
// the signature leaves.
func (a *Authenticator) count() (uint32, error) {
	next := a.state.Counter + 1
	if next == 0 {
		return 0, ctap2.ErrOther // 2^32 signatures: the counter never moves back
	}
	return next, a.save(&record{Counter: next})
}

// Credential tells what is public of a stored credential.
type Credential struct {
	ID          []byte
	RPID        string
	User        ctap2.User
	Algorithm   string
	CredProtect ctap2.CredProtect
}

// Credentials lists the discoverable credentials, the oldest first.
func (a *Authenticator) Credentials() []Credential {
	a.mu.Lock()
	defer a.mu.Unlock()
	var list []Credential
	for _, c := range a.state.discoverable.list {
		user := c.User
		user.ID = slices.Clone(user.ID)
		list = append(list, Credential{ID: slices.Clone(c.ID), RPID: c.RPID, User: user, Algorithm: c.Alg.String(), CredProtect: c.CredProtect})
	}
	return list
}

// CredentialCount is the number of discoverable credentials.
func (a *Authenticator) CredentialCount() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.state.discoverable.len()
}

// removeCredential takes a discoverable credential away for good.
func (a *Authenticator) removeCredential(c *credential) error {
	err := a.save(&record{RemoveCredential: c.ID})
	if err == nil {
		a.seen.event(a, EventDeleted, c)
	}
	return err
}

// updateCredential makes changed take the place of the credential with its id, whose age and
// place in the order it keeps.
func (a *Authenticator) updateCredential(changed *credential) error {
	if a.state.discoverable.get(changed.ID) == nil {
		return ctap2.ErrNoCredentials
	}
	err := a.save(&record{Credential: changed})
	if err == nil {
		a.seen.event(a, EventUpdated, changed)
	}
	return err
}
