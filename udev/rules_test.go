// Package udev_test checks the udev rules that ship with fobd (udev(7)): their grammar, their
// places among systemd's rules, and, where udevadm allows, what they do.
package udev_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	rules  = "70-fobd.rules"
	strict = "71-fobd-strict.rules"
)

// token is one comparison or assignment: KEY{attribute}op"value".
type token struct{ key, attribute, op, value string }

var tokenForm = regexp.MustCompile(`^([A-Z_]+)(?:\{([^}"]+)\})?\s*(==|!=|\+=|-=|:=|=)\s*"([^"\\]*)"$`)

// The keys of udev(7) that compare, those that assign, and those that do both.
var (
	matchKeys = []string{
		"ACTION", "DEVPATH", "KERNEL", "KERNELS", "SUBSYSTEM", "SUBSYSTEMS", "DRIVER",
		"DRIVERS", "ATTRS", "TAGS", "TEST", "RESULT", "CONST",
	}
	assignKeys = []string{"OWNER", "GROUP", "MODE", "SECLABEL", "RUN", "LABEL", "GOTO", "OPTIONS"}
	bothKeys   = []string{"NAME", "SYMLINK", "ATTR", "SYSCTL", "ENV", "TAG", "PROGRAM", "IMPORT"}
)

// parseRule reads one line.
func parseRule(line string) ([]token, error) {
	var tokens []token
	for part := range strings.SplitSeq(line, ",") {
		m := tokenForm.FindStringSubmatch(strings.TrimSpace(part))
		if m == nil {
			return nil, fmt.Errorf("no token: %q", part)
		}
		t := token{m[1], m[2], m[3], m[4]}
		compares := t.op == "==" || t.op == "!="
		switch {
		case slices.Contains(bothKeys, t.key):
		case slices.Contains(matchKeys, t.key) && compares:
		case slices.Contains(assignKeys, t.key) && !compares:
		default:
			return nil, fmt.Errorf("%s cannot have %s", t.key, t.op)
		}
		if (t.key == "ENV" || t.key == "ATTR" || t.key == "ATTRS") != (t.attribute != "") {
			return nil, fmt.Errorf("%s with attribute %q", t.key, t.attribute)
		}
		tokens = append(tokens, t)
	}
	return tokens, nil
}

func readRules(t *testing.T, file string) [][]token {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all [][]token
	for number, line := range strings.Split(string(data), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		tokens, err := parseRule(line)
		if err != nil {
			t.Errorf("%s:%d: %v", file, number+1, err)
		}
		all = append(all, tokens)
	}
	return all
}

func TestParseRule(t *testing.T) {
	for _, line := range []string{
		`KERNEL="x"`, `GROUP=="fobd"`, `BOGUS=="x"`, `KERNEL=="x`, `KERNEL=="x" GROUP="y"`,
		`KERNEL=="x",`, `ENV=="x"`, `GROUP{x}="y"`, `KERNEL`,
	} {
		if got, err := parseRule(line); err == nil {
			t.Errorf("%s: accepted as %v", line, got)
		}
	}
}

func TestRules(t *testing.T) {
	all := readRules(t, rules)
	has := func(rule []token, want token) bool { return slices.Contains(rule, want) }
	var node, emulated, labels, jumps []token
	var others [][]token
	for _, rule := range all {
		switch {
		case has(rule, token{"SUBSYSTEM", "", "==", "hidraw"}) && has(rule, token{"ENV", "ID_FIDO_TOKEN", "==", "1"}):
			node = rule
		case has(rule, token{"SUBSYSTEM", "", "==", "hidraw"}):
			others = append(others, rule)
		case has(rule, token{"KERNEL", "", "==", "uhid"}):
			emulated = rule
		}
		for _, t := range rule {
			switch t.key {
			case "LABEL":
				labels = append(labels, t)
			case "GOTO":
				jumps = append(jumps, t)
			}
		}
	}
	for _, want := range []token{
		{"ENV", "ID_FIDO_TOKEN", "==", "1"},
		{"GROUP", "", "=", "fobd"},
		{"MODE", "", "=", "0660"},
		{"TAG", "", "+=", "uaccess"},
	} {
		if !has(node, want) {
			t.Errorf("hidraw: %v missing in %v", want, node)
		}
	}
	// Tokens that are no FIDO devices are known by their numbers, and no other keyboards are.
	if len(others) != 3 {
		t.Errorf("%d rules for other tokens", len(others))
	}
	for _, rule := range others {
		by := func(name string) bool {
			return slices.ContainsFunc(rule, func(t token) bool { return t.key == "ATTRS" && t.attribute == name && t.op == "==" })
		}
		if !by("idVendor") || !by("idProduct") || !has(rule, token{"GROUP", "", "=", "fobd"}) || !has(rule, token{"MODE", "", "=", "0660"}) {
			t.Errorf("a token that is no FIDO device: %v", rule)
		}
	}
	for _, want := range []token{
		{"SUBSYSTEM", "", "==", "misc"},
		{"GROUP", "", "=", "fobd"},
		{"MODE", "", "=", "0660"},
		{"OPTIONS", "", "+=", "static_node=uhid"},
	} {
		if !has(emulated, want) {
			t.Errorf("uhid: %v missing in %v", want, emulated)
		}
	}
	if has(emulated, token{"TAG", "", "+=", "uaccess"}) {
		t.Error("everyone at a seat could emulate keyboards")
	}
	if len(jumps) != 1 || len(labels) != 1 || jumps[0].value != labels[0].value {
		t.Errorf("jumps %v and labels %v do not match", jumps, labels)
	}
}

