// Package audit is an append-only, tamper-evident record of every security
// decision.
//
// Each record is one line of JSON with the hash of the line before it. All
// lines are the leaves of a Merkle tree (RFC 6962, golang.org/x/mod/sumdb/tlog)
// whose head is signed as a checkpoint (golang.org/x/mod/sumdb/note).
// [Log.Record] returns when the record is on disk; records that wait at the
// same time share one fsync. [Verify] finds what was changed, removed or cut
// off, given the log's public key.
//
// # What it refuses
//
//	ErrEvent         an event outside the limits; the error says which
//	ErrUnavailable   a record could not be written, or the log is closed: nothing
//	                 more is accepted; or the last checkpoint could not be
//	                 written: nothing is until one is
//	ErrLocked        another process writes the log
//	ErrTampered      a record, the chain or a checkpoint is not what was written
//	ErrTruncated     the log is shorter than its checkpoint says
//	ErrNoCheckpoint  there is no checkpoint to verify against
//
// A [Log] is safe for concurrent use.
//
// # What it does not protect against
//
// Whoever holds the signing key can write another history; keep the public key
// and checkpoints elsewhere. Records after the last checkpoint can be cut off
// without trace, so a checkpoint is written every second and at Close. The log
// is not encrypted: whoever reads it reads it all. The fields of an [Event] hold
// machine IDs, codes and digests, but Detail holds what the caller puts there:
// names of workloads and files, and in records of key services (kms.*) principals,
// addresses and whole encryption contexts, which name tenants. Put nothing secret
// there.
package audit
