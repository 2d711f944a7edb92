package daemon_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fobd/fobd/ctap2"
	"github.com/fobd/fobd/ctap2/pinuv"
	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/tokens/softkey"
)

var protocols = []pinuv.Protocol{pinuv.One, pinuv.Two}

// pinToken gets a token with the right PIN.
func pinToken(t *testing.T, c *ctap2.Client, protocol pinuv.Protocol, p ctap2.Permission) *ctap2.Token {
	t.Helper()
	r := ctap2.TokenRequest{Protocol: protocol, PIN: []byte(testPIN), Permissions: p}
	if p&(ctap2.PermissionMakeCredential|ctap2.PermissionGetAssertion) != 0 {
		r.RPID = "example.org"
	}
	token, err := c.PINToken(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// metadata is a request that needs a token of the permission cm.
func metadata(token *ctap2.Token) *ctap2.CredentialManagementRequest {
	r := &ctap2.CredentialManagementRequest{Subcommand: ctap2.SubGetCredsMetadata}
	r.Authorize(token)
	return r
}

func TestLeaseLeavesNoToken(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				a := l.protected(softkey.Config{})
				key := ctap2.NewClient(a, nil)

				// Without a lease the token stays good when the program has gone.
				direct := pinToken(t, key, protocol, ctap2.PermissionCredentialManagement)
				must[api.InfoResult](l, api.OpInfo, api.KeyRequest{}, nil)
				if _, err := key.CredentialManagement(t.Context(), metadata(direct), false); err != nil {
					t.Fatalf("the key itself: %v", err)
				}

				x := l.lease(api.LeaseRequest{})
				token := pinToken(t, x.client(), protocol, ctap2.PermissionCredentialManagement)
				if _, err := x.client().CredentialManagement(t.Context(), metadata(token), false); err != nil {
					t.Fatalf("within the lease: %v", err)
				}
				// A token that is not the lease's is worth nothing there.
				if _, err := x.client().CredentialManagement(t.Context(), metadata(direct), false); !errors.Is(err, ctap2.ErrPINAuthInvalid) {
					t.Errorf("another token: got %v, want %v", err, ctap2.ErrPINAuthInvalid)
				}
				if _, err := key.CredentialManagement(t.Context(), metadata(token), false); !errors.Is(err, ctap2.ErrPINAuthInvalid) {
					t.Errorf("around the lease: got %v, want %v", err, ctap2.ErrPINAuthInvalid)
				}
				tokens := daemon.LeaseTokens(l.engine, x.id)
				if len(tokens) != 2 || bytes.Equal(tokens[0], make([]byte, len(tokens[0]))) || bytes.Equal(tokens[0], tokens[1]) {
					t.Fatalf("the daemon keeps %d secrets, want a token and its surrogate", len(tokens))
				}
				x.release()
				for _, secret := range tokens {
					if !bytes.Equal(secret, make([]byte, len(secret))) {
						t.Error("a token is not wiped")
					}
				}
				if _, err := key.CredentialManagement(t.Context(), metadata(token), false); !errors.Is(err, ctap2.ErrPINAuthInvalid) {
					t.Errorf("after the lease: got %v, want %v", err, ctap2.ErrPINAuthInvalid)
				}
				y := l.lease(api.LeaseRequest{})
				if _, err := y.client().CredentialManagement(t.Context(), metadata(token), false); !errors.Is(err, ctap2.ErrPINAuthInvalid) {
					t.Errorf("in the next lease: got %v, want %v", err, ctap2.ErrPINAuthInvalid)
				}
				y.release()
			})
		})
	}
}

