package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/tenant"
)

// canaries is how many strings of the corpora are looked for.
const canaries = 100

// TestNothingLeaks looks for the tenants' source, their secret keys and the
// root key in every file of the service and in the memory of the processes
// whose table entry says "cannot".
func TestNothingLeaks(t *testing.T) {
	needMemoryFile(t)
	st, out := startStack(t)
	ctx := testContext(t, 3*time.Minute)
	var want [][]byte
	files := map[string]string{}
	for i := range canaries {
		c := "canary" + strings.ToLower(strings.NewReplacer("req-", "", "tn-", "").Replace(tenant.NewID().String()))
		want = append(want, []byte(c))
		files[fmt.Sprintf("f%d.go", i)] = fmt.Sprintf("package f\n\n// %s\nfunc F%d() string {\n\treturn %q\n}\n", c, i, c)
	}
	s := newSide(t, st, "canaries", corpus("Settle", 1))
	during := make(chan int)
	go func() { // the control plane is looked at while it ingests, too
		n := 0
		for range 5 {
			n += len(scanMemory(t, st.PID("front"), want))
			time.Sleep(60 * time.Millisecond)
		}
		during <- n
	}()
	arn := customizeFrom(ctx, t, st, s, "canaries/", files)
	if n := <-during; n != 0 {
		t.Errorf("the front end held source during ingestion: %d places", n)
	}
	secrets := [][]byte{[]byte(s.admin.User.Secret), []byte(s.dev.User.Secret)}
	root, err := os.ReadFile(filepath.Join(firewallDir(st.Dir()), "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	keys := append(bytes.Clone(root), 0)[:len(root)]
	cannot := append(append(append([][]byte{}, want...), secrets...), keys)
	for _, hit := range scanMemory(t, st.PID("front"), cannot) {
		t.Errorf("the front end's memory before the first query: %s", hit)
	}
	for _, hit := range scanMemory(t, st.PID("firewall"), want) {
		t.Errorf("the firewall's memory: %s", hit)
	}
	for _, hit := range scanMemory(t, st.PID("cloud"), [][]byte{keys}) {
		t.Errorf("the customer cloud's memory: %s", hit)
	}
	// One completion starts a slot; it must know its customization and no key
	// of anybody.
	if _, err := askCompletion(ctx, s.dev, arn, "func F() string {\n\treturn "); err != nil {
		t.Fatal(err)
	}
	slots := slotPIDs(t, st.PID("front"))
	if len(slots) == 0 {
		t.Fatal("no slot is running after a completion")
	}
	for _, pid := range slots {
		if err := forbidden(pid); err != nil {
			t.Logf("slot %d is not looked into: it has made itself undumpable, and this user is not root: %v", pid, err)
			continue
		}
		if len(scanMemory(t, pid, want)) == 0 {
			t.Errorf("slot %d does not hold its own customization: the scan sees nothing", pid)
		}
		for _, hit := range scanMemory(t, pid, append(secrets, keys)) {
			t.Errorf("slot %d: %s", pid, hit)
		}
	}
	for _, hit := range scanFiles(t, st.Dir(), cannot) {
		// The demo's customer cloud is the tenants' own place, and the root
		// key's file is the one place of the root key.
		if !strings.HasPrefix(hit, cloudDir(st.Dir())) && !strings.HasPrefix(hit, filepath.Join(firewallDir(st.Dir()), "root.key")) {
			t.Errorf("on disk: %s", hit)
		}
	}
	for _, w := range cannot {
		if strings.Contains(out.String(), string(w)) {
			t.Errorf("the log has %q", w)
		}
	}
}

// TestScanFinds is the negative of the scan: what is there is found.
func TestScanFinds(t *testing.T) {
	needMemoryFile(t)
	st, _ := startStack(t)
	root, err := os.ReadFile(filepath.Join(firewallDir(st.Dir()), "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	if len(scanFiles(t, st.Dir(), [][]byte{root})) == 0 {
		t.Error("the root key's own file was not found")
	}
	mine := []byte("a-string-of-this-very-process-" + strconv.Itoa(os.Getpid()))
	if len(scanMemory(t, os.Getpid(), [][]byte{mine})) == 0 {
		t.Error("a string of this process was not found in its memory")
	}
}

func scanFiles(t *testing.T, dir string, want [][]byte) (hits []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		for _, w := range want {
			if bytes.Contains(b, w) {
				hits = append(hits, p)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return hits
}

func needMemoryFile(t *testing.T) {
	t.Helper()
	f, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Skipf("the memory of processes cannot be read here: %v", err)
	}
	f.Close()
}

// forbidden is why a user who is not root may not read the memory of a process.
// For root nothing is forbidden: a scan that fails is red.
func forbidden(pid int) error {
	if os.Geteuid() == 0 {
		return nil
	}
	for _, name := range []string{"maps", "mem"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/%s", pid, name))
		if errors.Is(err, fs.ErrPermission) {
			return err
		}
		if err == nil {
			f.Close()
		}
	}
	return nil
}

// scanMemory reads a process's writable memory through its own memory file.
func scanMemory(t *testing.T, pid int, want [][]byte) (hits []string) {
	t.Helper()
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer maps.Close()
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		t.Error(err)
		return nil
	}
	defer mem.Close()
	read := 0
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 || !strings.HasPrefix(f[1], "rw") {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		lo, err1 := strconv.ParseUint(from, 16, 63)
		hi, err2 := strconv.ParseUint(to, 16, 63)
		if err1 != nil || err2 != nil || hi-lo > 1<<30 {
			continue
		}
		const step, overlap = 4 << 20, 256
		for at := lo; at < hi; at += step {
			b := make([]byte, min(hi-at, step+overlap))
			n, _ := mem.ReadAt(b, int64(at)) // a page may have gone
			read += n
			for _, w := range want {
				if i := bytes.Index(b[:n], w); i >= 0 {
					hits = append(hits, fmt.Sprintf("%q at %x", w, at+uint64(i)))
				}
			}
		}
	}
	if read == 0 {
		t.Errorf("nothing of process %d could be read", pid)
	}
	return hits
}

// slotPIDs are the children of the front end that serve as engine slots.
func slotPIDs(t *testing.T, front int) (out []int) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		cmd, err := os.ReadFile(filepath.Join(filepath.Dir(p), "cmdline"))
		if err != nil || len(f) < 2 || f[1] != strconv.Itoa(front) || !bytes.Contains(cmd, []byte("_slot")) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p)))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, pid)
	}
	return out
}
