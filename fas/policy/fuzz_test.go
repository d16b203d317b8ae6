package policy

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// What is accepted is written back no longer than it was, is accepted again,
// decides alike, and is within itself as far as that can be known.
func FuzzParse(f *testing.F) {
	f.Add([]byte(whole(`{"Sid":"a","Effect":"Allow","Action":"s3:GetObject","Resource":["arn:aws:s3:::b/*","${x, 'y'}*"],"Condition":{"StringLikeIfExists":{"a":"b"},"NumericLessThan":{"n":1.50}}}`)), "s3:GetObject", "arn:aws:s3:::b/x", "b")
	f.Add([]byte(whole(`{"Effect":"Deny","NotAction":["iam:*"],"NotResource":"${*}","Condition":{"ForAnyValue:ArnLike":{"a":"arn:*:*:*:*:${x}"},"Null":{"b":true},"DateLessThan":{"d":1700000000}}}`)), "iam:PassRole", "*", "")
	f.Add([]byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","\u0041ction":"*","Resource":"\u00e9<&>"}]}`), "a:b", "é<&>", "x")
	f.Fuzz(func(t *testing.T, b []byte, action, resource, value string) {
		d, err := Parse(b)
		if err != nil {
			if d != nil {
				t.Fatal("a document beside an error")
			}
			return
		}
		again, err := d.MarshalJSON()
		if err != nil || len(again) > len(b) {
			t.Fatalf("%d bytes became %d, %v: %s", len(b), len(again), err, again)
		}
		e, err := Parse(again)
		if err != nil {
			t.Fatalf("%v: %s", err, again)
		}
		if third, err := e.MarshalJSON(); err != nil || !bytes.Equal(third, again) {
			t.Fatalf("written twice: %s, %v", third, err)
		}
		r := Request{Action: action, Resource: resource, Context: map[string]string{}}
		for _, s := range d.statements {
			for _, c := range s.conditions {
				r.Context[c.key] = value
			}
		}
		if x, y := d.Evaluate(r), e.Evaluate(r); x != y {
			t.Fatalf("%v, and written again %v", x, y)
		}
		if in := Subset(d, e); in.Answer == No {
			t.Fatalf("not within itself: %s", in.Reason)
		}
		Lint(d)
	})
}

// A glob matches as a regular expression does, and a name that was escaped
// matches itself and nothing else.
func FuzzGlob(f *testing.F) {
	for _, s := range [][3]string{{"a*b?c", "axxbyc", "v"}, {"${k}*", "vx", "v"}, {"*${*}?", "*é", ""}, {"**?", "→", "*"}, {"${k, 'd'}", "d", "d"}} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, text, s, value string) {
		r := Request{Context: map[string]string{"k": value}}
		clean := utf8.ValidString(text) && utf8.ValidString(s) && utf8.ValidString(value)
		p, err := compile(text, true)
		// The reference reads variables by another grammar where ours refuses.
		if err == nil && clean && strings.Count(text, "${") == len(refVariable.FindAllString(text, -1)) {
			match, ok := refMatch(text, true, s, r)
			want := truthOf(match)
			if !ok {
				want = undecided
			}
			if got := p.match(s, &r); got != want {
				t.Fatalf("%q against %q with %q: %v, want %v", text, s, value, got, want)
			}
		}
		lit, err := compile(Literal(s), true)
		if err != nil || lit.variables || lit.match(s, &r) != yes {
			t.Fatalf("%q does not match itself: %v", s, err)
		}
		if text != s && lit.match(text, &r) != no {
			t.Fatalf("%q matches %q", s, text)
		}
	})
}

// A yes is not contradicted by any request, and a no is shown by its witness,
// as the reference decides them.
func FuzzSubset(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed, seed*seed, seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, a, b uint64, near bool) {
		m := maker{rand.New(rand.NewPCG(a, b))}
		profile := m.policy()
		scope := m.policy()
		if near {
			scope = m.narrowed(profile)
		}
		upper, lower := refParse(t, profile), refParse(t, scope)
		in := Subset(upper, lower)
		if in.Answer == No && (refDecide(scope, in.Witness) != Allow || refDecide(profile, in.Witness) == Allow) {
			t.Fatalf("the witness is none: %s\nprofile %s\nscope %s", in.Reason, refJSON(t, profile), refJSON(t, scope))
		}
		for range 40 {
			r := Request{Action: worldActions[m.IntN(len(worldActions))]}
			for range 1 + m.IntN(8) {
				r.Resource += []string{"a", "b", "c", "é"}[m.IntN(4)]
			}
			for _, k := range slices.Sorted(mapKeys(worldKeys)) {
				r = withKey(r, k, worldKeys[k][m.IntN(len(worldKeys[k]))])
			}
			x, y := lower.Evaluate(r), upper.Evaluate(r)
			if x != refDecide(scope, r) || y != refDecide(profile, r) {
				t.Fatalf("the reference decides %v otherwise\nprofile %s\nscope %s", r, refJSON(t, profile), refJSON(t, scope))
			}
			if in.Answer == Yes && x == Allow && y != Allow {
				t.Fatalf("yes, but not for %v\nprofile %s\nscope %s", r, refJSON(t, profile), refJSON(t, scope))
			}
		}
	})
}
