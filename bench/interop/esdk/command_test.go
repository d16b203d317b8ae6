package esdk

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// command is cloister as its users run it.
type command struct {
	bin string
	env []string
}

func buildCommand(t *testing.T) command {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "cloister")
	build := exec.Command("go", "build", "-o", bin, "./cmd/cloister")
	build.Dir = filepath.Join("..", "..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return command{bin, nil}
}

func (c command) run(in []byte, args ...string) (out []byte, refusal string, err error) {
	var o, e bytes.Buffer
	cmd := exec.Command(c.bin, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = bytes.NewReader(in), &o, &e, append(os.Environ(), c.env...)
	err = cmd.Run()
	return o.Bytes(), e.String(), err
}

// TestCommand lets every official implementation that is installed open what
// cloister seal wrote, and cloister open what it wrote; neither opens for
// another tenant.
func TestCommand(t *testing.T) {
	cli := buildCommand(t)
	file := filepath.Join(t.TempDir(), "key.json")
	raw, err := hex.DecodeString(key)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]string{"namespace": "cloister", "name": "test", "key": base64.StdEncoding.EncodeToString(raw)})
	if err == nil {
		err = os.WriteFile(file, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	service := cloisterKMS(t).args // --kms-endpoint URL --kms-key ARN
	cli.env = []string{"AWS_ENDPOINT_URL_KMS=" + service[1], "AWS_SESSION_TOKEN=", "AWS_PROFILE="}
	plain := make([]byte, 200_000)
	_, _ = rand.Read(plain)
	wrong := []string{"--context", "tenant=tn-2", "--context", "customization=cust-1"}
	for _, i := range implementations {
		t.Run(i.name, func(t *testing.T) {
			path := os.Getenv(i.env)
			if path == "" {
				t.Skipf("%s does not name the program of the %s implementation", i.env, i.name)
			}
			theirs := start(t, i.name, path)
			for _, v := range []struct {
				name                 string
				mine, its, all, seal []string
			}{
				{"raw", []string{"--kms", "raw:" + file}, []string{"--key", key}, nil, nil},
				{"raw, signed, short frames", []string{"--kms", "raw:" + file}, []string{"--key", key}, nil, []string{"--suite", "0578", "--frame", "4096"}},
				{"raw, withheld pair", []string{"--kms", "raw:" + file}, []string{"--key", key}, withheld, nil},
				{"KMS", []string{"--kms", "aws:" + service[3]}, service, nil, nil},
			} {
				t.Run(v.name, func(t *testing.T) {
					message, text, err := cli.run(plain, slices.Concat([]string{"seal"}, v.mine, pairs, v.all, v.seal)...)
					if err != nil {
						t.Fatalf("cloister seal: %v, %s", err, text)
					}
					got, err := theirs.call(message, slices.Concat([]string{"decrypt"}, v.its, pairs, v.all)...)
					if err != nil && strings.Contains(err.Error(), "unsupported") {
						t.Skip(err)
					}
					if err != nil || !bytes.Equal(got, plain) {
						t.Errorf("%s opens what cloister sealed: %d bytes, %v", i.name, len(got), err)
					}
					if _, err := theirs.call(message, slices.Concat([]string{"decrypt"}, v.its, wrong, v.all)...); err == nil {
						t.Errorf("%s opens what cloister sealed for another tenant", i.name)
					}
					message, err = theirs.call(plain, slices.Concat([]string{"encrypt"}, v.its, pairs, v.all, v.seal)...)
					if err != nil {
						t.Fatal(err)
					}
					if got, text, err := cli.run(message, slices.Concat([]string{"open"}, v.mine, pairs, v.all)...); err != nil || !bytes.Equal(got, plain) {
						t.Errorf("cloister opens what %s sealed: %d bytes, %v, %s", i.name, len(got), err, text)
					}
					if got, text, err := cli.run(message, slices.Concat([]string{"open"}, v.mine, wrong, v.all)...); err == nil || len(got) > 0 || strings.Count(text, "\n") != 1 {
						t.Errorf("cloister opens what %s sealed for another tenant: %d bytes, %q", i.name, len(got), text)
					}
				})
			}
		})
	}
}
