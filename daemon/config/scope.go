package config

import (
	"os"
	"path/filepath"
)

// Scope says for whom a daemon runs: it decides where its files are.
type Scope string

// The scopes.
const (
	User   Scope = "user"   // for one user, with the folders of the XDG Base Directory Specification
	System Scope = "system" // for the machine
)

// SocketPath is where the daemon listens; empty for a user without XDG_RUNTIME_DIR.
func (s Scope) SocketPath() string {
	if s == System {
		return "/run/fobd/fobd.sock"
	}
	if dir := absolute("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "fobd", "fobd.sock")
	}
	return ""
}

// File is the configuration file; empty for a user without a home.
func (s Scope) File() string {
	if s == System {
		return "/etc/fobd/fobd.toml"
	}
	return home("XDG_CONFIG_HOME", ".config", "fobd.toml")
}

// PolicyDir is where files of rules are; empty for a user without a home.
func (s Scope) PolicyDir() string {
	if s == System {
		return "/etc/fobd/policy.d"
	}
	return home("XDG_CONFIG_HOME", ".config", "policy.d")
}

// StateDir is where lasting things are; empty for a user without a home.
func (s Scope) StateDir() string {
	if s == System {
		return "/var/lib/fobd"
	}
	return home("XDG_STATE_HOME", filepath.Join(".local", "state"), "")
}

// home joins an XDG folder, or its default in the home folder, with our part.
func home(variable, fallback, name string) string {
	dir := absolute(variable)
	if dir == "" {
		h := absolute("HOME")
		if h == "" {
			return ""
		}
		dir = filepath.Join(h, fallback)
	}
	return filepath.Join(dir, "fobd", name)
}

// absolute reads a path from the environment; relative ones must be ignored by the
// XDG Base Directory Specification.
func absolute(variable string) string {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return dir
	}
	return ""
}
