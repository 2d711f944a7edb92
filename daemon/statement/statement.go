// Package statement makes signed, short-lived statements that the daemon has verified a person, for local programs that trust it:
// JSON Web Tokens (RFC 7519) with an Ed25519 signature (RFC 8037).
package statement

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Methods of authentication (RFC 8176, section 2).
const (
	HardwareKey  = "hwk"  // proof of possession of a key in hardware
	SoftwareKey  = "swk"  // of one that is not, such as an emulated security key's
	OneTimeCode  = "otp"  // a one-time code
	Fingerprint  = "fpt"  // a finger on the key's sensor
	PIN          = "pin"  // the key's PIN
	UserPresence = "user" // a touch
	Multiple     = "mfa"  // more than one of: something known, had, or that the person is
)

// Claims are what a statement says.
type Claims struct {
	// Issuer is the daemon's name, Audience the program that it is for; Nonce comes from that.
	Issuer, Subject, Audience, Nonce string
	// AuthTime is when the person was verified, which may be before IssuedAt.
	AuthTime, IssuedAt, Expires time.Time
	// Methods are how (RFC 8176).
	Methods []string
	// Tokens are the serial numbers of the keys and tokens that it was done with. Recovery says that a recovery code was.
	Tokens   []string
	Recovery bool
}

// registered are the claims as they stand in the token.
type registered struct {
	jwt.RegisteredClaims
	AuthTime int64    `json:"auth_time"` // OpenID Connect Core 1.0, section 2
	Methods  []string `json:"amr"`
	Nonce    string   `json:"nonce,omitempty"`
	Tokens   []string `json:"tokens,omitempty"`
	Recovery bool     `json:"recovery,omitempty"`
}

// Type is in the header of a statement, so that none is taken for another kind of token (RFC 8725, section 3.11).
const Type = "fobd-statement+jwt"

// Sign makes a statement. id names the key among those of [KeySet].
func Sign(c Claims, id string, key ed25519.PrivateKey) (string, error) {
	all := registered{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: c.Issuer, Subject: c.Subject, ID: rand.Text(), IssuedAt: jwt.NewNumericDate(c.IssuedAt), ExpiresAt: jwt.NewNumericDate(c.Expires),
		},
		AuthTime: c.AuthTime.Unix(), Methods: c.Methods, Nonce: c.Nonce, Tokens: c.Tokens, Recovery: c.Recovery,
	}
	if all.Methods == nil {
		all.Methods = []string{}
	}
	if c.Audience != "" {
		all.Audience = jwt.ClaimStrings{c.Audience}
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, all)
	token.Header["kid"], token.Header["typ"] = id, Type
	signed, err := token.SignedString(key)
	if err != nil {
		return "", fmt.Errorf("statement: %w", err)
	}
	return signed, nil
}

// ErrInvalid says that a statement is not to be trusted, and why.
var ErrInvalid = errors.New("statement: not valid")

// Check checks a statement: that one of the keys of a [KeySet] has signed it, that it is meant for the audience and not expired.
func Check(text string, keySet []byte, audience string, now time.Time) (Claims, error) {
	var set Set
	if err := json.Unmarshal(keySet, &set); err != nil {
		return Claims{}, fmt.Errorf("%w: the keys cannot be read", ErrInvalid)
	}
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithTimeFunc(func() time.Time { return now }), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
	}
	if audience != "" {
		options = append(options, jwt.WithAudience(audience))
	}
	var all registered
	_, err := jwt.NewParser(options...).ParseWithClaims(text, &all, func(t *jwt.Token) (any, error) {
		if t.Header["typ"] != Type {
			return nil, errors.New("another kind of token")
		}
		for _, k := range set.Keys {
			x, err := base64.RawURLEncoding.DecodeString(k.X)
			if k.ID == t.Header["kid"] && k.Type == keyType && k.Curve == curve && err == nil && len(x) == ed25519.PublicKeySize {
				return ed25519.PublicKey(x), nil
			}
		}
		return nil, errors.New("signed by a key that is not there")
	})
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(all.Audience) > 0 && audience == "" {
		return Claims{}, fmt.Errorf("%w: it is for %s", ErrInvalid, all.Audience[0])
	}
	c := Claims{
		Issuer: all.Issuer, Subject: all.Subject, Audience: audience, Nonce: all.Nonce, AuthTime: time.Unix(all.AuthTime, 0), Expires: all.ExpiresAt.Time,
		Methods: all.Methods, Tokens: all.Tokens, Recovery: all.Recovery,
	}
	if all.IssuedAt != nil {
		c.IssuedAt = all.IssuedAt.Time
	}
	return c, nil
}

// Set is a set of public keys (RFC 7517, section 5; RFC 8037, section 2).
type Set struct {
	Keys []PublicKey `json:"keys"`
}

// PublicKey is one of them.
type PublicKey struct {
	Type      string `json:"kty"`
	Curve     string `json:"crv"`
	X         string `json:"x"`
	ID        string `json:"kid"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
}

const (
	keyType = "OKP"
	curve   = "Ed25519"
)

// Public is a key for a [Set].
func Public(id string, key ed25519.PublicKey) PublicKey {
	return PublicKey{Type: keyType, Curve: curve, X: base64.RawURLEncoding.EncodeToString(key), ID: id, Use: "sig", Algorithm: "EdDSA"}
}
