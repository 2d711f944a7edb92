package daemon_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/fobd/fobd/daemon"
	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/relyingparty"
	"github.com/fobd/fobd/tokens/softkey"
)

// service is a metadata service of the test's own: a root, and a signer below an intermediate.
type service struct {
	t         *testing.T
	root      []byte // PEM
	chain     []string
	signer    *ecdsa.PrivateKey
	certified func(name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey)
}

func newService(t *testing.T) *service {
	t.Helper()
	s := &service{t: t}
	serial := int64(0)
	s.certified = func(name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		serial++
		template := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour),
			IsCA: name != "signer", BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		}
		if parent == nil {
			parent, by = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c, key
	}
	root, rootKey := s.certified("root", nil, nil)
	middle, middleKey := s.certified("middle", root, rootKey)
	leaf, key := s.certified("signer", middle, middleKey)
	s.root = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw})
	s.signer = key
	for _, c := range []*x509.Certificate{leaf, middle} {
		s.chain = append(s.chain, base64.StdEncoding.EncodeToString(c.Raw))
	}
	return s
}

// blob is a file about one model (FIDO Metadata Service 3.0, section 3.1), whose keys attest below ca.
func (s *service) blob(aaguid string, ca []byte, statuses ...string) []byte {
	s.t.Helper()
	reports := []map[string]any{}
	for _, status := range statuses {
		reports = append(reports, map[string]any{"status": status, "effectiveDate": "2026-01-01"})
	}
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"legalHeader": "none", "no": 7, "nextUpdate": "2026-12-01",
		"entries": []map[string]any{{
			"aaguid": aaguid, "statusReports": reports, "timeOfLastStatusChange": "2026-01-01",
			"metadataStatement": map[string]any{
				"aaguid": aaguid, "description": "Example Key One", "authenticatorVersion": 1, "protocolFamily": "fido2", "schema": 3,
				"upv": []map[string]any{{"major": 1, "minor": 1}}, "authenticationAlgorithms": []string{"secp256r1_ecdsa_sha256_raw"}, "publicKeyAlgAndEncodings": []string{"cose"},
				"attestationTypes": []string{"basic_full"}, "userVerificationDetails": [][]map[string]any{{{"userVerificationMethod": "presence_internal"}}},
				"keyProtection": []string{"hardware"}, "matcherProtection": []string{"on_chip"}, "attachmentHint": []string{"external"}, "tcDisplay": []string{},
				"attestationRootCertificates": []string{base64.StdEncoding.EncodeToString(ca)},
				"authenticatorGetInfo":        map[string]any{"versions": []string{"FIDO_2_1"}, "aaguid": strings.ReplaceAll(aaguid, "-", "")},
			},
		}},
	})
	token.Header["x5c"] = s.chain
	text, err := token.SignedString(s.signer)
	if err != nil {
		s.t.Fatal(err)
	}
	return []byte(text)
}

