package sigv4_test

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

const (
	emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	head     = "host:h\nx-amz-date:20260301T120000Z\n\nhost;x-amz-date\n"
	plain    = "POST\n/op\na=1\n" + head + emptySum
	signing  = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20260301%2Fus-east-1%2Fservice%2Faws4_request&X-Amz-Date=20260301T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
	link     = "POST\n/op\n" + signing + "\nhost:h\n\nhost\n" + emptySum
)

// claimed is evidence that somebody with a key made by hand, and signed: no
// request needs to lie behind it.
type claimed struct {
	flags                   byte
	date, id, region, serve string
	canonical, body         string
}

func (c claimed) binary(sig string) []byte {
	raw, err := hex.DecodeString(sig)
	if err != nil {
		panic(err)
	}
	b := append([]byte{1, c.flags}, c.date...)
	fields := []string{c.id, c.region, c.serve, string(raw), c.canonical}
	if c.flags&8 != 0 {
		fields = append(fields, c.body)
	}
	for _, f := range fields {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	return b
}

func TestEvidenceMadeByHand(t *testing.T) {
	t.Parallel()
	swap := func(s, from, to string) string {
		out := strings.Replace(s, from, to, 1)
		if out == s {
			t.Fatalf("%q is not there", from)
		}
		return out
	}
	good := claimed{0, "20260301T120000Z", "AKIDEXAMPLE", "us-east-1", "service", plain, ""}
	header := func(from, to string) func(*claimed) {
		return func(c *claimed) { c.canonical = swap(plain, from, to) }
	}
	presigned := func(from, to string) func(*claimed) {
		return func(c *claimed) { c.flags, c.canonical = 2, swap(link, from, to) }
	}
	for _, c := range []struct {
		name   string
		change func(*claimed)
		want   error
	}{
		{"as it should be", func(*claimed) {}, nil},
		{"presigned, as it should be", func(c *claimed) { c.flags, c.canonical = 2, link }, nil},
		{"with a body", func(c *claimed) { c.flags = 8 }, nil},
		{"not a canonical request", func(c *claimed) { c.canonical = "x" }, sigv4.ErrMalformed},
		{"too few lines", func(c *claimed) { c.canonical = "POST\n/op\n\nhost\n" + emptySum }, sigv4.ErrMalformed},
		{"no method", header("POST", ""), sigv4.ErrMalformed},
		{"no such method", header("POST", "POST /x"), sigv4.ErrMalformed},
		{"no path", header("/op", ""), sigv4.ErrMalformed},
		{"no such path", header("/op", "op"), sigv4.ErrMalformed},
		{"a path that is not escaped", header("/op", "/o p"), sigv4.ErrMalformed},
		{"a query that is not escaped", header("a=1", "a=+"), sigv4.ErrMalformed},
		{"a path that was dotted", header("/op", "/a/../op"), sigv4.ErrAmbiguousPath},
		{"a path that was dotted, escaped", header("/op", "/a/%252e%252E/op"), sigv4.ErrAmbiguousPath},
		{"a path that had two slashes", header("/op", "/a//op"), sigv4.ErrAmbiguousPath},
		{"a broken escape", header("/op", "/op%2"), sigv4.ErrMalformed},
		{"a line that is no header", header("host:h", "host"), sigv4.ErrMalformed},
		{"another header than is listed", header("host:h", "hosu:h"), sigv4.ErrMalformed},
		{"a header that is not listed", header("host:h\n", "host:h\ni:1\n"), sigv4.ErrMalformed},
		{"a header that is listed only", header("\nhost;", "\nhost;i;"), sigv4.ErrMalformed},
		{"a list out of order", header("\nhost;x-amz-date\n", "\nx-amz-date;host\n"), sigv4.ErrMalformed},
		{"a header that is listed at the end only", header(";x-amz-date\n", ";x-amz-date;y\n"), sigv4.ErrMalformed},
		{"no list", header("\nhost;x-amz-date\n", "\n\n"), sigv4.ErrUnsorted},
		{"no host", header("host:h", "host:"), sigv4.ErrNotSigned},
		{"no date", func(c *claimed) {
			c.canonical = strings.NewReplacer("x-amz-date:20260301T120000Z\n", "", ";x-amz-date", "").Replace(plain)
		}, sigv4.ErrNotSigned},
		{"another date", header("20260301T120000Z", "20260301T120001Z"), sigv4.ErrNotSigned},
		{"a payload in capitals", header(emptySum, strings.ToUpper(emptySum)), sigv4.ErrPayload},
		{"a short payload", header(emptySum, emptySum[:63]), sigv4.ErrPayload},
		{"a streaming payload", header(emptySum, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"), sigv4.ErrStreaming},
		{"an unsigned payload", header(emptySum, "UNSIGNED-PAYLOAD"), sigv4.ErrUnsignedPayload},
		{"two payloads", func(c *claimed) {
			c.canonical = strings.NewReplacer("x-amz-date:", "x-amz-content-sha256:"+strings.Repeat("0", 64)+"\nx-amz-date:", ";x-amz-date", ";x-amz-content-sha256;x-amz-date").Replace(plain)
		}, sigv4.ErrPayload},
		{"a signature in the query too", header("a=1", "X-Amz-Signature=00"), sigv4.ErrBothAuth},
		{"a credential in the query too", header("a=1", "x-amz-credential=00"), sigv4.ErrBothAuth},
		{"a parameter twice", header("a=1", "X-Amz-A=1&X-Amz-A=2"), sigv4.ErrDuplicated},
		{"presigned by nothing", func(c *claimed) { c.flags = 2 }, sigv4.ErrBothAuth},
		{"presigned in part", presigned("X-Amz-Expires=60&", ""), sigv4.ErrMalformed},
		{"presigned with a date in a header", func(c *claimed) {
			c.flags, c.canonical = 2, strings.NewReplacer("host:h\n", "host:h\nx-amz-date:20260301T120000Z\n", "\nhost\n", "\nhost;x-amz-date\n").Replace(link)
		}, sigv4.ErrBothAuth},
		{"presigned with another algorithm", presigned("HMAC", "ECDSA-P256"), sigv4.ErrMalformed},
		{"presigned by another key", presigned("AKIDEXAMPLE", "AKIDEXAMPLF"), sigv4.ErrMalformed},
		{"presigned by half a credential", presigned("%2Faws4_request", ""), sigv4.ErrMalformed},
		{"presigned by more than a credential", presigned("aws4_request", "aws4_request%2F"), sigv4.ErrMalformed},
		{"presigned at another time", presigned("20260301T120000Z", "20260301T120001Z"), sigv4.ErrMalformed},
		{"presigned for ever", presigned("Expires=60", "Expires=604801"), sigv4.ErrExpires},
		{"presigned over other headers", presigned("SignedHeaders=host", "SignedHeaders=hosu"), sigv4.ErrMalformed},
		{"presigned over itself", presigned("X-Amz-SignedHeaders=host", "X-Amz-Signature=00&X-Amz-SignedHeaders=host"), sigv4.ErrMalformed},
		{"presigned for a region set", presigned("X-Amz-SignedHeaders=host", "X-Amz-Region-Set=us-east-1&X-Amz-SignedHeaders=host"), sigv4.ErrMalformed},
		{"presigned, a name in small letters", presigned("X-Amz-Expires", "x-amz-expires"), sigv4.ErrMalformed},
		{"presigned, with two payloads", presigned("X-Amz-Credential", "X-Amz-Content-Sha256="+strings.Repeat("0", 64)+"&X-Amz-Credential"), sigv4.ErrPayload},
		{"a second and a half", func(c *claimed) { c.date = "20260301T120000.5Z" }, sigv4.ErrMalformed},
		{"no such second", func(c *claimed) { c.date = "20260301T120061Z" }, sigv4.ErrMalformed},
		{"no access key", func(c *claimed) { c.id = "" }, sigv4.ErrMalformed},
		{"an access key with a slash", func(c *claimed) { c.id = "AKID/EXAMPLE" }, sigv4.ErrMalformed},
		{"a region with a slash", func(c *claimed) { c.region = "us/east" }, sigv4.ErrMalformed},
		{"a region set", func(c *claimed) { c.region = "*" }, sigv4.ErrMalformed},
		{"no service", func(c *claimed) { c.serve = "" }, sigv4.ErrMalformed},
		{"another body", func(c *claimed) { c.flags, c.body = 8, "x" }, sigv4.ErrPayload},
		{"a body of an unsigned payload", func(c *claimed) { c.flags = 8; c.canonical = swap(plain, emptySum, "UNSIGNED-PAYLOAD") }, sigv4.ErrUnsignedPayload},
		{"SigV4A without a region set", func(c *claimed) { c.flags = 1 }, sigv4.ErrNotSigned},
		{"flags that do not exist", func(c *claimed) { c.flags = 16 }, sigv4.ErrMalformed},
		{"presigned and a digest", func(c *claimed) { c.flags = 6 }, sigv4.ErrMalformed},
		{"a canonical request that is too long", func(c *claimed) { c.canonical = swap(plain, "a=1", "a="+strings.Repeat("1", sigv4.MaxEvidence)) }, sigv4.ErrMalformed},
	} {
		e := good
		c.change(&e)
		o := opts
		o.Presigned = maxLife
		ev, err := sigv4.ParseEvidence(e.binary(signByHand(e.canonical)))
		if err == nil {
			err = verifier(t, o).Verify(ev, noon)
		}
		if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		var part *sigv4.ParseError
		if err != nil && (!errors.As(err, &part) || part.Part == "" || strings.Contains(err.Error(), "AKID")) {
			t.Errorf("%s: %v does not name a part, or repeats it", c.name, err)
		}
	}
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"another version":   append([]byte{2}, good.binary(emptySum)[1:]...),
		"a short signature": good.binary(emptySum[:62]),
		"a long signature":  good.binary(strings.Repeat("0", 2*73)),
	} {
		if _, err := sigv4.ParseEvidence(b); !errors.Is(err, sigv4.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := sigv4.ParseEvidence(make([]byte, 1<<20)); !errors.Is(err, sigv4.ErrTooLarge) {
		t.Error(err)
	}
	// The path of S3 is what it is.
	e := good
	e.canonical = swap(plain, "/op", "/a/../op")
	o := opts
	o.S3 = true
	if ev, err := sigv4.ParseEvidence(e.binary(signByHand(e.canonical))); err != nil || verifier(t, o).Verify(ev, noon) != nil {
		t.Error(err)
	}
}

func TestLevelNames(t *testing.T) {
	t.Parallel()
	for l, want := range map[sigv4.Level]string{0: "none", sigv4.LevelDigest: "digest", sigv4.LevelCanonical: "canonical", sigv4.LevelBody: "body", 4: "none"} {
		if l.String() != want {
			t.Errorf("%d is %s", l, l)
		}
	}
	var none sigv4.Evidence
	if none.Level() != 0 || none.Digest() != [32]byte{} || none.PayloadSigned() {
		t.Error("no evidence says something")
	}
	if b, err := none.MarshalBinary(); !errors.Is(err, sigv4.ErrNoSignature) || b != nil {
		t.Error(err)
	}
}

// A parameter that two readers could read differently is not read.
func TestParameters(t *testing.T) {
	t.Parallel()
	token := creds
	token.SessionToken = "a/b+c=="
	sign := func(by func(*http.Request, []byte) error) sigv4.Evidence {
		return must[sigv4.Evidence](t)(signed(t, "{}", takesAll, func(r *http.Request, b []byte) error {
			r.URL.RawQuery = "one=%2B%20x&two=1&two=2&e=&caf%C3%A9=1&one1=3"
			return by(r, b)
		}))
	}
	for _, ev := range []sigv4.Evidence{sign(byHeader(token)), sign(byQuery(token, time.Minute))} {
		for name, want := range map[string]string{"one": "+ x", "e": "", "caf\u00e9": "1", "one1": "3"} {
			if got, ok := ev.Parameter(name); !ok || got != want {
				t.Errorf("%s: %q %v", name, got, ok)
			}
		}
		for _, name := range []string{"two", "", "on", "ONE", "one=", "absent"} {
			if got, ok := ev.Parameter(name); ok || got != "" {
				t.Errorf("%s: %q", name, got)
			}
		}
		if got, ok := ev.SessionToken(); !ok || got != token.SessionToken {
			t.Errorf("%q %v", got, ok)
		}
	}
	for _, by := range []func(*http.Request, []byte) error{byHeader(creds), byQuery(creds, time.Minute)} {
		if got, ok := sign(by).SessionToken(); ok || got != "" {
			t.Errorf("a token out of nothing: %q", got)
		}
	}
}
