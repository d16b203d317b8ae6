package oidc

import (
	"crypto/ed25519"
	"encoding/json"
	"testing"

	"github.com/cloisterdev/cloister/fas"
)

// The same in every process of a fuzzing run.
var fuzzKey = ed25519.NewKeyFromSeed([]byte("a seed of thirty-two characters!"))

const fuzzToken = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.eyJpc3MiOiJodHRwczovL2kifQ.AAAA"

func fuzzProof(f *testing.F) string {
	return proofOf(f, fuzzToken, fuzzKey, func(c fields) { c["jti"], c["iat"] = "j", 1_700_000_000 })
}

func FuzzProof(f *testing.F) {
	good := fuzzProof(f)
	f.Add(good, fuzzToken)
	f.Add("e30.e30.", "")
	f.Fuzz(func(t *testing.T, text, token string) {
		p, err := parseProof(text, token)
		if err != nil {
			return
		}
		if p.scheme+"://"+p.host+p.path != p.URL {
			t.Errorf("%q is taken for %q %q %q", p.URL, p.scheme, p.host, p.path)
		}
		if p.Token != digestText([]byte(token)) {
			t.Error("a proof of another token")
		}
		if p.verify() == nil && p.thumbprint == thumbprint(t, fuzzKey) {
			want, err := parseProof(good, fuzzToken)
			if err != nil {
				t.Fatal(err)
			}
			if p.digest(text) != want.digest(good) {
				t.Errorf("forged: %q", text)
			}
		}
	})
}

func FuzzEvidence(f *testing.F) {
	b, err := json.Marshal(wire{fuzzToken, fuzzProof(f), []byte(testBody)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		w, p, err := parse(b)
		if err != nil {
			return
		}
		c := w.claim(p, p.time())
		if c.Level == fas.LevelBody && len(c.Body) > 0 && digestText(c.Body) != p.Body {
			t.Error("a body that is not the signed one")
		}
		if _, err := fas.NewEvidence("oidc", b, c); err != nil {
			t.Errorf("a claim that is none: %v", err)
		}
	})
}
