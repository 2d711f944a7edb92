package webauthn

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// localhost is the only host that needs no TLS, and the only RP ID of one label (Secure
// Contexts, section 3.1).
const localhost = "localhost"

// maxDomain is the length of the longest domain name (RFC 1035, section 2.3.4).
const maxDomain = 253

// ParseOrigin checks a serialised origin (HTML, section 7.1.1), which must be https, or http
// on localhost, and on a domain, and returns the domain. It must be written as a browser
// does: in lower case, without the default port, without a path. The error is [ErrOrigin].
func ParseOrigin(origin string) (domain string, err error) {
	bad := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("%w: %s", ErrOrigin, fmt.Sprintf(format, args...))
	}
	if len(origin) > maxDomain+16 {
		return bad("%d bytes", len(origin))
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return bad("%q is not like https://example.org", origin)
	}
	domain, port := u.Hostname(), u.Port()
	canonical := u.Scheme + "://" + domain
	if port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return bad("port %q", port)
		}
		if !(u.Scheme == "https" && n == 443 || u.Scheme == "http" && n == 80) {
			canonical += ":" + strconv.FormatUint(n, 10)
		}
	}
	switch {
	case u.Scheme != "https" && !(u.Scheme == "http" && (domain == localhost || strings.HasSuffix(domain, "."+localhost))):
		return bad("%q is not https", origin)
	case origin != canonical:
		return bad("%q is not written as a browser writes it, %q", origin, canonical)
	}
	// WebAuthn Level 3, section 5.1.3: the effective domain must be a valid domain.
	if err := checkDomain(domain); err != nil {
		return bad("%q: %v", origin, err)
	}
	return domain, nil
}

// checkDomain says why s is not a domain in its ASCII form.
func checkDomain(s string) error {
	if len(s) > maxDomain {
		return fmt.Errorf("a domain of %d bytes", len(s))
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return fmt.Errorf("an address is not a domain")
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if len(label) == 0 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Errorf("%q is not a label of a domain", label)
		}
		for _, c := range []byte(label) {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return fmt.Errorf("%q is not a label of a domain in its ASCII form", label)
			}
		}
	}
	// A last label of digits makes a browser take it for an address (URL, section 3.5).
	if last := labels[len(labels)-1]; strings.Trim(last, "0123456789") == "" {
		return fmt.Errorf("an address is not a domain")
	}
	return nil
}

// RPID returns the RP ID to use for an origin's domain: rpID, or the domain itself when
// rpID is empty. The error is [ErrRPID] unless rpID is the domain or a parent of it
// under which one registers names, by the public suffix list (WebAuthn Level 3, section 5.1.3; HTML,
// section 7.1.1.2, "is a registrable domain suffix of or is equal to").
func RPID(domain, rpID string) (string, error) {
	if rpID == "" {
		rpID = domain
	}
	if rpID != domain {
		if err := checkDomain(rpID); err != nil {
			return "", fmt.Errorf("%w: %w", ErrRPID, err)
		}
		if !strings.HasSuffix(domain, "."+rpID) {
			return "", fmt.Errorf("%w: %q is not a parent domain of %q", ErrRPID, rpID, domain)
		}
		own, _ := publicsuffix.PublicSuffix(rpID)
		public, _ := publicsuffix.PublicSuffix(domain)
		if own == rpID || rpID == public || strings.HasSuffix(public, "."+rpID) {
			return "", fmt.Errorf("%w: %q belongs to no site: anybody can have names in it", ErrRPID, rpID)
		}
	}
	return rpID, nil
}

// AppID returns the AppID of U2F to look for credentials under when a site on domain gives
// appID in the extensions appid and appidExclude (WebAuthn Level 3, sections 10.1.1 and 10.1.2). An
// empty one is the site's own, its origin. Another one must be on the site's own domain, a
// parent or a child of it; a list of trusted facets is not fetched. The error is [ErrRPID].
func AppID(origin, domain, appID string) (string, error) {
	if appID == "" {
		return origin, nil
	}
	if len(appID) > maxText {
		return "", fmt.Errorf("%w: an AppID of %d bytes", ErrRPID, len(appID))
	}
	u, err := url.Parse(appID)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "", fmt.Errorf("%w: the AppID %q is not like https://example.org", ErrRPID, appID)
	}
	host := u.Hostname()
	if err := checkDomain(host); err != nil {
		return "", fmt.Errorf("%w: the AppID: %w", ErrRPID, err)
	}
	for _, pair := range [][2]string{{domain, host}, {host, domain}} {
		if _, err := RPID(pair[0], pair[1]); err == nil {
			return appID, nil
		}
	}
	return "", fmt.Errorf("%w: the AppID %q is not of the site", ErrRPID, appID)
}