func TestLeaseTokensAuthorize(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.protected(softkey.Config{Profile: softkey.ProfileFIDO23Bio, LargeBlobArray: true})
				x := l.lease(api.LeaseRequest{})
				c := x.client()

				mc := makes()
				mc.Extensions = &ctap2.MakeCredentialExtensions{CredProtect: ctap2.CredProtectUVRequired, HMACSecret: new(true)}
				mc.Authorize(pinToken(t, c, protocol, ctap2.PermissionMakeCredential))
				made, err := c.MakeCredential(t.Context(), mc)
				if err != nil {
					t.Fatal(err)
				}
				data, err := ctap2.ParseAuthData(made.AuthData)
				if err != nil || data.Flags&ctap2.FlagUV == 0 {
					t.Fatalf("got %+v, %v", data, err)
				}
				ga := &ctap2.GetAssertionRequest{
					RPID: "example.org", ClientDataHash: bytes.Repeat([]byte{2}, 32),
					AllowList: []ctap2.CredentialDescriptor{{Type: ctap2.TypePublicKey, ID: data.CredentialID}},
				}
				ga.Authorize(pinToken(t, c, protocol, ctap2.PermissionGetAssertion))
				signed, err := c.GetAssertion(t.Context(), ga)
				if err != nil {
					t.Fatal(err)
				}
				if err := data.PublicKey.Verify(append(bytes.Clone(signed.AuthData), ga.ClientDataHash...), signed.Signature); err != nil {
					t.Error(err)
				}
				be := &ctap2.BioEnrollmentRequest{Modality: ctap2.ModalityFingerprint, Subcommand: ctap2.SubEnumerateEnrollments}
				be.Authorize(pinToken(t, c, protocol, ctap2.PermissionBioEnrollment))
				if _, err := c.BioEnrollment(t.Context(), be, false); !errors.Is(err, ctap2.ErrInvalidOption) { // no finger yet
					t.Errorf("bioEnrollment: %v", err)
				}
				cfg := &ctap2.ConfigRequest{Subcommand: ctap2.SubToggleAlwaysUV}
				cfg.Authorize(pinToken(t, c, protocol, ctap2.PermissionConfig))
				if err := c.Config(t.Context(), cfg); err != nil {
					t.Errorf("config: %v", err)
				}
				array := []byte{0x80}
				sum := sha256.Sum256(array)
				array = append(array, sum[:16]...)
				offset, length := uint(0), uint(len(array))
				lb := &ctap2.LargeBlobsRequest{Set: array, Offset: &offset, Length: &length}
				lb.Authorize(pinToken(t, c, protocol, ctap2.PermissionLargeBlobWrite))
				if _, err := c.LargeBlobs(t.Context(), lb); err != nil {
					t.Errorf("largeBlobs: %v", err)
				}
				x.release()
			})
		})
	}
}

func TestLeasePINs(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.soft("k1", softkey.Config{})
				x := l.lease(api.LeaseRequest{})
				c := x.client()
				if err := c.SetPIN(t.Context(), protocol, []byte("4444")); err != nil {
					t.Fatal(err)
				}
				if err := c.ChangePIN(t.Context(), protocol, []byte("4444"), []byte(testPIN)); err != nil {
					t.Fatal(err)
				}
				before, _, err := c.PINRetries(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				_, err = c.PINToken(t.Context(), ctap2.TokenRequest{Protocol: protocol, PIN: []byte("9999"), Permissions: ctap2.PermissionCredentialManagement})
				if !errors.Is(err, ctap2.ErrPINInvalid) {
					t.Fatalf("got %v, want %v", err, ctap2.ErrPINInvalid)
				}
				if after, _, err := c.PINRetries(t.Context()); err != nil || after != before-1 {
					t.Errorf("a wrong PIN costs %d retries, want one (%v)", before-after, err)
				}
				err = c.ChangePIN(t.Context(), protocol, []byte("9999"), []byte("5555"))
				if after, _, _ := c.PINRetries(t.Context()); !errors.Is(err, ctap2.ErrPINInvalid) || after != before-2 {
					t.Errorf("got %v and %d of %d retries", err, after, before)
				}
				pinToken(t, c, protocol, ctap2.PermissionCredentialManagement)
				if after, _, _ := c.PINRetries(t.Context()); after != before {
					t.Errorf("got %d retries after the right PIN, want %d", after, before)
				}
				x.release()
			})
		})
	}
}

func TestLeaseKeepsTheLastRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.protected(softkey.Config{})
		wrong := ctap2.TokenRequest{Protocol: pinuv.Two, PIN: []byte("9999"), Permissions: ctap2.PermissionCredentialManagement}
		x := l.lease(api.LeaseRequest{})
		for {
			n, replug, err := x.client().PINRetries(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n == 1 {
				break
			}
			if replug {
				a.PowerCycle()
			}
			if _, err := x.client().PINToken(t.Context(), wrong); err == nil {
				t.Fatal("a wrong PIN gave a token")
			}
		}
		a.PowerCycle()
		_, err := x.client().PINToken(t.Context(), wrong)
		wantCode(t, err, api.CodePINLastRetry)
		if n, _, err := x.client().PINRetries(t.Context()); err != nil || n != 1 {
			t.Errorf("got %d retries, %v", n, err)
		}
		x.release()
		y := l.lease(api.LeaseRequest{AllowLastRetry: true})
		pinToken(t, y.client(), pinuv.Two, ctap2.PermissionCredentialManagement)
		y.release()
	})
}

func TestLeaseRefusesHMACSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.soft("k1", softkey.Config{})
		x := l.lease(api.LeaseRequest{})
		h, err := x.client().HMACSecret(t.Context(), pinuv.Two, make([]byte, 32), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = x.client().GetAssertion(t.Context(), &ctap2.GetAssertionRequest{
			RPID: "example.org", ClientDataHash: make([]byte, 32), Extensions: &ctap2.GetAssertionExtensions{HMACSecret: h.Input},
		})
		if e := wantCode(t, err, api.CodeUnsupported); e.Hint == "" {
			t.Errorf("got %+v", e)
		}
		mc := makes()
		mc.Extensions = &ctap2.MakeCredentialExtensions{HMACSecret: new(true), HMACSecretMC: h.Input}
		_, err = x.client().MakeCredential(t.Context(), mc)
		wantCode(t, err, api.CodeUnsupported)
		x.release()
	})
}

