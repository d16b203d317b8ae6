package policy

import "slices"

// impliedAll reports that whenever all of known hold, each of wanted does. The
// same is true one step down: whenever none of known is certainly false, none
// of wanted is. Denials need that, since they apply when undecided.
func impliedAll(known, wanted []condition) bool {
	for i := range wanted {
		if !slices.ContainsFunc(known, func(k condition) bool { return implies(&k, &wanted[i]) }) {
			return false
		}
	}
	return true
}

// implies reports that b holds whenever a does.
func implies(a, b *condition) bool {
	if a.key != b.key || a.set != b.set || a.kind == kindNull && b.kind != kindNull || a.negate != b.negate || a.ifExists && !b.ifExists {
		return false
	}
	if a.negate {
		// Not one of many implies not one of fewer.
		return everyIn(b, a, func(v, w *value) bool { return within(b, v, a, w) })
	}
	return everyIn(a, b, func(v, w *value) bool { return within(a, v, b, w) })
}

// everyIn reports that each value of a has its like in b.
func everyIn(a, b *condition, like func(v, w *value) bool) bool {
	for i := range a.values {
		if !slices.ContainsFunc(b.values, func(w value) bool { return like(&a.values[i], &w) }) {
			return false
		}
	}
	return true
}

// within reports that whatever compares with v of a compares with w of b.
func within(a *condition, v *value, b *condition, w *value) bool {
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
		return globWithin(&v.glob, &w.glob)
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

func globWithin(a, b *pattern) bool {
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
	_, found, done := m.difference(&budget{globBudget}, []*set{in}, []*set{out})
	return done && !found
}

// contradicts reports that when all of known hold, some condition of denial is
// certainly false, so that the denial does not apply.
func contradicts(known, denial []condition) bool {
	for i := range denial {
		if slices.ContainsFunc(known, func(k condition) bool { return excludes(&k, &denial[i]) }) {
			return true
		}
	}
	return false
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
