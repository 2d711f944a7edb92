package config_test

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/fobd/fobd/daemon/api"
	"github.com/fobd/fobd/daemon/config"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func span(d time.Duration) config.Duration { return config.Duration{Duration: d} }

const everything = `
hid = false
foreign-touches = false
sandbox = false
touch-detector-socket = "auto"
touch-detector-dbus = true
dbus = "session"
credentialsd = true
state-dir = "/s"
trace = "/t"
[socket]
path = "/p"
mode = "0666"
group = "g"
[log]
level = "debug"
format = "json"
[timeouts]
operation = "2m"
body = "3s"
shutdown = "4s"
[enterprise-attestation]
vendor = true
rp-ids = ["corp.example"]
[limits]
connections = 100
user-connections = 10
requests = 9
user-requests = 8
streams = 7
user-streams = 6
queue = 5
user-queue = 3
body = 4
[pin]
keep = "7s"
[tokens]
enabled = false
database = "postgres://d"
key-file = "/k"
[audit]
enabled = false
dir = "/a"
fsync = "always"
max-size = 2
keep = 3
journal = true
required = true
[policy]
dir = "/d"
defaults = false
[prompts]
order = ["notify", "requester"]
[people]
rp-id = "corp.example"
rp-name = "Corp"
issuer = "i"
statement = "9s"
metadata = "/m"
metadata-root = "/r"
models = ["2fc0579f-8113-47ea-b116-bb5a8db9202a"]
attested = true
[codes]
smart-cards = false
pcscd = "/c"
readers = ["virtual"]
poll = true
[expose]
enabled = true
key = "1234"
vendor-id = 0x1050
product-id = 0x0407
[[emulate]]
name = "a"
profile = "fido2.1"
faults = ["bad-signature"]
state = "a.state"
presence = "delay"
delay = "1500ms"
uv = "grant"
attestation = "self"
algorithms = ["ES256", "EdDSA"]
ctap1-only = true
uhid = true
no-reset-window = true
oath = "nitrokey"
[[emulate]]
`

