package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/cloisterdev/cloister/internal/strictjson"
	"github.com/cloisterdev/cloister/kmsctx"
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

// What seals is the key in the file, and nothing else.
func TestRawKeyIsTheFiles(t *testing.T) {
	t.Parallel()
	spec := keyFile(t, "k", 7)
	code, message, errOut := try([]byte("source"), "seal", "--kms", spec, "--context", "tenant=a")
	if code != 0 {
		t.Fatal(errOut)
	}
	ec, err := kmsctx.NewContext(map[string]string{"tenant": "a"})
	if err != nil {
		t.Fatal(err)
	}
	for fill, want := range map[byte]error{0: kmsctx.ErrNoMatchingKey, 8: kmsctx.ErrNoMatchingKey, 7: nil} {
		ring, err := kmsctx.NewRawAES("cloister", "k", tenant.NewSecret(bytes.Repeat([]byte{fill}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		env, err := kmsctx.New(ring, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := env.Open(t.Context(), nil, []byte(message), ec)
		if !errors.Is(err, want) || want == nil && string(got) != "source" {
			t.Errorf("a key of %d: %q, %v", fill, got, err)
		}
	}
	if code, _, errOut := try([]byte(message), "open", "--kms", keyFile(t, "k", 8), "--context", "tenant=a"); code != 1 || !strings.Contains(errOut, "no encrypted data key opens") {
		t.Errorf("another key of that name: code %d, %s", code, errOut)
	}
}

// useKMS points the AWS variables at a service, as one of its principals.
func useKMS(t *testing.T, url, who string) {
	t.Helper()
	for name, v := range map[string]string{"AWS_ENDPOINT_URL_KMS": url, "AWS_ACCESS_KEY_ID": "AKID" + strings.ToUpper(who), "AWS_SECRET_ACCESS_KEY": who + "-secret-0123456789",
		"AWS_SESSION_TOKEN": "", "AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1"} {
		t.Setenv(name, v)
	}
}

func testAWSKey(t *testing.T, arn string) {
	t.Helper()
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
	for _, flags := range [][]string{nil, {"--header-only"}} {
		code, moved, errOut := try([]byte(message), append([]string{"rewrap", "--kms", "aws:" + arn, "--context", "tenant=a", "--to-context", "tenant=b"}, flags...)...)
		if code != 0 {
			t.Fatalf("rewrap %q: %s", flags, errOut)
		}
		if code, out, errOut := try([]byte(moved), "open", "--kms", "aws:"+arn, "--context", "tenant=b"); code != 0 || out != "source" {
			t.Errorf("moved %q: code %d, %q, %s", flags, code, out, errOut)
		}
	}
}

// A key of AWS KMS is configured as for every other AWS tool.
func TestAWSKey(t *testing.T) {
	for _, bad := range []string{"aws:alias/x", "aws:arn:aws:kms:us-east-1:123456789012:alias/x"} {
		if code, _, errOut := try([]byte("x"), "seal", "--kms", bad, "--context", "tenant=a"); code != 1 || !strings.Contains(errOut, "whole ARN") || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%s: code %d, %s", bad, code, errOut)
		}
	}
	url, _, _ := serveKMS(t)
	useKMS(t, url, "root")
	made, err := kmsClient(url, "root").CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	testAWSKey(t, *made.KeyMetadata.Arn)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	if code, _, errOut := try([]byte("x"), "seal", "--kms", "aws:"+*made.KeyMetadata.Arn, "--context", "tenant=a"); code != 1 || strings.Count(errOut, "\n") != 1 {
		t.Errorf("another secret: code %d, %q", code, errOut)
	}
}

// The same with another server that speaks KMS.
func TestAWSKeyElsewhere(t *testing.T) {
	url, arn := os.Getenv("CLOISTER_KMS_ENDPOINT"), os.Getenv("CLOISTER_KMS_KEY")
	if url == "" || arn == "" {
		t.Skip("CLOISTER_KMS_ENDPOINT and CLOISTER_KMS_KEY name no key of another server that speaks KMS")
	}
	t.Setenv("AWS_ENDPOINT_URL_KMS", url)
	for _, v := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if os.Getenv(v) == "" {
			t.Setenv(v, "test")
		}
	}
	testAWSKey(t, arn)
}

// Where grants take their time, the token of a new one makes it count at once.
func TestGrantToken(t *testing.T) {
	url, _, _ := serveKMS(t, "--propagation", "1h")
	useKMS(t, url, "user")
	root := kmsClient(url, "root")
	made, err := root.CreateKey(t.Context(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	arn := *made.KeyMetadata.Arn
	grant := func(tn string) string {
		g, err := root.CreateGrant(t.Context(), &kms.CreateGrantInput{KeyId: &arn, GranteePrincipal: aws.String(kmsAccount + "user/user"),
			Operations:  []types.GrantOperation{types.GrantOperationGenerateDataKey, types.GrantOperationDecrypt, types.GrantOperationEncrypt},
			Constraints: &types.GrantConstraints{EncryptionContextEquals: map[string]string{"tenant": tn}}})
		if err != nil {
			t.Fatal(err)
		}
		return *g.GrantToken
	}
	token, other := grant("a"), grant("b")
	seal := func(in string, command string, more ...string) (int, string, string) {
		return try([]byte(in), append([]string{command, "--kms", "aws:" + arn, "--context", "tenant=a"}, more...)...)
	}
	for name, more := range map[string][]string{"none": nil, "another grant's": {"--grant-token", other}, "none that is one": {"--grant-token", "bm8="}} {
		if code, _, errOut := seal("x", "seal", more...); code != 1 || strings.Count(errOut, "\n") != 1 {
			t.Errorf("token: %s: code %d, %q", name, code, errOut)
		}
	}
	code, message, errOut := seal("source", "seal", "--grant-token", token)
	if code != 0 {
		t.Fatal(errOut)
	}
	if code, _, _ := seal(message, "open"); code != 1 {
		t.Errorf("opens without the token: code %d", code)
	}
	if code, out, errOut := seal(message, "open", "--grant-token", other, "--grant-token", token); code != 0 || out != "source" {
		t.Errorf("code %d, %q, %s", code, out, errOut)
	}
	// Each side of rewrap has its own.
	for _, flags := range [][]string{nil, {"--header-only"}} {
		to := append([]string{"--grant-token", token, "--to-kms", "aws:" + arn, "--to-context", "tenant=b"}, flags...)
		if code, _, errOut := seal(message, "rewrap", to...); code != 1 {
			t.Errorf("rewrap %q without the new token: code %d, %s", flags, code, errOut)
		}
		if code, moved, errOut := seal(message, "rewrap", append(to, "--to-grant-token", other)...); code != 0 || moved == "" {
			t.Errorf("rewrap %q: code %d, %s", flags, code, errOut)
		}
	}
}

// A key file is read as it stands there: what encoding/json reads otherwise is
// refused.
func FuzzRawKeyFile(f *testing.F) {
	for _, s := range []string{`{"namespace":"n","name":"k","key":"AAAA"}`, `{"name":"k","key":null}`, `{"name":"a","name":"b"}`, `{"Name":"a"}`, `{"\u006eame":"a"}`, `{} {}`, `{`, `[]`, `{"name":1}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var k rawKeyFile
		if strictjson.Decode(b, &k) != nil {
			return
		}
		var all map[string]any
		if err := json.Unmarshal(b, &all); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		for name, want := range map[string]string{"namespace": k.Namespace, "name": k.Name} {
			if got, _ := all[name].(string); got != want {
				t.Fatalf("%q: %s is %q and %q", b, name, got, want)
			}
			delete(all, name)
		}
		delete(all, "key")
		if len(all) > 0 {
			t.Fatalf("%q: %v is passed over", b, all)
		}
	})
}