func TestLeaseVerifiesThePerson(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t)
				l.protected(softkey.Config{Verification: softkey.VerificationGrant, Delay: time.Second, Presence: softkey.PresenceDelay})
				x := l.lease(api.LeaseRequest{})
				token, err := x.client().PINToken(t.Context(), ctap2.TokenRequest{Protocol: protocol, Permissions: ctap2.PermissionMakeCredential, RPID: "example.org"})
				if err != nil {
					t.Fatal(err)
				}
				mc := makes()
				mc.Authorize(token)
				made, err := x.client().MakeCredential(t.Context(), mc)
				if err != nil {
					t.Fatal(err)
				}
				if data, err := ctap2.ParseAuthData(made.AuthData); err != nil || data.Flags&ctap2.FlagUV == 0 {
					t.Errorf("got %+v, %v", data, err)
				}
				if n := len(daemon.LeaseTokens(l.engine, x.id)); n != 2 {
					t.Errorf("the daemon keeps %d secrets, want a token and its surrogate", n)
				}
				x.release()
			})
		})
	}
}

// A program that asks for tokens for ever has the last ones.
func TestLeaseTokensAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		l.protected(softkey.Config{})
		x := l.lease(api.LeaseRequest{})
		for range 20 {
			pinToken(t, x.client(), pinuv.Two, ctap2.PermissionCredentialManagement)
		}
		if n := len(daemon.LeaseTokens(l.engine, x.id)); n > 16 {
			t.Errorf("the daemon keeps %d secrets", n)
		}
		token := pinToken(t, x.client(), pinuv.Two, ctap2.PermissionCredentialManagement)
		if _, err := x.client().CredentialManagement(t.Context(), metadata(token), false); err != nil {
			t.Error(err)
		}
		x.release()
	})
}

// What a program gets wrong in the protocol is answered as a key would, and the key is not asked.
func TestLeaseRefusesBrokenPINs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t)
		a := l.protected(softkey.Config{})
		x := l.lease(api.LeaseRequest{})
		c := x.client()
		peer, err := c.KeyAgreement(t.Context(), pinuv.Two)
		if err != nil {
			t.Fatal(err)
		}
		platform, secret, err := pinuv.Two.Encapsulate(peer)
		if err != nil {
			t.Fatal(err)
		}
		own, err := ctap2.NewClient(a, nil).KeyAgreement(t.Context(), pinuv.Two)
		if err != nil || bytes.Equal(own.X, peer.X) {
			t.Errorf("the program sees the key's own key agreement key (%v)", err)
		}
		long, err := pinuv.Two.Encrypt(secret, make([]byte, 32))
		if err != nil {
			t.Fatal(err)
		}
		permissions := ctap2.PermissionCredentialManagement
		for _, tt := range []struct {
			name string
			r    ctap2.ClientPINRequest
			want ctap2.Status
		}{
			{"another protocol", ctap2.ClientPINRequest{PINUVAuthProtocol: 3, Subcommand: ctap2.SubGetPINToken, KeyAgreement: platform, PINHashEnc: long}, ctap2.ErrInvalidParameter},
			{"no key agreement", ctap2.ClientPINRequest{PINUVAuthProtocol: 2, Subcommand: ctap2.SubGetPINToken, PINHashEnc: long}, ctap2.ErrMissingParameter},
			{"no PIN", ctap2.ClientPINRequest{PINUVAuthProtocol: 2, Subcommand: ctap2.SubGetPINToken, KeyAgreement: platform}, ctap2.ErrMissingParameter},
			{"a long PIN", ctap2.ClientPINRequest{PINUVAuthProtocol: 2, Subcommand: ctap2.SubGetPINUVAuthTokenUsingPINWithPermissions, KeyAgreement: platform, PINHashEnc: long, Permissions: &permissions}, ctap2.ErrInvalidParameter},
			{"a change that is not authenticated", ctap2.ClientPINRequest{PINUVAuthProtocol: 2, Subcommand: ctap2.SubChangePIN, KeyAgreement: platform, PINHashEnc: long, NewPINEnc: long, PINUVAuthParam: make([]byte, 32)}, ctap2.ErrPINAuthInvalid},
			{"another subcommand", ctap2.ClientPINRequest{PINUVAuthProtocol: 2, Subcommand: 0x0A}, ctap2.ErrInvalidSubcommand},
		} {
			if _, err := c.ClientPIN(t.Context(), &tt.r); !errors.Is(err, tt.want) {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
		}
		mc := makes()
		mc.PINUVAuthParam = new(make([]byte, 32))
		if _, err := c.MakeCredential(t.Context(), mc); !errors.Is(err, ctap2.ErrMissingParameter) {
			t.Errorf("no protocol: got %v", err)
		}
		if n, _, err := c.PINRetries(t.Context()); err != nil || n != 8 {
			t.Errorf("got %d retries, %v, want all", n, err)
		}
		x.release()
	})
}
