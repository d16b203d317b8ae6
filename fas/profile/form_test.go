package profile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/profile"
	"github.com/cloisterdev/cloister/tenant"
)

// Every team signed each of these, and yet two readers could read two things.
func TestPayloadHasOneForm(t *testing.T) {
	t.Parallel()
	good := payload(t, approved(t, ordinary()))
	with := func(from, to string) string {
		t.Helper()
		if strings.Count(good, from) != 1 {
			t.Fatalf("%q is not in the payload once", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	for name, p := range map[string]string{
		"unknown key":             with(`"ttl":600`, `"ttl":600,"note":"x"`),
		"key twice":               with(`"ttl":600`, `"ttl":600,"ttl":900`),
		"key twice, equal":        with(`"ttl":600`, `"ttl":600,"ttl":600`),
		"key in another case":     with(`"ttl"`, `"TTL"`),
		"twice, in another case":  with(`"ttl":600`, `"ttl":600,"Ttl":900`),
		"escaped key":             with(`"ttl"`, `"\u0074tl"`),
		"keys in another order":   with(`"id":"source","version":3`, `"version":3,"id":"source"`),
		"missing key":             with(`"ttl":600,`, ``),
		"null":                    with(`"ttl":600`, `"ttl":null`),
		"number as text":          with(`"ttl":600`, `"ttl":"600"`),
		"number with an exponent": with(`"ttl":600`, `"ttl":6e2`),
		"white space":             with(`"ttl":600`, `"ttl": 600`),
		"time with another zero":  with(`"not_before":"2026-03-01T11:00:00Z"`, `"not_before":"2026-03-01T11:00:00.000Z"`),
		"data after the object":   good + `{}`,
		"brace after the object":  good + `}`,
		"line after the object":   good + "\n",
		"an array":                `[` + good + `]`,
		"two bytes":               `{}`,
		"nothing":                 ``,
		"no operations":           with(`["/Create"]`, `[]`),
		"no ID":                   with(`"source"`, `""`),
		"version zero":            with(`"version":3`, `"version":0`),
		"a longer life":           with(`"ttl":600`, `"ttl":901`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := envelope(t, p)
			refused(t, env, keyring(), now, profile.ErrMalformed)
			if _, err := profile.Sign(env, tenant.NewSecret(seed("service"))); !errors.Is(err, profile.ErrMalformed) {
				t.Errorf("signed: %v", err)
			}
		})
	}
	if _, err := profile.Load(envelope(t, good), keyring(), now); err != nil {
		t.Error(err)
	}
}

func TestEnvelopeHasOneForm(t *testing.T) {
	t.Parallel()
	good := string(approved(t, ordinary()))
	with := func(from, to string) string {
		t.Helper()
		if !strings.Contains(good, from) {
			t.Fatalf("%q is not in the envelope", from)
		}
		return strings.Replace(good, from, to, 1)
	}
	other := string(approved(t, func() profile.Profile { p := ordinary(); p.TTL = 900; return p }()))
	_, second, _ := strings.Cut(other, `"payload":`)
	second, _, _ = strings.Cut(second, `,`)
	for name, env := range map[string]string{
		"unknown key":           with(`{"payloadType"`, `{"note":1,"payloadType"`),
		"payload twice":         with(`,"signatures"`, `,"payload":`+second+`,"signatures"`),
		"payload in two cases":  with(`,"signatures"`, `,"Payload":`+second+`,"signatures"`),
		"another type":          with(`profile.v1`, `profile.v2`),
		"key in another case":   with(`"payloadType"`, `"payloadtype"`),
		"line break in base64":  with(`"payload":"`, `"payload":"\n`),
		"data after the object": good + `{}`,
		"brace after it":        good + `}`,
		"no payload":            `{"payloadType":"application/vnd.cloister.profile.v1+json","payload":"","signatures":[]}`,
		"an array":              `[` + good + `]`,
		"nothing":               ``,
		"null":                  `null`,
		"too long":              good + strings.Repeat(" ", profile.MaxSize),
		"17 signatures":         with(`"signatures":[`, `"signatures":[`+strings.Repeat(`{"keyid":"x","sig":""},`, 14)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			refused(t, []byte(env), keyring(), now, profile.ErrMalformed)
			if _, err := profile.Sign([]byte(env), tenant.NewSecret(seed("service"))); !errors.Is(err, profile.ErrMalformed) {
				t.Errorf("signed: %v", err)
			}
		})
	}
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(good), "", "  "); err != nil {
		t.Fatal(err)
	}
	for name, env := range map[string]string{"as written": good, "indented": pretty.String(), "as long as allowed": good + strings.Repeat(" ", profile.MaxSize-len(good)),
		"16 signatures": with(`"signatures":[`, `"signatures":[`+strings.Repeat(`{"keyid":"x","sig":""},`, 13))} {
		if _, err := profile.Load([]byte(env), keyring(), now); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*profile.Profile){
		"no ID":              func(p *profile.Profile) { p.ID = "" },
		"no version":         func(p *profile.Profile) { p.Version = 0 },
		"no operation":       func(p *profile.Profile) { p.Operations = nil },
		"no policy":          func(p *profile.Profile) { p.Allow = nil },
		"a policy in pieces": func(p *profile.Profile) { p.Allow = json.RawMessage(`{"`) },
		"bound to nothing":   func(p *profile.Profile) { p.Bind = "" },
		"no life":            func(p *profile.Profile) { p.TTL = 0 },
		"a negative life":    func(p *profile.Profile) { p.TTL = -1 },
		"too long a life":    func(p *profile.Profile) { p.TTL = 901 },
		"a life that overflows": func(p *profile.Profile) {
			p.TTL = int(^uint(0)>>1) / 2
		},
		"over before it began":    func(p *profile.Profile) { p.NotAfter = p.NotBefore },
		"valid for years":         func(p *profile.Profile) { p.NotAfter = p.NotBefore.Add(400*24*time.Hour + 1) },
		"no validity":             func(p *profile.Profile) { p.NotBefore, p.NotAfter = time.Time{}, time.Time{} },
		"valid for ever":          func(p *profile.Profile) { p.NotBefore = time.Time{} },
		"a name that is not text": func(p *profile.Profile) { p.ID = "\xff" },
		"too large":               func(p *profile.Profile) { p.Bind = "/" + strings.Repeat("x", profile.MaxSize) },
		"nobody may use it":       func(p *profile.Profile) { p.Callers = nil },
		"nobody, written out":     func(p *profile.Profile) { p.Callers = []string{} },
		"a caller without a name": func(p *profile.Profile) { p.Callers = []string{""} },
		"a caller and everybody":  func(p *profile.Profile) { p.Callers = []string{"front-end", profile.AnyCaller} },
		"callers by a pattern":    func(p *profile.Profile) { p.Callers = []string{"front-*"} },
		"a caller twice":          func(p *profile.Profile) { p.Callers = []string{"a", "b", "a"} },
		"a caller of two lines":   func(p *profile.Profile) { p.Callers = []string{"a\nb"} },
		"65 callers":              func(p *profile.Profile) { p.Callers = many(65) },
		"an operation twice":      func(p *profile.Profile) { p.Operations = []string{"/A", "/A"} },
		"no path":                 func(p *profile.Profile) { p.Operations = []string{"Create"} },
		"any operation":           func(p *profile.Profile) { p.Operations = []string{"/*"} },
		"a way up":                func(p *profile.Profile) { p.Operations = []string{"/a/../b"} },
		"a segment twice":         func(p *profile.Profile) { p.Operations = []string{"/{a}/{a}"} },
		"an audience of spaces":   func(p *profile.Profile) { p.Audience = " " },
		"an ID for a path":        func(p *profile.Profile) { p.ID = "../source" },
		"an ID for a flag":        func(p *profile.Profile) { p.ID = "-f" },
		"a level nobody knows":    func(p *profile.Profile) { p.MinLevel = "full" },
		"less than bind reads":    func(p *profile.Profile) { p.MinLevel = profile.LevelCanonical },
		"a digest for a header":   func(p *profile.Profile) { p.Bind, p.MinLevel = "header:x-source", profile.LevelDigest },
		"a path without segment":  func(p *profile.Profile) { p.Bind, p.MinLevel = "path:bucket", profile.LevelCanonical },
		"exchanges below none":    func(p *profile.Profile) { p.MaxExchanges = -1 },
		"exchanges without end":   func(p *profile.Profile) { p.MaxExchanges = 1001 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := ordinary()
			change(&p)
			env, err := profile.New(p)
			if !errors.Is(err, profile.ErrMalformed) || env != nil {
				t.Errorf("%d bytes, %v", len(env), err)
			}
		})
	}
	p := ordinary()
	p.TTL, p.NotAfter, p.MaxExchanges, p.Callers = 900, p.NotBefore.Add(400*24*time.Hour), 1000, many(64)
	if _, err := profile.Load(approved(t, p), keyring(), now); err != nil {
		t.Errorf("at every limit: %v", err)
	}
}

