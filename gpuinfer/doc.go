// Package gpuinfer binds the inference of one customization to one process on
// its own cores: a slot. A slot's process, its generation, serves exactly one
// customization and snapshot in its life; another one means another process,
// which starts when the old one is no more.
//
// # What it refuses
//
//	ErrForeignContext  a chunk of another customization, before a byte leaves
//	ErrStaleLease      a lease that was released, whose process is gone, or
//	                   whose pool is closed; a closed pool
//	ErrBusy            no slot within the waiting time, or the end of the
//	                   caller's context while waiting
//	ErrAttest          a process that is not pinned as declared
//	ErrSlot            a slot that failed: that did not load, died, answered
//	                   late, too much or nonsense; it is replaced
//	ErrConfig          missing or overlapping parts; a prompt out of bounds
//
// Errors of the session pass through: [Pool.Acquire] and [Lease.Complete] ask
// it every time. [Pool] and [Lease] are safe for concurrent use; completions of
// one slot run one after another, and nobody else waits for them. A slot's
// process ends with its pool, its pool's process, and its failure; [Pool.Close]
// returns when none is left.
//
// # What it does not protect against
//
// Pinning shares caches and memory bandwidth between slots; timing may tell
// that another slot is busy. Affinity that a process may change is verified
// once, after the start. The pool's process sees the prompts that it sends.
// Whoever never lets go of a lease keeps its slot from others, who get ErrBusy.
// Confinement is the slot's own: see [SlotOptions].
package gpuinfer
