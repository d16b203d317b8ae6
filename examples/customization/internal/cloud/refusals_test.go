package cloud_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/audit"
	"github.com/cloisterdev/cloister/examples/customization/internal/cloud"
	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

// TestForeignAndMissingLookAlike compares every byte of the answers, the
// request ID and the date apart.
func TestForeignAndMissingLookAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored("src/secret.go", "x")
	session, _ := w.session("src/", time.Minute)
	for name, p := range map[string]who{"a user of another tenant": w.b, "a session": session} {
		foreign := w.a.bucket
		if p.token != "" {
			foreign = w.b.bucket
			if got := w.send(w.b, "PUT", "/"+w.b.bucket+"/src/secret.go", nil, []byte("x")); got.status != 200 {
				t.Fatal(got.status)
			}
		}
		for _, op := range []struct{ method, rest string }{
			{"GET", "?list-type=2&prefix=src%2F"}, {"HEAD", ""}, {"GET", "?location"}, {"GET", "/src/secret.go"}, {"GET", "/src/none.go"},
			{"HEAD", "/src/secret.go"}, {"PUT", "/src/secret.go"}, {"DELETE", "/src/secret.go"}, {"PUT", ""}, {"DELETE", ""}, {"GET", "?acl"}, {"POST", "?delete"},
		} {
			var texts []string
			for _, bucket := range []string{foreign, "src-that-never-was", "Not_A_Bucket"} {
				a := w.send(p, op.method, "/"+bucket+op.rest, nil, nil)
				a.header.Del("X-Amz-Request-Id")
				a.header.Del("Date")
				texts = append(texts, fmt.Sprint(a.status, a.header, string(a.body)))
				if a.status != 403 {
					t.Errorf("%s: %s %s: %d", name, op.method, op.rest, a.status)
				}
			}
			if texts[0] != texts[1] || texts[1] != texts[2] {
				t.Errorf("%s: %s %s: %q", name, op.method, op.rest, texts)
			}
		}
	}
	if w.has("src/secret.go") != "x" {
		t.Error("control: the owner does not see the object")
	}
}

