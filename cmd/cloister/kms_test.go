package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/cloisterdev/cloister/audit"
)

const kmsPrincipals = `{"principals": [
	{"accessKeyId": "AKIDROOT", "secretAccessKey": "root-secret-0123456789", "arn": "arn:aws:iam::000000000000:root"},
	{"accessKeyId": "AKIDUSER", "secretAccessKey": "user-secret-0123456789", "arn": "arn:aws:iam::000000000000:user/user"},
	{"accessKeyId": "AKIDOTHER", "secretAccessKey": "other-secret-0123456789", "arn": "arn:aws:iam::000000000000:user/other"}]}`

// serveKMS runs the command until the test ends, and returns its endpoint.
func serveKMS(t *testing.T, more ...string) (endpoint, dir string, stop func()) {
	t.Helper()
	dir = t.TempDir()
	root, who := filepath.Join(dir, "root.key"), filepath.Join(dir, "principals.json")
	for path, text := range map[string]string{root: strings.Repeat("k", 32), who: kmsPrincipals} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan int, 1)
	var errOut strings.Builder
	go func() {
		args := append([]string{"kms", "serve", "--dir", filepath.Join(dir, "store"), "--root-key", root, "--principals", who, "--listen", "127.0.0.1:0"}, more...)
		done <- command(ctx, args, strings.NewReader(""), w, &errOut)
		w.Close()
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, errOut.String())
	}
	go func() { _, _ = io.Copy(io.Discard, r) }()
	var once bool
	stop = func() {
		if once {
			return
		}
		once = true
		cancel()
		if code := <-done; code != 0 {
			t.Errorf("exit code %d: %s", code, errOut.String())
		}
	}
	t.Cleanup(stop)
	return strings.TrimSpace(strings.TrimPrefix(line, "serving on ")), dir, stop
}

// boto3, as it comes, calls every operation, and is refused in every way.
func TestKMSBoto3(t *testing.T) {
	t.Parallel()
	python := os.Getenv("CLOISTER_PYTHON")
	if python == "" {
		t.Skip("CLOISTER_PYTHON names no Python with boto3")
	}
	if out, err := exec.Command(python, "-c", "import boto3").CombinedOutput(); err != nil {
		t.Skipf("that Python has no boto3: %s", out)
	}
	url, dir, stop := serveKMS(t, "--propagation", "1h")
	cmd := exec.CommandContext(t.Context(), python, "../../kmsctx/kmsserver/testdata/drive.py", url,
		"AKIDROOT", "root-secret-0123456789", "AKIDUSER", "user-secret-0123456789", "AKIDOTHER", "other-secret-0123456789")
	cmd.Env = append(os.Environ(), "AWS_EC2_METADATA_DISABLED=true", "AWS_ENDPOINT_URL=", "AWS_SESSION_TOKEN=")
	out, err := cmd.CombinedOutput()
	for _, line := range strings.Split(string(out), "\n") {
		if !strings.HasPrefix(line, "ok ") && line != "" {
			t.Error(line)
		}
	}
	if err != nil {
		t.Errorf("%v", err)
	}
	t.Logf("%d checks", strings.Count("\n"+string(out), "\nok "))
	stop()
	// Every call is in the log, with its encryption context.
	if rep, err := audit.Verify(filepath.Join(dir, "store", "audit"), nil); err != nil || rep.Records < 100 {
		t.Errorf("%d records, %v", rep.Records, err)
	}
	seen := map[string]bool{}
	for e, err := range audit.Read(filepath.Join(dir, "store", "audit")) {
		if err != nil {
			t.Fatal(err)
		}
		seen[e.Kind+" "+e.Reason] = true
		if strings.Contains(e.Detail["context"], "tenant") && e.Detail["principal"] != "" {
			seen["context"] = true
		}
	}
	for _, want := range []string{"kms.decrypt ok", "kms.decrypt invalidciphertextexception", "kms.decrypt accessdeniedexception", "kms.retiregrant ok",
		"kms.encrypt dryrunoperationexception", "kms.request not-accepted", "context"} {
		if !seen[want] {
			t.Errorf("the log has no %s", want)
		}
	}
}

func TestKMSRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key, who := file("key", strings.Repeat("k", 32), 0o600), file("who", kmsPrincipals, 0o600)
	store := filepath.Join(dir, "store")
	pemCert, pemKey := selfSigned(t)
	_, otherKey := selfSigned(t)
	cert, certKey := file("cert", pemCert, 0o644), file("certkey", pemKey, 0o600)
	for name, c := range map[string]struct {
		code int
		want string
		args []string
	}{
		"nothing":         {2, "usage", nil},
		"no such verb":    {2, "usage", []string{"sing", "--root-key", key, "--principals", who}},
		"no files":        {2, "--root-key and --principals", []string{"serve", "--dir", store}},
		"no store":        {2, "--dir", []string{"serve", "--root-key", key, "--principals", who}},
		"argument":        {2, "flags only", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "x"}},
		"absent key":      {1, "no such file", []string{"serve", "--dir", store, "--root-key", filepath.Join(dir, "none"), "--principals", who}},
		"short key":       {1, "32 bytes", []string{"serve", "--dir", store, "--root-key", file("short", "k", 0o600), "--principals", who}},
		"public key file": {1, "others can read", []string{"serve", "--dir", store, "--root-key", file("open", strings.Repeat("k", 32), 0o644), "--principals", who}},
		"public secrets":  {1, "others can read", []string{"serve", "--dir", store, "--root-key", key, "--principals", file("openwho", kmsPrincipals, 0o640)}},
		"nobody":          {1, "nobody may call", []string{"serve", "--dir", store, "--root-key", key, "--principals", file("none.json", `{"principals":[]}`, 0o600)}},
		"the network":     {1, "without TLS", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--listen", "0.0.0.0:0"}},
		"account":         {2, "twelve digits", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--account", "1"}},
		"init's account":  {2, "twelve digits", []string{"init", "--root-key", filepath.Join(dir, "new"), "--principals", filepath.Join(dir, "newwho"), "--account", "1234"}},
		"another account": {1, "use --account 000000000000", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--account", "111111111111"}},
		"propagation":     {2, "--propagation -1s: a new grant", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--propagation", "-1s"}},
		"rate":            {2, "--rate", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--rate", "-1"}},
		"keys":            {2, "--max-keys", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--max-keys", "-1"}},
		"grants":          {2, "--max-grants", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--max-grants", "-1"}},
		"no TLS key":      {2, "--tls-key is missing", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--tls-cert", cert}},
		"no certificate":  {2, "--tls-cert is missing", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--tls-key", certKey}},
		"public TLS key":  {1, "others can read", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--tls-cert", cert, "--tls-key", file("openkey", pemKey, 0o644)}},
		"two's TLS key":   {1, "private key", []string{"serve", "--dir", store, "--root-key", key, "--principals", who, "--tls-cert", cert, "--tls-key", file("otherkey", otherKey, 0o600)}},
	} {
		t.Run(name, func(t *testing.T) {
			var out, errOut strings.Builder
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // of a server that was not to start
			defer cancel()
			if code := command(ctx, append([]string{"kms"}, c.args...), strings.NewReader(""), &out, &errOut); code != c.code || !strings.Contains(errOut.String(), c.want) {
				t.Errorf("code %d: %s", code, errOut.String())
			}
		})
	}
	for _, name := range []string{"new", "newwho"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("init made %s for an account that is none", name)
		}
	}
	var out, errOut strings.Builder
	if code := run([]string{"kms", "--help"}, &out, &errOut); code != 0 || !strings.Contains(out.String(), "--principals") {
		t.Errorf("--help: %d", code)
	}
}

// selfSigned makes a certificate for 127.0.0.1 and its key, in PEM.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	c, err := x509.CreateCertificate(rand.Reader, of, of, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k}))
}

// What the flags say is what is served: TLS, a rate, limits, an account.
func TestKMSFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := selfSigned(t)
	certFile, keyFile, who := filepath.Join(dir, "cert"), filepath.Join(dir, "key"), filepath.Join(dir, "who")
	for path, text := range map[string]string{certFile: cert, keyFile: key} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// A principals file that init made for the account is one that serve takes.
	var out, errOut strings.Builder
	if code := run([]string{"kms", "init", "--root-key", filepath.Join(dir, "root"), "--principals", who, "--account", "111111111111"}, &out, &errOut); code != 0 {
		t.Fatal(errOut.String())
	}
	url, _, _ := serveKMS(t, "--tls-cert", certFile, "--tls-key", keyFile, "--rate", "4", "--max-keys", "1", "--max-grants", "1", "--account", "111111111111", "--principals", who)
	b, err := os.ReadFile(who)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Principals []struct{ AccessKeyID, SecretAccessKey, ARN string }
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(cert))
	p := file.Principals[0]
	root := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: aws.String(url), RetryMaxAttempts: 1,
		HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: p.AccessKeyID, SecretAccessKey: p.SecretAccessKey}, nil
		})})
	ctx := t.Context()
	made, err := root.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil || !strings.Contains(*made.KeyMetadata.Arn, ":111111111111:") {
		t.Fatalf("%+v, %v", made, err)
	}
	refused := func(what, want string, err error) {
		t.Helper()
		if e := smithy.APIError(nil); !errors.As(err, &e) || e.ErrorCode() != want {
			t.Errorf("%s: %v, not %s", what, err, want)
		}
	}
	_, err = root.CreateKey(ctx, &kms.CreateKeyInput{})
	refused("a second key", "LimitExceededException", err)
	grant := &kms.CreateGrantInput{KeyId: made.KeyMetadata.KeyId, GranteePrincipal: aws.String(p.ARN), Operations: []types.GrantOperation{types.GrantOperationDecrypt}}
	if _, err := root.CreateGrant(ctx, grant); err != nil {
		t.Error(err)
	}
	_, err = root.CreateGrant(ctx, grant)
	refused("a second grant", "LimitExceededException", err)
	for range 500 {
		if _, err = root.ListKeys(ctx, &kms.ListKeysInput{}); err != nil {
			break
		}
	}
	refused("many more requests", "ThrottlingException", err)
}

