package weight

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/cloisterdev/cloister"

// requirements makes an empty module that imports the packages and counts what
// its go.mod requires, Cloister itself included.
func requirements(t *testing.T, packages ...string) []string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var src strings.Builder
	src.WriteString("package main\n\nimport (\n")
	for _, p := range packages {
		fmt.Fprintf(&src, "\t_ %q\n", module+"/"+p)
	}
	src.WriteString(")\n\nfunc main() {}\n")
	mod := fmt.Sprintf("module example.com/empty\n\ngo 1.26.0\n\nrequire %s v0.0.0\n\nreplace %s => %s\n", module, module, root)
	for name, text := range map[string]string{"main.go": src.String(), "go.mod": mod} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		out, err := cmd.CombinedOutput()
		if err != nil {
			if strings.Contains(string(out), "dial tcp") || strings.Contains(string(out), "proxy") {
				t.Skipf("the module proxy cannot be reached: %s", out)
			}
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	// Test-only needs of dependencies are not the consumer's, so a build
	// decides, not tidy.
	run("build", "-o", os.DevNull, ".")
	var out []string
	for line := range strings.Lines(run("list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")) {
		if m := strings.TrimSpace(line); m != "" && m != "example.com/empty" && !contains(out, m) {
			out = append(out, m)
		}
	}
	return out
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func TestRequirements(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the go command")
	}
	for _, c := range []struct {
		name     string
		packages []string
		max      int
	}{
		{"tenant", []string{"tenant"}, 1},
		{"audit", []string{"audit"}, 2},
		{"authz", []string{"authz"}, 5},
		{"kmsctx", []string{"kmsctx", "kmsctx/localkms"}, 4},
		{"fas/sigv4", []string{"fas/sigv4"}, 1},
		{"fas/policy", []string{"fas/policy"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := requirements(t, c.packages...)
			t.Logf("%d modules: %v", len(got), got)
			if len(got) > c.max {
				t.Errorf("%v cost %d modules, at most %d: %v", c.packages, len(got), c.max, got)
			}
			if !contains(got, module) {
				t.Error("the measurement does not see Cloister itself")
			}
		})
	}
}
