package httpsig

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// handmade evidence is signed with the right key over whatever it says.
func handmade(t *testing.T, k ed25519.PrivateKey, lines ...string) (Evidence, error) {
	t.Helper()
	base := strings.Join(lines, "\n")
	b, err := json.Marshal(wire{base, ed25519.Sign(k, []byte(base)), nil})
	if err != nil {
		t.Fatal(err)
	}
	return ParseEvidence(b)
}

const emptyDigest = `"content-digest": sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:`

// A signer may write what it likes; two things at once are not among it.
func TestHandmadeEvidence(t *testing.T) {
	t.Parallel()
	k := rfcKey(t)
	const list, tail = `"@signature-params": ("@method" "@authority" "@path" "@query" "content-digest" "@target-uri")`, `;created=1000;nonce="n";keyid="k";alg="ed25519"`
	for _, c := range []struct {
		name  string
		lines []string
		want  error
	}{
		{"the control", []string{`"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": ?q`, emptyDigest, `"@target-uri": https://h/a?q`, list + tail}, nil},
		{"two paths", []string{`"@method": GET`, `"@authority": h`, `"@path": /b`, `"@query": ?q`, emptyDigest, `"@target-uri": https://h/a?q`, list + tail}, ErrMalformed},
		{"two queries", []string{`"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": ?`, emptyDigest, `"@target-uri": https://h/a?q`, list + tail}, ErrMalformed},
		{"two hosts", []string{`"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": ?q`, emptyDigest, `"@target-uri": https://i/a?q`, list + tail}, ErrMalformed},
		{"host in the path", []string{`"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": ?q`, emptyDigest, `"@target-uri": https://i/://h/a?q`, list + tail}, ErrMalformed},
		{"another scheme", []string{`"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": ?q`, emptyDigest, `"@target-uri": ftp://h/a?q`, list + tail}, ErrMalformed},
		{"user in the host", []string{`"@method": GET`, `"@authority": u@h`, `"@path": /a`, `"@query": ?q`, emptyDigest, `"@target-uri": https://u@h/a?q`, list + tail}, ErrMalformed},
		{"lower-case method", []string{`"@method": get`, `"@authority": h`, `"@path": /a`, `"@query": ?q`, emptyDigest, `"@target-uri": https://h/a?q`, list + tail}, ErrMalformed},
		{"query in the path", []string{`"@method": GET`, `"@authority": h`, `"@path": /a?q`, `"@query": ?`, emptyDigest, `"@target-uri": https://h/a?q`, list + tail}, ErrMalformed},
		{"query without its mark", []string{`"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": q`, emptyDigest, `"@target-uri": https://h/a?q`, list + tail}, ErrMalformed},
		{"a fragment", []string{`"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": ?q#f`, emptyDigest, `"@target-uri": https://h/a?q#f`, list + tail}, ErrMalformed},
		{"a line too few", []string{`"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": ?q`, emptyDigest, list + tail}, ErrMalformed},
		{"a line too many", []string{`"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": ?q`, emptyDigest, `"@target-uri": https://h/a?q`, `"x": y`, list + tail}, ErrMalformed},
		{"lines in another order", []string{`"@authority": h`, `"@method": GET`, `"@path": /a`, `"@query": ?q`, emptyDigest, `"@target-uri": https://h/a?q`, list + tail}, ErrMalformed},
		{"no parameters", []string{`"@method": GET`}, ErrMalformed},
	} {
		ev, err := handmade(t, k, c.lines...)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if (err != nil) != ev.IsZero() {
			t.Errorf("%s: evidence beside an error", c.name)
		}
	}
}

func simple(t *testing.T, params string) Evidence {
	t.Helper()
	ev, err := handmade(t, rfcKey(t), `"@method": GET`, `"@authority": h`, `"@path": /a`, `"@query": ?`, emptyDigest,
		`"@signature-params": ("@method" "@authority" "@path" "@query" "content-digest")`+params)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// A signer's own end is kept, and cannot be later than the service's.
func TestExpires(t *testing.T) {
	t.Parallel()
	public := rfcKey(t).Public().(ed25519.PublicKey)
	keys := func(string) (ed25519.PublicKey, bool) { return public, true }
	for _, c := range []struct {
		params string
		at     int64
		want   error
	}{
		{`;created=1000;nonce="n";keyid="k";alg="ed25519"`, 1299, nil},
		{`;created=1000;expires=1010;nonce="n";keyid="k";alg="ed25519"`, 1009, nil},
		{`;created=1000;expires=1010;nonce="n";keyid="k";alg="ed25519"`, 1010, ErrSkew},
		{`;created=1000;expires=9000;nonce="n";keyid="k";alg="ed25519"`, 1299, nil},
		{`;created=1000;expires=9000;nonce="n";keyid="k";alg="ed25519"`, 1301, ErrSkew},
	} {
		if err := Verify(simple(t, c.params), keys, time.Unix(c.at, 0), Options{Authorities: []string{"h"}}); !errors.Is(err, c.want) {
			t.Errorf("%s at %d: %v, want %v", c.params, c.at, err, c.want)
		}
	}
}

// Once is a signer's nonce: nobody else's, and the same whatever is signed.
func TestOnce(t *testing.T) {
	t.Parallel()
	one := simple(t, `;created=1000;nonce="n";keyid="k";alg="ed25519"`).Once()
	if simple(t, `;created=1001;nonce="n";keyid="k";alg="ed25519"`).Once() != one {
		t.Error("a nonce can be used for two calls")
	}
	for _, params := range []string{
		`;created=1000;nonce="m";keyid="k";alg="ed25519"`,
		`;created=1000;nonce="n";keyid="l";alg="ed25519"`,
		`;created=1000;nonce="k";keyid="n";alg="ed25519"`,
		`;created=1000;nonce=" n";keyid="k";alg="ed25519"`,
	} {
		if simple(t, params).Once() == one {
			t.Errorf("%s uses up another call", params)
		}
	}
}