func many(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("spiffe://example.org/front-end/%d", i)
	}
	return out
}

func TestSignRefuses(t *testing.T) {
	t.Parallel()
	env := unsigned(t, ordinary())
	gone := tenant.NewSecret(seed("service"))
	gone.Destroy()
	for name, key := range map[string]tenant.Secret{
		"no key": {}, "a destroyed key": gone, "a short key": tenant.NewSecret(make([]byte, 31)), "a private key with its public half": tenant.NewSecret(make([]byte, 64)),
	} {
		if got, err := profile.Sign(env, key); !errors.Is(err, profile.ErrKeyring) || got != nil {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	full := env
	for i := range 16 {
		full = signed(t, full, fmt.Sprint("team ", i))
	}
	if got, err := profile.Sign(full, tenant.NewSecret(seed("service"))); !errors.Is(err, profile.ErrMalformed) || got != nil {
		t.Errorf("a 17th signature: %d bytes, %v", len(got), err)
	}
}

// What is accepted is, byte for byte, a profile that the three teams signed,
// and is the same profile when it is written again.
func FuzzLoad(f *testing.F) {
	good := approved(f, ordinary())
	f.Add(good)
	f.Add(unsigned(f, ordinary()))
	f.Add(signed(f, unsigned(f, ordinary()), "service", "service", "security"))
	f.Add(envelope(f, `{"id":"x","ID":"y"}`))
	f.Add(withSignature(f, signed(f, unsigned(f, ordinary()), "service", "security"), newSigner(f, "ssh-ed25519", "identity").binary([]byte(payload(f, good)))))
	f.Add([]byte(`{"payloadType":"application/vnd.cloister.profile.v1+json","payload":null,"signatures":null}`))
	want := payload(f, good)
	f.Fuzz(func(t *testing.T, b []byte) {
		again, err := profile.Sign(b, tenant.NewSecret(seed("stranger")))
		if err == nil {
			var tight bytes.Buffer
			if err := json.Compact(&tight, b); err != nil {
				t.Fatal(err)
			}
			// The envelope that was accepted, and one signature more.
			if body := bytes.TrimSuffix(tight.Bytes(), []byte(`]}`)); tight.Len() > len(body) && !bytes.HasPrefix(again, body) {
				t.Fatalf("%s\nwas signed as\n%s", tight.Bytes(), again)
			}
			if payload(t, again) != payload(t, b) {
				t.Fatal("another payload was signed")
			}
		} else if !errors.Is(err, profile.ErrMalformed) {
			t.Fatal(err)
		}
		v, err := profile.Load(b, keyring(), now)
		if err == nil && (payload(t, b) != want || v.Hash() == "") {
			t.Fatalf("approved: %s", b)
		}
		if err != nil && (v != nil || !errors.Is(err, profile.ErrMalformed) && !errors.Is(err, profile.ErrUnapproved)) {
			t.Fatalf("%v, %v", v, err)
		}
	})
}