// TestSessions holds a session of the firewall to its prefix, its verbs and
// its time.
func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored("src/a b+c.go", "mine")
	w.stored("src/../secrets/key", "a flat name")
	w.stored("secrets/key", "secret")
	w.stored("srcs/key", "beside")
	s, _ := w.session("src/", time.Minute)
	bucket := "/" + w.a.bucket
	for _, c := range []struct {
		name, method, target string
		status               int
		holds                string
	}{
		{"control: get", "GET", bucket + "/src/a%20b%2Bc.go", 200, "mine"},
		{"control: head", "HEAD", bucket + "/src/a%20b%2Bc.go", 200, ""},
		{"control: list", "GET", bucket + "?list-type=2&prefix=src%2F", 200, "<Key>src/a b+c.go</Key>"},
		{"control: list below", "GET", bucket + "?list-type=2&prefix=src%2Fa", 200, "<Key>"},
		// Dots mean nothing in a flat store: this is an object of the prefix.
		{"control: dots in a name", "GET", bucket + "/src/../secrets/key", 200, "a flat name"},
		{"control: encoded dots in a name", "GET", bucket + "/src/%2e%2e/secrets/key", 200, "a flat name"},
		{"control: an encoded slash is a slash", "GET", "/" + w.a.bucket + "%2Fsrc%2Fa%20b%2Bc.go", 200, "mine"},

		{"outside the prefix", "GET", bucket + "/secrets/key", 403, ""},
		{"beside the prefix", "GET", bucket + "/srcs/key", 403, ""},
		{"the prefix without its slash", "GET", bucket + "/src", 403, ""},
		{"in another case", "GET", bucket + "/SRC/a%20b%2Bc.go", 403, ""},
		{"escaped twice", "GET", bucket + "/src%252F..%252Fsecrets/key", 403, ""},
		{"an empty segment first", "GET", bucket + "//src/a%20b%2Bc.go", 403, ""},
		{"dots first", "GET", bucket + "/./src/a%20b%2Bc.go", 403, ""},
		{"NUL first", "GET", bucket + "/%00src/a", 403, ""},
		{"a wildcard", "GET", bucket + "/*", 403, ""},
		{"list all", "GET", bucket + "?list-type=2", 403, ""},
		{"list an empty prefix", "GET", bucket + "?list-type=2&prefix=", 403, ""},
		{"list a shorter prefix", "GET", bucket + "?list-type=2&prefix=s", 403, ""},
		{"list another prefix", "GET", bucket + "?list-type=2&prefix=secrets%2F", 403, ""},
		{"list with two prefixes", "GET", bucket + "?list-type=2&prefix=src%2F&prefix=secrets%2F", 400, ""},
		{"list with two prefixes, the other way", "GET", bucket + "?list-type=2&prefix=secrets%2F&prefix=src%2F", 400, ""},
		{"write", "PUT", bucket + "/src/new", 403, ""},
		{"overwrite", "PUT", bucket + "/src/a%20b%2Bc.go", 403, ""},
		{"delete", "DELETE", bucket + "/src/a%20b%2Bc.go", 403, ""},
		{"post", "POST", bucket + "/src/a%20b%2Bc.go", 403, ""},
		{"patch", "PATCH", bucket + "/src/a%20b%2Bc.go", 403, ""},
		{"start an upload", "POST", bucket + "/src/new?uploads", 403, ""},
		{"delete many", "POST", bucket + "?delete&prefix=src%2F", 403, ""},
		{"read an ACL", "GET", bucket + "/src/a%20b%2Bc.go?acl", 403, ""},
		{"an old version", "GET", bucket + "/src/a%20b%2Bc.go?versionId=1", 403, ""},
		{"the bucket's location", "GET", bucket + "?location&prefix=src%2F", 403, ""},
		{"the bucket's policy", "GET", bucket + "?policy&prefix=src%2F", 403, ""},
		{"list uploads", "GET", bucket + "?uploads&prefix=src%2F", 403, ""},
		{"head the bucket", "HEAD", bucket, 403, ""},
		{"make the bucket", "PUT", bucket, 403, ""},
		{"list buckets", "GET", "/", 403, ""},
		{"another tenant's bucket", "GET", "/" + w.b.bucket + "/src/a", 403, ""},
	} {
		got := w.send(s, c.method, c.target, nil, nil)
		if got.status != c.status || !strings.Contains(string(got.body), c.holds) {
			t.Errorf("%s: %d %s", c.name, got.status, got.body)
		}
		if c.status >= 400 && (strings.Contains(string(got.body), "secret") || strings.Contains(string(got.body), w.a.bucket)) {
			t.Errorf("%s: the refusal repeats what was asked: %s", c.name, got.body)
		}
	}
	list := w.send(s, "GET", bucket+"?list-type=2&prefix=src%2F&start-after=secrets", nil, nil)
	if list.status != 200 || strings.Contains(string(list.body), "secrets/key</Key>") && !strings.Contains(string(list.body), "src/../secrets/key</Key>") {
		t.Errorf("a list shows names beside the prefix: %s", list.body)
	}
	if w.has("src/a b+c.go") != "mine" || w.has("src/new") != "" {
		t.Error("a refused session wrote")
	}
}

