package policy

import "slices"

// rules remembers what conditions say of one another, since every class of
// actions asks again, and pays for it from the comparison's budget. What cannot
// be paid is not known.
type rules struct {
	budget            *budget
	implied, excluded map[[2]*condition]bool
}

func newRules(b *budget) rules {
	return rules{b, map[[2]*condition]bool{}, map[[2]*condition]bool{}}
}

func (r *rules) ask(memo map[[2]*condition]bool, a, b *condition, rule func(a, b *condition) bool) bool {
	k := [2]*condition{a, b}
	known, ok := memo[k]
	if !ok {
		known = r.budget.spend(100+20*len(a.values)*len(b.values)) && rule(a, b)
		memo[k] = known
	}
	return known
}

// impliedAll reports that whenever all conditions of known hold, each of wanted
// does. The same is true one step down: whenever none of known is certainly
// false, none of wanted is. Denials need that, since they apply when undecided.
func (r *rules) impliedAll(wanted *statement, known ...*statement) bool {
	for i := range wanted.conditions {
		if !anyCondition(known, func(k *condition) bool { return r.ask(r.implied, k, &wanted.conditions[i], r.implies) }) {
			return false
		}
	}
	return true
}

// contradicts reports that when all conditions of known hold, some condition of
// denial is certainly false, so that the denial does not apply.
func (r *rules) contradicts(known, denial *statement) bool {
	for i := range denial.conditions {
		if anyCondition([]*statement{known}, func(k *condition) bool { return r.ask(r.excluded, k, &denial.conditions[i], excludes) }) {
			return true
		}
	}
	return false
}

func anyCondition(of []*statement, f func(*condition) bool) bool {
	for _, s := range of {
		for i := range s.conditions {
			if f(&s.conditions[i]) {
				return true
			}
		}
	}
	return false
}

// implies reports that b holds whenever a does.
func (r *rules) implies(a, b *condition) bool {
	if a.key != b.key || a.set != b.set || a.kind == kindNull && b.kind != kindNull || a.negate != b.negate || a.ifExists && !b.ifExists {
		return false
	}
	if a.negate {
		// Not one of many implies not one of fewer.
		return everyIn(b, a, func(v, w *value) bool { return r.within(b, v, a, w) })
	}
	return everyIn(a, b, func(v, w *value) bool { return r.within(a, v, b, w) })
}

// everyIn reports that each value of a has its like in b.
func everyIn(a, b *condition, like func(v, w *value) bool) bool {
	for i := range a.values {
		found := false
		for j := range b.values {
			if found = like(&a.values[i], &b.values[j]); found {
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// within reports that whatever compares with v of a compares with w of b.
func (r *rules) within(a *condition, v *value, b *condition, w *value) bool {
	if a.kind == b.kind && a.order == b.order && v.text == w.text {
		return true
	}
	switch {
	case a.kind == kindNumeric && b.kind == kindNumeric:
		return tighter(v.number.compare(w.number), a.order, b.order)
	case a.kind == kindDate && b.kind == kindDate:
		return tighter(v.at.Compare(w.at), a.order, b.order)
	case a.kind == kindIP && b.kind == kindIP:
		return w.net.Bits() <= v.net.Bits() && w.net.Contains(v.net.Addr())
	case a.kind == kindBool && b.kind == kindBool, a.kind == kindNull && b.kind == kindNull:
		return v.is == w.is
	case a.kind == kindString && b.kind == kindLike, a.kind == kindLike && b.kind == kindLike:
		return r.globWithin(&v.glob, &w.glob)
	}
	return false
}

// tighter reports that a comparison with the lesser or greater value implies
// the other; cmp compares the first with the second.
func tighter(cmp int, a, b string) bool {
	switch b {
	case "<":
		return a == "<" && cmp <= 0 || (a == "<=" || a == "") && cmp < 0
	case "<=":
		return (a == "<" || a == "<=" || a == "") && cmp <= 0
	case ">":
		return a == ">" && cmp >= 0 || (a == ">=" || a == "") && cmp > 0
	case ">=":
		return (a == ">" || a == ">=" || a == "") && cmp >= 0
	}
	return a == "" && cmp == 0
}

// globBudget is for two values of a condition; what takes longer is no rule.
const globBudget = 200_000

func (r *rules) globWithin(a, b *pattern) bool {
	if a.variables || b.variables {
		return false
	}
	m := newMachine()
	in := m.add(&list{patterns: []pattern{*a}}, asLetter)
	out := m.add(&list{patterns: []pattern{*b}}, asLetter)
	m.prepare(noVariable, "", others)
	// The empty text is no resource, but it is a value.
	if a.matches("", nil) && !b.matches("", nil) {
		return false
	}
	most := budget{min(globBudget, r.budget.left)}
	before := most.left
	_, found, done := m.difference(&most, []*set{in}, []*set{out})
	return r.budget.spend(2000+before-max(most.left, 0)) && done && !found
}

// excludes tries every value that a leaves possible, which are few when a is
// StringEquals or Bool, and the missing key when a is Null.
func excludes(a, b *condition) bool {
	if a.key != b.key || a.set != "" || a.ifExists || a.negate || slices.ContainsFunc(b.values, func(v value) bool { return v.variables() }) {
		return false
	}
	switch a.kind {
	case kindString:
	case kindBool:
		if b.kind != kindBool {
			return false // "TRUE" is another string than "true"
		}
	case kindNull:
		if slices.ContainsFunc(a.values, func(v value) bool { return !v.is }) {
			return false
		}
		return b.holds(&Request{}) == no
	default:
		return false
	}
	for i := range a.values {
		v := &a.values[i]
		if v.variables() {
			return false
		}
		text := v.text
		if a.kind == kindString {
			text = v.glob.instance("")
		}
		if b.holds(&Request{Context: map[string]string{b.key: text}}) != no {
			return false
		}
	}
	return true
}

func (v *value) variables() bool {
	return v.glob.variables || slices.ContainsFunc(v.arn, func(p pattern) bool { return p.variables })
}
