package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

// Whoever sends what is no message of theirs leaves nothing behind: no grant,
// no key, no store.
func TestRewrapVerifiesFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store := filepath.Join(dir, "kms")
	if err := os.WriteFile(filepath.Join(dir, "root.key"), bytes.Repeat([]byte{9}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := []string{"--kms", "local:" + store, "--context", "tenant=tn-1"}
	code, message, errOut := try([]byte("source"), append([]string{"seal"}, spec...)...)
	if code != 0 {
		t.Fatal(errOut)
	}
	code, others, errOut := try([]byte("source"), "seal", "--kms", "local:"+store, "--context", "tenant=tn-2")
	if code != 0 {
		t.Fatal(errOut)
	}
	altered := []byte(message)
	altered[len(altered)/2] ^= 1 // the header is most of so short a message
	grants := func() int {
		k, err := localkms.Open(store, tenant.NewSecret(bytes.Repeat([]byte{9}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		return len(k.Grants())
	}
	before := grants()
	made := filepath.Join(dir, "other")
	for name, in := range map[string]string{"garbage": "garbage", "nothing": "", "cut off": message[:60], "another tenant's": others, "altered": string(altered)} {
		for _, to := range [][]string{
			{"--to-context", "tenant=never"},
			{"--to-context", "tenant=never", "--header-only"},
			{"--to-kms", "local:" + made},
			{"--to-kms", "local:" + made, "--header-only"},
			{"--to-kms", "local:" + store, "--to-key", "never"},
		} {
			if code, out, errOut := try([]byte(in), append(append([]string{"rewrap"}, spec...), to...)...); code != 1 || out != "" || strings.Count(errOut, "\n") != 1 {
				t.Errorf("%s, %q: code %d, %d bytes, %q", name, to, code, len(out), errOut)
			}
			if n := grants(); n != before {
				t.Fatalf("%s, %q: %d grants more", name, to, n-before)
			}
			if _, err := os.Stat(made); !errors.Is(err, os.ErrNotExist) {
				t.Fatalf("%s, %q: a store was made: %v", name, to, err)
			}
		}
	}
	for _, to := range [][]string{{"--to-context", "tenant=a"}, {"--to-context", "tenant=b", "--header-only"}, {"--to-kms", "local:" + made}, {"--to-kms", "local:" + made, "--to-context", "tenant=a", "--header-only"}} {
		if code, out, errOut := try([]byte(message), append(append([]string{"rewrap"}, spec...), to...)...); code != 0 || out == "" {
			t.Errorf("the control, %q: code %d, %s", to, code, errOut)
		}
	}
	if n := grants(); n != before+2 {
		t.Errorf("the control: %d grants", n-before)
	}
}
