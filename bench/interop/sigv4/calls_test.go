package sigv4_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
	"github.com/cloisterdev/cloister/tenant"
)

const (
	accessKey  = "AKIDEXAMPLE"
	secretText = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
	region     = "us-east-1"
	host       = "service.example"
)

var clock = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// call is what a client is asked to sign. Target is as it goes on the wire.
type call struct {
	Name    string      `json:"name"`
	Method  string      `json:"method"`
	Target  string      `json:"target"`
	Headers [][2]string `json:"headers"`
	Body    string      `json:"body"`
	Service string      `json:"service"`
	Token   string      `json:"token"`
	Presign bool        `json:"presign"`
}

func (c call) s3() bool { return c.Service == "s3" }

// signed is what a client answers.
type signed struct {
	Name    string      `json:"name"`
	Target  string      `json:"target"`
	Headers [][2]string `json:"headers"`
	Error   string      `json:"error"`
}

func calls() (out []call) {
	jsonType := [2]string{"Content-Type", "application/json"}
	base := []call{
		{Name: "plain", Method: "POST", Target: "/generateCompletions", Headers: [][2]string{jsonType}, Body: `{"a":1}`},
		{Name: "no-body", Method: "GET", Target: "/"},
		{Name: "utf8-path", Method: "PUT", Target: "/caf%C3%A9/%E1%88%B4/", Headers: [][2]string{jsonType}, Body: "é"},
		{Name: "escaped-slash", Method: "GET", Target: "/tags/arn%3Aaws%3Ax%2Fy/z"},
		{Name: "marks-in-path", Method: "POST", Target: "/a+b;c=d,e@f:g$h~i", Headers: [][2]string{jsonType}, Body: "{}"},
		{Name: "repeated-keys", Method: "GET", Target: "/q?b=2&a=1&a=0&empty=&flag="},
		{Name: "escaped-query", Method: "GET", Target: "/q?plus=a%2Bb&semi=a%3Bb&space=a%20b&utf8=%E1%88%B4&slash=a%2Fb&amp=%26&star=%2A"},
		{Name: "prefix-keys", Method: "GET", Target: "/q?a-b=1&a=2&a.c=3&A=4"},
		{Name: "headers", Method: "POST", Target: "/h", Headers: [][2]string{jsonType, {"X-Amz-Space", "a   b  c"}, {"X-Amz-Empty", ""}, {"X-Amz-Meta-Utf8", "caf\u00e9"}}, Body: "{}"},
		{Name: "repeated-headers", Method: "POST", Target: "/r", Headers: [][2]string{jsonType, {"X-Multi", "b"}, {"X-Multi", "a  c"}, {"X-Multi", ""}}, Body: "{}"},
		{Name: "s3-key", Method: "GET", Target: "/bucket/a%20b/c%2Bd%3Be/../f//g.txt", Service: "s3"},
		{Name: "s3-put", Method: "PUT", Target: "/bucket/%E1%88%B4.txt", Headers: [][2]string{{"Content-Type", "text/plain"}}, Body: "text", Service: "s3"},
	}
	for _, c := range base {
		if c.Service == "" {
			c.Service = "service"
		}
		for _, token := range []string{"", "AQoDYXdzEPT//////////wEXAMPLE+token/=="} {
			for _, presign := range []bool{false, true} {
				c := c
				c.Headers = append([][2]string{}, c.Headers...)
				c.Token, c.Presign = token, presign
				if presign {
					// Who opens a link sends neither body nor further headers.
					c.Headers, c.Body = [][2]string{}, ""
				}
				if token != "" {
					c.Name += ",token"
				}
				if presign {
					c.Name += ",presigned"
				}
				out = append(out, c)
			}
		}
	}
	return out
}

// wire is the request as it goes over HTTP/1.1.
func wire(c call, s signed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", c.Method, s.Target, host)
	length := false
	for _, h := range s.Headers {
		switch strings.ToLower(h[0]) {
		case "host":
			continue
		case "content-length":
			length = true
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	if !length && c.Body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(c.Body))
	}
	return b.String() + "\r\n" + c.Body
}

func captureOptions(s3 bool) sigv4.CaptureOptions {
	return sigv4.CaptureOptions{S3: s3, Presigned: true, UnsignedPayload: s3, SigV4A: true}
}

func verifier(service string) *sigv4.Verifier {
	key := sigv4.Key{Secret: tenant.NewSecret([]byte(secretText))}
	v, err := sigv4.NewVerifier(func(id string) (sigv4.Key, bool) { return key, id == accessKey }, sigv4.Options{
		Region: region, Service: service, Presigned: time.Hour, UnsignedPayload: service == "s3", SigV4A: true})
	if err != nil {
		panic(err)
	}
	return v
}
