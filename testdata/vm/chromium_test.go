//go:build vm

package vm

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/relyingparty"
)

// page registers a credential and signs in with it, and sends what came of it to its server.
const page = `<!doctype html><meta charset="utf-8"><title>sign in</title><script>
const send = (path, value) => fetch(path, {method: "POST", body: JSON.stringify(value)});
(async () => {
	await send("/began", navigator.userAgent);
	const options = path => fetch(path).then(answer => answer.json());
	const made = await navigator.credentials.create({publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(await options("/creation"))});
	await send("/created", made.toJSON());
	const got = await navigator.credentials.get({publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(await options("/request"))});
	await send("/got", got.toJSON());
})().catch(error => send("/failed", String(error)));
</script>`

// chromiumLimit is what the browser has for everything. The machine is emulated instruction by
// instruction: what takes a second elsewhere takes half a minute here.
const chromiumLimit = 6 * time.Minute

// TestChromiumUsesTheKey lets a browser's page on localhost create a credential and sign in with it, through
// the kernel's device; go-webauthn verifies both as the site.
func TestChromiumUsesTheKey(t *testing.T) {
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("chromium is not installed")
	}
	version(t, "chromium")
	k := startKey(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	origin := "http://localhost:" + port
	challenge := base64.RawURLEncoding.EncodeToString(make([]byte, 32))
	creation := json.RawMessage(`{"rp":{"id":"localhost","name":"test"},"user":{"id":"YWxpY2U","name":"alice","displayName":"Alice"},"challenge":"` + challenge + `",
		"pubKeyCredParams":[{"type":"public-key","alg":-7}],"hints":["security-key"],
		"authenticatorSelection":{"authenticatorAttachment":"cross-platform","residentKey":"discouraged","userVerification":"discouraged"}}`)
	type message struct {
		path string
		body json.RawMessage
	}
	messages := make(chan message, 10)
	var registered api.Registered
	request := func() json.RawMessage {
		return json.RawMessage(`{"rpId":"localhost","challenge":"` + challenge + `","userVerification":"discouraged","hints":["security-key"],
			"allowCredentials":[{"type":"public-key","id":"` + registered.CredentialID.String() + `","transports":["usb"]}]}`)
	}
	ready := make(chan struct{}) // registered is known
	server := &http.Server{ReadHeaderTimeout: limit, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			body, _ := io.ReadAll(io.LimitReader(r.Body, 1<<20))
			messages <- message{r.URL.Path, body}
		case r.URL.Path == "/creation":
			_, _ = w.Write(creation)
		case r.URL.Path == "/request":
			<-ready
			_, _ = w.Write(request())
		case r.URL.Path == "/":
			_, _ = io.WriteString(w, page)
		default:
			http.NotFound(w, r)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })

	began := time.Now()
	profile, err := os.MkdirTemp("/dev/shm", "chromium")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(profile) })
	browser := start(t, nil, "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
		"--no-first-run", "--no-default-browser-check", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--disable-extensions", "--user-data-dir="+profile, origin+"/")
	deadline := time.After(chromiumLimit)
	next := func(path string) json.RawMessage {
		t.Helper()
		select {
		case m := <-messages:
			t.Logf("%s after %v", m.path, time.Since(began).Round(time.Second))
			if m.path != path {
				t.Fatalf("the page says %s %s, want %s", m.path, m.body, path)
			}
			return m.body
		case <-browser.done:
			t.Fatalf("chromium has ended: %v\n%s", browser.err, browser.stderr)
		case <-deadline:
			t.Fatalf("chromium did not get to %s in %v\n%s\nthe key: %s", path, chromiumLimit, browser.stderr, k.say("status"))
		}
		return nil
	}
	t.Logf("%s", next("/began"))
	made := next("/created")
	result, err := relyingparty.Verifier{}.Verify(t.Context(), &api.CheckRequest{Origin: origin, CreationOptions: creation, Credential: made})
	if err != nil {
		t.Fatalf("%v\n%s", err, made)
	}
	registered = result.Registered
	close(ready)
	got := next("/got")
	if _, err := (relyingparty.Verifier{}).Verify(t.Context(), &api.CheckRequest{Origin: origin, RequestOptions: request(), Credential: got, Registered: &registered}); err != nil {
		t.Errorf("%v\n%s", err, got)
	}
}