func TestLoadReadsEveryKey(t *testing.T) {
	path := write(t, filepath.Join(t.TempDir(), "x.toml"), everything)
	got, files, err := config.Load(path, config.User)
	if err != nil {
		t.Fatal(err)
	}
	want := &config.Config{
		Socket: config.Socket{Path: "/p", Mode: config.Mode{FileMode: 0o666}, Group: "g"},
		Log:    config.Log{Level: config.Level{Level: slog.LevelDebug}, Format: config.Format{Value: config.FormatJSON}},
		Timeouts: config.Timeouts{
			Operation: span(2 * time.Minute), Body: span(3 * time.Second), Shutdown: span(4 * time.Second),
		},
		Limits: config.Limits{Connections: 100, UserConnections: 10, Requests: 9, UserRequests: 8, Streams: 7, UserStreams: 6, Queue: 5, UserQueue: 3, Body: 4},
		PIN:    config.PIN{Keep: span(7 * time.Second)},
		Tokens: config.Tokens{Database: "postgres://d", KeyFile: "/k"},
		People: config.People{
			RPID: "corp.example", RPName: "Corp", Issuer: "i", Statement: span(9 * time.Second), Metadata: "/m", MetadataRoot: "/r",
			Models: []string{"2fc0579f-8113-47ea-b116-bb5a8db9202a"}, Attested: true,
		},
		Codes:      config.Codes{PCSCD: "/c", Readers: []string{"virtual"}, Poll: true},
		Enterprise: config.Enterprise{Vendor: true, RPIDs: []string{"corp.example"}},
		Policy:     config.Policy{Dir: "/d"},
		Audit:      config.Audit{Dir: "/a", Sync: config.Sync{Value: config.SyncAlways}, MaxSize: 2, Keep: 3, Journal: true, Required: true},
		Prompts:    config.Prompts{Order: []string{"notify", "requester"}},
		Expose:     config.Expose{Enabled: true, Key: "1234", VendorID: 0x1050, ProductID: 0x0407},
		StateDir:   "/s", Trace: "/t", TouchDetectorSocket: "auto", TouchDetectorDBus: true, Credentialsd: true, DBus: config.DBus{Value: config.DBusSession},
		Emulate: []config.Emulate{{
			Profile: config.Profile{Value: "fido2.1"}, Faults: []string{"bad-signature"},
			Name: "a", State: "a.state", Presence: config.Presence{Value: "delay"}, Delay: span(1500 * time.Millisecond), UV: config.UV{Value: "grant"},
			Attestation: config.Attestation{Value: "self"}, Algorithms: []string{"ES256", "EdDSA"}, CTAP1Only: true, UHID: true, NoResetWindow: true, OATH: config.OATH{Value: "nitrokey"},
		}, {}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{path}, files); diff != "" {
		t.Errorf("files: -want +got:\n%s", diff)
	}
	if err := got.Validate(); err != nil {
		t.Error(err)
	}
	request := api.EmulateAddRequest{
		Name: "a", State: "a.state", Presence: "delay", DelayMS: 1500, UV: "grant", Attestation: "self",
		Algorithms: []string{"ES256", "EdDSA"}, Profile: "fido2.1", Faults: []string{"bad-signature"}, CTAP1Only: true, UHID: true, OATH: "nitrokey", NoResetWindow: true,
	}
	if diff := cmp.Diff(request, got.Emulate[0].Request()); diff != "" {
		t.Errorf("request: -want +got:\n%s", diff)
	}
}

func TestErrorsNameFileLineAndKey(t *testing.T) {
	tests := []struct {
		name, text string
		line       int
		key, part  string
	}{
		{"unknown key", "hid = true\nhidd = true\n", 2, "hidd", "unknown key"},
		{"unknown key in a table", "[socket]\n\npaht = \"/x\"\n", 3, "socket.paht", "unknown key"},
		{"unknown table", "[sockets]\npath = \"/x\"\n", 1, "sockets", "unknown key"},
		{"unknown key of an emulated key", "[[emulate]]\n[[emulate]]\nnam = \"\"\n", 3, "emulate.nam", "unknown key"},
		{"wrong type", "\nhid = 1\n", 2, "hid", ""},
		{"wrong presence", "[[emulate]]\npresence = \"never\"\n", 2, "emulate.presence", `want one of grant, deny, manual, delay, not "never"`},
		{"wrong span", "[timeouts]\nbody = \"soon\"\n", 2, "timeouts.body", "like 90s"},
		{"negative span", "[timeouts]\nbody = \"-1s\"\n", 2, "timeouts.body", "between 0s and 24h"},
		{"wrong mode", "[socket]\nmode = \"rw\"\n", 2, "socket.mode", "like 0660"},
		{"decimal mode", "[socket]\nmode = 888\n", 2, "", "like 0660"},
		{"span without a unit", "[timeouts]\nbody = 5\n", 2, "", "like 90s"},
		{"number for a level", "[log]\nlevel = 4\n", 2, "", ""},
		{"wrong format", "[log]\nformat = \"xml\"\n", 2, "log.format", "text, json"},
		{"wrong level", "[log]\nlevel = \"loud\"\n", 2, "log.level", "loud"},
		{"not TOML", "hid = true\nhid true\n", 2, "", ""},
		{"key twice", "hid = true\nhid = false\n", 2, "", ""},
		{"cut off", "[socket]\npath = \"/x", 2, "", ""},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.name, " ", "-"), func(t *testing.T) {
			path := write(t, filepath.Join(t.TempDir(), "fobd.toml"), tt.text)
			_, _, err := config.Load(path, config.User)
			var where *config.Error
			if !errors.As(err, &where) {
				t.Fatalf("got %v, want a config.Error", err)
			}
			if where.File != path || where.Line != tt.line || tt.key != "" && where.Key != tt.key || !strings.Contains(where.Reason, tt.part) {
				t.Errorf("got %+v, want line %d, key %q, reason with %q", where, tt.line, tt.key, tt.part)
			}
			if !strings.HasPrefix(err.Error(), "config: "+path+":") {
				t.Errorf("got message %q", err)
			}
		})
	}
}

func TestAllUnknownKeysAreNamed(t *testing.T) {
	c := config.Defaults(config.User)
	err := config.Parse(&c, "f", []byte("one = 1\ntwo = 2\n"))
	if err == nil || !strings.Contains(err.Error(), "f:1: one") || !strings.Contains(err.Error(), "f:2: two") {
		t.Errorf("got %v", err)
	}
}

func TestDropInsOverrideInOrder(t *testing.T) {
	dir := t.TempDir()
	path := write(t, filepath.Join(dir, "fobd.toml"), "trace = \"main\"\n[socket]\npath = \"/p\"\ngroup = \"main\"\n[[emulate]]\nname = \"main\"\n")
	write(t, path+".d/20.toml", "trace = \"twenty\"\n[[emulate]]\nname = \"twenty\"\n")
	write(t, path+".d/10.toml", "trace = \"ten\"\n[socket]\ngroup = \"ten\"\n[[emulate]]\nname = \"ten\"\n")
	write(t, path+".d/30.conf", "nonsense")
	c, files, err := config.Load(path, config.System)
	if err != nil {
		t.Fatal(err)
	}
	if c.Trace != "twenty" || c.Socket.Path != "/p" || c.Socket.Group != "ten" {
		t.Errorf("got %+v", c)
	}
	var names []string
	for _, e := range c.Emulate {
		names = append(names, e.Name)
	}
	if got := strings.Join(names, " "); got != "main ten twenty" {
		t.Errorf("emulated keys: got %s", got)
	}
	if len(files) != 3 || filepath.Base(files[1]) != "10.toml" {
		t.Errorf("files: got %v", files)
	}
}

