package sqlreplay_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cloisterdev/cloister/fas"
	"github.com/cloisterdev/cloister/fas/sqlreplay"
)

// A store is what a firewall asks for.
var _ fas.ReplayStore = (*sqlreplay.Store)(nil)

// nowhere is a database that nobody answers for.
type nowhere struct{ wait bool }

var errRefused = errors.New("connection refused")

func (n nowhere) Connect(ctx context.Context) (driver.Conn, error) {
	if n.wait {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, errRefused
}

func (n nowhere) Driver() driver.Driver { return nil }

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	down := sql.OpenDB(nowhere{})
	for _, c := range []struct {
		name  string
		db    *sql.DB
		table string
		want  error
	}{
		{"no database", nil, "", sqlreplay.ErrConfig},
		{"a statement for a name", down, "a; DROP TABLE b", sqlreplay.ErrConfig},
		{"a quoted name", down, `"a"`, sqlreplay.ErrConfig},
		{"upper case", down, "Replay", sqlreplay.ErrConfig},
		{"a digit first", down, "1replay", sqlreplay.ErrConfig},
		{"a schema", down, "public.replay", sqlreplay.ErrConfig},
		{"a long name", down, strings.Repeat("a", 49), sqlreplay.ErrConfig},
		{"nobody there", down, "replay_2", sqlreplay.ErrStore},
		{"nobody there, by cause", down, "", errRefused},
	} {
		s, err := sqlreplay.Open(t.Context(), c.db, sqlreplay.Options{Table: c.table})
		if !errors.Is(err, c.want) || s != nil {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

// A server that hangs is given up by itself.
func TestOpenEnds(t *testing.T) {
	t.Parallel()
	_, err := sqlreplay.Open(context.Background(), sql.OpenDB(nowhere{wait: true}), sqlreplay.Options{Timeout: time.Millisecond})
	if !errors.Is(err, sqlreplay.ErrStore) || !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestSchemaRefusesNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b", "a;", "a'", "é", "A"} {
		if s, err := sqlreplay.Schema(name); !errors.Is(err, sqlreplay.ErrConfig) || s != "" {
			t.Errorf("%q: %v", name, err)
		}
	}
	if s, err := sqlreplay.Schema(""); err != nil || !strings.Contains(s, "cloister_replay") {
		t.Error(s, err)
	}
}

func ExampleOpen() {
	// With no server there, nothing is claimed and nothing is opened.
	db := sql.OpenDB(nowhere{})
	_, err := sqlreplay.Open(context.Background(), db, sqlreplay.Options{})
	fmt.Println(errors.Is(err, sqlreplay.ErrStore))

	// Whoever owns the database makes the table once.
	statements, err := sqlreplay.Schema("cloister_replay")
	fmt.Println(strings.Fields(statements)[0], err)
	// Output:
	// true
	// CREATE <nil>
}
