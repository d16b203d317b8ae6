package policy

import (
	"fmt"
	"slices"
)

// Answer is what [Subset] knows. Only [Yes] is a yes.
type Answer int

// Unknown is the zero value.
const (
	Unknown Answer = iota
	No
	Yes
)

// String returns the answer's name.
func (a Answer) String() string {
	switch a {
	case No:
		return "no"
	case Yes:
		return "yes"
	}
	return "unknown"
}

// Inclusion is the result of [Subset].
type Inclusion struct {
	Answer Answer
	// Reason is empty for [Yes]; for [No] it is the witness in words, and for
	// [Unknown] what could not be decided.
	Reason string
	// Witness is a request that the scope-down allows and the profile does
	// not, as the evaluation of both says. It is set for [No], unless a
	// document was absent.
	Witness Request
}

// subsetBudget is some 25 ms of one core.
const subsetBudget = 10_000_000

// Subset answers whether profile allows everything that scope allows.
//
// A yes is proved for every request: globs, unions of statements, negated
// elements and denials by automata, variables as unknown text, conditions by
// rules ("the same", "fewer values", "earlier", "a network inside"). A no has
// been checked by evaluating its witness, the shortest that was found. What is
// neither is unknown, with the reason, and so is what would take more than some
// 100 ms. The security of a session does not rest on it, but on evaluating both
// layers at access time.
func Subset(profile, scope *Document) Inclusion {
	if profile == nil || scope == nil {
		return Inclusion{Answer: No, Reason: "a policy is absent"}
	}
	c := newComparison(profile, scope)
	c.run()
	switch {
	case c.best != nil:
		return Inclusion{No, c.words(*c.best), *c.best}
	case c.open != "":
		return Inclusion{Answer: Unknown, Reason: c.open}
	}
	return Inclusion{Answer: Yes}
}

// comparison is one run of Subset. Statements of both documents are numbered
// together, those of the scope-down first.
type comparison struct {
	profile, scope *Document
	statements     []*statement
	mine           int // statements of the scope-down
	budget         *budget
	rules          rules
	best           *Request
	open           string
	worlds         []world
	asked          map[string]bool
}

func newComparison(profile, scope *Document) *comparison {
	b := &budget{subsetBudget}
	c := &comparison{profile: profile, scope: scope, mine: len(scope.statements), budget: b, rules: newRules(b), asked: map[string]bool{}}
	for _, d := range []*Document{scope, profile} {
		for i := range d.statements {
			c.statements = append(c.statements, &d.statements[i])
		}
	}
	return c
}

func (c *comparison) unknown(format string, args ...any) {
	if c.open == "" {
		c.open = fmt.Sprintf(format, args...)
	}
}

const tooMuch = "the policies are too intricate to compare in bounded time"

func (c *comparison) run() {
	m := newMachine()
	sets, wanted := make([]*set, len(c.statements)), make([]bool, len(c.statements))
	for i, s := range c.statements {
		sets[i], wanted[i] = m.add(&s.actions, asLetter), i < c.mine && s.allow
	}
	m.prepare(actionRune, ":", []rune("xyzabcdefghijklmnopqrstuvw0123456789-_"))
	classes, done := m.signatures(c.budget, sets, wanted)
	if !done {
		c.unknown(tooMuch)
		return
	}
	for i := range classes {
		for s := range c.mine {
			if c.statements[s].allow && classes[i].has(s) {
				if !c.repeated(s, &classes[i]) {
					c.covered(s, &classes[i])
					c.undenied(s, &classes[i])
				}
			}
		}
	}
}

// pick returns the statements of one document that a class of actions is in.
func (c *comparison) pick(class *signature, scope, allow bool) (out []int) {
	for i, s := range c.statements {
		if (i < c.mine) == scope && s.allow == allow && class.has(i) {
			out = append(out, i)
		}
	}
	return out
}

// repeated reports a question that was asked before, for another action.
func (c *comparison) repeated(s int, class *signature) bool {
	var same []int
	for i, t := range c.statements {
		if class.has(i) && (i == s || i >= c.mine || !t.allow) {
			same = append(same, i)
		}
	}
	k := fmt.Sprint(s, same)
	asked := c.asked[k]
	c.asked[k] = true
	return asked
}

// covered checks that what statement s allows, less what the scope-down denies
// again, is allowed by the profile's statements together.
func (c *comparison) covered(s int, class *signature) {
	mine := c.statements[s]
	certain, all := c.pick(class, true, false), c.pick(class, false, true)
	reason := "the profile may not allow it"
	for _, p := range all {
		if !c.rules.impliedAll(c.statements[p], mine) {
			reason = fmt.Sprintf("whether the conditions of the profile's statement %d hold is not decided", p-c.mine)
			break
		}
	}
	all = append(all, certain...)
	certain = slices.DeleteFunc(slices.Clone(all), func(i int) bool { return !c.rules.impliedAll(c.statements[i], mine) })
	if slices.ContainsFunc(certain, func(i int) bool { return mine.resources.textIn(&c.statements[i].resources) }) {
		return
	}
	c.search(question{s: s, class: class, reason: reason}, certain, all)
}

