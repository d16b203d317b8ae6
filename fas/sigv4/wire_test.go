package sigv4_test

import (
	"bufio"
	"embed"
	"encoding/json"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// testdata/wire holds requests as clients that others wrote signed them, with
// the credentials of the published examples; bench/interop/sigv4 records them.
//
//go:embed testdata/wire
var wires embed.FS

// positive is a request that verifies.
type positive struct {
	client string
	Name   string `json:"name"`
	S3     bool   `json:"s3"`
	Wire   string `json:"wire"`
}

func positives(t testing.TB) (out []positive) {
	t.Helper()
	files, err := fs.Glob(wires, "testdata/wire/*.jsonl")
	if err != nil || len(files) < 7 {
		t.Fatalf("%d clients recorded: %v", len(files), err)
	}
	for _, f := range files {
		raw, err := wires.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			p := positive{client: strings.TrimSuffix(f[strings.LastIndex(f, "/")+1:], ".jsonl")}
			if err := json.Unmarshal([]byte(line), &p); err != nil {
				t.Fatal(err)
			}
			out = append(out, p)
		}
	}
	return out
}

// judge verifies a request from the wire, at the moment it was signed for.
type judge struct{ service, s3 *sigv4.Verifier }

func newJudge(t testing.TB) judge {
	t.Helper()
	one := func(service string) *sigv4.Verifier {
		v, err := sigv4.NewVerifier(func(id string) (sigv4.Key, bool) { return sigv4.Key{Secret: secret}, id == "AKIDEXAMPLE" },
			sigv4.Options{Region: "us-east-1", Service: service, Presigned: maxLife, UnsignedPayload: service == "s3", SigV4A: true})
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	return judge{one("service"), one("s3")}
}

func (j judge) capture(p positive, wire string) (sigv4.Evidence, error) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return sigv4.Evidence{}, errNoRequest
	}
	ev, _, err := sigv4.CaptureWith(r, 1<<16, sigv4.CaptureOptions{S3: p.S3, Presigned: true, UnsignedPayload: p.S3, SigV4A: true})
	return ev, err
}

func (j judge) verify(p positive, wire string) (sigv4.Evidence, error) {
	ev, err := j.capture(p, wire)
	if err != nil {
		return ev, err
	}
	v := j.service
	if p.S3 {
		v = j.s3
	}
	return ev, v.Verify(ev, ev.Time())
}
