package sqlreplay

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas/sqlreplay"
)

// TestMain is also the other process of TestOneOfAll.
func TestMain(m *testing.M) {
	if dsn := os.Getenv("CLAIM_DSN"); dsn != "" {
		os.Exit(claimant(dsn, os.Getenv("CLAIM_TABLE")))
	}
	code := m.Run()
	if templateDir != "" {
		_ = os.RemoveAll(templateDir)
	}
	os.Exit(code)
}

func table(t testing.TB, db *sql.DB) string {
	t.Helper()
	name := "t_" + strings.ToLower(rand.Text())
	statements, err := sqlreplay.Schema(name)
	if err != nil {
		t.Fatal(err)
	}
	execute(t, db, statements)
	execute(t, db, statements) // twice is harmless
	t.Cleanup(func() { _, _ = db.Exec("DROP TABLE IF EXISTS " + name) })
	return name
}

func open(t testing.TB, db *sql.DB, o sqlreplay.Options) *sqlreplay.Store {
	t.Helper()
	s, err := sqlreplay.Open(context.Background(), db, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newKey() (k [32]byte) {
	_, _ = rand.Read(k[:])
	return k
}

func TestClaim(t *testing.T) {
	db := connect(t, database(t))
	name := table(t, db)
	s := open(t, db, sqlreplay.Options{Table: name})
	if !s.Durable() {
		t.Error("not durable")
	}
	key, now := newKey(), time.Now()
	first, fresh, err := s.Claim(t.Context(), key, now, now.Add(time.Minute))
	if err != nil || !fresh || !first.Equal(now) {
		t.Fatal(first, fresh, err)
	}
	time.Sleep(50 * time.Millisecond)
	other := open(t, connect(t, dsnOf(t, db)), sqlreplay.Options{Table: name})
	for _, s := range []*sqlreplay.Store{s, other} {
		later := time.Now()
		first, fresh, err := s.Claim(t.Context(), key, later, later.Add(time.Minute))
		if ago := later.Sub(first); err != nil || fresh || ago < 50*time.Millisecond || ago > time.Minute {
			t.Errorf("again: %s ago, fresh %v, %v", ago, fresh, err)
		}
		// On the caller's clock, whatever that is.
		skewed := later.Add(-20 * time.Second)
		first, fresh, err = s.Claim(t.Context(), key, skewed, skewed.Add(time.Minute))
		if ago := skewed.Sub(first); err != nil || fresh || ago < 50*time.Millisecond || ago > time.Minute {
			t.Errorf("by a slow clock: %s ago, fresh %v, %v", ago, fresh, err)
		}
	}
	for _, bit := range []int{0, 100, 255} {
		near := key
		near[bit/8] ^= 1 << (bit % 8)
		if _, fresh, err := s.Claim(t.Context(), near, now, now.Add(time.Minute)); err != nil || !fresh {
			t.Errorf("a key of one other bit: %v %v", fresh, err)
		}
	}
}

func dsnOf(t testing.TB, db *sql.DB) string {
	t.Helper()
	var dir string
	if dsn := os.Getenv("CLOISTER_POSTGRES_DSN"); dsn != "" {
		return dsn
	}
	if err := db.QueryRow("SHOW unix_socket_directories").Scan(&dir); err != nil {
		t.Fatal(err)
	}
	return (&server{dir: dir}).dsn()
}

func TestClocks(t *testing.T) {
	db := connect(t, database(t))
	s := open(t, db, sqlreplay.Options{Table: table(t, db), MaxSkew: 10 * time.Second})
	for _, c := range []struct {
		off  time.Duration
		want error
	}{{0, nil}, {8 * time.Second, nil}, {-8 * time.Second, nil}, {time.Minute, sqlreplay.ErrClock}, {-time.Minute, sqlreplay.ErrClock}} {
		key, now := newKey(), time.Now().Add(c.off)
		_, fresh, err := s.Claim(t.Context(), key, now, now.Add(time.Minute))
		if !errors.Is(err, c.want) || fresh != (c.want == nil) {
			t.Errorf("%s off: fresh %v, %v", c.off, fresh, err)
		}
		// Who was refused has used up nothing.
		if _, fresh, err := s.Claim(t.Context(), key, time.Now(), time.Now().Add(time.Minute)); err != nil || fresh != (c.want != nil) {
			t.Errorf("%s off: then fresh %v, %v", c.off, fresh, err)
		}
	}
	now := time.Now()
	if _, _, err := s.Claim(t.Context(), newKey(), now, now.Add(3*time.Hour)); !errors.Is(err, sqlreplay.ErrStore) {
		t.Errorf("for three hours: %v", err)
	}
}

// An entry outlives its end by twice the skew, by the server's clock; then it
// is deleted, a bounded number at a time.
func TestSweep(t *testing.T) {
	db := connect(t, database(t))
	name := table(t, db)
	s := open(t, db, sqlreplay.Options{Table: name, MaxSkew: time.Second})
	key, now := newKey(), time.Now()
	if _, fresh, err := s.Claim(t.Context(), key, now, now.Add(-time.Hour)); err != nil || !fresh {
		t.Fatal(fresh, err)
	}
	if n, err := s.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("within the skew: %d, %v", n, err)
	}
	execute(t, db, "INSERT INTO "+name+" SELECT sha256(i::text::bytea), now(), now() - interval '1 second' FROM generate_series(1, 1500) i")
	execute(t, db, "INSERT INTO "+name+" SELECT sha256(i::text::bytea), now(), now() + interval '1 minute' FROM generate_series(2001, 2010) i")
	for _, want := range []int64{1024, 476, 0} {
		if n, err := s.Sweep(t.Context()); n != want || err != nil {
			t.Errorf("swept %d, want %d, %v", n, want, err)
		}
	}
	if n := count(t, db, name); n != 11 {
		t.Errorf("%d entries are left, want 11", n)
	}
	// Claims sweep by themselves.
	execute(t, db, "INSERT INTO "+name+" SELECT sha256(i::text::bytea), now(), now() - interval '1 second' FROM generate_series(1, 1000) i")
	for range 256 {
		now := time.Now()
		if _, fresh, err := s.Claim(t.Context(), newKey(), now, now.Add(time.Minute)); err != nil || !fresh {
			t.Fatal(fresh, err)
		}
	}
	if n := count(t, db, name); n < 11+256-1 || n > 11+256 { // the first may have ended
		t.Errorf("%d entries are left", n)
	}
}

func count(t testing.TB, db *sql.DB, name string) (n int) {
	t.Helper()
	if err := db.QueryRow("SELECT count(*) FROM " + name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

const (
	claimants = 32
	rounds    = 40
)

// claimant claims every round's key with many goroutines at once and prints how
// often it was first.
func claimant(dsn, name string) int {
	db, err := sql.Open("postgres", dsn)
	if err != nil {
		return 1
	}
	db.SetMaxOpenConns(claimants)
	s, err := sqlreplay.Open(context.Background(), db, sqlreplay.Options{Table: name, Timeout: 10 * time.Second})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("ready")
	start := bufio.NewReader(os.Stdin)
	for round := range rounds {
		_, _ = start.ReadString('\n') // both processes begin a round together
		key := sha256.Sum256([]byte(strconv.Itoa(round)))
		var wg sync.WaitGroup
		var mu sync.Mutex
		won, failed := 0, 0
		for range claimants {
			wg.Go(func() {
				now := time.Now()
				_, fresh, err := s.Claim(context.Background(), key, now, now.Add(time.Minute))
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failed++
				} else if fresh {
					won++
				}
			})
		}
		wg.Wait()
		fmt.Println(won, failed)
	}
	return 0
}

// Of two processes with 32 goroutines each, one is first, in every round.
func TestOneOfAll(t *testing.T) {
	dsn := database(t)
	db := connect(t, dsn)
	name := table(t, db)
	type process struct {
		cmd *exec.Cmd
		out *bufio.Scanner
		in  interface{ Write([]byte) (int, error) }
	}
	var ps []process
	for range 2 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "CLAIM_DSN="+dsn, "CLAIM_TABLE="+name)
		cmd.Stderr = os.Stderr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		p := process{cmd, bufio.NewScanner(out), in}
		if !p.out.Scan() || p.out.Text() != "ready" {
			t.Fatal("the other process did not start")
		}
		ps = append(ps, p)
	}
	both := [2]int{}
	for round := range rounds {
		for _, p := range ps {
			if _, err := p.in.Write([]byte("go\n")); err != nil {
				t.Fatal(err)
			}
		}
		total := 0
		for i, p := range ps {
			var won, failed int
			if !p.out.Scan() {
				t.Fatal("the other process ended")
			}
			if _, err := fmt.Sscan(p.out.Text(), &won, &failed); err != nil || failed != 0 {
				t.Fatalf("round %d: %d failed, %v", round, failed, err)
			}
			total += won
			both[i] += won
		}
		if total != 1 {
			t.Errorf("round %d: %d were first", round, total)
		}
	}
	for _, p := range ps {
		if err := p.cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	t.Logf("first: %d and %d times", both[0], both[1])
}

// While the server is gone nothing is fresh; when it is back it knows what was.
func TestServerKilled(t *testing.T) {
	srv := throwaway(t)
	db := connect(t, srv.dsn())
	s := open(t, db, sqlreplay.Options{Table: table(t, db)})
	var keys [][32]byte
	claim := func(key [32]byte) (bool, error) {
		now := time.Now()
		_, fresh, err := s.Claim(context.Background(), key, now, now.Add(time.Minute))
		return fresh, err
	}
	// The server dies in the middle of claims; those that were answered count.
	var wg sync.WaitGroup
	var mu sync.Mutex
	stop := make(chan struct{})
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				key := newKey()
				if fresh, err := claim(key); err != nil {
					return
				} else if fresh {
					mu.Lock()
					keys = append(keys, key)
					mu.Unlock()
				}
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	srv.kill()
	close(stop)
	wg.Wait()
	if len(keys) < 8 {
		t.Fatalf("only %d claims before the server died", len(keys))
	}
	if fresh, err := claim(newKey()); fresh || !errors.Is(err, sqlreplay.ErrStore) {
		t.Errorf("without a server: fresh %v, %v", fresh, err)
	}
	if _, err := sqlreplay.Open(context.Background(), db, sqlreplay.Options{}); !errors.Is(err, sqlreplay.ErrStore) {
		t.Errorf("without a server: %v", err)
	}
	srv.start()
	for _, key := range keys {
		if fresh, err := claim(key); fresh || err != nil {
			t.Fatalf("after the restart: fresh %v, %v", fresh, err)
		}
	}
	if fresh, err := claim(newKey()); !fresh || err != nil {
		t.Errorf("a new key after the restart: fresh %v, %v", fresh, err)
	}
	t.Logf("%d claims outlived the server", len(keys))
}

// A claim that the server holds up ends by itself, and is no permission.
func TestServerHangs(t *testing.T) {
	db := connect(t, database(t))
	name := table(t, db)
	s := open(t, db, sqlreplay.Options{Table: name, Timeout: 200 * time.Millisecond})
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec("LOCK TABLE " + name + " IN ACCESS EXCLUSIVE MODE"); err != nil {
		t.Fatal(err)
	}
	key, now := newKey(), time.Now()
	if _, fresh, err := s.Claim(context.Background(), key, now, now.Add(time.Minute)); fresh || !errors.Is(err, sqlreplay.ErrStore) {
		t.Errorf("fresh %v, %v", fresh, err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	if _, fresh, err := s.Claim(gone, key, now, now.Add(time.Minute)); fresh || !errors.Is(err, sqlreplay.ErrStore) || !errors.Is(err, context.Canceled) {
		t.Errorf("fresh %v, %v", fresh, err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	now = time.Now()
	if _, fresh, err := s.Claim(context.Background(), newKey(), now, now.Add(time.Minute)); err != nil || !fresh {
		t.Errorf("the control: fresh %v, %v", fresh, err)
	}
}

// Tables and servers that forget are refused before the first claim.
func TestOpenRefusesWhatForgets(t *testing.T) {
	srv := throwaway(t)
	db := connect(t, srv.dsn())
	good := table(t, db)
	open(t, db, sqlreplay.Options{Table: good})
	execute(t, db, `CREATE UNLOGGED TABLE forgets (key bytea PRIMARY KEY, first timestamptz, until timestamptz);
		CREATE TABLE twice (key bytea, first timestamptz, until timestamptz);
		CREATE TABLE partly (key bytea, first timestamptz, until timestamptz);
		CREATE UNIQUE INDEX ON partly (key) WHERE first > '2020-01-01';
		CREATE TABLE pairs (key bytea, first timestamptz, until timestamptz, PRIMARY KEY (key, first))`)
	for _, name := range []string{"absent", "forgets", "twice", "partly", "pairs"} {
		if _, err := sqlreplay.Open(t.Context(), db, sqlreplay.Options{Table: name}); !errors.Is(err, sqlreplay.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, setting := range []string{"fsync=off", "synchronous_commit=off"} {
		srv.kill()
		srv.start(setting)
		if _, err := sqlreplay.Open(t.Context(), connect(t, srv.dsn()), sqlreplay.Options{Table: good}); !errors.Is(err, sqlreplay.ErrConfig) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}

// The role of a firewall needs no more than the documentation says.
func TestRoleOfLeastRights(t *testing.T) {
	srv := throwaway(t)
	db := connect(t, srv.dsn())
	name := table(t, db)
	execute(t, db, "CREATE ROLE firewall LOGIN; GRANT SELECT, INSERT, DELETE ON "+name+" TO firewall")
	mine := connect(t, strings.Replace(srv.dsn(), "user=cloister", "user=firewall", 1))
	s := open(t, mine, sqlreplay.Options{Table: name})
	key, now := newKey(), time.Now()
	for _, want := range []bool{true, false} {
		if _, fresh, err := s.Claim(t.Context(), key, now, now.Add(time.Minute)); fresh != want || err != nil {
			t.Errorf("fresh %v, %v", fresh, err)
		}
	}
	execute(t, db, "INSERT INTO "+name+" VALUES (sha256('ended'), now(), now() - interval '1 second')")
	if n, err := s.Sweep(t.Context()); n != 1 || err != nil {
		t.Error(n, err)
	}
}