func TestRulesComeInOrder(t *testing.T) {
	// What libfido2 and systemd give to people, strict mode takes back, before systemd's late rule acts.
	order := []string{"60-fido-id.rules", rules, "70-u2f.rules", "70-uaccess.rules", strict, "71-seat.rules", "73-seat-late.rules"}
	if !slices.IsSorted(order) {
		t.Errorf("%q is not in order", order)
	}
}

func TestUdevadmVerify(t *testing.T) {
	udevadm, err := exec.LookPath("udevadm")
	if err != nil {
		t.Skip(err)
	}
	output, err := exec.CommandContext(t.Context(), udevadm, "verify", "--resolve-names=never", rules, strict).CombinedOutput()
	if strings.Contains(string(output), "Unknown command verb") {
		t.Skip("udevadm is older than systemd 254")
	}
	if err != nil {
		t.Errorf("udevadm verify: %v\n%s", err, output)
	}
}

// udevadm test acts on real nodes, so it runs in a mount namespace with a /dev and a /run of
// its own. There, fuse stands for uhid and tun for a hidraw node.
const script = `
mount -t tmpfs none /run
mkdir -p /run/udev/rules.d
cp "$1"/*.rules /run/udev/rules.d/
cp /etc/group /run/group
echo fobd:x:4711: >>/run/group
mount --bind /run/group /etc/group
cp /etc/passwd /run/passwd
echo fobd:x:4712:4711::/:/bin/false >>/run/passwd
mount --bind /run/passwd /etc/passwd
mount -t tmpfs none /dev
mknod -m 600 /dev/null c 1 3
for name in fuse tun loop-control; do
	node=$(sed -n s/^DEVNAME=//p /sys/devices/virtual/misc/$name/uevent)
	mkdir -p "$(dirname /dev/$node)"
	mknod -m 600 /dev/$node c $(tr : ' ' </sys/devices/virtual/misc/$name/dev)
	udevadm test --action=add /sys/devices/virtual/misc/$name 2>&1 | grep -E "7[01]-fobd.*rules:.*([Ii]nvalid|[Uu]nknown|ignor)" | sed 's/^/complaint: /'
	stat -c "$name %a %u %g" /dev/$node
done
`

func TestUdevadmTest(t *testing.T) {
	got := udevadmTest(t, rules)
	const want = "fuse 660 0 4711\ntun 660 0 4711\nloop-control 600 0 0\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// Strict mode wins over whoever gives keys away, before and after it.
func TestStrictTakesKeysBack(t *testing.T) {
	got := udevadmTest(t, rules, strict)
	const want = "fuse 660 0 4711\ntun 600 4712 0\nloop-control 600 0 0\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestStrictRules(t *testing.T) {
	all := readRules(t, strict)
	labels := map[string]int{}
	key, shared := -1, -1
	for i, rule := range all {
		for _, t := range rule {
			switch {
			case t.key == "LABEL":
				labels[t.value] = i
			case t == token{"MODE", "", ":=", "0600"}:
				key = i
			case t.key == "ATTRS" && strings.Contains(t.value, "+shared"):
				shared = i
			}
		}
	}
	for i, rule := range all {
		for _, u := range rule {
			if at, ok := labels[u.value]; u.key == "GOTO" && (!ok || at < i) {
				t.Errorf("rule %d goes to %s, which does not follow", i, u.value)
			}
			if u.key == "TAG" && u != (token{"TAG", "", "-=", "uaccess"}) {
				t.Errorf("rule %d: %v", i, u)
			}
		}
	}
	if key < 0 || shared < 0 || shared > key {
		t.Fatalf("the shared key is at %d, the others at %d", shared, key)
	}
	for _, want := range []token{{"OWNER", "", ":=", "fobd"}, {"GROUP", "", ":=", "root"}, {"TAG", "", "-=", "uaccess"}} {
		if !slices.Contains(all[key], want) {
			t.Errorf("%v missing in %v", want, all[key])
		}
	}
}

// udevadmTest tells what rules do to nodes of their own.
func udevadmTest(t *testing.T, files ...string) string {
	t.Helper()
	for _, needed := range []string{"udevadm", "unshare", "sed", "stat"} {
		if _, err := exec.LookPath(needed); err != nil {
			t.Skip(err)
		}
	}
	for _, device := range []string{"fuse", "tun", "loop-control"} {
		if _, err := os.Stat("/sys/devices/virtual/misc/" + device); err != nil {
			t.Skip(err)
		}
	}
	if err := exec.CommandContext(t.Context(), "unshare", "--mount", "true").Run(); err != nil {
		t.Skipf("no mount namespace: %v", err)
	}
	dir := t.TempDir()
	contents := map[string]string{
		"60-fido-id.rules": `KERNEL=="tun", ENV{ID_FIDO_TOKEN}="1"` + "\n",
		"69-other.rules":   `SUBSYSTEM=="misc", GROUP="root", MODE="0600"` + "\n",
		"70-u2f.rules":     `KERNEL=="tun", MODE="0660", TAG+="uaccess"` + "\n",
	}
	if slices.Contains(files, strict) {
		contents["72-other.rules"] = `KERNEL=="tun", GROUP="fobd", MODE="0666"` + "\n"
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		contents[file] = strings.NewReplacer(`"uhid"`, `"fuse"`, `"hidraw"`, `"misc"`).Replace(string(data))
	}
	for name, content := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	output, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec", script, "sh", dir).CombinedOutput()
	if err != nil {
		t.Skipf("udevadm test cannot run here: %v\n%s", err, output)
	}
	return string(output)
}
