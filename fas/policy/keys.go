package policy

import "iter"

// Keys yields the condition keys and the variables that the document names, in
// lower case, some of them more than once. An evaluator that does not set one
// of them may be asked to deny by it, and would not. A nil document has none.
func (d *Document) Keys() iter.Seq[string] {
	return func(yield func(string) bool) {
		if d == nil {
			return
		}
		for i := range d.statements {
			if !d.statements[i].keys(yield) {
				return
			}
		}
	}
}

func (s *statement) keys(yield func(string) bool) bool {
	for i := range s.resources.patterns {
		if !s.resources.patterns[i].keys(yield) {
			return false
		}
	}
	for i := range s.conditions {
		c := &s.conditions[i]
		if !yield(c.key) {
			return false
		}
		for j := range c.values {
			v := &c.values[j]
			if !v.glob.keys(yield) {
				return false
			}
			for k := range v.arn {
				if !v.arn[k].keys(yield) {
					return false
				}
			}
		}
	}
	return true
}

func (p *pattern) keys(yield func(string) bool) bool {
	for i := range p.segments {
		if p.segments[i].kind == segVariable && !yield(p.segments[i].text) {
			return false
		}
	}
	return true
}
