package esdk

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
)

// service is a key of a service that speaks AWS KMS.
type service struct {
	name string
	args []string
}

// keyServices are our own, and another that the environment names.
func keyServices(t *testing.T) []service {
	t.Helper()
	out := []service{cloisterKMS(t)}
	if url, arn := os.Getenv("CLOISTER_KMS_ENDPOINT"), os.Getenv("CLOISTER_KMS_KEY"); url != "" && arn != "" {
		out = append(out, service{"another KMS", []string{"--kms-endpoint", url, "--kms-key", arn}})
	} else {
		t.Log("CLOISTER_KMS_ENDPOINT and CLOISTER_KMS_KEY name no key of another server that speaks KMS")
	}
	return out
}

// cloisterKMS starts the command and makes a key. The programs that are
// started later take its access key from their environment.
func cloisterKMS(t *testing.T) service {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, "cloister")
	build := exec.Command("go", "build", "-o", bin, "./cmd/cloister")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	files := []string{"--root-key", filepath.Join(dir, "root.key"), "--principals", filepath.Join(dir, "principals.json")}
	if out, err := exec.Command(bin, append([]string{"kms", "init"}, files...)...).CombinedOutput(); err != nil {
		t.Fatalf("kms init: %v\n%s", err, out)
	}
	var who struct {
		Principals []struct{ AccessKeyID, SecretAccessKey string }
	}
	b, err := os.ReadFile(files[3])
	if err == nil {
		err = json.Unmarshal(b, &who)
	}
	if err != nil || len(who.Principals) != 1 {
		t.Fatalf("principals: %v", err)
	}
	serve := exec.Command(bin, append([]string{"kms", "serve", "--dir", filepath.Join(dir, "kms"), "--listen", "127.0.0.1:0"}, files...)...)
	serve.Stderr = os.Stderr
	out, err := serve.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = serve.Process.Kill(); _ = serve.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	url, ok := strings.CutPrefix(strings.TrimSpace(line), "serving on ")
	if err != nil || !ok {
		t.Fatalf("kms serve said %q, %v", line, err)
	}
	p := who.Principals[0]
	t.Setenv("AWS_ACCESS_KEY_ID", p.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", p.SecretAccessKey)
	c := kms.New(kms.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider(p.AccessKeyID, p.SecretAccessKey, "")})
	made, err := c.CreateKey(context.Background(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	return service{"`cloister kms`", []string{"--kms-endpoint", url, "--kms-key", *made.KeyMetadata.Arn}}
}
