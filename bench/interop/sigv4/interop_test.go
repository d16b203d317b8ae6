package sigv4_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

// known are the calls that a client signs otherwise than the specification
// says, or that it cannot sign, with what becomes of them.
type known map[string]string

// maybe marks what some versions of a client do right.
const maybe = "maybe "

// matrix sends what a client signed every way, and then each of its signed
// pieces changed.
func matrix(t *testing.T, client string, answers map[string]signed, but known) {
	t.Helper()
	s := start(t)
	positives, flipped := 0, 0
	var record []any
	for _, c := range calls() {
		a, ok := answers[c.Name]
		base, _, _ := strings.Cut(c.Name, ",")
		why := but[base]
		if w, ok := but[c.Name]; ok {
			why = w
		}
		if why == "skip" {
			continue
		}
		why, either := strings.CutPrefix(why, maybe)
		if either && verdict(t, c, wire(c, a)) == nil {
			why = ""
		}
		if !ok || a.Error != "" {
			t.Errorf("%s: not signed: %s", c.Name, a.Error)
			continue
		}
		w := wire(c, a)
		for way, send := range map[string]func() (int, string, error){
			"HTTP/1.1": func() (int, string, error) { return raw(s.h1, w) },
			"proxy":    func() (int, string, error) { return raw(s.proxy, w) },
			"HTTP/2":   func() (int, string, error) { return s.overH2(w) },
		} {
			code, text, err := send()
			switch {
			case err != nil:
				t.Errorf("%s, %s: %v", c.Name, way, err)
			case why != "" && (code != http.StatusForbidden || !strings.Contains(text, why)):
				t.Errorf("%s, %s: %d %s, although it is known for %q", c.Name, way, code, text, why)
			case why == "" && code != http.StatusOK:
				t.Errorf("%s, %s: %d %s\n%s", c.Name, way, code, text, w)
			case why == "" && way == "HTTP/2" && !strings.HasPrefix(text, "HTTP/2.0"):
				t.Errorf("%s, %s: it was %s", c.Name, way, text)
			}
		}
		if why != "" {
			continue
		}
		positives++
		record = append(record, map[string]any{"name": c.Name, "s3": c.s3(), "wire": w})
		flipped += flips(t, c, w)
	}
	t.Logf("%s: %d calls verified each three ways, %d changed ones refused", client, positives, flipped)
	if positives == 0 || flipped < 8*positives {
		t.Errorf("%d calls, %d changes", positives, flipped)
	}
	if dir := os.Getenv("CLOISTER_SIGV4_RECORD"); dir != "" && !t.Failed() {
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		for _, r := range record {
			if err := enc.Encode(r); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, client+".jsonl"), []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func verdict(t *testing.T, c call, wire string) error {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(wire)))
	if err != nil {
		return err
	}
	ev, _, err := sigv4.CaptureWith(r, 1<<20, captureOptions(c.s3()))
	if err != nil {
		return err
	}
	return verifier(c.Service).Verify(ev, ev.Time())
}

// flips changes each signed piece of a request that verifies.
func flips(t *testing.T, c call, w string) (n int) {
	t.Helper()
	if err := verdict(t, c, w); err != nil {
		t.Errorf("%s: the control: %v", c.Name, err)
		return 0
	}
	refused := func(what, changed string) {
		t.Helper()
		if changed == w {
			t.Errorf("%s: %s is not there to be changed", c.Name, what)
			return
		}
		n++
		if verdict(t, c, changed) == nil {
			t.Errorf("%s: verifies with another %s", c.Name, what)
		}
	}
	head, body, _ := strings.Cut(w, "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	method, rest, _ := strings.Cut(lines[0], " ")
	target, _, _ := strings.Cut(rest, " ")
	put := func(i int, line string) string {
		changed := append([]string(nil), lines...)
		changed[i] = line
		return strings.Join(changed, "\r\n") + "\r\n\r\n" + body
	}
	refused("method", put(0, "DELETE"+strings.TrimPrefix(lines[0], method)))
	path, query, _ := strings.Cut(target, "?")
	refused("path", put(0, method+" "+path+"x?"+query+" HTTP/1.1"))
	refused("query", put(0, method+" "+path+"?"+query+"&x=1 HTTP/1.1"))
	pairs := strings.Split(query, "&")
	for i, p := range pairs {
		if p == "" {
			continue
		}
		other := append([]string(nil), pairs...)
		other[i] = "x" + p
		refused("name of parameter", put(0, method+" "+path+"?"+strings.Join(other, "&")+" HTTP/1.1"))
		if !strings.HasPrefix(p, "X-Amz-Expires") {
			other[i] = p + "0"
			refused("value of parameter", put(0, method+" "+path+"?"+strings.Join(other, "&")+" HTTP/1.1"))
		}
	}
	// The signed names are in the header or, escaped, in the query.
	list := strings.NewReplacer("%3B", ";", "%3b", ";").Replace(w)
	_, list, _ = strings.Cut(list, "SignedHeaders=")
	list = strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == '&' || r == ' ' || r == '\r' })[0]
	for _, name := range strings.Split(list, ";") {
		for i, l := range lines[1:] {
			k, v, _ := strings.Cut(l, ":")
			if !strings.EqualFold(k, name) {
				continue
			}
			refused("header "+name, put(i+1, k+":"+v+"0"))
			refused("absent header "+name, strings.Replace(w, l+"\r\n", "", 1))
		}
	}
	refused("X-Amz header", put(1, lines[1]+"\r\nX-Amz-Added: 1"))
	if body != "" {
		refused("body", head+"\r\n\r\n"+body[:len(body)-1]+"?")
	}
	at := strings.Index(w, "Signature=") + len("Signature=")
	digit := map[bool]string{true: "1", false: "0"}[w[at] == '0']
	refused("signature", w[:at]+digit+w[at+1:])
	refused("access key", strings.Replace(w, accessKey, accessKey+"X", 1))
	refused("region", strings.Replace(w, region, "us-east-2", 1))
	return n
}

// errClient reports an answer that is none.
var errClient = errors.New("the client did not answer as it should")
