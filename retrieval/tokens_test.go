package retrieval_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cloisterdev/cloister/retrieval"
)

func tokens(text string) (out []string) {
	retrieval.Tokens(text, func(t string) { out = append(out, t) })
	return out
}

func identifier(id string) (out []string) {
	retrieval.Identifier(id, func(t string) { out = append(out, t) })
	return out
}

func TestTokens(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "",
		"DialTimeout":             "dialtimeout dial timeout",
		"dialTimeout":             "dialtimeout dial timeout",
		"dial_timeout":            "dial_timeout dial timeout",
		"DIAL_TIMEOUT":            "dial_timeout dial timeout",
		"HTTPServer":              "httpserver http server",
		"ServeHTTP":               "servehttp serve http",
		"getX":                    "getx get",
		"__init__":                "__init__ init",
		"utf8Name":                "utf8name utf8 name",
		"x.Close()":               "close",
		"plain":                   "plain",
		"a b c":                   "",
		"if err != nil":           "",
		"returnValue":             "returnvalue value",
		"größe":                   "größe",
		"MaxGröße":                "maxgröße max größe",
		"ÄußereÜbung":             "äußereübung äußere übung",
		"計算する":                    "計算する",
		"don’t—stop":              "don stop",
		"a\u0308b":                "a\u0308b", // one letter in two runes
		"x\xffyy":                 "yy",
		"naïve\x00text":           "naïve text",
		strings.Repeat("x", 64):   strings.Repeat("x", 64),
		strings.Repeat("x", 65):   "",
		strings.Repeat("語", 21):   strings.Repeat("語", 21),
		strings.Repeat("語", 22):   "",
		"\u212a_x":                "k_x", // a letter that is shorter in lower case
		"İstanbulŞehri":           "istanbulşehri istanbul şehri",
		"ab\u212a\u212a\u212a_cd": "abkkk_cd ab kkk cd",
	} {
		got := strings.Join(tokens(text), " ")
		if got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}

// A definition is found by whoever writes its name.
func TestDefinitionsAreFound(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"Größe", "計算", "DialTimeout", "\u212a_x", "X", "x", "_", "__", "aé", "Éa", "数A"} {
		if got, want := identifier(id), tokens(id+"(1)"); !slices.Equal(got, want) {
			t.Errorf("%q is indexed as %q and asked for as %q", id, got, want)
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, s := range []string{"DialTimeout_x HTTPServer", "größe\xff計算", "\u212a_x İA", "a\u0308_B", "ſ_K\u212a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := tokens(text)
		for _, term := range got {
			if len(term) < 2 || !utf8.ValidString(term) || strings.ToLower(term) != term {
				t.Fatalf("a term %q of %q", term, text)
			}
			for _, r := range term {
				if strings.ContainsRune(" \n\t\x00().,;{}", r) {
					t.Fatalf("a term %q of %q", term, text)
				}
			}
		}
		// Words do not touch each other.
		if twice := tokens(text + "\n" + text); !slices.Equal(twice, append(slices.Clone(got), got...)) {
			t.Fatalf("%q: %q, and twice %q", text, got, twice)
		}
		identifier(text) // whatever a driver calls a definition
	})
}
