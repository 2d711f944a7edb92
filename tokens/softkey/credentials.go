package softkey

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
)

// credentials are the discoverable ones, with what makes each look-up take the same time
// however many there are.
type credentials struct {
	list   []*credential              // the oldest first: Created goes up
	byID   map[string]*credential     // by credential id
	byUser map[string]*credential     // by RP ID hash and user id, which are unique together
	byRP   map[[32]byte][]*credential // the oldest first
	gone   bool                       // some were taken away or replaced
}

func newCredentials() credentials {
	return credentials{byID: map[string]*credential{}, byUser: map[string]*credential{}, byRP: map[[32]byte][]*credential{}}
}

func (s *credentials) len() int { return len(s.list) }

// get returns the credential with an id, or nil.
func (s *credentials) get(id []byte) *credential { return s.byID[string(id)] }

// of returns the credentials of an RP, the oldest first. The slice is not the caller's.
func (s *credentials) of(rpIDHash [32]byte) []*credential { return s.byRP[rpIDHash] }

// ofUser returns the credential of an RP's user, or nil.
func (s *credentials) ofUser(rpIDHash [32]byte, userID []byte) *credential {
	return s.byUser[userKey(rpIDHash, userID)]
}

func userKey(rpIDHash [32]byte, userID []byte) string { return string(rpIDHash[:]) + string(userID) }

// put adds a credential. One with the same id is replaced where it is; one of the same
// RP and user goes (CTAP 2.2, section 6.1.2, step 17.1).
func (s *credentials) put(c *credential) {
	c.rpIDHash, c.discoverable = sha256.Sum256([]byte(c.RPID)), true
	if old := s.get(c.ID); old != nil {
		if old.Created == c.Created && old.rpIDHash == c.rpIDHash && bytes.Equal(old.User.ID, c.User.ID) {
			s.list[place(s.list, old)] = c
			s.byRP[c.rpIDHash][place(s.byRP[c.rpIDHash], old)] = c
			s.byID[string(c.ID)], s.byUser[userKey(c.rpIDHash, c.User.ID)] = c, c
			return
		}
		s.remove(old.ID)
	}
	if old := s.ofUser(c.rpIDHash, c.User.ID); old != nil {
		s.remove(old.ID)
	}
	s.list = append(s.list, c)
	s.byRP[c.rpIDHash] = append(s.byRP[c.rpIDHash], c)
	s.byID[string(c.ID)], s.byUser[userKey(c.rpIDHash, c.User.ID)] = c, c
}

// remove takes the credential with an id away, if there is one.
func (s *credentials) remove(id []byte) {
	c := s.get(id)
	if c == nil {
		return
	}
	s.gone = true
	s.list = without(s.list, c)
	if rest := without(s.byRP[c.rpIDHash], c); len(rest) > 0 {
		s.byRP[c.rpIDHash] = rest
	} else {
		delete(s.byRP, c.rpIDHash)
	}
	delete(s.byID, string(c.ID))
	delete(s.byUser, userKey(c.rpIDHash, c.User.ID))
}

// place finds a credential that is in the list.
func place(list []*credential, c *credential) int {
	at, found := slices.BinarySearchFunc(list, c.Created, func(e *credential, created uint64) int {
		switch {
		case e.Created < created:
			return -1
		case e.Created > created:
			return 1
		}
		return 0
	})
	if found && list[at] == c {
		return at
	}
	return slices.Index(list, c) // imported ones may not be in order
}

func without(list []*credential, c *credential) []*credential {
	at := place(list, c)
	return slices.Delete(list, at, at+1)
}

// rps returns one credential of each RP, in the order in which the RPs' oldest came.
func (s *credentials) rps() []*credential {
	first := make([]*credential, 0, len(s.byRP))
	for _, c := range s.list {
		if s.byRP[c.rpIDHash][0] == c {
			first = append(first, c)
		}
	}
	return first
}

// key returns the credential's private key. That of a loaded credential is read when it is
// first used: with a thousand of them a key would otherwise not be ready at once.
func (c *credential) key() (crypto.Signer, error) {
	if c.signer == nil {
		signer, err := parse(c.Alg, c.Private)
		if err != nil {
			return nil, fmt.Errorf("softkey: stored credential: %w", err)
		}
		c.signer = signer
	}
	return c.signer, nil
}

// credStoreState is a value that changes with every change of the discoverable credentials and tells
// nothing about them (CTAP 2.3, section 6.4, encCredStoreState).
func (a *Authenticator) credStoreState() [16]byte {
	mac := hmac.New(sha256.New, a.state.Master)
	mac.Write([]byte("credential store state"))
	for _, c := range a.state.discoverable.list {
		for _, part := range [][]byte{c.ID, c.User.ID, []byte(c.User.Name), []byte(c.User.DisplayName)} {
			mac.Write([]byte{byte(len(part) >> 8), byte(len(part))})
			mac.Write(part)
		}
	}
	return [16]byte(mac.Sum(nil))
}
