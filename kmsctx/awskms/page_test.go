package awskms_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// commands are those that follow a mark on the page about the key service.
func commands(t *testing.T, mark string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "doc", "patterns", "key-service.md"))
	must(t, err)
	_, rest, ok := strings.Cut(string(b), "<!-- commands: "+mark+" -->\n")
	if !ok {
		t.Fatalf("the page has no commands of %s", mark)
	}
	var out strings.Builder
	for line := range strings.Lines(rest) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented {
			break
		}
		// A shell does not stop at a command that was to fail and did not.
		if denied, ok := strings.CutPrefix(text, "! "); ok {
			text = "refused " + denied
		}
		out.WriteString(text)
	}
	return out.String()
}

// The commands of the page do what it says: those marked are refused, with that
// error, and all others succeed.
func TestCommandsOfThePage(t *testing.T) {
	t.Parallel()
	program := os.Getenv("CLOISTER_AWS_CLI")
	if program == "" {
		t.Skip("CLOISTER_AWS_CLI does not name the AWS CLI's program")
	}
	url, _, _, stop := exampleService()
	defer stop()
	const refused = `refused() {
	if out=$("$@" 2>&1); then echo "permitted: $*"; exit 3; fi
	case $out in *AccessDeniedException*) ;; *) echo "$* : $out"; exit 4;; esac
	echo refused
}
export AWS_SECRET_ACCESS_KEY=secret-0123456789
aws() { command "$CLOISTER_AWS_CLI" "$@"; }
`
	root, worker := commands(t, "root"), commands(t, "worker")
	if !strings.Contains(root, "http://127.0.0.1:7071") || strings.Count(worker, "\nrefused ") != 4 {
		t.Fatalf("these are not the commands: %s%s", root, worker)
	}
	root = strings.Replace(root, "http://127.0.0.1:7071", url, 1)
	script := refused + "export AWS_ACCESS_KEY_ID=AKIDROOT\n" + root + "export AWS_ACCESS_KEY_ID=AKIDWORKER\n" + worker
	cmd := exec.Command("bash", "-eu", "-o", "pipefail", "-c", script)
	// No configuration of whoever runs the test, and one attempt.
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") }), "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_MAX_ATTEMPTS=1", "AWS_PAGER=")
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Count(string(out), "refused\n") != 4 || strings.Count(string(out), `"CiphertextBlob"`) != 1 {
		t.Errorf("%v\n%s", err, out)
	}
}
