package httpsig_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/httpsig"
)

type peerCall struct {
	Op         string            `json:"op"`
	Method     string            `json:"method"`
	URL        string            `json:"url"`
	Headers    map[string]string `json:"headers"`
	Body       []byte            `json:"body"`
	Key        string            `json:"key"`
	KeyID      string            `json:"keyid"`
	Nonce      string            `json:"nonce"`
	Components []string          `json:"components"`
}

type peerReply struct {
	Headers map[string]string `json:"headers"`
	OK      bool              `json:"ok"`
}

// peers are other implementations, each found by a variable of the environment.
var peers = []struct {
	name, variable, why string
	command             func(value string) *exec.Cmd
}{
	{"python", "CLOISTER_PYTHON", "a Python that has http-message-signatures 3", func(v string) *exec.Cmd {
		return exec.Command(v, filepath.Join("testdata", "peer.py"))
	}},
	{"node", "CLOISTER_NODE_MODULES", "the node_modules folder that has http-message-signatures 1", func(v string) *exec.Cmd {
		c := exec.Command("node", filepath.Join("testdata", "peer.cjs"))
		c.Env = append(os.Environ(), "NODE_PATH="+v)
		return c
	}},
}

// What others sign is verified here, and what is signed here by others; and
// neither is once the body is another.
func TestOtherImplementations(t *testing.T) {
	t.Parallel()
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	secret := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if der, err = x509.MarshalPKIXPublicKey(private.Public()); err != nil {
		t.Fatal(err)
	}
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			value := os.Getenv(p.variable)
			if value == "" {
				t.Skipf("%s is not set: %s", p.variable, p.why)
			}
			call := func(c peerCall) (out peerReply) {
				t.Helper()
				in, err := json.Marshal(c)
				if err != nil {
					t.Fatal(err)
				}
				cmd := p.command(value)
				var stderr bytes.Buffer
				cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &stderr
				b, err := cmd.Output()
				if cmd.ProcessState != nil && cmd.ProcessState.ExitCode() == 77 {
					t.Skipf("%s is not %s", p.variable, p.why)
				}
				if err == nil {
					err = json.Unmarshal(b, &out)
				}
				if err != nil {
					t.Fatalf("%v\n%s", err, stderr.Bytes())
				}
				return out
			}
			s := server(t)
			for _, c := range []struct {
				path       string
				components []string
			}{
				{"/Operation", []string{"@method", "@authority", "@path", "@query", "content-digest", "content-type"}},
				{"/a%20b?b=2&a=1&a=%2F", []string{"content-type", "content-digest", "@query", "@path", "@authority", "@method"}},
				{"/x?q", []string{"@target-uri", "@method", "@authority", "content-type", "content-digest"}},
			} {
				headers := peerCall{Op: "sign", Method: "POST", URL: s.srv.URL + c.path, Headers: map[string]string{"content-type": "application/json"},
					Body: []byte(body), Key: secret, KeyID: signer.ID, Nonce: "nonce of " + p.name, Components: c.components}
				signed := call(headers).Headers
				for content, want := range map[string]error{body: nil, "{}": httpsig.ErrPayload} {
					r, err := http.NewRequest(http.MethodPost, s.srv.URL+c.path, strings.NewReader(content))
					if err != nil {
						t.Fatal(err)
					}
					for k, v := range signed {
						r.Header.Set(k, v)
					}
					res, err := http.DefaultClient.Do(r)
					if err != nil {
						t.Fatal(err)
					}
					_ = res.Body.Close()
					err = s.err
					if err == nil {
						err = httpsig.Verify(s.ev, keys, time.Now(), s.options())
					}
					if !errors.Is(err, want) {
						t.Errorf("%s with %s: %v, want %v", c.path, content, err, want)
					}
				}
				r, err := http.NewRequest(http.MethodPost, s.srv.URL+c.path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Content-Type", "application/json")
				if err := httpsig.SignRequest(r, []byte(body), signer, time.Now()); err != nil {
					t.Fatal(err)
				}
				verify := peerCall{Op: "verify", Method: "POST", URL: s.srv.URL + c.path, Headers: map[string]string{}, Key: public, KeyID: signer.ID}
				for k := range r.Header {
					verify.Headers[strings.ToLower(k)] = r.Header.Get(k)
				}
				for content, want := range map[string]bool{body: true, "{}": false} {
					verify.Body = []byte(content)
					if got := call(verify); got.OK != want {
						t.Errorf("%s with %s: %s says %v", c.path, content, p.name, got.OK)
					}
				}
			}
		})
	}
}
