package ctap2_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/cose"
)

// Register a credential, with a PIN if the key has one.
func ExampleClient_MakeCredential() {
	register := func(ctx context.Context, t ctap2.Transport, clientDataHash, pin []byte) ([]byte, error) {
		c := ctap2.NewClient(t, func(status byte) {
			if status == ctap2.KeepaliveUPNeeded {
				fmt.Println("touch the key")
			}
		})
		info, err := c.GetInfo(ctx)
		if err != nil {
			return nil, err
		}
		r := &ctap2.MakeCredentialRequest{
			ClientDataHash:   clientDataHash,
			RP:               ctap2.RP{ID: "example.org", Name: "Example"},
			User:             ctap2.User{ID: []byte{1}, Name: "alice"},
			PubKeyCredParams: []ctap2.CredentialParameter{{Alg: cose.ES256, Type: ctap2.TypePublicKey}},
		}
		if set, _ := info.Option(ctap2.OptionClientPIN); set {
			permissions, _ := info.Option(ctap2.OptionPINUVAuthToken)
			token, err := c.PINToken(ctx, ctap2.TokenRequest{
				Protocol:    info.Protocol(),
				PIN:         pin,
				Permissions: ctap2.PermissionMakeCredential,
				RPID:        r.RP.ID,
				Legacy:      !permissions,
			})
			if e, ok := errors.AsType[*ctap2.Error](err); ok && e.Retries != nil {
				fmt.Println("attempts left:", *e.Retries)
			}
			if err != nil {
				return nil, err
			}
			defer token.Wipe()
			r.Authorize(token)
		}
		resp, err := c.MakeCredential(ctx, r)
		if err != nil {
			return nil, err
		}
		return resp.AttestationObject()
	}
	_ = register
}

// Keep a note beside a credential, in an array that holds those of other credentials too.
func ExamplePutLargeBlob() {
	key := make([]byte, ctap2.LargeBlobKeySize) // LargeBlobKey of the credential's assertion
	var entries []ctap2.LargeBlob               // what Client.LargeBlobArray read
	entries, err := ctap2.PutLargeBlob(entries, key, []byte("the spare key is under the mat"))
	if err != nil {
		fmt.Println(err)
		return
	}
	// Client.SetLargeBlobArray writes entries. Later, and elsewhere:
	note, ok, err := ctap2.GetLargeBlob(entries, key)
	fmt.Println(string(note), ok, err)
	// Output: the spare key is under the mat true <nil>
}

// List every discoverable credential of a key.
func ExampleClient_CredentialManager() {
	list := func(ctx context.Context, c *ctap2.Client, pin []byte) error {
		info, err := c.GetInfo(ctx)
		if err != nil {
			return err
		}
		token, err := c.PINToken(ctx, ctap2.TokenRequest{
			Protocol: info.Protocol(), PIN: pin, Permissions: ctap2.PermissionCredentialManagement,
		})
		if err != nil {
			return err
		}
		defer token.Wipe()
		m, err := c.CredentialManager(info, token)
		if err != nil {
			return err // ErrNotSupported: older keys can't tell
		}
		rps, err := m.RPs(ctx)
		if err != nil {
			return err
		}
		for _, rp := range rps {
			credentials, err := m.Credentials(ctx, rp.RPIDHash)
			if err != nil {
				return err
			}
			for _, credential := range credentials {
				fmt.Println(rp.RP.ID, credential.User.Name)
			}
		}
		return nil
	}
	_ = list
}
