package tenant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"unicode"
	"unicode/utf8"
)

// ErrBadText is returned by [NewText] for what it does not accept. The error
// says which rule was broken and does not repeat the text.
var ErrBadText = errors.New("tenant: text not accepted")

// Text is what a tenant typed: a name, a description. Every way of printing it
// gives the quoted ASCII form, so that control characters, terminal escapes,
// bidirectional overrides and markup are harmless in a log, a terminal or a
// page. The zero value is the empty text.
type Text struct {
	// A pointer, because fmt prints unexported fields of other structs without
	// calling their methods; a pointer prints as an address there.
	p *textValue
}

type textValue struct{ s string }

// NewText accepts valid UTF-8 of at most maxRunes runes. It keeps what it
// gets, control characters included: display is where they are made harmless.
func NewText(s string, maxRunes int) (Text, error) {
	if !utf8.ValidString(s) {
		return Text{}, fmt.Errorf("%w: not UTF-8", ErrBadText)
	}
	if n := utf8.RuneCountInString(s); n > maxRunes {
		return Text{}, fmt.Errorf("%w: %d characters, the limit is %d", ErrBadText, n, maxRunes)
	}
	if s == "" {
		return Text{}, nil
	}
	return Text{&textValue{s}}, nil
}

// Reveal returns the raw text. The reason stands in the code for reviewers who
// search for the places where raw text leaves its wrapper; an empty reason
// panics.
func (t Text) Reveal(reason string) string {
	if reason == "" {
		panic("tenant: Text.Reveal needs a reason")
	}
	if t.p == nil {
		return ""
	}
	return t.p.s
}

// IsEmpty reports whether there is no text.
func (t Text) IsEmpty() bool { return t.p == nil }

// Equal reports whether both hold the same text.
func (t Text) Equal(o Text) bool { return t.raw() == o.raw() }

func (t Text) raw() string {
	if t.p == nil {
		return ""
	}
	return t.p.s
}

// String returns the quoted ASCII form.
func (t Text) String() string { return strconv.QuoteToASCII(t.raw()) }

// GoString returns the quoted ASCII form.
func (t Text) GoString() string { return t.String() }

// Format writes the quoted ASCII form, whatever the verb.
func (t Text) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue returns the quoted ASCII form.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON writes a JSON string in which markup characters and everything
// outside printable ASCII are escaped. It is the same text to a JSON reader.
func (t Text) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('"')
	for _, r := range t.raw() {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < 0x20 || r >= 0x7f || r == '<' || r == '>' || r == '&' || r == '\'':
			if r > 0xffff {
				hi, lo := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
				fmt.Fprintf(&b, `\u%04x\u%04x`, hi, lo)
				continue
			}
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.Bytes(), nil
}

// UnmarshalJSON reads a JSON string of at most 64 Ki runes; callers check their
// own, smaller limit with [Text.Len].
func (t *Text) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("%w: not a JSON string", ErrBadText)
	}
	got, err := NewText(s, 1<<16)
	if err != nil {
		return err
	}
	*t = got
	return nil
}

// Len returns the number of runes.
func (t Text) Len() int { return utf8.RuneCountInString(t.raw()) }

// HasControl reports whether the text holds control or format characters
// (Unicode Cc, Cf), among them terminal escapes and bidirectional overrides.
func (t Text) HasControl() bool {
	for _, r := range t.raw() {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return true
		}
	}
	return false
}