// TestTokens refuses a session whose parts do not belong together, and one
// that is over.
func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored("src/a", "x")
	target := "/" + w.a.bucket + "/src/a"
	s, _ := w.session("src/", time.Minute)
	other, _ := w.session("src/", time.Minute)
	brief, ends := w.session("src/", 2*time.Second)
	for name, p := range map[string]who{"a session": s, "another": other, "a short one": brief} {
		if got := w.send(p, "GET", target, nil, nil); got.status != 200 {
			t.Fatalf("control: %s: %d %s", name, got.status, got.body)
		}
	}
	for name, change := range map[string]func(*who){
		"no token":                 func(p *who) { p.token = "" },
		"another session's token":  func(p *who) { p.token = other.token },
		"another session's secret": func(p *who) { p.secret = other.secret },
		"another session's key":    func(p *who) { p.id = other.id },
		"a user's key and secret":  func(p *who) { p.id, p.secret = w.a.id, w.a.secret },
		"a signature cut short":    func(p *who) { p.token = p.token[:len(p.token)-1] },
		"the signature of another": func(p *who) {
			p.token = p.token[:strings.LastIndex(p.token, ".")] + other.token[strings.LastIndex(other.token, "."):]
		},
		"claims that somebody wrote": func(p *who) { p.token = "1." + base64.RawURLEncoding.EncodeToString([]byte(`{"b":"*"}`)) + ".AAAA" },
		"a token that is no token":   func(p *who) { p.token = "x" },
		"a huge token":               func(p *who) { p.token = strings.Repeat("A", 20_000) },
		"an empty secret":            func(p *who) { p.secret = "x" },
		"a key that nobody has":      func(p *who) { p.id, p.token = "AKIAAAAAAAAAAAAAAAAA", "" },
		"a key that is a path":       func(p *who) { p.id, p.token = "../../root", "" },
	} {
		p := s
		change(&p)
		got := w.send(p, "GET", target, nil, nil)
		if got.status != 403 || got.code != "SignatureDoesNotMatch" {
			t.Errorf("%s: %d %s", name, got.status, got.code)
		}
		if e := w.rec.last(); e.Decision != audit.Deny || e.Reason != "bad-signature" || !e.Tenant.IsZero() {
			t.Errorf("%s: recorded as %+v", name, e)
		}
	}
	time.Sleep(time.Until(ends))
	if got := w.send(brief, "GET", target, nil, nil); got.code != "SignatureDoesNotMatch" {
		t.Errorf("a session after its end: %d %s", got.status, got.code)
	}
	if got := w.send(s, "GET", target, nil, nil); got.status != 200 {
		t.Errorf("a session before its end: %d", got.status)
	}
}

