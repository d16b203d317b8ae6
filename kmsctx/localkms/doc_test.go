package localkms_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The package documentation lists every sentinel that errors.go declares.
func TestEverySentinelIsDocumented(t *testing.T) {
	t.Parallel()
	declared, err1 := os.ReadFile("errors.go")
	doc, err2 := os.ReadFile("doc.go")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		if list, ok := strings.CutPrefix(line, "//\tErr"); ok {
			for _, name := range regexp.MustCompile(`\bErr[A-Za-z]+`).FindAllString("Err"+list, -1) {
				listed[name] = true
			}
		}
	}
	names := regexp.MustCompile(`(?m)^\t(Err\w+) +=`).FindAllStringSubmatch(string(declared), -1)
	if len(names) < 10 {
		t.Fatalf("%d sentinels were found", len(names))
	}
	for _, m := range names {
		if !listed[m[1]] {
			t.Errorf("doc.go does not list %s", m[1])
		}
		delete(listed, m[1])
	}
	for name := range listed {
		t.Errorf("doc.go lists %s, which errors.go does not declare", name)
	}
}
