package sqlreplay

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/lib/pq"
)

// server is a PostgreSQL of this test alone.
type server struct {
	t      testing.TB
	dir    string
	prefix []string // runs what follows as another user
	cmd    *exec.Cmd
}

const nobody = 65534

// throwaway starts a server, or skips.
func throwaway(t testing.TB) *server {
	t.Helper()
	for _, name := range []string{"initdb", "postgres"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not on the search path", name)
		}
	}
	// The path of a Unix socket is short.
	dir, err := os.MkdirTemp("", "pg")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &server{t: t, dir: dir}
	if os.Getuid() == 0 {
		if _, err := exec.LookPath("setpriv"); err != nil {
			t.Skip("this is root, as whom PostgreSQL does not run, and setpriv is not on the search path")
		}
		if err := os.Chown(dir, nobody, nobody); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint(nobody)
		s.prefix = []string{"setpriv", "--reuid=" + id, "--regid=" + id, "--clear-groups"}
	}
	s.template()
	t.Cleanup(s.kill)
	s.start()
	return s
}

// A cluster is made once and copied.
var (
	templateOnce sync.Once
	templateDir  string
)

func (s *server) template() {
	s.t.Helper()
	templateOnce.Do(func() {
		if out, err := s.command("initdb", "-D", s.data(), "-U", "cloister", "-A", "trust", "--locale=C", "-E", "UTF8").CombinedOutput(); err != nil {
			s.t.Fatalf("initdb: %v\n%s", err, out)
		}
		dir, err := os.MkdirTemp("", "pg")
		if err != nil {
			s.t.Fatal(err)
		}
		templateDir = dir
		if out, err := exec.Command("cp", "-a", s.data(), dir).CombinedOutput(); err != nil {
			s.t.Fatalf("%v\n%s", err, out)
		}
	})
	if _, err := os.Stat(s.data()); err == nil {
		return // this is the one that was copied
	}
	if out, err := exec.Command("cp", "-a", filepath.Join(templateDir, "data"), s.dir).CombinedOutput(); err != nil {
		s.t.Fatalf("%v\n%s", err, out)
	}
}

func (s *server) data() string { return filepath.Join(s.dir, "data") }

func (s *server) command(args ...string) *exec.Cmd {
	args = append(append([]string{}, s.prefix...), args...)
	c := exec.Command(args[0], args[1:]...)
	c.Dir = s.dir
	return c
}

// start starts the server on what data there is and waits for it.
func (s *server) start(settings ...string) {
	s.t.Helper()
	args := []string{"postgres", "-D", s.data(), "-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.dir, "-c", "max_connections=100"}
	for _, c := range settings {
		args = append(args, "-c", c)
	}
	s.cmd = s.command(args...)
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	db := connect(s.t, s.dsn())
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if err := db.Ping(); err == nil {
			return
		} else if time.Now().After(deadline) {
			b, _ := os.ReadFile(filepath.Join(s.dir, "log"))
			s.t.Fatalf("the server does not come up: %v\n%s", err, b)
		}
	}
}

// kill ends the server and its children as a loss of power would: until the
// last of them is gone, a child may still answer, and truly remember.
func (s *server) kill() {
	if s.cmd == nil {
		return
	}
	pid := s.cmd.Process.Pid
	out, _ := exec.Command("pgrep", "-P", fmt.Sprint(pid)).Output()
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	s.cmd = nil
	for _, word := range strings.Fields(string(out)) {
		child, err := strconv.Atoi(word)
		if err != nil {
			continue
		}
		_ = syscall.Kill(child, syscall.SIGKILL)
		for deadline := time.Now().Add(30 * time.Second); alive(child) && time.Now().Before(deadline); {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// alive reports whether a process runs; one that nobody has waited for does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}

func (s *server) dsn() string {
	return "host=" + s.dir + " user=cloister dbname=postgres sslmode=disable connect_timeout=5"
}

func connect(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(16)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// database is the one that the environment names, or that of a server made now.
func database(t testing.TB) string {
	t.Helper()
	if dsn := os.Getenv("CLOISTER_POSTGRES_DSN"); dsn != "" {
		return dsn
	}
	return throwaway(t).dsn()
}

func execute(t testing.TB, db *sql.DB, statements string) {
	t.Helper()
	if _, err := db.ExecContext(context.Background(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}
