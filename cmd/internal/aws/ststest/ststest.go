// Package ststest is a stand-in for AWS's Security Token Service, for tests: it checks the signature of each request (Signature Version 4) and the
// one-time code, which it takes once, and gives credentials that nobody accepts.
package ststest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Server is the stand-in. What is not set is refused.
type Server struct {
	URL string
	// AccessKeyID and SecretAccessKey are the caller's, Serial its MFA device.
	AccessKeyID, SecretAccessKey, Serial string
	// Valid says whether the device shows a code now, or showed it a moment ago.
	Valid func(code string) bool

	mu       sync.Mutex
	requests []url.Values
	used     []string
}

// Start serves until the test ends.
func Start(t testing.TB, s *Server) *Server {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// Requests are the forms of the requests that were granted.
func (s *Server) Requests() []url.Values {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// ServeHTTP answers as STS's query protocol does (API version 2011-06-15).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil {
		return
	}
	if err := s.signed(r, body); err != nil {
		fail(w, http.StatusForbidden, "SignatureDoesNotMatch", err.Error())
		return
	}
	form, err := url.ParseQuery(string(body))
	if err != nil || form.Get("Version") != "2011-06-15" {
		fail(w, http.StatusBadRequest, "MalformedInput", "not a request of the query protocol")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	code := form.Get("TokenCode")
	switch {
	case form.Get("SerialNumber") != s.Serial:
		fail(w, http.StatusForbidden, "AccessDenied", "MultiFactorAuthentication failed, unable to validate MFA code.  Please verify your MFA serial number is valid and associated with this user.")
		return
	case slices.Contains(s.used, code), !s.Valid(code):
		fail(w, http.StatusForbidden, "AccessDenied", "MultiFactorAuthentication failed with invalid MFA one time pass code. ")
		return
	}
	s.used = append(s.used, code)
	s.requests = append(s.requests, form)
	action := form.Get("Action")
	lasts := 12 * time.Hour
	if action == "AssumeRole" {
		lasts = time.Hour
	}
	if d, err := time.ParseDuration(form.Get("DurationSeconds") + "s"); err == nil && form.Get("DurationSeconds") != "" {
		lasts = d
	}
	if action != "AssumeRole" && action != "GetSessionToken" {
		fail(w, http.StatusBadRequest, "InvalidAction", action)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<%[1]sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%[1]sResult><Credentials>
<AccessKeyId>ASIAEXAMPLE%[2]d</AccessKeyId><SecretAccessKey>session secret %[2]d</SecretAccessKey><SessionToken>token of %[1]s</SessionToken><Expiration>%[3]s</Expiration>
</Credentials></%[1]sResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></%[1]sResponse>`,
		action, len(s.requests), time.Now().Add(lasts).UTC().Format(time.RFC3339))
}

func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error><RequestId>1</RequestId></ErrorResponse>`, code, message)
}

// signed checks a request's signature (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html), written
// from that page.
func (s *Server) signed(r *http.Request, body []byte) error {
	kind, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if kind != "AWS4-HMAC-SHA256" {
		return fmt.Errorf("authorization by %q", kind)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	scope := strings.Split(fields["Credential"], "/") // key, date, region, service, aws4_request
	if len(scope) != 5 || scope[0] != s.AccessKeyID || scope[3] != "sts" || scope[4] != "aws4_request" {
		return fmt.Errorf("credential %q", fields["Credential"])
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || time.Since(at).Abs() > 5*time.Minute || at.Format("20060102") != scope[1] {
		return fmt.Errorf("date %q", r.Header.Get("X-Amz-Date"))
	}
	// The canonical request.
	names := strings.Split(fields["SignedHeaders"], ";")
	if !slices.IsSorted(names) || !slices.Contains(names, "host") || !slices.Contains(names, "x-amz-date") {
		return fmt.Errorf("signed headers %q", names)
	}
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, r.URL.EscapedPath(), r.URL.Query().Encode())
	for _, name := range names {
		value := strings.Join(r.Header.Values(name), ",")
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(len(body))
		}
		fmt.Fprintf(&canonical, "%s:%s\n", name, strings.Join(strings.Fields(value), " "))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", fields["SignedHeaders"], hash(body))
	toSign := "AWS4-HMAC-SHA256\n" + r.Header.Get("X-Amz-Date") + "\n" + strings.Join(scope[1:], "/") + "\n" + hash([]byte(canonical.String()))
	key := []byte("AWS4" + s.SecretAccessKey)
	for _, part := range scope[1:] {
		key = mac(key, part)
	}
	if hex.EncodeToString(mac(key, toSign)) != fields["Signature"] {
		return fmt.Errorf("the signature is another one")
	}
	return nil
}

func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
