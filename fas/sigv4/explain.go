package sigv4

import (
	"fmt"
	"strings"
)

// Difference is one piece in which two canonical requests differ. It holds
// positions and lengths, never what was sent.
type Difference struct {
	// Part is "method", "path", "query", "header", "signed headers",
	// "payload" or "form".
	Part string
	// Name is the header's name, or the number of the query's parameter.
	Name string
	// Detail says how they differ.
	Detail string
}

// String returns the difference in one line.
func (d Difference) String() string {
	if d.Name == "" {
		return d.Part + ": " + d.Detail
	}
	return d.Part + " " + d.Name + ": " + d.Detail
}

// Explain compares what was captured with the canonical request that a client
// says it signed, as client libraries log it, and returns the pieces that
// differ; none when they are the same. Evidence at [LevelDigest] has nothing to
// compare.
//
// It is for debugging a client with its owner. What it returns is redacted, but
// a service that answers it to strangers helps them to forge: it belongs into
// no answer in production.
func Explain(e Evidence, client string) []Difference {
	if e.canonical == "" {
		return []Difference{{Part: "form", Detail: "the evidence has no canonical request"}}
	}
	ours, ok1 := split(e.canonical)
	theirs, ok2 := split(strings.ReplaceAll(client, "\r\n", "\n"))
	if !ok1 || !ok2 {
		return []Difference{{Part: "form", Detail: "not a canonical request"}}
	}
	var out []Difference
	add := func(part, name, a, b string) {
		if a != b {
			out = append(out, Difference{part, name, where(a, b)})
		}
	}
	add("method", "", ours.method, theirs.method)
	add("path", "", ours.path, theirs.path)
	a, b := strings.Split(ours.query, "&"), strings.Split(theirs.query, "&")
	if len(a) != len(b) {
		out = append(out, Difference{"query", "", fmt.Sprintf("%d parameters here, %d there", len(a), len(b))})
	}
	for i := range min(len(a), len(b)) {
		add("query", fmt.Sprint(i+1), a[i], b[i])
	}
	for _, n := range ours.names {
		v, ok := theirs.headers[n]
		if !ok {
			out = append(out, Difference{"header", n, "signed here only"})
			continue
		}
		add("header", n, ours.headers[n], v)
	}
	for _, n := range theirs.names {
		if _, ok := ours.headers[n]; !ok {
			out = append(out, Difference{"header", printable(n), "signed there only"})
		}
	}
	add("signed headers", "", ours.list, theirs.list)
	if ours.payload != theirs.payload {
		out = append(out, Difference{Part: "payload", Detail: kind(ours.payload) + " here, " + kind(theirs.payload) + " there"})
	}
	return out
}

type pieces struct {
	method, path, query, list, payload string
	names                              []string
	headers                            map[string]string
}

func split(canonical string) (p pieces, ok bool) {
	l := strings.Split(canonical, "\n")
	n := len(l)
	if n < 6 {
		return p, false
	}
	p = pieces{method: l[0], path: l[1], query: l[2], list: l[n-2], payload: l[n-1], headers: map[string]string{}}
	for _, h := range l[3 : n-3] {
		k, v, _ := strings.Cut(h, ":")
		p.names = append(p.names, k)
		p.headers[k] = v
	}
	return p, l[n-3] == ""
}

func where(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	return fmt.Sprintf("%d bytes here, %d there, alike up to byte %d", len(a), len(b), i)
}

func kind(payload string) string {
	switch {
	case payload == unsigned:
		return "unsigned"
	case strings.HasPrefix(payload, streaming):
		return "streaming"
	case payload == emptySum:
		return "the digest of nothing"
	}
	return "a digest"
}

const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// printable keeps what somebody else sent from being read as something else.
func printable(s string) string {
	if len(s) <= 64 && headerName(s) {
		return s
	}
	return "of no proper name"
}