// undenied checks that no denial of the profile meets what statement s allows,
// unless the scope-down denies it again.
func (c *comparison) undenied(s int, class *signature) {
	mine := c.statements[s]
	for _, q := range c.pick(class, false, false) {
		denial := c.statements[q]
		if c.rules.contradicts(mine, denial) {
			continue
		}
		all := c.pick(class, true, false)
		certain := slices.DeleteFunc(slices.Clone(all), func(d int) bool { return !c.rules.impliedAll(c.statements[d], mine, denial) })
		if slices.ContainsFunc(certain, func(d int) bool { return denial.resources.textIn(&c.statements[d].resources) }) {
			continue
		}
		c.search(question{s: s, class: class, and: &denial.resources, reason: fmt.Sprintf("statement %d of the profile may deny it", q-c.mine)}, certain, all)
	}
}

// question is whether a statement of the scope-down reaches too far.
type question struct {
	s      int
	class  *signature
	and    *list // a denial's resources, which a resource must be in too
	reason string
}

// search looks for a resource outside of what is certainly taken care of. One
// that evaluation confirms is a no. Where it does not, one outside of all that
// may take care of it is tried. What then remains is open.
func (c *comparison) search(q question, certain, all []int) {
	action := c.spelt(q.class.action)
	modes := []variableMode{asRun}
	if q.and == nil && c.statements[q.s].resources.variables() {
		modes = []variableMode{asRun, asLetter}
	}
	for i, out := range [][]int{certain, all} {
		if i == 1 && len(all) == len(certain) {
			break
		}
		for _, mode := range modes {
			m := newMachine()
			in := c.reached(m, q, mode)
			text, found, done := m.difference(c.budget, in, c.subtract(m, out, mode))
			if !done {
				c.unknown(tooMuch)
				return
			}
			if !found && i == 0 {
				return // of two ways to read variables, one proof is enough
			}
			if found && c.confirm(action, text, m.names) {
				return
			}
		}
	}
	c.unknown("statement %d of the scope-down allows %s: %s", q.s, action, q.reason)
}

// reached adds the resources that the question is about, or more: a variable
// may be any text, and is when a denial lacks it.
func (c *comparison) reached(m *machine, q question, mode variableMode) (sets []*set) {
	mine := c.statements[q.s].resources.certain()
	if mode == asLetter {
		mode = narrow
	}
	sets = append(sets, m.add(&mine, mode))
	if q.and != nil {
		denial := q.and.certain()
		sets = append(sets, m.add(&denial, asRun))
	}
	return sets
}

// subtract adds the resources that are taken care of, or fewer, and completes
// the machine. Where a variable is a letter, its text may be anything, so that
// no negated list is known to hold it.
func (c *comparison) subtract(m *machine, out []int, mode variableMode) (sets []*set) {
	for _, i := range out {
		s := c.statements[i]
		switch l := &s.resources; {
		case !l.not:
			sets = append(sets, m.add(l, asLetter))
		case mode == asRun && (!s.allow || !l.mayLack()):
			sets = append(sets, m.add(l, asRun))
		}
	}
	among := noVariable
	if mode == asLetter {
		among = anyRune
	}
	m.prepare(among, "", others)
	return sets
}

func (l *list) variables() bool {
	return slices.ContainsFunc(l.patterns, func(p pattern) bool { return p.variables })
}

// mayLack reports that some variable has no default.
func (l *list) mayLack() bool {
	return slices.ContainsFunc(l.patterns, func(p pattern) bool {
		return slices.ContainsFunc(p.segments, func(g segment) bool { return g.kind == segVariable && !g.hasAlt })
	})
}

// certain is a list that holds at least what l does: a negated one without the
// patterns whose text is not known.
func (l *list) certain() list {
	out := *l
	if l.not {
		out.patterns = slices.DeleteFunc(slices.Clone(l.patterns), func(p pattern) bool { return p.variables })
	}
	return out
}

// textIn reports that the same patterns make wide hold all that l does,
// whatever the variables are.
func (l *list) textIn(wide *list) bool {
	if l.not != wide.not {
		return false
	}
	few, many := l.text, wide.text
	if l.not {
		few, many = many, few
	}
	return !slices.ContainsFunc(few, func(t string) bool { return !slices.Contains(many, t) })
}
