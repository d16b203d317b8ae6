package weight

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/cloisterdev/cloister"

// requirements makes an empty module that imports the packages, tidies it, and
// returns what its go.mod then requires, Cloister itself included.
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
	mod := fmt.Sprintf("module example.com/empty\n\ngo 1.26.0\n\nreplace %s => %s\n", module, root)
	for name, text := range map[string]string{"main.go": src.String(), "go.mod": mod} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) []byte {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		var errOut strings.Builder
		cmd.Stderr = &errOut
		out, err := cmd.Output()
		if err != nil {
			for _, s := range []string{"dial tcp", "no such host", "i/o timeout", "connection refused", "GOPROXY=off"} {
				if strings.Contains(errOut.String(), s) {
					t.Skipf("neither cache nor module proxy has what is needed: %s", errOut.String())
				}
			}
			t.Fatalf("go %v: %v\n%s", args, err, errOut.String())
		}
		return out
	}
	run("mod", "tidy")
	var file struct{ Require []struct{ Path string } }
	if err := json.Unmarshal(run("mod", "edit", "-json"), &file); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range file.Require {
		out = append(out, r.Path)
	}
	return out
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
		{"kmsctx", []string{"kmsctx", "kmsctx/kmstest"}, 1},
		{"kmsctx/localkms", []string{"kmsctx", "kmsctx/localkms"}, 4},
		{"kmsctx/hierarchy", []string{"kmsctx/hierarchy"}, 9},
		{"fas", []string{"fas"}, 5},
		{"fas parts", []string{"fas/sigv4", "fas/httpsig", "fas/policy"}, 1},
		{"fas/awssts", []string{"fas/awssts"}, 13},
		{"fas/awssts/accessgrants", []string{"fas/awssts/accessgrants"}, 15},
		{"fas/oidc", []string{"fas/oidc"}, 8},
		{"fas/sqlreplay", []string{"fas/sqlreplay"}, 1},
		{"workflow", []string{"workflow"}, 3},
		{"sandbox", []string{"sandbox"}, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := requirements(t, c.packages...)
			t.Logf("%d requirements: %v", len(got), got)
			if len(got) > c.max {
				t.Errorf("%v cost %d requirements, at most %d: %v", c.packages, len(got), c.max, got)
			}
			if !slices.Contains(got, module) {
				t.Error("the measurement does not see Cloister itself")
			}
		})
	}
}

// The negative of the measurement: what a package brings is seen.
func TestRequirementsAreSeen(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the go command")
	}
	if got := requirements(t, "authz"); !slices.Contains(got, "github.com/cedar-policy/cedar-go") {
		t.Errorf("authz needs Cedar, and the measurement says %v", got)
	}
}
