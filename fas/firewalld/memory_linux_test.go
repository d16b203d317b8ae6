package firewalld_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/cloisterdev/cloister/fas/firewalld"
	"github.com/cloisterdev/cloister/tenant"
)

// askWords are the directory, tenant and user for the test's other process.
const askWords = "FIREWALLD_TEST_ASK"

// Who only asks whose a user is leaves none of the user's secret in memory.
func TestAskingForAUserLeavesNoSecret(t *testing.T) {
	if words := strings.Fields(os.Getenv(askWords)); len(words) == 3 {
		askForUser(t, words[0], words[1], words[2])
		return
	}
	w := newRegistered(t)
	name, err := tenant.NewText("n", 10)
	w.ok(err)
	u, err := firewalld.AddUser(w.dir, w.root, w.acme, name, true)
	w.ok(err)
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestAskingForAUserLeavesNoSecret$")
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", askWords, w.dir, w.acme, u.User))
	in, err1 := c.StdinPipe()
	out, err2 := c.StdoutPipe()
	w.ok(errors.Join(err1, err2, c.Start()))
	asked := make([]byte, 5)
	if _, err := io.ReadFull(out, asked); err != nil || string(asked) != "asked" {
		t.Errorf("%q, %v", asked, err)
	}
	if !inMemory(t, c.Process.Pid, u.User.String()) {
		t.Error("the scan does not see what is there")
	}
	if inMemory(t, c.Process.Pid, u.SecretAccessKey) {
		t.Error("the secret stands in memory")
	}
	w.ok(errors.Join(in.Close(), c.Wait()))
}

func askForUser(t *testing.T, dir, idText, userText string) {
	id, err1 := tenant.ParseID(idText)
	u, err2 := tenant.ParseUserID(userText)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	err := firewalld.ChangeTenant(dir, tenant.NewSecret(bytes.Repeat([]byte{3}, 32)), id, func(t *firewalld.Tenant) error {
		t.Issuer = &firewalld.Issuer{URL: "https://login.acme.example", Audience: "acme", Subjects: map[string]tenant.UserID{"ann": u}}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Print("asked")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// inMemory looks for a text in another process's writable memory.
func inMemory(t *testing.T, pid int, text string) bool {
	t.Helper()
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Skipf("the memory of processes cannot be read here: %v", err)
	}
	defer mem.Close()
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var mode string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &mode); err != nil || mode[:2] != "rw" || to-from > 1<<30 {
			continue
		}
		b := make([]byte, to-from)
		n, _ := mem.ReadAt(b, from) // a page may have gone
		if bytes.Contains(b[:n], []byte(text)) {
			return true
		}
	}
	return false
}
