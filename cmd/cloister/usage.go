package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// oneLine is the text of an error for a terminal and for whoever reads lines:
// errors that hold several are joined, and what came from a message, a file or
// a service cannot move the cursor or write a line of its own.
func oneLine(err error) string {
	var lines []string
	for _, l := range strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' }) {
		l = strings.TrimSpace(strings.Map(func(r rune) rune {
			if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
				return ' '
			}
			return r
		}, l))
		if l != "" && (len(lines) == 0 || lines[len(lines)-1] != l) {
			lines = append(lines, l)
		}
	}
	return strings.Join(lines, "; ")
}

// words parses flags, which may stand before, between and after the words of a
// command. Where somebody asks for help it is printed, and the error is
// [flag.ErrHelp].
func words(fs *flag.FlagSet, args []string, out io.Writer, usage error) (words []string, err error) {
	fs.SetOutput(io.Discard)
	for len(args) > 0 {
		switch err := fs.Parse(args); {
		case errors.Is(err, flag.ErrHelp):
			if _, err := fmt.Fprintln(out, "Usage:", strings.TrimPrefix(usage.Error(), errUsage.Error()+": ")); err != nil {
				return nil, err
			}
			fs.SetOutput(out)
			fs.PrintDefaults()
			return nil, flag.ErrHelp
		case err != nil:
			return nil, errors.Join(usage, err)
		}
		if args = fs.Args(); len(args) > 0 {
			words, args = append(words, args[0]), args[1:]
		}
	}
	return words, nil
}

// anyNumber of words is one or more.
const anyNumber = -1

// count demands n words, and names the first that is too many.
func count(words []string, n int, usage error) error {
	switch {
	case n != anyNumber && len(words) > n:
		return stray(usage, words[n])
	case len(words) < n || len(words) == 0 && n != 0:
		return usage
	}
	return nil
}

// stray names a word that a command has no use for.
func stray(usage error, word string) error {
	return fmt.Errorf("%w; %.40q does not belong there", usage, word)
}

func asksForHelp(word string) bool { return word == "--help" || word == "-h" || word == "help" }

// groupHelp prints what the whole usage says of the commands that begin with a
// word.
func groupHelp(out io.Writer, group string) error {
	_, lines, _ := strings.Cut(usage, "\n\n")
	text, in := "", false
	for line := range strings.Lines(lines) {
		if !strings.HasPrefix(line, "    ") {
			in = strings.HasPrefix(line, "  "+group)
		}
		if in {
			text += line
		}
	}
	_, err := fmt.Fprintf(out, "Usage: cloister COMMAND [flags]; --help after a whole command says more\n\n%s", text)
	return err
}
