package pinuv

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// Encrypt encrypts plaintext, whose length must be a multiple of 16, with a shared
// secret: AES-256-CBC without padding and with an IV of zeros in protocol one, with a
// random IV in front of the ciphertext in protocol two (CTAP 2.2, sections 6.5.6 and
// 6.5.7, encrypt).
func (p Protocol) Encrypt(key, plaintext []byte) ([]byte, error) {
	block, err := p.block(key)
	if err != nil {
		return nil, err
	}
	if len(plaintext)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: plaintext of %d bytes", ErrLength, len(plaintext))
	}
	head := p.ivSize()
	out := make([]byte, head+len(plaintext))
	var zero [aes.BlockSize]byte
	iv := zero[:]
	if head > 0 {
		iv = out[:head]
		if _, err := rand.Read(iv); err != nil {
			return nil, fmt.Errorf("pinuv: make IV: %w", err)
		}
	}
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out[head:], plaintext)
	return out, nil
}

// Decrypt is the opposite of [Protocol.Encrypt] (CTAP 2.2, sections 6.5.6 and 6.5.7,
// decrypt). There is no integrity in it: callers verify first.
func (p Protocol) Decrypt(key, ciphertext []byte) ([]byte, error) {
	block, err := p.block(key)
	if err != nil {
		return nil, err
	}
	head := p.ivSize()
	if len(ciphertext) < head || len(ciphertext)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: ciphertext of %d bytes", ErrLength, len(ciphertext))
	}
	var zero [aes.BlockSize]byte
	iv := zero[:]
	if head > 0 {
		iv = ciphertext[:head]
	}
	out := make([]byte, len(ciphertext)-head)
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, ciphertext[head:])
	return out, nil
}

// Authenticate computes the pinUvAuthParam of message with a shared secret or a
// pinUvAuthToken: HMAC-SHA-256, its first 16 bytes in protocol one, all 32 in protocol two
// (CTAP 2.2, sections 6.5.6 and 6.5.7, authenticate). It is nil for an unknown protocol
// and for a key that is too short.
func (p Protocol) Authenticate(key, message []byte) []byte {
	size := 16
	switch p {
	case One:
		if len(key) < 16 {
			return nil
		}
	case Two:
		// CTAP 2.2, section 6.5.7, authenticate, step 1: the HMAC key is the first half of a
		// shared secret; a pinUvAuthToken is 32 bytes already.
		if len(key) < 32 {
			return nil
		}
		key, size = key[:32], sha256.Size
	default:
		return nil
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(make([]byte, 0, sha256.Size))[:size]
}

// Verify reports in constant time whether signature is what [Protocol.Authenticate]
// gives for key and message. Nothing verifies under an unknown protocol or a key that is
// too short.
func (p Protocol) Verify(key, message, signature []byte) bool {
	want := p.Authenticate(key, message)
	return want != nil && hmac.Equal(want, signature)
}

// block gives the cipher of a shared secret.
func (p Protocol) block(key []byte) (cipher.Block, error) {
	switch {
	case p == One && len(key) == 32:
	case p == Two && len(key) == 64:
		// CTAP 2.2, section 6.5.7, encrypt, step 1: the AES key is the second half.
		key = key[32:]
	case !p.Valid():
		return nil, ErrProtocol
	default:
		return nil, fmt.Errorf("%w: %d bytes", ErrKey, len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("pinuv: %w", err)
	}
	return block, nil
}

// ivSize is the number of bytes that stand in front of the ciphertext.
func (p Protocol) ivSize() int {
	if p == Two {
		return aes.BlockSize
	}
	return 0
}
