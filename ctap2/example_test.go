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
