package policy

import (
	"encoding/binary"
	"slices"
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
func (s *set) has(state []uint64) bool { return intersects(s.accept, state) != s.not }

// never reports that no continuation is in the set.
func (s *set) never(state []uint64) bool {
	if s.not {
		return intersects(s.forever, state)
	}
	return !intersects(s.bits, state)
}

// always reports that every continuation is in the set.
func (s *set) always(state []uint64) bool {
	if s.not {
		return !intersects(s.bits, state)
	}
	return intersects(s.forever, state)
}
