// Package sqlreplay is a replay store that several firewalls share: what one of
// them accepted once, none accepts again, and a restart forgets nothing. It is
// for PostgreSQL, through database/sql; the caller brings the driver.
//
// # Why this database
//
// A claim is one INSERT ... ON CONFLICT DO NOTHING under a primary key: of two
// at the same moment, in whatever process, one inserts and the other waits for
// it and then does not. The answer comes after the row is on disk. Redis's SET
// NX decides as well, and answers before a replica has the key: the replica
// that takes over after a failure has forgotten the last claims, and their
// evidence is good once more. DynamoDB's conditional put would do; it cannot be
// run beside the firewall.
//
// # What it refuses
//
//	ErrConfig  no database, a table name that is not a plain identifier, a
//	           table that is missing, unlogged or of another form, a server
//	           with fsync or synchronous_commit off, or one that is a standby
//	ErrStore   a claim that the server did not answer in time, or at all
//	ErrClock   a claim of a process whose clock is off
//
// Every error of a claim is a refusal of the evidence. A claim whose answer was
// lost may have been kept; the evidence is used up then.
//
// A [Store] is safe for concurrent use and does not own its database: closing
// that is the caller's business, and so is the size of its pool. It starts no
// goroutine: what has ended is deleted, a bounded number of rows at a time, by
// every few hundredth claim.
//
// # Clocks
//
// Times are the server's. What a caller says in its own time is taken as a
// distance from its own now, and a caller whose clock is more than
// [Options.MaxSkew] off is refused: it would accept evidence that the others
// have stopped to remember. Entries are kept for twice as long as that beyond
// their end.
//
// # What it does not protect against
//
// Where a standby takes over by itself, the claims that it had not received are
// forgotten, unless synchronous_standby_names makes every commit wait for it:
// set that, or promote by hand and wait an hour. Settings are read when the
// store is opened; a role that may change them, or write to the table, undoes
// what this promises. The table holds digests and times, which say how often
// tenants call and nothing about whom or what.
//
// Sources: PostgreSQL documentation, INSERT (ON CONFLICT), Write Ahead Log
// (synchronous_commit, fsync), Replication (synchronous_standby_names); Redis
// documentation, Replication ("asynchronous by default").
package sqlreplay
