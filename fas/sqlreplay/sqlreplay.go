package sqlreplay

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// The sentinel errors of this package; see the package documentation.
var (
	ErrConfig = errors.New("sqlreplay: not a database that remembers")
	ErrStore  = errors.New("sqlreplay: the claim has no answer")
	ErrClock  = errors.New("sqlreplay: the clock of this process is off")
)

// Options changes how claims are made. The zero value is the default.
type Options struct {
	// Table is the table's name, a plain lower-case identifier, in the schema
	// that the connection searches first; empty means "cloister_replay".
	Table string
	// Timeout bounds a claim, beside the caller's context: zero means 2
	// seconds, and it is at most 10.
	Timeout time.Duration
	// MaxSkew is how far this process's clock may be from the server's: zero
	// means 30 seconds, and it is at most 5 minutes.
	MaxSkew time.Duration
}

const (
	defaultTable = "cloister_replay"
	// maxLife is longer than any evidence verifies.
	maxLife = 2 * time.Hour
	// Every sweepEvery-th claim deletes up to sweepRows: more than came since.
	sweepEvery = 256
	sweepRows  = 4 * sweepEvery
)

func (o *Options) complete() error {
	if o.Table == "" {
		o.Table = defaultTable
	}
	if !identifier(o.Table) {
		return fmt.Errorf("%w: the table's name is not a plain identifier", ErrConfig)
	}
	if o.Timeout <= 0 {
		o.Timeout = 2 * time.Second
	}
	if o.MaxSkew <= 0 {
		o.MaxSkew = 30 * time.Second
	}
	o.Timeout, o.MaxSkew = min(o.Timeout, 10*time.Second), min(o.MaxSkew, 5*time.Minute)
	return nil
}

// identifier accepts what needs no quoting, so that no name can be a statement.
func identifier(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 48
}

// Schema returns the statements that make a table, for whoever owns the
// database; an empty name is the default's. A firewall's own role needs SELECT,
// INSERT and DELETE on it and no more.
func Schema(table string) (string, error) {
	o := Options{Table: table}
	if err := o.complete(); err != nil {
		return "", err
	}
	t := o.Table
	return `CREATE TABLE IF NOT EXISTS ` + t + ` (
	key bytea PRIMARY KEY CHECK (octet_length(key) = 32),
	first timestamptz NOT NULL,
	until timestamptz NOT NULL
);
CREATE INDEX IF NOT EXISTS ` + t + `_until ON ` + t + ` (until);`, nil
}

// Store remembers claims in a table.
type Store struct {
	db                          *sql.DB
	o                           Options
	insert, lookup, deleteEnded string
	sweepLock                   int64 // of the server, by the table's name
	claims                      atomic.Uint64
}

