package relyingparty_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"
)

// key is a P-256 credential written down by hand, with none of our own encoders.
type key struct {
	id    []byte
	priv  *ecdsa.PrivateKey
	count uint32
	flags byte // beside AT
}

func newKey(t *testing.T) *key {
	t.Helper()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &key{id: []byte("credential-one--"), priv: priv, count: 7, flags: 0x05}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// head is the beginning of a CBOR item (RFC 8949, section 3).
func head(major byte, n int) []byte {
	switch {
	case n < 24:
		return []byte{major<<5 | byte(n)}
	case n < 256:
		return []byte{major<<5 | 24, byte(n)}
	}
	return []byte{major<<5 | 25, byte(n >> 8), byte(n)}
}

func text(s string) []byte { return append(head(3, len(s)), s...) }
func blob(b []byte) []byte { return append(head(2, len(b)), b...) }
func join(p ...[]byte) []byte {
	var all []byte
	for _, b := range p {
		all = append(all, b...)
	}
	return all
}

func (k *key) authData(rpID string, attested bool) []byte {
	hash := sha256.Sum256([]byte(rpID))
	d := append([]byte{}, hash[:]...)
	flags := k.flags
	if attested {
		flags |= 0x40
	}
	d = append(d, flags)
	d = binary.BigEndian.AppendUint32(d, k.count)
	if !attested {
		return d
	}
	d = append(d, "AAGUID-16-bytes-"...)
	d = binary.BigEndian.AppendUint16(d, uint16(len(k.id)))
	d = append(d, k.id...)
	point, err := k.priv.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	// {1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y}, RFC 9053, section 7.1.1.
	return join(d, []byte{0xA5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21}, blob(point[1:33]), []byte{0x22}, blob(point[33:]))
}

func (k *key) sign(t *testing.T, authData, clientData []byte) []byte {
	t.Helper()
	hash := sha256.Sum256(clientData)
	digest := sha256.Sum256(join(authData, hash[:]))
	sig, err := ecdsa.SignASN1(rand.Reader, k.priv, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func clientData(kind, challenge, origin string) []byte {
	return []byte(fmt.Sprintf(`{"type":%q,"challenge":%q,"origin":%q,"crossOrigin":false}`, kind, challenge, origin))
}

// register makes a registration with self attestation, or with none.
func (k *key) register(t *testing.T, rpID, challenge, origin string, self bool) json.RawMessage {
	t.Helper()
	client := clientData("webauthn.create", challenge, origin)
	auth := k.authData(rpID, true)
	object := join([]byte{0xA3}, text("fmt"), text("none"), text("attStmt"), []byte{0xA0}, text("authData"), blob(auth))
	if self {
		statement := join([]byte{0xA2}, text("alg"), []byte{0x26}, text("sig"), blob(k.sign(t, auth, client)))
		object = join([]byte{0xA3}, text("fmt"), text("packed"), text("attStmt"), statement, text("authData"), blob(auth))
	}
	return json.RawMessage(fmt.Sprintf(`{"id":%q,"rawId":%q,"type":"public-key","clientExtensionResults":{},"response":{"clientDataJSON":%q,"attestationObject":%q}}`,
		b64(k.id), b64(k.id), b64(client), b64(object)))
}

func (k *key) assert(t *testing.T, rpID, challenge, origin, user string) json.RawMessage {
	t.Helper()
	client := clientData("webauthn.get", challenge, origin)
	auth := k.authData(rpID, false)
	handle := ""
	if user != "" {
		handle = fmt.Sprintf(`,"userHandle":%q`, b64([]byte(user)))
	}
	return json.RawMessage(fmt.Sprintf(`{"id":%q,"rawId":%q,"type":"public-key","clientExtensionResults":{},"response":{"clientDataJSON":%q,"authenticatorData":%q,"signature":%q%s}}`,
		b64(k.id), b64(k.id), b64(client), b64(auth), b64(k.sign(t, auth, client)), handle))
}
