// Package gpuinfer binds the inference of one customization to one process on
// its own cores: a slot. A slot's process, its generation, serves exactly one
// customization and snapshot in its life; another one means another process.
//
// # What it refuses
//
//	ErrForeignContext  a chunk of another customization, before a byte leaves
//	ErrStaleLease      a lease that was released or whose process is gone
//	ErrBusy            no slot within the waiting time
//	ErrAttest          a process that is not pinned as declared
//	ErrSlot            a slot that failed; it is replaced
//	ErrConfig          missing or overlapping parts
//
// Errors of the session pass through. [Pool] and [Lease] are safe for
// concurrent use; completions of one slot run one after another.
//
// # What it does not protect against
//
// Pinning shares caches and memory bandwidth between slots; timing may tell
// that another slot is busy. Affinity that a process may change is verified
// once, after the start. The pool's process sees the prompts that it sends.
package gpuinfer
