// Package quickstart tests the programs below it: each is one package's main
// job, after one refusal, on a page.
package quickstart

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// maxLines is the length of a program, so that it is read in one go.
const maxLines = 80

// programs are what each program says first, of a refusal, and last.
var programs = []struct {
	name, refused, last string
	confines            bool // needs Linux that can confine
}{
	{"tenant", "a user's ID and nothing", "the key has 31 bytes, inside Use only", false},
	{"audit", "a denial became an allow", "verified: 2 records, all signed: true", false},
	{"authz", "another tenant", "permitted: GenerateCompletions for less than a minute: true", false},
	{"fas", "a guessed secret", "session: lists true queries false own tenant true", false},
	{"kmsctx", "opening as another tenant", "opened: func main() {}", false},
	{"retrieval", "a session of a list call", "chunks in the prompt: 1", false},
	{"gpuinfer", "a search's session, and a chunk of another customization", "on its own cores: true", true},
	{"sandbox", "a file that it was not handed", "counted 2 and 4 words, each in a process of its own: true", true},
	{"workflow", "an ID that somebody typed", "run: completed grants: 1", false},
}

// build compiles programs, without cgo as a service would, into a folder.
func build(t *testing.T, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("go", append([]string{"build", "-o", dir + string(os.PathSeparator)}, packages...)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

func start(t *testing.T, program string) (out, errOut string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var o, e bytes.Buffer
	cmd := exec.CommandContext(ctx, program)
	// Whatever a program leaves in its temporary folder is seen.
	tmp := t.TempDir()
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(tmp); err != nil || (len(left) != 0 && exit == nil) {
		t.Errorf("left behind: %v, %v", left, err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// says checks what a program printed: a refusal first, the main line last.
func says(out, refused, last string) error {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	switch {
	case !strings.HasPrefix(lines[0], "refused: ") || !strings.Contains(lines[0], refused):
		return fmt.Errorf("the first line is no refusal of %q", refused)
	case lines[len(lines)-1] != last:
		return fmt.Errorf("the last line is not %q", last)
	}
	return nil
}

func TestPrograms(t *testing.T) {
	dir := build(t, "./...")
	for _, p := range programs {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			if p.confines && runtime.GOOS != "linux" {
				t.Skip("confinement needs Linux")
			}
			out, errOut, code := start(t, filepath.Join(dir, p.name))
			if p.confines && code != 0 && strings.Contains(errOut, "tier cannot be applied") {
				t.Skipf("this machine cannot confine: %s", errOut)
			}
			if code != 0 || errOut != "" {
				t.Fatalf("exit code %d\n%s%s", code, out, errOut)
			}
			if err := says(out, p.refused, p.last); err != nil {
				t.Errorf("%v:\n%s", err, out)
			}
		})
	}
}

// A program that refuses nothing, fails or leaves its last line out is found.
func TestSaysFinds(t *testing.T) {
	t.Parallel()
	for name, out := range map[string]string{
		"silence": "", "no refusal": "opened\ndone", "another refusal": "refused: y\ndone", "no last line": "refused: x\n",
		"refusal not first": "opened\nrefused: x\ndone", "more after the last": "refused: x\ndone\nmore",
	} {
		if says(out, "x", "done") == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := says("refused: x\ndone\n", "x", "done"); err != nil {
		t.Errorf("the control: %v", err)
	}
}

// Sealing costs a page of forty lines and nobody else's module.
func TestKmsctxIsAlone(t *testing.T) {
	t.Parallel()
	modules := func(program string) (others []string) {
		cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", program)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range strings.Fields(string(out)) {
			if m != "github.com/cloisterdev/cloister" && !strings.HasPrefix(m, "github.com/cloisterdev/cloister/") {
				others = append(others, m)
			}
		}
		return others
	}
	if got := modules("./kmsctx"); got != nil {
		t.Errorf("the build uses %v", got)
	}
	if modules("./authz") == nil {
		t.Error("the control: what another program brings is not seen")
	}
	b, err := os.ReadFile(filepath.Join("kmsctx", "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("\n")); n > 40 {
		t.Errorf("%d lines, at most 40", n)
	}
}

// Every folder is in the table, short, and uses what any module could use.
func TestPages(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*/main.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, p := range programs {
		known[filepath.Join(p.name, "main.go")] = true
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\n")); n > maxLines {
			t.Errorf("%s has %d lines, at most %d", name, n, maxLines)
		}
		if bytes.Contains(b, []byte("github.com/cloisterdev/cloister/internal/")) {
			t.Errorf("%s imports what other modules cannot", name)
		}
		if !known[name] {
			t.Errorf("%s is not in the table of programs", name)
		}
		delete(known, name)
	}
	for name := range known {
		t.Errorf("%s is in the table and not there", name)
	}
}