// TestPutRefusals sends what must not be stored, each beside a control that
// differs in one thing.
func TestPutRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sum := func(s string) string { m := md5.Sum([]byte(s)); return base64.StdEncoding.EncodeToString(m[:]) }
	put := "/" + w.a.bucket + "/"
	long := strings.Repeat("k", 1024)
	bodySum := sha256.Sum256([]byte("body"))
	for _, c := range []struct {
		name, target string
		header       map[string]string
		want         string
	}{
		{"control", put + "k", nil, ""},
		{"control: x-id", put + "k?x-id=PutObject", nil, ""},
		{"control: the longest key", put + long, nil, ""},
		{"control: an absolute key", put + "/etc/passwd", nil, ""},
		{"control: a key of dots", put + "../../up", nil, ""},
		{"control: right MD5", put + "k", map[string]string{"Content-MD5": sum("body")}, ""},
		{"control: right SHA-256", put + "k", map[string]string{"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(bodySum[:])}, ""},
		{"control: private", put + "k", map[string]string{"X-Amz-Acl": "private"}, ""},
		{"control: metadata", put + "k", map[string]string{"X-Amz-Meta-Mtime": "1"}, ""},

		{"a key too long", put + long + "k", nil, "KeyTooLongError"},
		{"NUL", put + "a%00b", nil, "InvalidURI"},
		{"a line break", put + "a%0Ab", nil, "InvalidURI"},
		{"not UTF-8", put + "%ff", nil, "InvalidURI"},
		{"a character that XML has not", put + "%EF%BF%BE", nil, "InvalidURI"},
		{"a surrogate", put + "%ED%A0%80", nil, "InvalidURI"},
		{"no key", "/" + w.a.bucket, nil, "NotImplemented"},
		{"an empty key", put, nil, "NotImplemented"},
		{"no bucket", "/", nil, "NotImplemented"},
		{"an empty bucket", "//k", nil, "NotImplemented"},
		{"another tenant's bucket", "/" + w.b.bucket + "/k", nil, "AccessDenied"},
		{"out of the bucket by dots", put + "../" + w.b.bucket + "/k", nil, ""},
		{"wrong MD5", put + "k", map[string]string{"Content-MD5": sum("other")}, "BadDigest"},
		{"MD5 that is none", put + "k", map[string]string{"Content-MD5": "AAAA"}, "InvalidDigest"},
		{"MD5 in hex", put + "k", map[string]string{"Content-MD5": "841a2d689ad86bd1611447453c22c6fc"}, "InvalidDigest"},
		{"wrong SHA-256", put + "k", map[string]string{"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(make([]byte, 32))}, "BadDigest"},
		{"wrong CRC-64", put + "k", map[string]string{"X-Amz-Checksum-Crc64nvme": base64.StdEncoding.EncodeToString(make([]byte, 8))}, "BadDigest"},
		{"a checksum of the wrong length", put + "k", map[string]string{"X-Amz-Checksum-Sha1": "AAAA"}, "InvalidDigest"},
		{"an unknown checksum", put + "k", map[string]string{"X-Amz-Checksum-Xxhash": "AAAA"}, "NotImplemented"},
		{"a copy", put + "k", map[string]string{"X-Amz-Copy-Source": w.b.bucket + "/k"}, "NotImplemented"},
		{"a public object", put + "k", map[string]string{"X-Amz-Acl": "public-read"}, "NotImplemented"},
		{"a customer's own encryption key", put + "k", map[string]string{"X-Amz-Server-Side-Encryption-Customer-Key": "AAAA"}, "NotImplemented"},
		{"an expected owner", put + "k", map[string]string{"X-Amz-Expected-Bucket-Owner": "111122223333"}, "NotImplemented"},
		{"a write on a condition", put + "k", map[string]string{"If-None-Match": "*"}, "NotImplemented"},
		{"an ACL", put + "k?acl", nil, "NotImplemented"},
		{"tags", put + "k?tagging", nil, "NotImplemented"},
		{"a part of an upload", put + "k?partNumber=1&uploadId=x", nil, "NotImplemented"},
	} {
		key := strings.TrimPrefix(c.target, put)
		if c.want != "" {
			w.stored("k", "as it was")
		}
		got := w.send(w.a, "PUT", c.target, c.header, []byte("body"))
		if got.code != c.want || c.want == "" && got.status != 200 {
			t.Errorf("%s: %d %s", c.name, got.status, got.code)
		}
		if c.want == "" && !strings.ContainsAny(key, "?/") && w.has(key) != "body" {
			t.Errorf("%s: not stored", c.name)
		}
		if c.want != "" && w.has("k") != "as it was" {
			t.Errorf("%s: the object changed to %q", c.name, w.has("k"))
		}
	}
	if got := w.send(w.b, "GET", "/"+w.b.bucket+"/k", nil, nil); got.code != "NoSuchKey" {
		t.Errorf("a key with dots reached the other bucket: %d %s", got.status, got.code)
	}
}

// TestOtherOperations refuses what S3 has and this store has not, without
// doing the plain operation instead.
func TestOtherOperations(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored("k", "text")
	for _, c := range []struct{ method, rest, body string }{
		{"DELETE", "/k?uploadId=x", ""}, {"DELETE", "/k?tagging", ""}, {"DELETE", "/k?versionId=1", ""}, {"DELETE", "", ""}, {"DELETE", "?policy", ""},
		{"GET", "/k?acl", ""}, {"GET", "/k?uploadId=x", ""}, {"GET", "/k?partNumber=1", ""}, {"GET", "/k?response-content-type=text%2Fhtml", ""},
		{"GET", "?policy", ""}, {"GET", "?versions", ""}, {"GET", "?uploads", ""}, {"GET", "?acl", ""},
		{"POST", "/k?uploads", ""}, {"POST", "/k?restore", "<RestoreRequest"}, {"POST", "?delete", "<Delete><Object>"},
		{"POST", "?delete", `<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><Delete>&b;</Delete>`},
		{"PUT", "", "<CreateBucketConfiguration>"}, {"PUT", "?policy", "{}"}, {"PATCH", "/k", ""}, {"OPTIONS", "/k", ""},
	} {
		if got := w.send(w.a, c.method, "/"+w.a.bucket+c.rest, nil, []byte(c.body)); got.status != 501 || got.code != "NotImplemented" {
			t.Errorf("%s %s: %d %s", c.method, c.rest, got.status, got.body)
		}
	}
	if got := w.send(w.a, "DELETE", "/"+w.a.bucket+"/k", map[string]string{"If-Match": `"x"`}, nil); got.code != "NotImplemented" {
		t.Errorf("a deletion on a condition: %d %s", got.status, got.code)
	}
	if w.has("k") != "text" {
		t.Error("a refused operation changed the object")
	}
}

// raw signs a request, lets change spoil what is sent, and sends it over a
// plain socket.
func (w *world) raw(body []byte, change func(head string) (string, []byte)) answer {
	w.t.Helper()
	r := must[*http.Request](w.t)(http.NewRequest("PUT", w.url+"/"+w.a.bucket+"/raw", nil))
	err := sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: w.a.id, Secret: tenant.NewSecret([]byte(w.a.secret)), Region: "us-east-1", Service: "s3"}, time.Now())
	if err != nil {
		w.t.Fatal(err)
	}
	head := fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nConnection: close\r\n", r.URL.Path, r.URL.Host, len(body))
	for k, v := range r.Header {
		head += k + ": " + v[0] + "\r\n"
	}
	head, body = change(head + "\r\n")
	c := must[net.Conn](w.t)(net.Dial("tcp", r.URL.Host))
	defer c.Close()
	if _, err := c.Write(append([]byte(head), body...)); err != nil {
		w.t.Fatal(err)
	}
	_ = c.(*net.TCPConn).CloseWrite()
	res, err := http.ReadResponse(bufio.NewReader(c), r)
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		return answer{code: "closed"}
	}
	return read(w.t, must[*http.Response](w.t)(res, err))
}