func TestModelsOfKeys(t *testing.T) {
	taken := &relyingparty.Models{}
	// The engine has them before a test can change them.
	models := func(c *daemon.Config) { c.People.Models = taken }
	inOffice(t, "", func(o *office) {
		s := newService(t)
		must[api.InfoResult](o.lab, api.OpInfo, api.KeyRequest{}, nil)
		aaguid := must[api.ListResult](o.lab, api.OpList, nil, nil).Keys[0].AAGUID
		read := func(ca []byte, statuses ...string) *relyingparty.Metadata {
			o.t.Helper()
			m, err := relyingparty.ReadMetadata(s.blob(aaguid, ca, statuses...), s.root)
			if err != nil || len(m.Skipped) > 0 {
				o.t.Fatal(err, m.Skipped)
			}
			return m
		}
		ca := o.key.AttestationCA()
		another, _ := s.certified("another", nil, nil)
		for _, c := range []struct {
			name   string
			models relyingparty.Models
			want   string // empty: taken
		}{
			{"no metadata", relyingparty.Models{}, ""},
			{"certified", relyingparty.Models{Metadata: read(ca, "FIDO_CERTIFIED_L1"), Attested: true}, ""},
			{"revoked", relyingparty.Models{Metadata: read(ca, "FIDO_CERTIFIED_L1", "REVOKED")}, "REVOKED|not to be trusted"},
			{"compromised", relyingparty.Models{Metadata: read(ca, "ATTESTATION_KEY_COMPROMISE", "FIDO_CERTIFIED")}, "COMPROMISE|not to be trusted"},
			{"attested by another", relyingparty.Models{Metadata: read(another.Raw, "FIDO_CERTIFIED")}, "could not be verified"},
			{"not in the list", relyingparty.Models{Allow: []string{"2fc0579f-8113-47ea-b116-bb5a8db9202a"}}, "not one of those that are taken"},
			{"in the list", relyingparty.Models{Allow: []string{strings.ToUpper(aaguid)}}, ""},
		} {
			*taken = c.models
			if c.want == "" {
				k := must[api.UserEnrollResult](o.lab, api.OpUserEnroll, api.UserEnrollRequest{User: "alice"}, o.person).Token
				if c.models.Metadata != nil && k.Model != "Example Key One" {
					o.t.Errorf("%s: the model is called %q", c.name, k.Model)
				}
				must[api.UserRemoveResult](o.lab, api.OpUserRemove, api.UserRequest{User: "alice"}, nil)
				continue
			}
			e := o.fails(api.OpUserEnroll, api.UserEnrollRequest{User: "alice"}, o.person, api.CodeVerifyFailed)
			first, second, _ := strings.Cut(c.want, "|")
			if !strings.Contains(e.Message, first) && (second == "" || !strings.Contains(e.Message, second)) {
				o.t.Errorf("%s: %v", c.name, e)
			}
		}
		if list := must[api.UserListResult](o.lab, api.OpUserList, nil, nil); len(list.Users) != 0 {
			o.t.Errorf("a key that was refused is there: %+v", list)
		}
		// A key that does not say what it is.
		o.bus.Detach("1")
		o.settle()
		o.soft("2", softkey.Config{Attestation: softkey.AttestationSelf})
		*taken = relyingparty.Models{Attested: true}
		if e := o.fails(api.OpUserEnroll, api.UserEnrollRequest{User: "alice"}, o.person, api.CodeVerifyFailed); !strings.Contains(e.Message, "does not prove which model it is") {
			o.t.Errorf("%v", e)
		}
		*taken = relyingparty.Models{Metadata: read(ca, "REVOKED")}
		// The entry says that this model attests with a certificate, so that one who only signs for himself is refused before its status is read.
		o.fails(api.OpUserEnroll, api.UserEnrollRequest{User: "alice"}, o.person, api.CodeVerifyFailed)

		// What is found out later counts from then on.
		o.bus.Detach("2")
		o.settle()
		o.key = o.soft("3", softkey.Config{})
		*taken = relyingparty.Models{Metadata: read(o.key.AttestationCA(), "FIDO_CERTIFIED_L1")}
		k := must[api.UserEnrollResult](o.lab, api.OpUserEnroll, api.UserEnrollRequest{User: "alice"}, o.person).Token
		o.says(o.verify(api.UserVerifyRequest{User: "alice"}), "hwk user", k.Serial)
		*taken = relyingparty.Models{Metadata: read(o.key.AttestationCA(), "FIDO_CERTIFIED_L1", "USER_KEY_REMOTE_COMPROMISE")}
		for _, age := range []int{0, 600} {
			if e := o.fails(api.OpUserVerify, api.UserVerifyRequest{User: "alice", MaxAge: age}, o.person, api.CodeVerifyFailed); !strings.Contains(e.Message, "the model of "+k.Serial) {
				o.t.Errorf("%v", e)
			}
		}

		// Files that are not signed as they should be.
		good := s.blob(aaguid, ca)
		other := newService(t)
		for name, try := range map[string]func() ([]byte, []byte){
			"FIDO's root":     func() ([]byte, []byte) { return good, nil },
			"another root":    func() ([]byte, []byte) { return good, other.root },
			"changed":         func() ([]byte, []byte) { return []byte(strings.Replace(string(good), ".", ".A", 1)), s.root },
			"not signed":      func() ([]byte, []byte) { return good[:strings.LastIndex(string(good), ".")+1], s.root },
			"nothing":         func() ([]byte, []byte) { return nil, s.root },
			"a root of noise": func() ([]byte, []byte) { return good, []byte("noise") },
		} {
			if _, err := relyingparty.ReadMetadata(try()); err == nil {
				o.t.Errorf("%s: taken", name)
			}
		}
	}, models)
}
