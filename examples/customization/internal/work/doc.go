// Package work is what runs inside single-use workers and engine slots: fetch,
// index, evaluate, and the engine's model loader.
//
// A worker gets descriptors, never paths: a connection to the identity
// firewall of its own, a connected socket or files, and one request. It asks
// the firewall itself for what it may open, so that the control plane that
// starts it never holds a session or a key of the ingestion.
//
//	kind      holds                                     reads         writes
//	fetch     the customer's session, the staging key   the bucket    sealed staging
//	index     staging key, the new snapshot's key       staging       the snapshot
//	evaluate  the new snapshot's key                    the snapshot  a score
//
// # What it refuses
//
//	ErrTooLarge  more than [MaxSource], [MaxFiles] or [MaxListed]
//	ErrNoSource  nothing below the prefix that is a file: a relative path
//	             without empty or dotted segments, not empty, at most [MaxFile]
//	ErrBucket    a bucket that refuses, redirects, breaks off, takes longer than
//	             a minute for an answer, or whose list is not as S3 makes it
//	ErrStaging   staging that is not, byte for byte, what a fetch of the same
//	             version wrote
//
// What leaves a worker of an error is its [Code]. A worker's time and memory are
// bounded by its sandbox.
//
// # What it does not protect against
//
// A fault in this package sees the source of the one customization that the
// worker was started for.
package work