// TestBodies refuses bodies that are not the signed one.
func TestBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	body := []byte("the signed body")
	header := func(from, to string) func(string) (string, []byte) {
		return func(head string) (string, []byte) {
			out := strings.Replace(head, from, to, 1)
			if out == head {
				t.Fatalf("%q is not in %q", from, head)
			}
			return out, body
		}
	}
	digest := "X-Amz-Content-Sha256: " + fmt.Sprintf("%x", sha256.Sum256(body))
	for _, c := range []struct {
		name, want string
		change     func(string) (string, []byte)
	}{
		{"another body", "XAmzContentSHA256Mismatch", func(h string) (string, []byte) { return h, bytes.ToUpper(body) }},
		{"unsigned payload", "XAmzContentSHA256Mismatch", header(digest, "X-Amz-Content-Sha256: UNSIGNED-PAYLOAD")},
		{"streaming payload", "XAmzContentSHA256Mismatch", header(digest, "X-Amz-Content-Sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD")},
		{"a digest that is no digest", "XAmzContentSHA256Mismatch", header(digest, "X-Amz-Content-Sha256: x")},
		{"cut short", "IncompleteBody", func(h string) (string, []byte) { return h, body[:5] }},
		{"no body at all", "IncompleteBody", func(h string) (string, []byte) { return h, nil }},
		{"a length that is a lie", "EntityTooLarge", header("Content-Length: 15", fmt.Sprint("Content-Length: ", cloud.MaxObject+1))},
		{"another signed host", "SignatureDoesNotMatch", header("Host: ", "Host: x")},
		{"a header put in", "SignatureDoesNotMatch", header("\r\n\r\n", "\r\nX-Amz-Copy-Source: /a/b\r\n\r\n")},
		{"a second length", "", header("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\n")},
		{"no signature", "SignatureDoesNotMatch", header("Authorization: ", "X-Authorization: ")},
		{"another key", "SignatureDoesNotMatch", header(w.a.id, w.b.id)},
		{"another bucket", "SignatureDoesNotMatch", header(w.a.bucket, w.b.bucket)},
	} {
		if got := w.raw(body, c.change); got.code != c.want || got.status == 200 {
			t.Errorf("%s: %d %s", c.name, got.status, got.code)
		}
		if w.has("raw") != "" {
			t.Fatalf("%s: stored", c.name)
		}
	}
	if got := w.raw(body, func(h string) (string, []byte) { return h, body }); got.status != 200 || w.has("raw") != string(body) {
		t.Errorf("control: %d %s", got.status, got.body)
	}
}

