package sigv4_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/textproto"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// wireRequest reads a request as a server would, except that it takes request
// lines that are illegal on the wire.
func wireRequest(t testing.TB, raw string) *http.Request {
	t.Helper()
	line, rest, _ := strings.Cut(raw, "\n")
	line = strings.TrimSuffix(strings.TrimSuffix(line, "\r"), " HTTP/1.1")
	method, target, ok := strings.Cut(line, " ")
	if !ok {
		t.Fatalf("no request line in %.40q", raw)
	}
	r := &http.Request{Method: method, RequestURI: target, Header: http.Header{}}
	name := ""
	for rest != "" {
		line, rest, _ = strings.Cut(rest, "\n")
		if line = strings.TrimSuffix(line, "\r"); line == "" {
			break
		}
		if line[0] == ' ' {
			v := r.Header[name]
			v[len(v)-1] += line
			continue
		}
		k, v, _ := strings.Cut(line, ":")
		if name = textproto.CanonicalMIMEHeaderKey(k); name == "Host" {
			r.Host = strings.TrimSpace(v)
		} else {
			r.Header.Add(name, strings.TrimSpace(v))
		}
	}
	r.ContentLength, r.Body = int64(len(rest)), readCloser(rest)
	return r
}

type suiteCase struct {
	Credentials struct {
		ID     string `json:"access_key_id"`
		Secret string `json:"secret_access_key"`
		Token  string `json:"token"`
	} `json:"credentials"`
	Normalize bool   `json:"normalize"`
	Omit      bool   `json:"omit_session_token"`
	Region    string `json:"region"`
	Service   string `json:"service"`
	Time      string `json:"timestamp"`
}

// The cases of the published suite that are refused by design, and why. They
// verify once the one reason is mended on the way, which is what a server that
// cleans paths before it routes would do.
var suiteRefused = map[string]error{
	"get-relative-normalized": sigv4.ErrAmbiguousPath, "get-relative-relative-normalized": sigv4.ErrAmbiguousPath,
	"get-slash-dot-slash-normalized": sigv4.ErrAmbiguousPath, "get-slash-normalized": sigv4.ErrAmbiguousPath,
	"get-slash-pointless-dot-normalized": sigv4.ErrAmbiguousPath, "get-slashes-normalized": sigv4.ErrAmbiguousPath,
}

func TestPublishedSuite(t *testing.T) {
	t.Parallel()
	root := os.Getenv("CLOISTER_SIGV4_SUITE")
	if root == "" {
		t.Skip("CLOISTER_SIGV4_SUITE does not name tests/aws-signing-test-suite of awslabs/aws-c-auth")
	}
	for _, version := range []string{"v4", "v4a"} {
		dirs, err := os.ReadDir(filepath.Join(root, version))
		if err != nil {
			t.Fatal(err)
		}
		verified, refused := 0, 0
		for _, d := range dirs {
			dir := filepath.Join(root, version, d.Name())
			raw, err := os.ReadFile(filepath.Join(dir, "context.json"))
			if _, err := os.Stat(filepath.Join(dir, "header-signed-request.txt")); errors.Is(err, os.ErrNotExist) {
				continue // a stub
			}
			var c suiteCase
			if err != nil || json.Unmarshal(raw, &c) != nil {
				t.Fatal(d.Name(), err)
			}
			for _, kind := range []string{"header", "query"} {
				file := filepath.Join(dir, kind+"-signed-request.txt")
				signed, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if suiteOne(t, version, dir, kind, string(signed), c) {
					verified++
				} else {
					refused++
				}
			}
		}
		t.Logf("%s: %d verified as they are, %d refused by design and verified without their reason", version, verified, refused)
		if verified < 63 || verified+refused != 76 {
			t.Errorf("%s: the suite has 76 signed requests", version)
		}
	}
}

// suiteOne reports whether the request verifies as it is.
func suiteOne(t *testing.T, version, dir, kind, signed string, c suiteCase) bool {
	name := version + "/" + filepath.Base(dir) + "/" + kind
	at, err := time.Parse(time.RFC3339, c.Time)
	if err != nil {
		t.Fatal(name, err)
	}
	secret := tenant.NewSecret([]byte(c.Credentials.Secret))
	key := sigv4.Key{Secret: secret}
	if version == "v4a" {
		key = sigv4.Key{Public: suiteKey(t, dir)}
		derived, err := sigv4.PublicKey(c.Credentials.ID, secret)
		if err != nil || !derived.Equal(key.Public) {
			t.Errorf("%s: another key is derived: %v", name, err)
		}
	}
	v, err := sigv4.NewVerifier(func(id string) (sigv4.Key, bool) { return key, id == c.Credentials.ID },
		sigv4.Options{Region: c.Region, Service: c.Service, Presigned: time.Hour, SigV4A: true, S3: !c.Normalize})
	if err != nil {
		t.Fatal(err)
	}
	// S3 is the service that signs paths as they are.
	o := sigv4.CaptureOptions{Presigned: true, SigV4A: true, S3: !c.Normalize, TokenAfterSigning: c.Omit}
	check := func(r *http.Request) error {
		ev, _, err := sigv4.CaptureWith(r, 1<<16, o)
		if err != nil {
			return err
		}
		want, err := os.ReadFile(filepath.Join(dir, kind+"-canonical-request.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := sigv4.Explain(ev, string(want)); len(diff) > 0 {
			t.Errorf("%s: %v", name, diff)
		}
		return v.Verify(ev, at)
	}
	err = check(wireRequest(t, signed))
	want := suiteRefused[filepath.Base(dir)]
	mend := func(raw string) string {
		method, rest, _ := strings.Cut(raw, " ")
		target, rest, _ := strings.Cut(rest, " HTTP")
		p, q, more := strings.Cut(target, "?")
		cleaned := path.Clean(p)
		if strings.HasSuffix(p, "/") && cleaned != "/" {
			cleaned += "/"
		}
		if more {
			cleaned += "?" + q
		}
		return method + " " + cleaned + " HTTP" + rest
	}
	if strings.HasSuffix(name, "post-sts-header-after/header") {
		want = sigv4.ErrNotSigned
		mend = func(raw string) string {
			before, rest, _ := strings.Cut(raw, "X-Amz-Security-Token:")
			_, after, _ := strings.Cut(rest, "\n")
			return before + after
		}
	}
	if want == nil {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return true
	}
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", name, err, want)
	}
	if err := check(wireRequest(t, mend(signed))); err != nil {
		t.Errorf("%s, mended: %v", name, err)
	}
	return false
}

func suiteKey(t *testing.T, dir string) *ecdsa.PublicKey {
	raw, err := os.ReadFile(filepath.Join(dir, "public-key.json"))
	if err != nil {
		t.Fatal(err)
	}
	var k struct{ X, Y string }
	if err := json.Unmarshal(raw, &k); err != nil {
		t.Fatal(err)
	}
	x, err1 := hex.DecodeString(k.X)
	y, err2 := hex.DecodeString(k.Y)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	point := slicesPad(x, y)
	p, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func slicesPad(x, y []byte) []byte {
	return bytes.Join([][]byte{{4}, make([]byte, 32-len(x)), x, make([]byte, 32-len(y)), y}, nil)
}
