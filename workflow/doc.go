// Package workflow runs sequences of steps that survive a crash, and takes back
// what was done when they cannot be finished.
//
// # What it promises
//
//   - Every step's start and end is on disk before the next thing happens. After
//     a crash [Journal.Resume] goes on where the journal ends.
//   - Do and Undo run at least once. They run again after a crash between the
//     effect and the journal write, so an effect must be keyed: [Run.Key] gives
//     a key that is the same at each attempt.
//   - When a step fails for good, or the run is cancelled, the steps that were
//     started, the last one included whether or not it ended, are undone in
//     reverse order. Undo is retried without limit, with growing pauses; one
//     that keeps failing is reported by [Journal.Stuck] and by an event.
//   - An intent to cancel is journaled before it is acted on, and survives.
//   - The records of a run are chained by SHA-256. Open refuses a journal whose
//     chain is broken or shorter than its recorded head.
//   - One process owns a journal: the file is locked.
//
// The state of a run is at most 64 KiB and is for handles: machine IDs, digests,
// sealed tickets. Content of customers and credentials do not belong in it, since
// it stays on disk; the journal stores reason codes of errors, never their text.
//
// # What it refuses
//
// A definition without steps, an ID that is not a machine's, a run whose
// definition changed since it started, state above the limit, a second start of
// an ID with other input.
//
// # Errors
//
//	ErrConfig      a definition, ID or option breaks a limit
//	ErrExists      the ID is taken by a run with another name or input
//	ErrUnknown     no run has this ID
//	ErrUndefined   no definition, or a changed one, for a run
//	ErrState       state above 64 KiB
//	ErrUndone      the run was taken back, for the reason in Status
//	ErrFinished    too late to cancel
//	ErrUnfinished  too early to forget
//	ErrTampered    the journal's chain does not hold
//	ErrLocked      another process owns the journal
//	ErrClosed      the journal is closed
//	ErrCancelled   why a step's context ended: its run is being cancelled
//
// # Concurrency
//
// A [Journal] is safe for concurrent use. Runs go in parallel, the steps of one
// run never do. A [Run] belongs to the step that got it. Close waits for steps:
// they must return when their context is done.
//
// # What it does not protect against
//
//   - Somebody who can write the file: the chain has no key, so a forger can
//     compute it anew, or put an older copy of the whole file back.
//   - A disk that lies about fsync.
//   - Secrets that a step puts into its state. Nothing can tell a handle from a
//     secret.
//   - A Do without a key: it may happen twice.
//   - A step that ignores its context: cancelling and closing wait for it.
//   - Growth: a finished run stays until [Journal.Forget].
package workflow
