package cloud_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCommandLineRequests sends what the aws command sends for a sync, header
// by header: the list that it compares with, and an upload that waits for
// leave and brings a checksum.
func TestCommandLineRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const key = "src/%C3%BC%20sp%2Bace%26%252e.go"
	body := []byte("package x\n")
	crc := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(body)))
	put := func(crc string) answer {
		return w.send(w.a, "PUT", "/"+w.a.bucket+"/"+key, map[string]string{"Expect": "100-continue", "X-Amz-Checksum-Crc32": crc,
			"X-Amz-Sdk-Checksum-Algorithm": "CRC32", "Content-Type": "text/x-go"}, body)
	}
	if got := put("AAAAAA=="); got.code != "BadDigest" {
		t.Errorf("a wrong checksum: %d %s", got.status, got.code)
	}
	if w.has("src/ü sp+ace&%2e.go") != "" {
		t.Error("an object with a wrong checksum is stored")
	}
	if got := put(crc); got.status != 200 || got.header.Get("Etag") == "" {
		t.Errorf("upload: %d %s", got.status, got.body)
	}
	list := w.send(w.a, "GET", "/"+w.a.bucket+"?list-type=2&prefix=src%2F&encoding-type=url", nil, nil)
	if !bytes.Contains(list.body, []byte("<Key>"+key+"</Key>")) || !bytes.Contains(list.body, []byte("<EncodingType>url</EncodingType>")) {
		t.Errorf("list: %d %s", list.status, list.body)
	}
	// Above its threshold of 8 MiB the command starts an upload in parts, which
	// must fail for that file and not end as an empty object.
	if got := w.send(w.a, "POST", "/"+w.a.bucket+"/src/big?uploads", nil, nil); got.code != "NotImplemented" || w.has("src/big") != "" {
		t.Errorf("an upload in parts: %d %s", got.status, got.code)
	}
}

// TestCommandLine runs the aws command itself.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	program := os.Getenv("CLOISTER_AWS_CLI")
	if program == "" {
		t.Skip("CLOISTER_AWS_CLI does not name the aws command")
	}
	w := newWorld(t)
	// No configuration of whoever runs the test.
	env := append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") }), "AWS_CONFIG_FILE="+os.DevNull,
		"AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true", "AWS_DEFAULT_REGION=us-east-1")
	aws := func(p who, args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), program, append([]string{"--endpoint-url", w.url}, args...)...)
		c.Env = append(slices.Clip(env), "AWS_ACCESS_KEY_ID="+p.id, "AWS_SECRET_ACCESS_KEY="+p.secret)
		out, err := c.CombinedOutput()
		return string(out), err
	}
	dir, back := t.TempDir(), t.TempDir()
	files := map[string]string{"main.go": "package main", "a/ü sp+ace&%2e.go": "x", "empty": "", ".git/config": "secret",
		"big.go": strings.Repeat("0123456789abcde\n", 7<<20/16)}
	for name, text := range files {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	to := "s3://" + w.a.bucket + "/src/"
	if out, err := aws(w.b, "s3", "sync", dir, to); err == nil || !strings.Contains(out, "AccessDenied") {
		t.Errorf("another tenant: %v %s", err, out)
	}
	for range 2 {
		if out, err := aws(w.a, "s3", "sync", dir, to, "--exclude", ".git/*"); err != nil {
			t.Fatalf("sync: %v %s", err, out)
		}
	}
	if out, err := aws(w.a, "s3", "sync", to, back); err != nil {
		t.Fatalf("sync back: %v %s", err, out)
	}
	for name, text := range files {
		got, err := os.ReadFile(filepath.Join(back, filepath.FromSlash(name)))
		if hidden := strings.HasPrefix(name, ".git"); hidden != (err != nil) || !hidden && string(got) != text {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	if out, err := aws(w.a, "s3", "sync", filepath.Join(dir, "a"), to, "--delete"); err != nil {
		t.Errorf("sync with deletion: %v %s", err, out)
	}
	if w.has("src/main.go") != "" {
		t.Error("what is gone here is still there")
	}
}
