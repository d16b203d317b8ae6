package sigv4_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

const maxLife = 7 * 24 * time.Hour

var errNoRequest = errors.New("not a request of HTTP/1.1")

// parts is a request taken apart, so that one piece of it can be changed.
type parts struct {
	method, path string
	query        []string
	headers      []string
	body         string
}

func apart(wire string) (p parts) {
	head, body, _ := strings.Cut(wire, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	var target string
	p.method, target, _ = strings.Cut(strings.TrimSuffix(lines[0], " HTTP/1.1"), " ")
	path, query, more := strings.Cut(target, "?")
	p.path, p.headers, p.body = path, lines[1:], body
	if more {
		p.query = strings.Split(query, "&")
	}
	return p
}

func (p parts) wire() string {
	target := p.path
	if len(p.query) > 0 {
		target += "?" + strings.Join(p.query, "&")
	}
	return p.method + " " + target + " HTTP/1.1\r\n" + strings.Join(p.headers, "\r\n") + "\r\n\r\n" + p.body
}

func (p parts) with(change func(*parts)) string {
	p.query, p.headers = slices.Clone(p.query), slices.Clone(p.headers)
	change(&p)
	return p.wire()
}

// change is a request with one piece changed, and what it is refused with.
type change struct {
	what, wire string
	want       []error
}

// classes changes one byte of each class in s: a capital, a small letter, a
// digit, a mark, the last digit of an escape. Escapes stay escapes.
func classes(s string, each func(class, changed string)) {
	done := map[string]bool{}
	for i := 0; i < len(s); i++ {
		class, other := "", byte(0)
		switch c := s[i]; {
		case c == '%' && i+2 < len(s):
			i += 2
			class, other = "escape", '0'+(s[i]+1)%2
			if other == s[i] {
				continue
			}
		case c >= 'A' && c <= 'Z':
			class, other = "capital", 'A'+(c-'A'+1)%26
		case c >= 'a' && c <= 'z':
			class, other = "letter", 'a'+(c-'a'+1)%26
		case c >= '0' && c <= '9':
			class, other = "digit", '0'+(c-'0'+1)%10
		case c == '-' || c == '~' || c == ':' || c == ',':
			class, other = "mark", '_'
		default:
			continue
		}
		if !done[class] {
			done[class] = true
			each(class, s[:i]+string(other)+s[i+1:])
		}
	}
}

var (
	bad       = []error{sigv4.ErrSignature}
	malformed = []error{sigv4.ErrMalformed}
)

// changes makes the negative cases of a request.
func changes(p positive) (out []change) {
	w := apart(p.Wire)
	add := func(what string, want []error, f func(*parts)) { out = append(out, change{what, w.with(f), want}) }
	add("method", bad, func(p *parts) { p.method = "DELETE" })
	add("method in small letters", bad, func(p *parts) { p.method = strings.ToLower(p.method) })
	classes(w.path, func(class, changed string) {
		want := bad
		if class == "escape" {
			want = []error{sigv4.ErrSignature, sigv4.ErrAmbiguousPath}
		}
		add("path, "+class, want, func(p *parts) { p.path = changed })
	})
	add("path, longer", bad, func(p *parts) { p.path += "x" })
	if !p.S3 {
		for _, seg := range []string{"/.", "/..", "/%2e", "/%2E%2e", "//x", "/%2F/x", "/..%2Fx", "/%5C", "/%00"} {
			add("path with "+seg, []error{sigv4.ErrAmbiguousPath}, func(p *parts) { p.path = strings.TrimSuffix(p.path, "/") + seg })
		}
	}
	add("path, broken escape", malformed, func(p *parts) { p.path += "%4" })
	add("parameter added", bad, func(p *parts) { p.query = append(p.query, "x=1") })
	add("plus in the query", []error{sigv4.ErrAmbiguousQuery}, func(p *parts) { p.query = append(p.query, "x=a+b") })
	add("semicolon in the query", []error{sigv4.ErrAmbiguousQuery}, func(p *parts) { p.query = append(p.query, "x;y") })
	add("broken escape in the query", malformed, func(p *parts) { p.query = append(p.query, "x=%zz") })
	for i, q := range w.query {
		k, v, _ := strings.Cut(q, "=")
		if strings.HasPrefix(k, "X-Amz-") {
			out = append(out, presignedChanges(w, i, k, v)...)
			continue
		}
		classes(k, func(class, changed string) {
			add("name of parameter, "+class, bad, func(p *parts) { p.query[i] = changed + "=" + v })
		})
		classes(v, func(class, changed string) {
			add("value of parameter, "+class, bad, func(p *parts) { p.query[i] = k + "=" + changed })
		})
		add("parameter absent", bad, func(p *parts) { p.query = slices.Delete(p.query, i, i+1) })
		add("parameter twice", bad, func(p *parts) { p.query = append(p.query, q) })
	}
	out = append(out, headerChanges(p, w)...)
	if w.body != "" {
		want := []error{sigv4.ErrPayload, sigv4.ErrSignature}
		add("body, a byte", want, func(p *parts) { p.body = p.body[:len(p.body)-1] + "?" })
		add("body cut short", []error{sigv4.ErrCutShort}, func(p *parts) { p.body = p.body[:len(p.body)-1] })
	}
	return out
}

// headerChanges are those of signed headers, of the Authorization among them,
// and of headers that nobody signed.
func headerChanges(p positive, w parts) (out []change) {
	add := func(what string, want []error, f func(*parts)) { out = append(out, change{what, w.with(f), want}) }
	list := signedNames(w)
	header := false
	for i, h := range w.headers {
		k, v, _ := strings.Cut(h, ":")
		v = strings.TrimSpace(v)
		name := strings.ToLower(k)
		set := func(v string) func(*parts) { return func(p *parts) { p.headers[i] = k + ": " + v } }
		if name == "authorization" {
			header = true
			out = append(out, authorizationChanges(w, i, v)...)
			continue
		}
		if !slices.Contains(list, name) || name == "content-length" {
			continue
		}
		want := bad
		switch name {
		case "x-amz-content-sha256":
			want = []error{sigv4.ErrPayload}
		case "x-amz-date":
			want = []error{sigv4.ErrMalformed, sigv4.ErrSignature}
		case "host":
			add("host absent", []error{sigv4.ErrSignature, sigv4.ErrNotSigned}, func(p *parts) { p.headers[i] = "Host:" })
		}
		classes(v, func(class, changed string) { add("header "+name+", "+class, want, set(changed)) })
		if name == "host" || strings.Count(strings.ToLower(p.Wire), "\r\n"+name+":") > 1 {
			continue
		}
		add("header "+name+" absent", malformed, func(p *parts) { p.headers = slices.Delete(p.headers, i, i+1) })
		twice := bad
		if strings.HasPrefix(name, "x-amz-") {
			twice = []error{sigv4.ErrDuplicated}
		}
		add("header "+name+" twice", twice, func(p *parts) { p.headers = append(p.headers, h) })
	}
	for _, extra := range []string{"X-Amz-Tenant", "x-amz-target", "X-Amz-Acl", "X-Amz-Copy-Source"} {
		add("unsigned "+extra, []error{sigv4.ErrNotSigned}, func(p *parts) { p.headers = append(p.headers, extra+": other") })
	}
	for _, payload := range []string{"UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "x"} {
		if !slices.Contains(list, "x-amz-content-sha256") {
			continue
		}
		want := []error{sigv4.ErrStreaming}
		switch {
		case payload == "x":
			want = []error{sigv4.ErrPayload}
		case payload == "UNSIGNED-PAYLOAD" && p.S3:
			want = bad // which this service takes, if it is signed
		case payload == "UNSIGNED-PAYLOAD":
			want = []error{sigv4.ErrUnsignedPayload}
		}
		add("payload "+payload, want, func(p *parts) {
			for i, h := range p.headers {
				if k, _, _ := strings.Cut(h, ":"); strings.EqualFold(k, "x-amz-content-sha256") {
					p.headers[i] = k + ": " + payload
				}
			}
		})
	}
	if header {
		for _, q := range []string{"X-Amz-Signature=00", "x-amz-credential=x", "X-Amz-Algorithm=AWS4-HMAC-SHA256", "X%2DAmz-Date=x", "X-Amz-Security-Token=t"} {
			add("both, "+q, []error{sigv4.ErrBothAuth}, func(p *parts) { p.query = append(p.query, q) })
		}
		add("second Authorization", []error{sigv4.ErrDuplicated}, func(p *parts) { p.headers = append(p.headers, "Authorization: Bearer x") })
		return out
	}
	add("both", []error{sigv4.ErrBothAuth}, func(p *parts) { p.headers = append(p.headers, "Authorization: Bearer x") })
	add("two dates", []error{sigv4.ErrNotSigned}, func(p *parts) { p.headers = append(p.headers, "X-Amz-Date: 20260301T120000Z") })
	return out
}

func signedNames(w parts) []string {
	for _, h := range w.headers {
		if _, after, ok := strings.Cut(h, "SignedHeaders="); ok {
			list, _, _ := strings.Cut(after, ",")
			return strings.Split(list, ";")
		}
	}
	for _, q := range w.query {
		if list, ok := strings.CutPrefix(q, "X-Amz-SignedHeaders="); ok {
			return strings.Split(strings.ReplaceAll(list, "%3B", ";"), ";")
		}
	}
	return nil
}

func authorizationChanges(w parts, i int, v string) (out []change) {
	k, _, _ := strings.Cut(w.headers[i], ":")
	add := func(what string, want error, v string) {
		out = append(out, change{"Authorization, " + what, w.with(func(p *parts) { p.headers[i] = k + ": " + v }), []error{want}})
	}
	swap := func(what string, want error, from, to string) { add(what, want, strings.Replace(v, from, to, 1)) }
	algorithm, rest, _ := strings.Cut(v, " ")
	credential, _, _ := strings.Cut(strings.TrimPrefix(rest, "Credential="), ",")
	scope := strings.Split(credential, "/")
	_, signature, _ := strings.Cut(v, "Signature=")
	_, list, _ := strings.Cut(v, "SignedHeaders=")
	list, _, _ = strings.Cut(list, ",")
	classes(scope[0], func(class, changed string) {
		swap("access key, "+class, sigv4.ErrSignature, "="+scope[0]+"/", "="+changed+"/")
	})
	swap("day", sigv4.ErrMalformed, "/"+scope[1]+"/", "/"+scope[1][:7]+"9/")
	for _, s := range scope[2 : len(scope)-1] {
		classes(s, func(class, changed string) {
			swap("scope, "+class, sigv4.ErrSignature, "/"+s+"/", "/"+changed+"/")
		})
	}
	swap("end of the scope", sigv4.ErrMalformed, "aws4_request", "aws5_request")
	swap("longer scope", sigv4.ErrMalformed, "/aws4_request", "/x/aws4_request")
	swap("shorter scope", sigv4.ErrMalformed, "/"+scope[1], "")
	swap("empty access key", sigv4.ErrMalformed, "="+scope[0], "=")
	swap("access key with a mark", sigv4.ErrMalformed, scope[0], scope[0]+"%41")
	swap("no such algorithm", sigv4.ErrAlgorithm, algorithm, "AWS4-HMAC-SHA1")
	swap("another scheme", sigv4.ErrNoSignature, algorithm, "Bearer")
	swap("algorithm in small letters", sigv4.ErrNoSignature, algorithm, strings.ToLower(algorithm))
	swap("unsorted", sigv4.ErrUnsorted, list, list+";a")
	swap("twice", sigv4.ErrUnsorted, list, list+";"+list[strings.LastIndex(list, ";")+1:])
	swap("capital", sigv4.ErrUnsorted, list, strings.ToUpper(list))
	swap("empty name", sigv4.ErrUnsorted, list, list+";")
	swap("no names", sigv4.ErrUnsorted, list, "")
	swap("name that is not there", sigv4.ErrMalformed, list, list+";zz")
	swap("host not signed", sigv4.ErrNotSigned, list, strings.Trim(strings.Replace(";"+list+";", ";host;", ";", 1), ";"))
	swap("date not signed", sigv4.ErrNotSigned, list, strings.Trim(strings.Replace(";"+list+";", ";x-amz-date;", ";", 1), ";"))
	if algorithm == "AWS4-HMAC-SHA256" {
		classes(signature, func(class, changed string) {
			if class == "letter" {
				changed = strings.Replace(changed, "g", "a", 1)
			}
			swap("signature, "+class, sigv4.ErrSignature, signature, changed)
		})
		swap("signature in capitals", sigv4.ErrMalformed, signature, strings.ToUpper(signature))
		swap("short signature", sigv4.ErrMalformed, signature, signature[:62])
		swap("long signature", sigv4.ErrMalformed, signature, signature+"00")
		swap("half a digit", sigv4.ErrMalformed, signature, signature[:63])
	} else {
		last := map[bool]string{true: "1", false: "0"}[strings.HasSuffix(signature, "0")]
		swap("signature", sigv4.ErrSignature, signature, signature[:len(signature)-1]+last)
		swap("signature and more", sigv4.ErrSignature, signature, signature+map[bool]string{true: "", false: "00"}[len(signature) == 144])
		swap("short signature", sigv4.ErrMalformed, signature, "3000")
	}
	swap("nothing", sigv4.ErrMalformed, signature, "")
	swap("not hexadecimal", sigv4.ErrMalformed, signature, "zz"+signature[2:])
	add("other order", sigv4.ErrMalformed, algorithm+" SignedHeaders="+list+", Credential="+credential+", Signature="+signature)
	add("a field more", sigv4.ErrMalformed, v+", X=y")
	add("a field less", sigv4.ErrMalformed, algorithm+" Credential="+credential+", Signature="+signature)
	add("no space", sigv4.ErrNoSignature, strings.Replace(v, " ", "", 1))
	return out
}

func presignedChanges(w parts, i int, k, v string) (out []change) {
	add := func(what string, want []error, f func(*parts)) {
		out = append(out, change{k + ", " + what, w.with(f), want})
	}
	set := func(what string, want error, v string) {
		add(what, []error{want}, func(p *parts) { p.query[i] = k + "=" + v })
	}
	small := func(p *parts) { p.query[i] = strings.ToLower(k) + "=" + v }
	gone := func(p *parts) { p.query = slices.Delete(p.query, i, i+1) }
	twice := func(p *parts) { p.query = append(p.query, k+"="+v) }
	switch k {
	case "X-Amz-Content-Sha256":
		set("a digest", sigv4.ErrPayload, strings.Repeat("0", 64))
		set("streaming", sigv4.ErrStreaming, "STREAMING-UNSIGNED-PAYLOAD-TRAILER")
		add("twice", []error{sigv4.ErrDuplicated}, twice)
		return out
	case "X-Amz-Security-Token":
		classes(v, func(class, changed string) { set(class, sigv4.ErrSignature, changed) })
		add("absent", bad, gone)
		add("twice", []error{sigv4.ErrDuplicated}, twice)
		add("in small letters", malformed, small)
		return out
	case "X-Amz-Algorithm":
		set("another", sigv4.ErrAlgorithm, "AWS4-HMAC-SHA512")
		add("absent", []error{sigv4.ErrNoSignature}, gone)
	case "X-Amz-Credential":
		scope := strings.Split(v, "%2F")
		for n, want := range map[int]error{0: sigv4.ErrSignature, 1: sigv4.ErrMalformed, 2: sigv4.ErrSignature, len(scope) - 2: sigv4.ErrSignature, len(scope) - 1: sigv4.ErrMalformed} {
			classes(scope[n], func(class, changed string) {
				other := slices.Clone(scope)
				other[n] = changed
				set(fmt.Sprint("piece ", n, ", ", class), want, strings.Join(other, "%2F"))
			})
		}
		set("a piece more", sigv4.ErrMalformed, "x%2F"+v)
		set("a piece less", sigv4.ErrMalformed, strings.Join(scope[1:], "%2F"))
	case "X-Amz-Date":
		set("another day", sigv4.ErrMalformed, "20260302T120000Z")
		set("another second", sigv4.ErrSignature, "20260301T120001Z")
		set("no second", sigv4.ErrMalformed, "20260301T120061Z")
		set("no form", sigv4.ErrMalformed, "2026-03-01T12:00")
	case "X-Amz-Expires":
		set("longer", sigv4.ErrSignature, "7200")
		for _, n := range []string{"0", "-1", "604801", "03600", "%2B3600", "1e3", "", "99999999999999999999"} {
			set(n, sigv4.ErrExpires, n)
		}
	case "X-Amz-SignedHeaders":
		set("another", sigv4.ErrMalformed, v+"%3Bzz")
		set("unsorted", sigv4.ErrUnsorted, v+"%3Ba")
		set("capital", sigv4.ErrUnsorted, "Host")
		set("none", sigv4.ErrMalformed, "")
	case "X-Amz-Region-Set":
		set("everywhere", sigv4.ErrSignature, "%2A")
		set("another", sigv4.ErrSignature, "us-east-2")
	case "X-Amz-Signature":
		if len(v) == 64 {
			digit := map[bool]string{true: "1", false: "0"}[v[0] == '0']
			set("a digit", sigv4.ErrSignature, digit+v[1:])
			set("short", sigv4.ErrMalformed, v[:62])
			set("long", sigv4.ErrMalformed, v+"00")
		}
		set("in capitals", sigv4.ErrMalformed, "A"+v[1:])
		set("none", sigv4.ErrMalformed, "")
	}
	if k != "X-Amz-Algorithm" {
		add("absent", []error{sigv4.ErrMalformed}, gone)
		add("in small letters", malformed, small)
	}
	add("twice", []error{sigv4.ErrDuplicated}, twice)
	return out
}

// TestNegatives makes thousands of refusals from what real clients signed.
// Each one's control is the request that it was made from.
func TestNegatives(t *testing.T) {
	t.Parallel()
	start := time.Now()
	j := newJudge(t)
	controls, refusals := 0, map[string]int{}
	total := 0
	for _, p := range positives(t) {
		name := p.client + ", " + p.Name
		want, err := j.verify(p, p.Wire)
		if err != nil {
			t.Errorf("%s: the control: %v", name, err)
			continue
		}
		controls++
		for _, c := range changes(p) {
			if c.wire == p.Wire {
				continue // nothing of this kind is in it
			}
			_, err := j.verify(p, c.wire)
			if errors.Is(err, errNoRequest) {
				continue // the server refuses it before us
			}
			total++
			refusals[p.client]++
			if !slices.ContainsFunc(c.want, func(w error) bool { return errors.Is(err, w) }) {
				t.Errorf("%s: %s: got %v, want %v\n%s", name, c.what, err, c.want, c.wire)
			}
		}
		// What nobody signed changes nothing, and is not seen.
		ev, err := j.verify(p, apart(p.Wire).with(func(p *parts) { p.headers = append(p.headers, "X-Tenant: other", "X-Forwarded-For: 1.2.3.4") }))
		if err != nil || ev.Digest() != want.Digest() {
			t.Errorf("%s, with unsigned headers: %v", name, err)
		}
		if _, ok := ev.Header("X-Tenant"); ok {
			t.Errorf("%s: an unsigned header is seen", name)
		}
	}
	t.Logf("%d refusals of %d controls in %s: %v", total, controls, time.Since(start).Round(time.Millisecond), refusals)
	if total < 2000 || controls < 250 || len(refusals) < 7 {
		t.Errorf("%d refusals of %d controls of %d clients are too few", total, controls, len(refusals))
	}
}
