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
// What it does not protect against: a fault in this package sees the source
// of the one customization that the worker was started for.
package work