func TestObjectSize(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := make([]byte, cloud.MaxObject+1)
	if got := w.send(w.a, "PUT", "/"+w.a.bucket+"/big", nil, b); got.code != "EntityTooLarge" {
		t.Errorf("one byte too many: %d %s", got.status, got.code)
	}
	if w.has("big") != "" {
		t.Error("stored")
	}
	// A body that does not say how long it is.
	chunked := func(body []byte) answer {
		r := must[*http.Request](t)(http.NewRequest("PUT", w.url+"/"+w.a.bucket+"/chunked", struct{ io.Reader }{bytes.NewReader(body)}))
		if err := sigv4.SignRequest(r, body, sigv4.Credentials{AccessKeyID: w.a.id, Secret: tenant.NewSecret([]byte(w.a.secret)), Region: "us-east-1", Service: "s3"}, time.Now()); err != nil {
			t.Fatal(err)
		}
		return read(t, must[*http.Response](t)(http.DefaultTransport.RoundTrip(r)))
	}
	if got := chunked(b); got.code != "EntityTooLarge" || w.has("chunked") != "" {
		t.Errorf("one byte too many in chunks: %d %s", got.status, got.code)
	}
	if got := chunked(b[:10]); got.status != 200 || len(w.has("chunked")) != 10 {
		t.Errorf("control: chunks: %d %s", got.status, got.code)
	}
	// A length that is too large is refused before its body is waited for.
	r := must[*http.Request](t)(http.NewRequest("PUT", w.url+"/"+w.a.bucket+"/big", nil))
	c := must[net.Conn](t)(net.Dial("tcp", r.URL.Host))
	defer c.Close()
	if _, err := fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\nAuthorization: x\r\n\r\n", r.URL.Path, r.URL.Host, cloud.MaxObject+1); err != nil {
		t.Fatal(err)
	}
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, must[*http.Response](t)(http.ReadResponse(bufio.NewReader(c), r))); got.code != "EntityTooLarge" {
		t.Errorf("a large length: %d %s", got.status, got.code)
	}
	if got := w.send(w.a, "PUT", "/"+w.a.bucket+"/big", nil, b[1:]); got.status != 200 || len(w.has("big")) != cloud.MaxObject {
		t.Errorf("control: %d", got.status)
	}
}

// TestNothingWithoutRecord: what the customer's own log cannot keep is not done.
func TestNothingWithoutRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored("k", "as it was")
	w.rec.mu.Lock()
	w.rec.fail = true
	w.rec.mu.Unlock()
	for _, method := range []string{"GET", "PUT", "DELETE"} {
		if got := w.send(w.a, method, "/"+w.a.bucket+"/k", nil, nil); got.code != "InternalError" {
			t.Errorf("%s: %d %s", method, got.status, got.body)
		}
	}
	w.rec.mu.Lock()
	w.rec.fail = false
	w.rec.mu.Unlock()
	if w.has("k") != "as it was" {
		t.Error("changed without a record")
	}
}

