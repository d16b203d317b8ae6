package policy

import (
	"slices"
	"unicode/utf8"
)

// budget bounds the work of one Subset, in units of about a nanosecond.
type budget struct{ left int }

func (b *budget) spend(n int) bool {
	b.left -= n
	return b.left >= 0
}

// shape follows a string through a grammar of its own beside the patterns.
type shape func(at uint64, c rune) (next uint64, ok bool)

type node struct {
	parent int32
	char   rune
	shape  uint64
}

type verdict byte

const (
	goOn verdict = iota
	prune
	stop
)

// walk visits the states that can be reached, shortest strings first. word
// gives the string of the visited state. It reports false when the budget ends.
func (m *machine) walk(b *budget, grow shape, visit func(state []uint64, shape uint64, word func() []rune) verdict) bool {
	nodes := []node{{parent: -1}}
	states := slices.Clone(m.start)
	var buf []byte
	seen := map[string]bool{string(key(buf, m.start, 0)): true}
	next := make([]uint64, m.words)
	for at := 0; at < len(nodes); at++ {
		state := states[at*m.words : (at+1)*m.words]
		word := func() []rune {
			var w []rune
			for i := at; nodes[i].parent >= 0; i = int(nodes[i].parent) {
				w = append(w, nodes[i].char)
			}
			slices.Reverse(w)
			return w
		}
		switch visit(state, nodes[at].shape, word) {
		case prune:
			continue
		case stop:
			return true
		}
		for i := range m.letters {
			l := &m.letters[i]
			if !b.spend(24 + 2*m.words) {
				return false
			}
			shape, ok := grow(nodes[at].shape, l.char)
			if !ok {
				continue
			}
			state = states[at*m.words : (at+1)*m.words]
			m.step(next, state, l)
			if buf = key(buf[:0], next, shape); seen[string(buf)] {
				continue
			}
			if !b.spend(300 + 16*m.words) {
				return false
			}
			seen[string(buf)] = true
			nodes = append(nodes, node{int32(at), l.char, shape})
			states = append(states, next...)
		}
	}
	return true
}

// Resources are any text that is not empty.
func nonEmpty(_ uint64, _ rune) (uint64, bool) { return 1, true }

// The shapes of an action: nothing, a service, its colon, a name.
const (
	actionStart uint64 = iota
	actionService
	actionColon
	actionName
)

func actionShape(at uint64, c rune) (uint64, bool) {
	switch {
	case c == ':':
		return actionColon, at == actionService
	case c == '_' && at < actionColon:
		return at, false
	case at < actionColon:
		return actionService, true
	}
	return actionName, true
}

// The alphabets of machines.
func anyRune(rune) bool      { return true }
func noVariable(c rune) bool { return c >= 0 }
func actionRune(c rune) bool { return c == ':' || c >= 0 && c < utf8.RuneSelf && actionByte(byte(c)) }

// difference finds the shortest text that is in every set of in and in none of
// out, letters of variables included.
func (m *machine) difference(b *budget, in, out []*set) (text []rune, found, done bool) {
	done = m.walk(b, nonEmpty, func(state []uint64, shape uint64, word func() []rune) verdict {
		ok := shape != 0
		for _, s := range in {
			if s.never(state) {
				return prune
			}
			ok = ok && s.has(state)
		}
		for _, s := range out {
			if s.always(state) {
				return prune
			}
			ok = ok && !s.has(state)
		}
		if !ok {
			return goOn
		}
		text, found = word(), true
		return stop
	})
	return text, found, done
}

// signature is which of the lists hold an action, and the shortest such action.
type signature struct {
	in     []uint64
	action string
}

// maxSignatures bounds the classes of actions that are told apart.
const maxSignatures = 256

// signatures finds every combination of sets that one action can be in, of
// those in any of wanted.
func (m *machine) signatures(b *budget, sets []*set, wanted []bool) (out []signature, done bool) {
	seen := map[string]bool{}
	in := make([]uint64, (len(sets)+63)/64)
	full := false
	done = m.walk(b, actionShape, func(state []uint64, shape uint64, word func() []rune) verdict {
		alive := false
		clear(in)
		want := false
		for i, s := range sets {
			alive = alive || wanted[i] && !s.never(state)
			if s.has(state) {
				in[i/64] |= 1 << (i % 64)
				want = want || wanted[i]
			}
		}
		switch k := key(nil, in, 0); {
		case !alive:
			return prune
		case shape != actionName || !want || seen[string(k)]:
			return goOn
		default:
			seen[string(k)] = true
		}
		out = append(out, signature{slices.Clone(in), string(word())})
		if full = len(out) > maxSignatures; full {
			return stop
		}
		return goOn
	})
	return out, done && !full
}

func (s *signature) has(i int) bool { return s.in[i/64]&(1<<(i%64)) != 0 }
