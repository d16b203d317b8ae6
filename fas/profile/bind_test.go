package profile_test

import (
	"errors"
	"maps"
	"testing"

	"github.com/cloisterdev/cloister/fas/profile"
)

func TestParseBind(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "/", "x", "source/uri", "/a//b", "/a/", "/a~1b", "/a b", "/a\x1b[2J", "/\u202ea", "/a\"", `/a\b`, "path:", "path:a b", "path:a/b", "path:{a}", "header:X-Source", "header:x:y",
		"cookie:a", "body:/a", "PATH:a", "query:a=b", "query:a&b", "path:bücket", "header:\n", ":", ":a"} {
		if b, err := profile.ParseBind(bad); !errors.Is(err, profile.ErrMalformed) || b != (profile.Binding{}) {
			t.Errorf("%q: %+v, %v", bad, b, err)
		}
	}
	for text, want := range map[string]profile.Binding{
		"/a":              {From: profile.FromBody, Name: "/a"},
		"/source/uri":     {From: profile.FromBody, Name: "/source/uri"},
		"path:bucket":     {From: profile.FromPath, Name: "bucket"},
		"query:X-Source":  {From: profile.FromQuery, Name: "X-Source"},
		"header:x-source": {From: profile.FromHeader, Name: "x-source"},
	} {
		if b, err := profile.ParseBind(text); err != nil || b != want || b.String() != text {
			t.Errorf("%q: %+v, %v", text, b, err)
		}
	}
}

func FuzzParseBind(f *testing.F) {
	for _, s := range []string{"/a/b", "path:bucket", "query:x", "header:x-y", "header:"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		b, err := profile.ParseBind(s)
		if err == nil && (b.String() != s || b.Name == "") {
			t.Fatalf("%q was read as %+v", s, b)
		}
		if err != nil && (!errors.Is(err, profile.ErrMalformed) || b != (profile.Binding{})) {
			t.Fatalf("%+v, %v", b, err)
		}
	})
}

func TestMatchOperation(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		op, path string
		want     map[string]string
		ok       bool
	}{
		{"/Create", "/Create", nil, true},
		{"/Create", "/create", nil, false},
		{"/Create", "/Create/", nil, false},
		{"/Create", "//Create", nil, false},
		{"/b/{bucket}/o", "/b/acme/o", map[string]string{"bucket": "acme"}, true},
		{"/b/{bucket}/o", "/b/{bucket}/o", nil, false},
		{"/b/{bucket}/o", "/b//o", nil, false},
		{"/b/{bucket}/o", "/b/../o", nil, false},
		{"/b/{bucket}/o", "/b/./o", nil, false},
		{"/b/{bucket}/o", "/b/a%2Fc/o", nil, false},
		{"/b/{bucket}/o", "/b/a/c/o", nil, false},
		{"/b/{bucket}/o", "/b/acme/O", nil, false},
		{"/b/{bucket}/o", "/b/*/o", nil, false},
		{"/{a}/{b}", "/x/y", map[string]string{"a": "x", "b": "y"}, true},
	} {
		if got, ok := profile.MatchOperation(c.op, c.path); ok != c.ok || !maps.Equal(got, c.want) {
			t.Errorf("%s, %s: %v, %v", c.op, c.path, got, ok)
		}
	}
}

func TestLevels(t *testing.T) {
	t.Parallel()
	order := []profile.Level{profile.LevelDigest, profile.LevelCanonical, profile.LevelBody}
	for i, have := range order {
		for j, min := range order {
			if have.Meets(min) != (i >= j) {
				t.Errorf("%s for %s", have, min)
			}
		}
		for _, odd := range []profile.Level{"", "full", "Body"} {
			if have.Meets(odd) || odd.Meets(have) || odd.Meets(odd) {
				t.Errorf("%q and %q", have, odd)
			}
		}
	}
}

func TestPermitsCaller(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		callers []string
		name    string
		want    bool
	}{
		{nil, "", false}, {nil, "front-end", false}, {nil, "*", false},
		{[]string{"front-end"}, "", false}, {[]string{"front-end"}, "Front-end", false}, {[]string{"front-end"}, "*", false},
		{[]string{"front-end"}, "front-end", true}, {[]string{"a", "front-end"}, "front-end", true},
		{[]string{"*"}, "", true}, {[]string{"*"}, "front-end", true}, {[]string{"*", "a"}, "*", false}, {[]string{"*", "a"}, "b", false},
	} {
		if got := (profile.Profile{Callers: c.callers}).PermitsCaller(c.name); got != c.want {
			t.Errorf("%q, %q: %v", c.callers, c.name, got)
		}
	}
}

// What is left out is the narrow reading, and it is written out before anybody
// signs.
func TestDefaultsAreWrittenOut(t *testing.T) {
	t.Parallel()
	v, err := profile.Load(approved(t, ordinary()), keyring(), now)
	if err != nil {
		t.Fatal(err)
	}
	if p := v.Profile(); p.MinLevel != profile.LevelBody || p.MaxExchanges != 1 || p.Audience != profile.DefaultAudience {
		t.Errorf("%+v", p)
	}
	p := ordinary()
	p.Operations, p.Bind, p.MinLevel, p.MaxExchanges, p.Audience = []string{"/b/{bucket}"}, "path:bucket", profile.LevelCanonical, 3, "archive"
	if v, err = profile.Load(approved(t, p), keyring(), now); err != nil {
		t.Fatal(err)
	}
	if p := v.Profile(); p.MinLevel != profile.LevelCanonical || p.MaxExchanges != 3 || p.Audience != "archive" {
		t.Errorf("%+v", p)
	}
}
