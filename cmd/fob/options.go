package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/fobd/fobd/daemon/api"
)

// maxInput bounds a JSON document that is read, in bytes.
const maxInput = 1 << 20

// creation is what fob fills of a PublicKeyCredentialCreationOptionsJSON (WebAuthn
// Level 3, section 5.4) when no document is given.
type creation struct {
	RP struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"rp"`
	User struct {
		ID          api.Bytes `json:"id"`
		Name        string    `json:"name"`
		DisplayName string    `json:"displayName"`
	} `json:"user"`
	Challenge              api.Bytes   `json:"challenge"`
	PubKeyCredParams       []parameter `json:"pubKeyCredParams"`
	AuthenticatorSelection struct {
		ResidentKey        string `json:"residentKey"`
		RequireResidentKey bool   `json:"requireResidentKey"`
		UserVerification   string `json:"userVerification"`
	} `json:"authenticatorSelection"`
	Attestation string `json:"attestation"`
}

type parameter struct {
	Type string `json:"type"`
	Alg  int    `json:"alg"`
}

// request is what fob fills of a PublicKeyCredentialRequestOptionsJSON (WebAuthn
// Level 3, section 5.5) when no document is given.
type request struct {
	Challenge        api.Bytes    `json:"challenge"`
	RPID             string       `json:"rpId"`
	AllowCredentials []descriptor `json:"allowCredentials,omitempty"`
	UserVerification string       `json:"userVerification"`
}

type descriptor struct {
	Type string    `json:"type"`
	ID   api.Bytes `json:"id"`
}

// newCreation makes creation options for a user of a site with a random challenge.
func newCreation(rp, user, verification string, discoverable bool) *creation {
	c := &creation{Challenge: random(32), Attestation: "direct"}
	c.RP.ID, c.RP.Name = rp, rp
	c.User.ID, c.User.Name, c.User.DisplayName = random(32), user, user
	// COSE algorithms: ES256, EdDSA, ES384, RS256.
	for _, alg := range []int{-7, -8, -35, -257} {
		c.PubKeyCredParams = append(c.PubKeyCredParams, parameter{Type: "public-key", Alg: alg})
	}
	c.AuthenticatorSelection.ResidentKey = "discouraged"
	if discoverable {
		c.AuthenticatorSelection.ResidentKey = "required"
		c.AuthenticatorSelection.RequireResidentKey = true
	}
	c.AuthenticatorSelection.UserVerification = verification
	return c
}

// newRequest makes request options for a site with a random challenge.
func newRequest(rp, verification string, credentials []api.Bytes) *request {
	r := &request{Challenge: random(32), RPID: rp, UserVerification: verification}
	for _, id := range credentials {
		r.AllowCredentials = append(r.AllowCredentials, descriptor{Type: "public-key", ID: id})
	}
	return r
}

func random(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // it never fails
	return b
}

// readJSON reads one JSON object from a file, or from the standard input for "-" and
// "". Where the object is wrapped in a member of that name, the wrapping is taken off.
func (a *app) readJSON(name, member string) (json.RawMessage, error) {
	from, r := name, a.in
	if name == "" || name == "-" {
		from = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return nil, usagef("%w", err)
		}
		defer f.Close()
		r = f
	}
	data, err := io.ReadAll(io.LimitReader(r, maxInput+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", from, err)
	case len(data) > maxInput:
		return nil, usagef("%s: more than %d bytes", from, maxInput)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, usagef("%s: no JSON there", from)
	}
	object, err := unwrap(data, member)
	if err != nil {
		return nil, usagef("%s: %w", from, err)
	}
	return object, nil
}

// unwrap gives the JSON object in data, or the object that is its member of that name.
func unwrap(data []byte, member string) (json.RawMessage, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("not JSON: %w (byte %d)", err, syntax.Offset)
		}
		return nil, errors.New("want a JSON object")
	}
	if members == nil {
		return nil, errors.New("want a JSON object")
	}
	inner := bytes.TrimSpace(members[member])
	if len(inner) > 0 && inner[0] == '{' {
		return json.RawMessage(inner), nil
	}
	return json.RawMessage(data), nil
}

// originOf gives the origin to claim: the one that was named, or that of the site in
// the options.
func originOf(origin string, options json.RawMessage) (string, error) {
	if origin != "" {
		return origin, nil
	}
	var site struct {
		RP struct {
			ID string `json:"id"`
		} `json:"rp"`
		RPID string `json:"rpId"`
	}
	if err := json.Unmarshal(options, &site); err != nil {
		return "", usagef("options: %w", err)
	}
	if id := site.RP.ID + site.RPID; id != "" {
		return "https://" + id, nil
	}
	return "", usagef("the options name no site: give --origin")
}

// saveJSON writes v to a file, for a later command.
func saveJSON(name string, v any) error {
	data, err := jsonLine(v, "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}
