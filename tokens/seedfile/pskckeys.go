package seedfile

import (
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"hash"
	"strings"
)

// Errors of encrypted files.
var (
	// ErrKey says that the key or passphrase does not fit, or that the file was changed.
	ErrKey = errors.New("seedfile: the key or passphrase does not fit, or the file was changed")
	// ErrNeedKey says that a file is encrypted and that what opens it was not given.
	ErrNeedKey = errors.New("seedfile: the file is encrypted")
	// ErrNeedPassphrase is an ErrNeedKey that a passphrase would do for.
	ErrNeedPassphrase = fmt.Errorf("%w with a passphrase", ErrNeedKey)
)

// Namespaces of the parts that PSKC takes from XML Encryption (section 6).
const (
	nsXenc   = "http://www.w3.org/2001/04/xmlenc#"
	nsXenc11 = "http://www.w3.org/2009/xmlenc11#"
	nsDS     = "http://www.w3.org/2000/09/xmldsig#"
	nsMore   = "http://www.w3.org/2001/04/xmldsig-more#"
	nsPKCS5  = "http://www.rsasecurity.com/rsalabs/pkcs/schemas/pkcs-5v2-0#"
)

// Limits of a derived key.
const (
	maxIterations = 10_000_000
	maxSalt       = 1024
)

// reasonMAC is the reason of a token whose ValueMAC does not fit.
const reasonMAC = "its MAC does not fit: the key is another one, or the file was changed"

// keys are what the values of a file are encrypted and authenticated with.
type keys struct {
	o         Options
	encrypted bool // EncryptionKey was there
	key       []byte
	macMethod bool // MACMethod was there
	mac       func() hash.Hash
	macKey    []byte // empty: the encryption key
}

func (k *keys) wipe() {
	clear(k.key)
	clear(k.macKey)
}

// hmacs are the algorithms of ValueMAC and of PBKDF2's PRF.
func hmacs(name string) func() hash.Hash {
	switch name {
	case nsDS + "hmac-sha1":
		return sha1.New
	case nsMore + "hmac-sha256":
		return sha256.New
	case nsMore + "hmac-sha384":
		return sha512.New384
	case nsMore + "hmac-sha512":
		return sha512.New
	}
	return nil
}

// method reads EncryptionKey or MACMethod.
func (k *keys) method(n *node) error {
	fail := func(what string) error { return fmt.Errorf("%w: line %d: %s", ErrFormat, n.line, what) }
	if n.name.Local == "EncryptionKey" {
		if k.encrypted || k.macMethod {
			return fail("EncryptionKey twice or behind MACMethod")
		}
		k.encrypted = true
		return k.encryptionKey(n)
	}
	if k.macMethod {
		return fail("MACMethod twice")
	}
	k.macMethod = true
	// Without a name, which python-pskc 1.2 writes for key wrap, no ValueMAC can be checked: a token with one is refused.
	name := n.attribute("Algorithm")
	if k.mac = hmacs(name); k.mac == nil && name != "" {
		return fail("a MAC that is not known; want hmac-sha1, hmac-sha256 or hmac-sha512")
	}
	if n.get(nsPSKC, "MACKeyReference") != nil {
		return fail("a MAC key that is not in the file (MACKeyReference), which is not supported; ask the vendor for one with MACKey")
	}
	encrypted := n.get(nsPSKC, "MACKey")
	if encrypted == nil {
		return nil
	}
	if k.key == nil {
		return fail("a MACKey, but no EncryptionKey that opens it")
	}
	var reason string
	if k.macKey, reason = k.decrypt(encrypted); reason != "" {
		if reason == reasonKey || strings.HasPrefix(reason, reasonBits) {
			return fmt.Errorf("%w: line %d: the MAC key: %s", ErrKey, n.line, reason)
		}
		return fail(reason)
	}
	return nil
}

// encryptionKey reads EncryptionKey: a name, or how to derive the key (section 6.2).
func (k *keys) encryptionKey(n *node) error {
	derived := n.get(nsXenc11, "DerivedKey")
	if derived == nil {
		derived = n.get(nsPSKC, "DerivedKey")
	}
	name := n.get(nsDS, "KeyName").string()
	if len(name) > maxText || checkText("name", name) != "" {
		name = ""
	}
	switch {
	case derived != nil:
		return k.derive(derived)
	case n.get(nsDS, "X509Data") != nil:
		return fmt.Errorf("%w with a certificate, which is not supported; ask the vendor for a pre-shared key", ErrNeedKey)
	case len(k.o.Key) == 0:
		return fmt.Errorf("%w with a key that the vendor names %q; give that key", ErrNeedKey, name)
	case len(k.o.Key) != 16 && len(k.o.Key) != 24 && len(k.o.Key) != 32:
		return fmt.Errorf("%w: a key of %d bytes, want 16, 24 or 32", ErrKey, len(k.o.Key))
	}
	k.key = append([]byte(nil), k.o.Key...)
	return nil
}

// derive derives the key from the passphrase (RFC 8018, section 5.2).
func (k *keys) derive(n *node) error {
	fail := func(what string) error { return fmt.Errorf("%w: line %d: %s", ErrFormat, n.line, what) }
	method := n.get(n.name.Space, "KeyDerivationMethod")
	if a := method.attribute("Algorithm"); a != nsPKCS5+"pbkdf2" && a != nsXenc11+"pbkdf2" {
		return fail("a key derivation that is not known; want pbkdf2")
	}
	params := anyOf(method, "PBKDF2-params")
	salt, ok := anyOf(anyOf(params, "Salt"), "Specified").base64()
	if !ok || len(salt) > maxSalt {
		return fail("no salt in the file")
	}
	iterations, ok := number([]byte(anyOf(params, "IterationCount").string()), maxIterations)
	if !ok || iterations == 0 {
		return fail(fmt.Sprintf("no number of iterations from 1 to %d", maxIterations))
	}
	size, ok := number([]byte(anyOf(params, "KeyLength").string()), 32)
	if !ok || size != 16 && size != 24 && size != 32 {
		return fail("no length of the key; want 16, 24 or 32")
	}
	prf := sha1.New // the default of PKCS #5
	name := anyOf(params, "PRF").attribute("Algorithm")
	if name == "" {
		name = anyOf(params, "PRF").string() // where python-pskc 1.2 writes it
	}
	if name != "" {
		if prf = hmacs(name); prf == nil {
			return fail("a PRF that is not known; want hmac-sha1, hmac-sha256 or hmac-sha512")
		}
	}
	if len(k.o.Passphrase) == 0 {
		return fmt.Errorf("%w; give it", ErrNeedPassphrase)
	}
	var err error
	k.key, err = pbkdf2.Key(prf, string(k.o.Passphrase), salt, int(iterations), int(size))
	if err != nil {
		return fail("its key cannot be derived here: " + err.Error())
	}
	return nil
}

// anyOf finds a part of PBKDF2-params, whose namespace files disagree on: the RFC's own figure has none for some.
func anyOf(n *node, local string) *node {
	for _, space := range []string{nsPKCS5, nsXenc11, "", nsPSKC} {
		if found := n.get(space, local); found != nil {
			return found
		}
	}
	return nil
}
