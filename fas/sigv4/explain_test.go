package sigv4_test

import (
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/sigv4"
)

func TestExplain(t *testing.T) {
	t.Parallel()
	const sum = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a" // of {}
	const same = "POST\n/op\na=1\nhost:service.example\nx-amz-content-sha256:" + sum + "\nx-amz-date:20260301T120000Z\n\nhost;x-amz-content-sha256;x-amz-date\n" + sum
	ev := must[sigv4.Evidence](t)(signed(t, "{}", takesAll, byHeader(creds)))
	swap := func(from, to string) string { return strings.Replace(same, from, to, 1) }
	for _, c := range []struct{ name, client, want string }{
		{"the same", same, ""},
		{"the same, with other ends of lines", strings.ReplaceAll(same, "\n", "\r\n"), ""},
		{"method", swap("POST", "PUT"), "method: 4 bytes here, 3 there, alike up to byte 1"},
		{"path", swap("/op", "/op/"), "path: 3 bytes here, 4 there, alike up to byte 3"},
		{"value of a parameter", swap("a=1", "a=2"), "query 1: 3 bytes here, 3 there, alike up to byte 2"},
		{"another parameter", swap("a=1", "a=1&tenant-of-mine=2"), "query: 1 parameters here, 2 there"},
		{"header", swap("service.example", "service.example:443"), "header host: 15 bytes here, 19 there, alike up to byte 15"},
		{"header not signed there", swap("x-amz-date:20260301T120000Z\n", ""), "header x-amz-date: signed here only"},
		{"header not signed here", swap("host:", "accept:x\nhost:"), "header accept: signed there only"},
		{"header of a strange name", swap("host:", "<b>s3cret</b>:x\nhost:"), "header of no proper name: signed there only"},
		{"list", swap("\nhost;x", "\naccept;host;x"), "signed headers: 36 bytes here, 43 there, alike up to byte 0"},
		{"payload", same[:len(same)-64] + "UNSIGNED-PAYLOAD", "payload: a digest here, unsigned there"},
		{"payload of nothing", same[:len(same)-64] + "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "payload: a digest here, the digest of nothing there"},
		{"payload in pieces", same[:len(same)-64] + "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "payload: a digest here, streaming there"},
		{"nothing of the kind", "AWS4-HMAC-SHA256\nx", "form: not a canonical request"},
		{"nothing", "", "form: not a canonical request"},
	} {
		var got []string
		for _, d := range sigv4.Explain(ev, c.client) {
			got = append(got, d.String())
		}
		if all := strings.Join(got, "; "); all != c.want {
			t.Errorf("%s: %q, want %q", c.name, all, c.want)
		}
	}
	short := must[sigv4.Evidence](t)(ev.AtLevel(sigv4.LevelDigest))
	if d := sigv4.Explain(short, same); len(d) != 1 || d[0].Part != "form" {
		t.Error(d)
	}
	// Nothing of what was sent is repeated.
	for _, d := range sigv4.Explain(ev, swap("a=1", "a=s3cret")) {
		if strings.Contains(d.String(), "s3cret") {
			t.Error(d)
		}
	}
}

func FuzzExplain(f *testing.F) {
	ev, err := signed(f, "{}", takesAll, byHeader(creds))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("POST\n/op\na=1\nhost:service.example\n\nhost\nUNSIGNED-PAYLOAD")
	f.Fuzz(func(t *testing.T, client string) {
		for _, d := range sigv4.Explain(ev, client) {
			if len(d.String()) > 200 || strings.ContainsAny(d.String(), "\n\r") {
				t.Errorf("%q", d)
			}
		}
	})
}