// TestKeyFiles refuses a key file that was moved to another key, tenant or
// bucket.
func TestKeyFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := func(p who) string { return filepath.Join(w.dir, "keys", p.id+".json") }
	a, b := must[[]byte](t)(os.ReadFile(file(w.a))), must[[]byte](t)(os.ReadFile(file(w.b)))
	write := func(p who, v []byte) {
		if err := os.WriteFile(file(p), v, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	forB := func(old, now string) []byte { return bytes.Replace(b, []byte(old), []byte(now), 1) }
	for name, v := range map[string][]byte{
		"another tenant": forB(w.b.tenant.String(), w.a.tenant.String()), "another bucket": forB(w.b.bucket, w.a.bucket),
		"another key's file": a, "no JSON": []byte("x"), "nothing": nil, "no secret": forB(`"secret":"`, `"secrets":"`),
	} {
		if bytes.Equal(v, b) {
			t.Fatal("nothing changed")
		}
		write(w.b, v)
		if got := w.send(w.b, "GET", "/"+w.b.bucket+"?list-type=2", nil, nil); got.code != "SignatureDoesNotMatch" {
			t.Errorf("%s: %d %s", name, got.status, got.code)
		}
	}
	write(w.b, b)
	if got := w.send(w.b, "GET", "/"+w.b.bucket+"?list-type=2", nil, nil); got.status != 200 {
		t.Errorf("control: %d %s", got.status, got.code)
	}
	// A key for a bucket that is another tenant's already does not reach it.
	w.stored("k", "x")
	keys := must[*cloud.Keys](t)(cloud.OpenKeys(w.dir))
	thief := w.b
	thief.id = "AKIATHIEFTHIEFTHIEF1"
	if err := keys.Add(thief.id, w.b.tenant, w.a.bucket, thief.secret); err != nil {
		t.Fatal(err)
	}
	if got := w.send(thief, "GET", "/"+w.a.bucket+"/k", nil, nil); got.code != "AccessDenied" {
		t.Errorf("a key for another tenant's bucket: %d %s", got.status, got.code)
	}
	for name, add := range map[string]error{
		"a key that is a path":   keys.Add("../../../KEY", w.b.tenant, w.b.bucket, "x"),
		"no owner":               keys.Add(thief.id, tenant.ID{}, w.b.bucket, "x"),
		"no secret":              keys.Add(thief.id, w.b.tenant, w.b.bucket, ""),
		"a bucket that is a key": keys.Add(thief.id, w.b.tenant, "a/b", "x"),
	} {
		if add == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestRootKey: many openers of a new folder get one key, so that the server
// reads what each of them added; a spoilt one is refused.
func TestRootKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// Each folder is one try at meeting in the moment that counts.
	for range 12 {
		openTogether(t, w, t.TempDir())
	}
	dir := t.TempDir()
	if _, err := cloud.OpenKeys(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "root.key"), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cloud.OpenKeys(dir); err == nil {
		t.Error("a short root key was accepted")
	}
}

func openTogether(t *testing.T, w *world, dir string) {
	t.Helper()
	const openers, bucket = 16, "src-bucket"
	id := func(i int) string { return fmt.Sprintf("AKIAAAAAAAAAAAAAAA%02d", i) }
	errs, start := make(chan error), make(chan struct{})
	for i := range openers {
		go func() {
			<-start
			keys, err := cloud.OpenKeys(dir)
			if err == nil {
				err = keys.Add(id(i), w.a.tenant, bucket, "secret")
			}
			errs <- err
		}()
	}
	close(start)
	for range openers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	store := must[*cloud.Server](t)(cloud.Open(dir, w.verifier, w.rec))
	srv := httptest.NewServer(store)
	there := &world{t: t, url: srv.URL}
	for i := range openers {
		if got := there.send(who{id: id(i), secret: "secret"}, "GET", "/"+bucket+"?list-type=2", nil, nil); got.status != 200 {
			t.Errorf("the key of opener %d: %d %s", i, got.status, got.code)
		}
	}
	srv.Close()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
	if left := must[[]string](t)(filepath.Glob(filepath.Join(dir, "*.tmp"))); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, open := range map[string]func(dir string) (*cloud.Server, error){
		"no verifier": func(dir string) (*cloud.Server, error) { return cloud.Open(dir, nil, w.rec) },
		"no recorder": func(dir string) (*cloud.Server, error) { return cloud.Open(dir, w.verifier, nil) },
	} {
		if _, err := open(t.TempDir()); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	s, err := cloud.Open(t.TempDir(), w.verifier, w.rec)
	if err != nil {
		t.Fatalf("control: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