func TestKMSInit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key, who := filepath.Join(dir, "key"), filepath.Join(dir, "who")
	for i := range 2 {
		var out, errOut strings.Builder
		if code := run([]string{"kms", "init", "--root-key", key, "--principals", who}, &out, &errOut); code != 0 {
			t.Fatal(errOut.String())
		}
		if want := []string{"made", "stays as it is"}[i]; strings.Count(out.String(), want) != 2 {
			t.Errorf("run %d: %s", i, out.String())
		}
	}
	for _, p := range []string{key, who} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", p, info, err)
		}
	}
	// What an earlier run could not finish, or another program made, is not taken
	// for a key or for principals, and stays for whoever wants to look.
	for i, p := range []string{key, who} {
		empty := filepath.Join(dir, fmt.Sprint("empty", i))
		if err := os.WriteFile(empty, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		args := []string{"kms", "init", "--root-key", empty, "--principals", who}
		if p == who {
			args = []string{"kms", "init", "--root-key", key, "--principals", empty}
		}
		var out, errOut strings.Builder
		if code := run(args, &out, &errOut); code != 1 || !strings.Contains(errOut.String(), empty) || !strings.Contains(errOut.String(), "move it away") {
			t.Errorf("an empty file: code %d, %s", code, errOut.String())
		}
		if b, err := os.ReadFile(empty); err != nil || len(b) != 0 {
			t.Errorf("it was overwritten: %v", err)
		}
	}
	// One that others can read may still be the one that a store needs.
	wide := filepath.Join(dir, "wide")
	if err := os.WriteFile(wide, bytes.Repeat([]byte{7}, 32), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, errOut strings.Builder
	if code := run([]string{"kms", "init", "--root-key", wide, "--principals", who}, &out, &errOut); code != 1 || strings.Contains(errOut.String(), "move it away") || !strings.Contains(errOut.String(), "chmod 600") {
		t.Errorf("a key that others can read: code %d, %s", code, errOut.String())
	}
	// The key is that of the file, raw or in base64.
	b, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(base64.StdEncoding.EncodeToString(b)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{key, text} {
		if s, err := rootKey(p); err != nil || !s.Equal(b) || s.Equal(make([]byte, 32)) {
			t.Errorf("%s: another key than the file's: %v", p, err)
		}
	}
}

// The store is sealed with what the file holds, in both of its forms.
func TestRootKeyIsTheFiles(t *testing.T) {
	t.Parallel()
	want := []byte("0123456789abcdef0123456789abcdef")
	for name, text := range map[string]string{"bytes": string(want), "base64": base64.StdEncoding.EncodeToString(want) + "\n"} {
		path := filepath.Join(t.TempDir(), "root.key")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := rootKey(path)
		if err != nil {
			t.Fatal(name, err)
		}
		if err := key.Use(func(b []byte) error {
			if string(b) != string(want) {
				t.Errorf("%s: another key: %x", name, b)
			}
			return nil
		}); err != nil {
			t.Error(name, err)
		}
	}
}
