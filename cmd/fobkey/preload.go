package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// preloadName is the library that cmd/fobkey/preload builds.
const preloadName = "fobkey-preload.so"

// preloadPath finds the library near the program with this path, where make puts it, or among
// installed ones; empty when it is nowhere.
func preloadPath(program string) string {
	dir := filepath.Dir(program)
	for _, name := range []string{
		filepath.Join(dir, preloadName),
		filepath.Join(dir, "..", "lib", "fobd", preloadName),
		"/usr/local/lib/fobd/" + preloadName,
		"/usr/lib/fobd/" + preloadName,
	} {
		if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
			return filepath.Clean(name)
		}
	}
	return ""
}

// printPreload says how to run programs of libfido2 against a socket of reports. What it prints is
// a script: the rest is comments.
func printPreload(out io.Writer, program string, listen []address) error {
	path := "/tmp/fobkey.sock"
	for _, a := range listen {
		if a.kind == "unix" || a.kind == "unixpacket" {
			path = a.at
			break
		}
	}
	library := preloadPath(program)
	var b strings.Builder
	b.WriteString("# Programs that use libfido2 talk to this key instead of a device, unchanged.\n")
	if library == "" {
		fmt.Fprintf(&b, "# %s is not here: \"make preload\" in the source of fobd builds it.\n", preloadName)
	}
	fmt.Fprintf(&b, `fobkey --listen %[1]s &
export FOBKEY_SOCKET=%[2]s      # several: with : between them
export LD_PRELOAD=%[3]s
# fido2-token -L
# fido2-token -I %[2]s
# ssh-keygen -t ecdsa-sk -N '' -f id_ecdsa_sk
# pamu2fcfg --username alice
# Not for programs that load libfido2 themselves with dlopen (systemd-cryptenroll), that are
# linked statically, or that run with more rights than their caller (sudo with pam_u2f).
`, quote(address{kind: "unix", at: path}.flag(listen)), quote(path), quote(cmp.Or(library, "/path/to/"+preloadName)))
	_, err := io.WriteString(out, b.String())
	return err
}

// flag is what --listen takes for the address that is at the same place.
func (a address) flag(listen []address) string {
	for _, given := range listen {
		if given.at == a.at {
			return given.text
		}
	}
	return a.at
}

// quote makes one word of a shell.
func quote(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-:@") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
