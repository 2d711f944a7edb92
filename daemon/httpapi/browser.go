package httpapi

import (
	"net/http"
	"strings"

	"github.com/fobd/fobd/daemon/api"
)

// refuseBrowser recognises a request that a web page caused. A browser cannot open a
// Unix socket by itself, but a forwarding proxy of the user can make the socket
// reachable, and then any page could use the user's keys. Scripts cannot take these
// headers away (Fetch, section 2.2.2, forbidden request-headers), nor set Host.
func refuseBrowser(r *http.Request) *api.Error {
	found := ""
	for name := range r.Header {
		if name == "Origin" || name == "Referer" || strings.HasPrefix(name, "Sec-Fetch-") {
			found = "the header " + name
			break
		}
	}
	if found == "" && r.Host != "fobd" && r.Host != "localhost" {
		found = "the host " + quote(r.Host)
	}
	if found == "" {
		return nil
	}
	return &api.Error{
		Code:    api.CodeDenied,
		Message: "web pages may not call; the request carries " + found,
		Hint:    "call with Host: fobd or localhost, and without Origin, Referer and Sec-Fetch headers",
	}
}
