package sigv4_test

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// genuine remembers what was really signed: whatever else verifies is forged.
func genuine(f *testing.F) (j judge, digests map[[32]byte]bool, all []positive) {
	f.Helper()
	j, digests, all = newJudge(f), map[[32]byte]bool{}, positives(f)
	for _, p := range all {
		ev, err := j.verify(p, p.Wire)
		if err != nil {
			f.Fatal(err)
		}
		digests[ev.Digest()] = true
	}
	return j, digests, all
}

// holds checks what is true of all evidence that was taken from a request.
func holds(t *testing.T, j judge, digests map[[32]byte]bool, s3 bool, ev sigv4.Evidence) {
	t.Helper()
	b, err := ev.MarshalBinary()
	if err != nil {
		t.Fatalf("taken, and has no form: %v", err)
	}
	back, err := sigv4.ParseEvidence(b)
	if err != nil || back.Digest() != ev.Digest() || back.Path() != ev.Path() || back.Query() != ev.Query() || back.Time() != ev.Time() {
		t.Fatalf("comes back otherwise: %v\n%q", err, b)
	}
	if again, err := back.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
		t.Fatalf("has two forms: %v\n%q\n%q", err, b, again)
	}
	v := j.service
	if s3 {
		v = j.s3
	}
	if v.Verify(ev, ev.Time()) == nil && !digests[ev.Digest()] {
		t.Fatalf("forged: %q", b)
	}
}

func FuzzRequestLine(f *testing.F) {
	j, digests, all := genuine(f)
	for i, p := range all {
		if w := apart(p.Wire); i%7 == 0 {
			target := w.path + "?" + strings.Join(w.query, "&")
			f.Add(uint16(i), w.method, target)
		}
	}
	f.Fuzz(func(t *testing.T, n uint16, method, target string) {
		p := all[int(n)%len(all)]
		r := wireRequest(t, p.Wire)
		r.Method, r.RequestURI = method, target
		ev, _, err := sigv4.CaptureWith(r, 1<<16, sigv4.CaptureOptions{S3: p.S3, Presigned: true, UnsignedPayload: p.S3, SigV4A: true})
		if err != nil {
			return
		}
		holds(t, j, digests, p.S3, ev)
		if strings.Contains(method, "\n") {
			return
		}
		// The canonical path means what was sent, to a reader who decodes once.
		raw, _, _ := strings.Cut(target, "?")
		sent, err1 := url.PathUnescape(raw)
		kept := ev.Path()
		if !p.S3 {
			var err error
			if kept, err = url.PathUnescape(kept); err != nil || kept != raw {
				t.Fatalf("%q became %q", raw, ev.Path())
			}
			for _, seg := range strings.Split(strings.TrimPrefix(sent, "/"), "/") {
				if err1 == nil && (seg == "." || seg == "..") {
					t.Fatalf("%q was taken", raw)
				}
			}
		} else if kept, err := url.PathUnescape(kept); err != nil || err1 != nil || kept != sent {
			t.Fatalf("%q became %q", raw, ev.Path())
		}
	})
}

func FuzzAuthorization(f *testing.F) {
	j, digests, all := genuine(f)
	for i, p := range all {
		for _, h := range apart(p.Wire).headers {
			if k, v, _ := strings.Cut(h, ":"); i%7 == 0 && strings.EqualFold(k, "authorization") {
				f.Add(uint16(i), strings.TrimSpace(v), "20260301T120000Z", "X-Amz-Meta-A", "b")
			}
		}
	}
	f.Fuzz(func(t *testing.T, n uint16, auth, date, name, value string) {
		p := all[int(n)%len(all)]
		r := wireRequest(t, p.Wire)
		r.Header["Authorization"], r.Header["X-Amz-Date"] = []string{auth}, []string{date}
		r.Header[name] = append(r.Header[name], value)
		ev, _, err := sigv4.CaptureWith(r, 1<<16, sigv4.CaptureOptions{S3: p.S3, Presigned: true, UnsignedPayload: p.S3, SigV4A: true})
		if err != nil {
			return
		}
		holds(t, j, digests, p.S3, ev)
		if _, ok := ev.Header(name); !ok && len(name) > 6 && strings.EqualFold(name[:6], "x-amz-") {
			t.Fatalf("%q is not signed", name)
		}
	})
}

func FuzzQueryAuth(f *testing.F) {
	j, digests, all := genuine(f)
	for i, p := range all {
		if q := strings.Join(apart(p.Wire).query, "&"); strings.Contains(q, "X-Amz-Signature") && i%5 == 0 {
			f.Add(q, p.S3, "")
		}
	}
	f.Add("X-Amz-Date=1&x-amz-date=2", false, "")
	f.Fuzz(func(t *testing.T, query string, s3 bool, body string) {
		r := &http.Request{Method: "GET", Host: "service.example", RequestURI: "/?" + query, Header: http.Header{},
			Body: readCloser(body), ContentLength: int64(len(body))}
		ev, _, err := sigv4.CaptureWith(r, 1<<16, sigv4.CaptureOptions{S3: s3, Presigned: true, UnsignedPayload: s3, SigV4A: true})
		if err != nil {
			return
		}
		holds(t, j, digests, s3, ev)
		life, ok := ev.Presigned()
		if !ok || life <= 0 || life > maxLife {
			t.Fatalf("presigned %v for %v", ok, life)
		}
		if strings.Contains(ev.Query(), "X-Amz-Signature") {
			t.Fatalf("signs itself: %q", ev.Query())
		}
	})
}

func FuzzParseEvidence(f *testing.F) {
	j, digests, all := genuine(f)
	for i, p := range all {
		if i%11 != 0 {
			continue
		}
		ev, err := j.verify(p, p.Wire)
		if err != nil {
			f.Fatal(err)
		}
		for _, l := range []sigv4.Level{sigv4.LevelDigest, sigv4.LevelCanonical} {
			if e, err := ev.AtLevel(l); err == nil {
				b, err := e.MarshalBinary()
				if err != nil {
					f.Fatal(err)
				}
				f.Add(b)
			}
		}
		if e, err := ev.WithBody([]byte(apart(p.Wire).body)); err == nil {
			b, err := e.MarshalBinary()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	least := opts
	least.MinLevel, least.Presigned, least.SigV4A = sigv4.LevelDigest, maxLife, true
	weak := verifier(f, least)
	f.Fuzz(func(t *testing.T, b []byte) {
		ev, err := sigv4.ParseEvidence(b)
		if err != nil {
			return
		}
		if again, err := ev.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("has two forms: %v\n%q\n%q", err, b, again)
		}
		if (j.service.Verify(ev, ev.Time()) == nil || weak.Verify(ev, ev.Time()) == nil) && !digests[ev.Digest()] {
			t.Fatalf("forged: %q", b)
		}
		for l := range sigv4.LevelBody {
			if less, err := ev.AtLevel(l); err == nil && (less.Level() != l || less.Digest() != ev.Digest()) {
				t.Fatalf("%s became %s", ev.Level(), less.Level())
			}
		}
	})
}
