package policy

import (
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// world is one context in which a witness is tried.
type world struct {
	single map[string]string
	multi  map[string][]string
}

// maxWorlds bounds the contexts; the budget bounds their evaluation.
const maxWorlds = 4096

// confirm looks for a context in which the scope-down allows the access and the
// profile does not. Evaluation has the last word, so a no is never wrong.
func (c *comparison) confirm(action string, text []rune, names []variableKey) bool {
	if c.worlds == nil {
		c.worlds = c.makeWorlds()
	}
	for _, w := range c.worlds {
		if !c.budget.spend(500 + 2*(c.profile.size+c.scope.size)) {
			return false
		}
		r := Request{Action: c.spelt(action), Context: w.single, Multi: w.multi}
		var ok bool
		if r.Resource, ok = spell(text, names, &r); !ok || r.Resource == "" || !r.valid() {
			continue
		}
		if d, _ := c.scope.decide(&r); d != Allow {
			continue
		}
		if d, _ := c.profile.decide(&r); d == Allow {
			continue
		}
		if c.best == nil || len(r.Action)+len(r.Resource) < len(c.best.Action)+len(c.best.Resource) {
			c.best = &r
		}
		return true
	}
	return false
}

// spell writes a word of a machine, with the context's values for variables.
func spell(text []rune, names []variableKey, r *Request) (string, bool) {
	var b strings.Builder
	for _, c := range text {
		if c >= 0 {
			b.WriteRune(c)
			continue
		}
		n := names[-1-c]
		v, ok := (&segment{kind: segVariable, text: n.name, alt: n.alt, hasAlt: n.hasAlt}).value(r)
		if !ok {
			return "", false
		}
		b.WriteString(v)
	}
	return b.String(), true
}

// choice is the values that one key may have; a nil list is its absence.
type choice struct {
	key   string
	lists [][]string
	sets  bool // some operator reads several values
}

func (c *comparison) makeWorlds() []world {
	var choices []choice
	at := func(key string) *choice {
		for i := range choices {
			if choices[i].key == key {
				return &choices[i]
			}
		}
		choices = append(choices, choice{key: key, lists: [][]string{nil}})
		return &choices[len(choices)-1]
	}
	for _, s := range c.statements {
		for i := range s.conditions {
			cond := &s.conditions[i]
			k := at(cond.key)
			k.sets = k.sets || cond.set != ""
			for j := range cond.values {
				for _, text := range cond.samples(&cond.values[j]) {
					k.add(text)
				}
				for _, name := range cond.values[j].names() {
					at(name).add("v")
				}
			}
			k = at(cond.key)
			k.add("w")
		}
		for _, p := range s.resources.patterns {
			for _, name := range p.names() {
				at(name).add("v")
			}
		}
	}
	worlds := []world{{}}
	for _, k := range choices {
		var next []world
		for _, l := range k.options() {
			for _, w := range worlds {
				if len(next) < maxWorlds && c.budget.spend(500) {
					next = append(next, w.with(k, l))
				}
			}
		}
		worlds = next
	}
	return worlds
}

const maxSamples = 8

func (k *choice) add(text string) {
	if len(k.lists) <= maxSamples && !slices.ContainsFunc(k.lists, func(l []string) bool { return len(l) == 1 && l[0] == text }) {
		k.lists = append(k.lists, []string{text})
	}
}

func (k *choice) options() [][]string {
	out := k.lists
	if k.sets {
		for i := 1; i+1 < len(k.lists); i++ {
			out = append(out, []string{k.lists[i][0], k.lists[i+1][0]})
		}
	}
	return out
}

func (w world) with(k choice, values []string) world {
	switch {
	case len(values) == 0:
		return w
	case k.sets:
		multi := map[string][]string{k.key: values}
		for key, v := range w.multi {
			multi[key] = v
		}
		return world{w.single, multi}
	}
	single := map[string]string{k.key: values[0]}
	for key, v := range w.single {
		single[key] = v
	}
	return world{single, w.multi}
}

// samples are texts that compare with the value, and some close by that do not.
func (c *condition) samples(v *value) []string {
	switch c.kind {
	case kindNumeric:
		n, ok := new(big.Rat).SetString(v.text)
		if !ok {
			return []string{v.text}
		}
		one, digits := big.NewRat(1, 1), len(v.number.frac)
		return []string{v.text, new(big.Rat).Sub(n, one).FloatString(digits), new(big.Rat).Add(n, one).FloatString(digits)}
	case kindDate:
		at := v.at.UTC()
		return []string{at.Format(time.RFC3339Nano), at.Add(-time.Second).Format(time.RFC3339Nano), at.Add(time.Second).Format(time.RFC3339Nano)}
	case kindBool:
		return []string{"true", "false"}
	case kindIP:
		out := []string{v.net.Addr().String()}
		if before := v.net.Addr().Prev(); before.IsValid() {
			out = append(out, before.String())
		}
		return append(out, "192.0.2.1")
	case kindARN:
		var parts []string
		for i := range v.arn {
			parts = append(parts, v.arn[i].instance("v"))
		}
		return []string{strings.Join(parts, ":"), "arn:aws:x:::x"}
	case kindNull:
		return []string{"w"}
	case kindBinary:
		return []string{v.text, "AAAA"}
	}
	return []string{v.glob.instance("v")}
}

// instance is the shortest text that the pattern matches, where every variable
// has the given value.
func (p *pattern) instance(variable string) string {
	var b strings.Builder
	for _, g := range p.segments {
		switch g.kind {
		case segLiteral:
			b.WriteString(g.text)
		case segOne:
			b.WriteByte('x')
		case segVariable:
			b.WriteString(variable)
		}
	}
	return b.String()
}

func (p *pattern) names() (out []string) {
	for _, g := range p.segments {
		if g.kind == segVariable {
			out = append(out, g.text)
		}
	}
	return out
}

func (v *value) names() []string {
	out := v.glob.names()
	for i := range v.arn {
		out = append(out, v.arn[i].names()...)
	}
	return out
}

// spelt gives a lower-case action the case in which a policy writes it.
func (c *comparison) spelt(action string) string {
	best, out := 0, action
	for _, s := range c.statements {
		for _, text := range s.actions.text {
			head, tail := text, ""
			if first := strings.IndexAny(text, "*?"); first >= 0 {
				head, tail = text[:first], text[strings.LastIndexAny(text, "*?")+1:]
			}
			n, end := len(head)+len(tail), len(action)-len(tail)
			if n > best && n <= len(action) && strings.EqualFold(head, action[:len(head)]) && strings.EqualFold(tail, action[end:]) {
				best, out = n, head+action[len(head):end]+tail
			}
		}
	}
	return out
}

// words says what a witness is.
func (c *comparison) words(r Request) string {
	_, by := c.scope.decide(&r)
	mine := &c.scope.statements[by]
	out := fmt.Sprintf("would allow %s on %s, which the profile does not", r.Action, r.Resource)
	if d, by := c.profile.decide(&r); d == Deny {
		out = fmt.Sprintf("would allow %s on %s, which the profile's statement %d denies", r.Action, r.Resource, by)
	}
	if context := r.contextWords(); context != "" {
		out += " when " + context
	}
	return fmt.Sprintf("%s (statement %d: %s on %s)", out, by, mine.actions.words(), mine.resources.words())
}

func (l *list) words() string {
	out := l.text[0]
	if len(l.text) > 1 {
		out += ", …"
	}
	if l.not {
		out = "all but " + out
	}
	return out
}

func (r *Request) contextWords() string {
	var out []string
	for k, v := range r.Context {
		out = append(out, fmt.Sprintf("%s is %q", k, v))
	}
	for k, v := range r.Multi {
		out = append(out, fmt.Sprintf("%s is %q", k, v))
	}
	slices.Sort(out)
	return strings.Join(out, " and ")
}