func TestOnlyTheScopesOwnFileMayBeMissing(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	c, files, err := config.Load("", config.User)
	if err != nil || len(files) != 0 {
		t.Errorf("own file: got %v, %v", files, err)
	}
	if want := config.Defaults(config.User); err == nil && !cmp.Equal(*c, want) {
		t.Errorf("got %+v, want the defaults", c)
	}
	if _, _, err := config.Load(filepath.Join(dir, "none.toml"), config.User); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("named file: got %v", err)
	}
	write(t, filepath.Join(dir, "fobd", "fobd.toml"), "trace = \"/t\"\n")
	if c, _, err = config.Load("", config.User); err != nil || c.Trace != "/t" {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, _, err = config.Load(write(t, filepath.Join(dir, "big.toml"), strings.Repeat("#", 1<<20+1)), config.User); err == nil {
		t.Error("an oversized file was read")
	}
}

func TestScopes(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	t.Setenv("XDG_CONFIG_HOME", "relative")
	t.Setenv("XDG_STATE_HOME", "/state")
	t.Setenv("HOME", "/home/u")
	for _, tt := range []struct{ got, want string }{
		{config.User.SocketPath(), "/run/user/7/fobd/fobd.sock"},
		{config.User.File(), "/home/u/.config/fobd/fobd.toml"},
		{config.User.StateDir(), "/state/fobd"},
		{config.System.SocketPath(), "/run/fobd/fobd.sock"},
		{config.System.File(), "/etc/fobd/fobd.toml"},
		{config.System.StateDir(), "/var/lib/fobd"},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	t.Setenv("HOME", "")
	c := config.Defaults(config.User)
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "XDG_RUNTIME_DIR") {
		t.Errorf("no runtime folder: got %v", err)
	}
	if got := config.User.File(); got != "" {
		t.Errorf("no home: got %s", got)
	}
}

func TestValidate(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"socket.path = \"/" + strings.Repeat("x", 107) + "\"", "108 bytes"},
		{"[[emulate]]\nname = \"a\"\n[[emulate]]\nname = \"a\"\n", `two emulated keys are named "a"`},
		{"[[emulate]]\nstate = \"../a\"\n", "not a path"},
		{"touch-detector-socket = \"run/x.socket\"\n", "absolute path"},
		{"state-dir = \"\"\n[[emulate]]\nstate = \"a\"\n", "no state-dir"},
	} {
		c := config.Defaults(config.System)
		if err := config.Parse(&c, "f", []byte(tt.text)); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: got %v, want %q", tt.text, err, tt.want)
		}
	}
}

// The sample shows every key with its default: as it is, and with its comments taken away.
func TestSampleHasTheDefaults(t *testing.T) {
	sample, err := os.ReadFile("../../packaging/fobd.toml")
	if err != nil {
		t.Fatal(err)
	}
	want := config.Defaults(config.System)
	got := config.Defaults(config.System)
	if err := config.Parse(&got, "fobd.toml", sample); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("as it is: -want +got:\n%s", diff)
	}
	var bare []string
	for line := range strings.Lines(string(sample)) {
		if setting, ok := strings.CutPrefix(line, "#"); ok && !strings.HasPrefix(setting, " ") {
			line = setting
		}
		bare = append(bare, line)
	}
	var shown config.Config
	if err := config.Parse(&shown, "fobd.toml", []byte(strings.Join(bare, ""))); err != nil {
		t.Fatal(err)
	}
	if len(shown.Emulate) != 1 {
		t.Fatalf("got %d emulated keys, want an example of one", len(shown.Emulate))
	}
	shown.Emulate = nil
	if diff := cmp.Diff(want, shown); diff != "" {
		t.Errorf("without comments: -want +got:\n%s", diff)
	}
	for _, key := range []string{"name", "state", "presence", "delay", "uv", "attestation", "algorithms", "ctap1-only", "uhid", "no-reset-window"} {
		if !strings.Contains(string(sample), "\n#"+key+" = ") {
			t.Errorf("the sample does not show emulate.%s", key)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(everything))
	f.Add([]byte("[socket]\nmode = \"0o\"\n"))
	f.Add([]byte("emulate = [{name = \"a\"}]\n"))
	f.Add([]byte("a.b.c = [[[[[[1]]]]]]\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := config.Defaults(config.System)
		before := c
		err := config.Parse(&c, "f", data)
		if err == nil {
			_ = c.Validate()
			return
		}
		if !cmp.Equal(before, c) {
			t.Errorf("failed with %v, but changed the configuration", err)
		}
		var where *config.Error
		if !errors.As(err, &where) || where.File != "f" {
			t.Errorf("got error %v, want one that names the file", err)
		}
	})
}
