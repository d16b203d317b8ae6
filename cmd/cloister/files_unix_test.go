//go:build unix

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// No file that a command reads whole may fill the memory: not by its size, and
// not where it has none and no end.
func TestReadsAreBounded(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.seeds()
	p, keys := d.path("p.json"), d.path("keyring")
	d.must("p.json", d.draft()...)
	for _, r := range []string{"service", "security", "identity"} {
		d.must("", "sign", p, "--key", d.path(r), "--write")
	}
	root, who := d.put("root.key", strings.Repeat("k", 32)), d.put("principals.json", kmsPrincipals)
	large := d.put("large", "")
	if err := os.WriteFile(large, bytes.Repeat([]byte(" "), 2<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	serve := []string{"kms", "serve", "--dir", d.path("store"), "--listen", "127.0.0.1:0", "--root-key"}
	for _, path := range []string{large, "/dev/zero"} {
		for name, args := range map[string][]string{
			"show":            {"profile", "show", path},
			"verify":          {"profile", "verify", path, "--keys", keys},
			"keys":            {"profile", "verify", p, "--keys", path},
			"replaces":        {"profile", "verify", p, "--keys", keys, "--replaces", path},
			"diff":            {"profile", "diff", p, path},
			"sign":            {"profile", "sign", path, "--key", d.path("service")},
			"signature":       {"profile", "sign", p, "--ssh", path},
			"seed":            {"profile", "sign", p, "--key", path},
			"from":            append([]string{"profile"}, d.draft("--from", path)...),
			"allow":           append([]string{"profile"}, d.draft("--allow", path)...),
			"policy check":    {"policy", "check", path},
			"policy subset":   {"policy", "subset", d.path("allow.json"), path},
			"log's key":       {"audit", "verify", d.dir, "--key", path},
			"raw key":         {"seal", "--kms", "raw:" + path, "--context", "a=1"},
			"root key":        {"seal", "--kms", "local:" + d.path("s"), "--root-key", path, "--context", "a=1"},
			"service's root":  append(serve[:len(serve):len(serve)], path, "--principals", who),
			"principals":      append(serve[:len(serve):len(serve)], root, "--principals", path),
			"certificate":     append(serve[:len(serve):len(serve)], root, "--principals", who, "--tls-cert", path, "--tls-key", root),
			"certificate key": append(serve[:len(serve):len(serve)], root, "--principals", who, "--tls-cert", root, "--tls-key", path),
		} {
			code, out, errOut := try(nil, args...)
			if code != 1 || out != "" && name != "replaces" || !strings.Contains(errOut, path+": more than ") || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%s of %s: code %d, %q, %.200q", name, path, code, out, errOut)
			}
		}
	}
}
