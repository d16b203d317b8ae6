package ngram

// lex cuts text into tokens: an identifier, number or symbol with at most one
// space before it, or a newline with the indentation after it. f gets each
// token's start offset. The tokens joined are the text.
func lex(text string, f func(start, end int)) {
	for i := 0; i < len(text); {
		start := i
		switch c := text[i]; {
		case c == '\n' || c == '\r':
			for i < len(text) && (text[i] == '\n' || text[i] == '\r') {
				i++
			}
			for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
				i++
			}
			f(start, i)
			continue
		case (c == ' ' || c == '\t') && i+1 < len(text) && text[i+1] != ' ' && text[i+1] != '\t' && text[i+1] != '\n' && text[i+1] != '\r':
			i++
		case c == ' ' || c == '\t':
			for i < len(text) && (text[i] == ' ' || text[i] == '\t') {
				i++
			}
			f(start, i)
			continue
		}
		if word(text[i]) {
			for i < len(text) && word(text[i]) {
				i++
			}
		} else {
			i++
			// The bytes of one character stay together.
			for i < len(text) && text[i]&0xc0 == 0x80 {
				i++
			}
		}
		f(start, i)
	}
}

func word(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
