package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/kmsctx/localkms"
	"github.com/cloisterdev/cloister/tenant"
)

func TestLocalStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	root, store := filepath.Join(dir, "root.key"), filepath.Join(dir, "kms")
	spec := []string{"--kms", "local:" + store, "--context", "tenant=tn-1"}
	call := func(in string, command string, more ...string) (int, string, string) {
		return try([]byte(in), append(append([]string{command}, spec...), more...)...)
	}
	if code, _, errOut := call("x", "seal"); code != 1 || !strings.Contains(errOut, "--root-key names the file") {
		t.Errorf("without a root key: code %d, %s", code, errOut)
	}
	if err := os.WriteFile(root, bytes.Repeat([]byte{9}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := call("x", "open"); code != 1 || !strings.Contains(errOut, "no such file") {
		t.Errorf("a reader of no store: code %d, %s", code, errOut)
	}
	code, message, errOut := call("source", "seal")
	if code != 0 {
		t.Fatal(errOut)
	}
	if code, out, errOut := call(message, "open"); code != 0 || out != "source" {
		t.Errorf("the control: code %d, %q, %s", code, out, errOut)
	}
	if code, _, errOut := try([]byte(message), "open", "--kms", "local:"+store, "--context", "tenant=tn-2"); code != 1 || !strings.Contains(errOut, "no grant for this context") {
		t.Errorf("another tenant: code %d, %s", code, errOut)
	}
	if code, _, errOut := call(message, "open", "--key", "other"); code != 1 || !strings.Contains(errOut, "no grant") {
		t.Errorf("another key: code %d, %s", code, errOut)
	}
	// Moved to another tenant, the message opens for that one only.
	code, moved, errOut := call(message, "rewrap", "--to-context", "tenant=tn-2")
	if code != 0 {
		t.Fatal(errOut)
	}
	if code, out, errOut := try([]byte(moved), "open", "--kms", "local:"+store, "--context", "tenant=tn-2"); code != 0 || out != "source" {
		t.Errorf("moved: code %d, %q, %s", code, out, errOut)
	}
	if code, _, errOut := call(moved, "open"); code != 1 || !strings.Contains(errOut, "context does not match") {
		t.Errorf("moved, as before: code %d, %s", code, errOut)
	}

	k, err := localkms.Open(store, tenant.NewSecret(bytes.Repeat([]byte{9}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.SetDisabled(t.Context(), "default", true); err != nil {
		t.Fatal(err)
	}
	if code, _, errOut := call(message, "open"); code != 1 || !strings.Contains(errOut, "disabled") {
		t.Errorf("a disabled key: code %d, %s", code, errOut)
	}
	if err := k.SetDisabled(t.Context(), "default", false); err != nil {
		t.Fatal(err)
	}
	for _, g := range k.Grants() {
		if err := k.RetireGrant(t.Context(), g.ID); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, errOut := call(message, "open"); code != 1 || !strings.Contains(errOut, "no grant") {
		t.Errorf("a retired grant: code %d, %s", code, errOut)
	}
	if err := os.WriteFile(root, bytes.Repeat([]byte{8}, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := call(message, "open"); code != 1 {
		t.Errorf("another root key: code %d", code)
	}
}

// A key of AWS KMS is configured as for every other AWS tool.
func TestAWSKey(t *testing.T) {
	url, arn := os.Getenv("CLOISTER_KMS_ENDPOINT"), os.Getenv("CLOISTER_KMS_KEY")
	for _, bad := range []string{"aws:alias/x", "aws:arn:aws:kms:us-east-1:123456789012:alias/x"} {
		if code, _, errOut := try([]byte("x"), "seal", "--kms", bad, "--context", "tenant=a"); code != 1 || !strings.Contains(errOut, "whole ARN") {
			t.Errorf("%s: code %d, %s", bad, code, errOut)
		}
	}
	if url == "" || arn == "" {
		t.Skip("CLOISTER_KMS_ENDPOINT and CLOISTER_KMS_KEY name no key of a server that speaks KMS")
	}
	t.Setenv("AWS_ENDPOINT_URL_KMS", url)
	for _, v := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if os.Getenv(v) == "" {
			t.Setenv(v, "test")
		}
	}
	code, message, errOut := try([]byte("source"), "seal", "--kms", "aws:"+arn, "--context", "tenant=a")
	if code != 0 {
		t.Fatal(errOut)
	}
	if code, out, errOut := try([]byte(message), "open", "--kms", "aws:"+arn, "--context", "tenant=a"); code != 0 || out != "source" {
		t.Errorf("the control: code %d, %q, %s", code, out, errOut)
	}
	if code, _, errOut := try([]byte(message), "open", "--kms", "aws:"+arn, "--context", "tenant=b"); code != 1 {
		t.Errorf("another tenant: code %d, %s", code, errOut)
	}
}
