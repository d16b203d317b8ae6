package policy

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// A machine runs many glob patterns over all strings at once. A pattern of n
// symbols has n+1 bits of the state; bit i says that i symbols are matched. A
// step is one shift and two masks for all patterns together, and a walk over
// the states that can be reached, shortest strings first, answers any question
// about unions and complements of the patterns.
type machine struct {
	words   int
	bits    int
	start   []uint64
	loop    []uint64            // where a run may take one more character
	wide    []uint64            // where it may take a variable too
	one     []uint64            // bits of ?
	takes   map[rune][]uint64   // bits of literal characters, and of variables
	vars    map[variableKey]int // their letters are -1, -2, …
	names   []variableKey
	letters []letter
}

// variableKey is a variable as a letter of its own: two patterns that name the
// same variable with the same default mean the same text, whatever it is.
type variableKey struct {
	name, alt string
	hasAlt    bool
}

type letter struct {
	char      rune // negative for a variable
	can, loop []uint64
}

// set is the strings of a list in a machine.
type set struct {
	all     bool // every string, whatever the list says
	none    bool
	not     bool
	bits    []uint64 // every bit of its patterns
	accept  []uint64
	forever []uint64 // accepts, and whatever follows
}

// variableMode says what a variable is in a pattern.
type variableMode byte

const (
	asLetter variableMode = iota // the same letter in every pattern
	narrow                       // a letter, which runs of this pattern do not take
	asRun                        // any text
)

// symbol is one character of a pattern; runs are marks on the gaps between.
type symbol struct {
	kind byte
	char rune
}

func newMachine() *machine {
	return &machine{takes: map[rune][]uint64{}, vars: map[variableKey]int{}}
}

func setBit(b *[]uint64, i int) {
	for len(*b) <= i/64 {
		*b = append(*b, 0)
	}
	(*b)[i/64] |= 1 << (i % 64)
}

// add gives a list its bits. All lists are added before the first walk.
func (m *machine) add(l *list, mode variableMode) *set {
	s := &set{not: l.not}
	for i := range l.patterns {
		m.addPattern(&l.patterns[i], mode, s)
	}
	return s
}

func (m *machine) addPattern(p *pattern, mode variableMode, s *set) {
	setBit(&m.start, m.bits)
	gap := func() {
		setBit(&m.loop, m.bits)
		if mode != narrow {
			setBit(&m.wide, m.bits)
		}
	}
	next := func() {
		setBit(&s.bits, m.bits)
		m.bits++
	}
	takes := func(c rune) {
		b := m.takes[c]
		setBit(&b, m.bits)
		m.takes[c] = b
	}
	endsInRun := false
	for i := range p.segments {
		g := &p.segments[i]
		endsInRun = false
		switch {
		case g.kind == segRun || g.kind == segVariable && mode == asRun:
			gap()
			endsInRun = true
		case g.kind == segOne:
			setBit(&m.one, m.bits)
			next()
		case g.kind == segVariable:
			key := variableKey{g.text, g.alt, g.hasAlt}
			id, ok := m.vars[key]
			if !ok {
				id = -1 - len(m.names)
				m.vars[key], m.names = id, append(m.names, key)
			}
			takes(rune(id))
			next()
		default:
			for _, c := range g.text {
				takes(c)
				next()
			}
		}
	}
	setBit(&s.accept, m.bits)
	if endsInRun && mode != narrow {
		setBit(&s.forever, m.bits)
	}
	next()
}

// prepare makes the letters: one for each class of characters that no pattern
// tells apart, and one for all that none names. among restricts them.
func (m *machine) prepare(among func(rune) bool, always string, other []rune) {
	m.words = (m.bits + 63) / 64
	pad := func(b []uint64) []uint64 { return append(slices.Clone(b), make([]uint64, m.words-len(b))...) }
	m.start, m.loop, m.wide, m.one = pad(m.start), pad(m.loop), pad(m.wide), pad(m.one)
	var chars []rune
	for c := range m.takes {
		if among(c) {
			chars = append(chars, c)
		}
	}
	for _, c := range always {
		if m.takes[c] == nil {
			chars = append(chars, c)
		}
	}
	slices.Sort(chars) // one order for every run
	for _, c := range other {
		if _, named := m.takes[c]; !named {
			chars = slices.Insert(chars, 0, c)
			break
		}
	}
	seen := map[string]bool{}
	for _, c := range chars {
		l := letter{char: c, can: pad(m.takes[c]), loop: m.loop}
		if c < 0 {
			l.loop = m.wide
		} else {
			for i, o := range m.one {
				l.can[i] |= o
			}
		}
		// A colon has a meaning of its own in actions.
		if k := key(nil, l.can, uint64(l.kind())); !seen[string(k)] {
			seen[string(k)] = true
			m.letters = append(m.letters, l)
		}
	}
}

func (l *letter) kind() int {
	switch {
	case l.char < 0:
		return 0
	case l.char == ':':
		return 1
	case l.char == '_':
		return 2
	}
	return 3
}

// others are characters for a witness that no pattern names, the readable first.
var others = func() (out []rune) {
	for _, r := range [][2]rune{{'x', 'z'}, {'a', 'w'}, {'0', '9'}, {'A', 'Z'}, {0xc0, 0xff}, {0x100, 0x100 + MaxSize}} {
		for c := r[0]; c <= r[1]; c++ {
			out = append(out, c)
		}
	}
	return out
}()

func key(buf []byte, state []uint64, extra uint64) []byte {
	for _, w := range state {
		buf = binary.LittleEndian.AppendUint64(buf, w)
	}
	return binary.LittleEndian.AppendUint64(buf, extra)
}

func (m *machine) step(dst, state []uint64, l *letter) {
	carry := uint64(0)
	for i, w := range state {
		took := w & l.can[i]
		dst[i] = took<<1 | carry | w&l.loop[i]
		carry = took >> 63
	}
}

func intersects(a, b []uint64) bool {
	for i := range min(len(a), len(b)) {
		if a[i]&b[i] != 0 {
			return true
		}
	}
	return false
}

// has reports whether the string that led to the state is in the set.
func (s *set) has(state []uint64) bool {
	switch {
	case s.all || s.none:
		return s.all
	}
	return intersects(s.accept, state) != s.not
}

// never reports that no continuation is in the set, always that all are.
func (s *set) never(state []uint64) bool {
	switch {
	case s.all || s.none:
		return s.none
	case s.not:
		return intersects(s.forever, state)
	}
	return !intersects(s.bits, state)
}

func (s *set) always(state []uint64) bool {
	switch {
	case s.all || s.none:
		return s.all
	case s.not:
		return !intersects(s.bits, state)
	}
	return intersects(s.forever, state)
}

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
