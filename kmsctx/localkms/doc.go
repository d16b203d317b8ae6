// Package localkms is a key service in a directory: keys that can be disabled,
// grants that a context must meet, and data keys bound to that context.
//
// A grant is a capability: whoever names it may use its key, for contexts that
// hold every pair of its constraint, until it is retired. A data key opens
// under the key and exactly the context that it was made for, through any live
// grant that covers both.
//
// # What it refuses
//
//	ErrNotAuthorized      no live grant covers the context: one that was
//	                      retired, one that never was, and one whose constraint
//	                      the context does not meet look alike; a grant without
//	                      name or constraint
//	ErrKeyDisabled        a disabled key, from the next call on
//	ErrUnknown            no such key, or a key ID that is none
//	ErrInvalidCiphertext  altered, of another key, or under another context:
//	                      these cannot be told apart, by design
//	ErrCorrupt            a store that does not open under the root key, was
//	                      altered, cut short or removed while in use; a root
//	                      key that has not 32 bytes
//	kmsctx.ErrContext     the zero context; a constraint that no context can meet
//
// A [KMS] is safe for concurrent use, and so is a directory: several processes
// may open it. A change is made to what the file says under a lock, and is on
// disk (temporary file, fsync, rename, fsync of the directory) before the call
// returns; it counts for the next call of every process. A change that returns
// an error is made completely or not at all. The lock is flock, so changes
// need a Unix system and a local disk.
//
// # What it does not protect against
//
// Whoever holds the root key and the directory holds every key. Restoring an
// old copy of the directory brings retired grants back; keep it where the
// registry is. A directory without the file is a new store: removing the file
// between two processes destroys all keys, and what they wrapped stays closed.
// Data keys that were handed out before a key is disabled or a grant retired
// are not called back. Grants have no grantee: keep their IDs from whoever is
// not to use them. Go cannot promise that no copy of a key remains in memory.
package localkms