// Open checks that the server and the table, which must be there, keep what
// they are told. Errors wrap [ErrConfig], or [ErrStore] where the server did not
// answer.
func Open(ctx context.Context, db *sql.DB, o Options) (*Store, error) {
	if db == nil {
		return nil, fmt.Errorf("%w: no database", ErrConfig)
	}
	if err := o.complete(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	var fsync, commit, persistence string
	var standby bool
	var key int
	// The key must be what is unique, or two claims would both be fresh.
	err := db.QueryRowContext(ctx, `SELECT current_setting('fsync'), current_setting('synchronous_commit'), pg_is_in_recovery(),
		coalesce((SELECT relpersistence::text FROM pg_class WHERE oid = to_regclass($1)), ''),
		(SELECT count(*) FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indrelid = to_regclass($1) AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL
			AND i.indnkeyatts = 1 AND a.attname = 'key')`, o.Table).Scan(&fsync, &commit, &standby, &persistence, &key)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrStore, err)
	case fsync != "on":
		return nil, fmt.Errorf("%w: fsync is off", ErrConfig)
	case commit == "off":
		return nil, fmt.Errorf("%w: synchronous_commit is off", ErrConfig)
	case standby:
		return nil, fmt.Errorf("%w: the server is a standby", ErrConfig)
	case persistence == "":
		return nil, fmt.Errorf("%w: there is no table %s", ErrConfig, o.Table)
	case persistence != "p":
		return nil, fmt.Errorf("%w: table %s does not outlive a crash", ErrConfig, o.Table)
	case key != 1:
		return nil, fmt.Errorf("%w: keys of table %s are not unique", ErrConfig, o.Table)
	}
	t := o.Table
	lock := sha256.Sum256([]byte("sqlreplay sweep " + t))
	return &Store{db: db, o: o, sweepLock: int64(binary.BigEndian.Uint64(lock[:])),
		// The distance of the clocks is judged where the row is made: a process
		// whose clock is off leaves no trace.
		insert: `INSERT INTO ` + t + ` (key, first, until)
			SELECT $1::bytea, now.t, now.t + $3::bigint * interval '1 microsecond' FROM (SELECT clock_timestamp() AS t) AS now
			WHERE abs(extract(epoch FROM now.t) * 1000000 - $2::bigint) <= $4::bigint
			ON CONFLICT (key) DO NOTHING RETURNING true`,
		lookup: `SELECT (extract(epoch FROM now.t) * 1000000)::bigint,
			(SELECT (extract(epoch FROM now.t - first) * 1000000)::bigint FROM ` + t + ` WHERE key = $1)
			FROM (SELECT clock_timestamp() AS t) AS now`,
		// One sweeper of all at a time, and a role without a right to UPDATE: a
		// lock of its own, not that of the rows.
		deleteEnded: `WITH mine AS MATERIALIZED (SELECT pg_try_advisory_xact_lock($1) AS ok)
			DELETE FROM ` + t + ` USING mine WHERE mine.ok AND key IN (SELECT key FROM ` + t + `
			WHERE until < clock_timestamp() ORDER BY until LIMIT $2)`,
	}, nil
}

// Durable reports that claims outlive every process: true.
func (s *Store) Durable() bool { return true }

// Claim keeps the key from now until the given time, or longer, unless it is
// kept already. Of all calls with a key, in whatever process, one is fresh. For
// the others it returns, on the caller's clock, when that was.
func (s *Store) Claim(ctx context.Context, key [32]byte, now, until time.Time) (first time.Time, fresh bool, err error) {
	life := max(until.Sub(now), 0)
	if life > maxLife {
		return time.Time{}, false, fmt.Errorf("%w: %s is longer than evidence lives", ErrStore, life.Round(time.Second))
	}
	ctx, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	keep := life + 2*s.o.MaxSkew
	err = s.db.QueryRowContext(ctx, s.insert, key[:], now.UnixMicro(), keep.Microseconds(), s.o.MaxSkew.Microseconds()).Scan(&fresh)
	switch {
	case err == nil && fresh:
		if s.claims.Add(1)%sweepEvery == 0 {
			_, _ = s.Sweep(ctx) // the claim is made; what stays is swept later
		}
		return now, true, nil
	case !errors.Is(err, sql.ErrNoRows):
		return time.Time{}, false, fmt.Errorf("%w: %w", ErrStore, err)
	}
	var server int64
	var ago sql.NullInt64
	if err := s.db.QueryRowContext(ctx, s.lookup, key[:]).Scan(&server, &ago); err != nil {
		return time.Time{}, false, fmt.Errorf("%w: %w", ErrStore, err)
	}
	switch {
	case time.UnixMicro(server).Sub(now).Abs() > s.o.MaxSkew:
		return time.Time{}, false, ErrClock
	case !ago.Valid:
		return time.Time{}, false, fmt.Errorf("%w: it ended meanwhile", ErrStore)
	}
	return now.Add(-time.Duration(ago.Int64) * time.Microsecond), false, nil
}

// Sweep deletes up to 1,024 entries that have ended and returns how many they
// were; none where another process is at it. Claims do so by themselves.
func (s *Store) Sweep(ctx context.Context) (int64, error) {
	r, err := s.db.ExecContext(ctx, s.deleteEnded, s.sweepLock, sweepRows)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrStore, err)
	}
	return r.RowsAffected()
}
