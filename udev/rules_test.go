// Package udev_test checks the udev rule that ships with fobd (udev(7)): its grammar, its
// place among systemd's rules, and, where udevadm allows, what it does.
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

const rules = "70-fobd.rules"

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

func readRules(t *testing.T) [][]token {
	t.Helper()
	data, err := os.ReadFile(rules)
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
			t.Errorf("%s:%d: %v", rules, number+1, err)
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
	all := readRules(t)
	has := func(rule []token, want token) bool { return slices.Contains(rule, want) }
	var node, emulated, labels, jumps []token
	for _, rule := range all {
		switch {
		case has(rule, token{"SUBSYSTEM", "", "==", "hidraw"}):
			node = rule
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
	if order := []string{"60-fido-id.rules", rules, "73-seat-late.rules"}; !slices.IsSorted(order) {
		t.Errorf("%s is not between 60-fido-id.rules and 73-seat-late.rules", rules)
	}
}

func TestUdevadmVerify(t *testing.T) {
	udevadm, err := exec.LookPath("udevadm")
	if err != nil {
		t.Skip(err)
	}
	output, err := exec.CommandContext(t.Context(), udevadm, "verify", "--resolve-names=never", rules).CombinedOutput()
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
mount -t tmpfs none /dev
mknod -m 600 /dev/null c 1 3
for name in fuse tun loop-control; do
	node=$(sed -n s/^DEVNAME=//p /sys/devices/virtual/misc/$name/uevent)
	mkdir -p "$(dirname /dev/$node)"
	mknod -m 600 /dev/$node c $(tr : ' ' </sys/devices/virtual/misc/$name/dev)
	udevadm test --action=add /sys/devices/virtual/misc/$name 2>&1 | grep -E "70-fobd.rules:.*([Ii]nvalid|[Uu]nknown|ignor)" | sed 's/^/complaint: /'
	stat -c "$name %a %g" /dev/$node
done
`

func TestUdevadmTest(t *testing.T) {
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
	data, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text := strings.ReplaceAll(string(data), `"uhid"`, `"fuse"`)
	text = strings.ReplaceAll(text, `"hidraw"`, `"misc"`)
	for name, content := range map[string]string{
		rules:              text,
		"60-fido-id.rules": `KERNEL=="tun", ENV{ID_FIDO_TOKEN}="1"` + "\n",
		"69-other.rules":   `SUBSYSTEM=="misc", GROUP="root", MODE="0600"` + "\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	output, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-ec", script, "sh", dir).CombinedOutput()
	if err != nil {
		t.Skipf("udevadm test cannot run here: %v\n%s", err, output)
	}
	const want = "fuse 660 4711\ntun 660 4711\nloop-control 600 0\n"
	if string(output) != want {
		t.Errorf("got\n%swant\n%s", output, want)
	}
}
