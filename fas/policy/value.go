package policy

import (
	"errors"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// compileValue reads one value of a condition. Variables are for strings and
// ARNs only, as in IAM.
func (c *condition) compileValue(text string) (v value, err error) {
	v.text = text
	ok := true
	switch c.kind {
	case kindString, kindLike:
		v.glob, err = compile(text, c.kind == kindLike)
	case kindFold:
		v.glob, err = compile(text, false)
		if err == nil {
			err = v.glob.foldCase()
		}
	case kindARN:
		v.arn, err = compileARN(text)
	case kindNumeric:
		v.number, ok = parseDecimal(text)
	case kindDate:
		v.at, ok = parseDate(text)
	case kindBool, kindNull:
		v.is, ok = parseBool(text)
	case kindBinary:
		ok = canonicalBase64(text)
	case kindIP:
		v.net, ok = parseNet(text)
	}
	if !ok {
		err = valueErrors[c.kind]
	}
	return v, err
}

var valueErrors = map[kind]error{
	kindNumeric: errors.New("not a decimal number"),
	kindDate:    errors.New("not a date: 2006-01-02, 2006-01-02T15:04:05Z or seconds since 1970 of at least five digits"),
	kindBool:    errors.New("neither true nor false"),
	kindNull:    errors.New("neither true nor false"),
	kindBinary:  errors.New("not canonical base64"),
	kindIP:      errors.New("neither an address nor a network"),
}

var (
	errFoldASCII = errors.New("a comparison without case is for ASCII only")
	errARN       = errors.New("an ARN has six parts between colons")
)

// foldCase makes the pattern compare without ASCII case. Other letters are
// refused: which of them are equal depends on who compares.
func (p *pattern) foldCase() error {
	p.fold = true
	for i := range p.segments {
		if g := &p.segments[i]; !ascii(g.text) || !ascii(g.alt) {
			return errFoldASCII
		}
	}
	return nil
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// compileARN splits at the first five colons that stand outside variables.
func compileARN(text string) ([]pattern, error) {
	var out []pattern
	depth, from := false, 0
	for i := 0; i <= len(text); i++ {
		switch {
		case i < len(text) && text[i] == '{' && i > 0 && text[i-1] == '$':
			depth = true
		case i < len(text) && text[i] == '}':
			depth = false
		case i == len(text) || text[i] == ':' && !depth && len(out) < arnParts-1:
			p, err := compile(text[from:i], true)
			if err != nil {
				return nil, err
			}
			out, from = append(out, p), i+1
		}
	}
	if len(out) != arnParts {
		return nil, errARN
	}
	return out, nil
}

// decimal is an exact decimal number, as slices of its text.
type decimal struct {
	neg         bool
	whole, frac string // without leading and trailing zeros
}

// parseDecimal reads an optional sign, digits and an optional fraction. Floating
// point would call two large numbers equal that are not.
func parseDecimal(s string) (d decimal, ok bool) {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.neg, s = s[0] == '-', s[1:]
	}
	whole, frac, point := strings.Cut(s, ".")
	if whole == "" || point && frac == "" || !digits(whole) || !digits(frac) {
		return decimal{}, false
	}
	d.whole, d.frac = strings.TrimLeft(whole, "0"), strings.TrimRight(frac, "0")
	d.neg = d.neg && d.whole+d.frac != ""
	return d, true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func (d decimal) compare(o decimal) int {
	if d.neg != o.neg {
		if d.neg {
			return -1
		}
		return 1
	}
	c := len(d.whole) - len(o.whole)
	if c == 0 {
		c = strings.Compare(d.whole, o.whole)
	}
	if c == 0 {
		c = strings.Compare(d.frac, o.frac)
	}
	if d.neg {
		c = -c
	}
	return c
}

// parseDate reads the ISO 8601 forms that IAM documents, and epoch seconds. A
// number of four digits could be a year, so it is neither.
func parseDate(s string) (time.Time, bool) {
	var layout string
	switch {
	case len(s) >= 5 && len(s) <= 12 && digits(s):
		n, err := strconv.ParseInt(s, 10, 64)
		return time.Unix(n, 0), err == nil
	case len(s) == len(time.DateOnly):
		layout = time.DateOnly
	case len(s) < len("2006-01-02T15:04Z") || s[10] != 'T' || s[13] != ':' || strings.IndexByte(s, ',') >= 0:
		return time.Time{}, false
	case s[16] == ':':
		layout = time.RFC3339
	default:
		layout = "2006-01-02T15:04Z07:00"
	}
	t, err := time.Parse(layout, s)
	return t, err == nil
}

func parseBool(s string) (is, ok bool) {
	switch {
	case len(s) == len("true") && strings.EqualFold(s, "true"):
		return true, true
	case len(s) == len("false") && strings.EqualFold(s, "false"):
		return false, true
	}
	return false, false
}

func parseAddr(s string) (netip.Addr, bool) {
	if strings.IndexByte(s, '%') >= 0 {
		return netip.Addr{}, false // a zone means something to one host only
	}
	a, err := netip.ParseAddr(s)
	return a.Unmap(), err == nil
}

func parseNet(s string) (netip.Prefix, bool) {
	if !strings.Contains(s, "/") {
		a, ok := parseAddr(s)
		return netip.PrefixFrom(a, a.BitLen()), ok
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// canonicalBase64 accepts the one encoding that standard base64 has for its
// bytes, so that equal bytes are equal text.
func canonicalBase64(s string) bool {
	if len(s)%4 != 0 || s == "" {
		return false
	}
	body := strings.TrimRight(s, "=")
	pad := len(s) - len(body)
	if pad > 2 {
		return false
	}
	last := 0
	for i := range len(body) {
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
		if last = strings.IndexByte(alphabet, body[i]); last < 0 {
			return false
		}
	}
	return pad == 0 || pad == 1 && last&3 == 0 || pad == 2 && last&15 == 0
}
