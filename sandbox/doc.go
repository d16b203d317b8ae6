// Package sandbox runs one request in one process that has nothing: no file it
// was not handed, no network, no way to start another program, and no second
// request.
//
// # What it promises
//
//   - One worker, one request, gone. After reading its request the worker shuts
//     its side of the control socket for reading and the parent shuts its own
//     for writing, so the kernel refuses a second request; no counter is trusted.
//   - A worker is confined before it hears of any tenant: it waits, unused, in a
//     pool, and names nobody.
//   - A tier is applied in full or not at all. [NewPool] builds a worker to find
//     out; it reads no system setting to guess.
//   - The parent itself reads from the kernel that the seccomp filter,
//     no_new_privs, empty capabilities and own namespaces are there, after the
//     worker says it is ready and before it gets the request.
//   - The worker's answer carries a MAC under a key used once, over the digests
//     of request and reply.
//   - A deadline, a cancelled context and the death of the parent each end the
//     worker.
//
// A worker gets open files and connected sockets ([Job].Files) in place of
// rights to names.
//
// The main function of the program calls [WorkerMain] when it sees the
// arguments of [Config].Command, before it starts goroutines or opens files.
//
// # What it refuses
//
// A configuration without a minimum tier, deadline or command; a tier that this
// machine cannot give; a job of unknown kind; any system call outside the
// allow-list (EPERM in the worker).
//
// # Errors
//
//	ErrTier         the wanted tier cannot be applied here
//	ErrConfig       Config or Job breaks a limit
//	ErrAttestation  observation or claim is not what the tier promises
//	ErrUsed         a second request for one worker
//	ErrDeadline     the worker was killed in time
//	ErrCrashed      the worker ended without an answer
//	ErrProtocol     the worker broke the protocol
//	ErrJob          the handler returned an error (JobError has its code)
//	ErrClosed       the pool is closed
//
// # Concurrency
//
// A [Pool] is safe for concurrent use. [Confine] and [WorkerMain] are called
// once, early, from main. The first use of the package starts one goroutine
// locked to a thread that lives as long as the process: the kernel ties a
// worker's parent-death signal to the thread that started it.
//
// # What it does not protect against
//
//   - Defects of the kernel, and side channels through caches, timing and
//     shared disks. Use virtual machines where that matters.
//   - [TierProcess] separates address spaces and stops nothing else.
//   - [TierConfined] leaves the host's process list, mount table and file
//     metadata unreadable only because opening files and stat by name are
//     refused; it has no namespace behind that.
//   - What a passed socket or file leads to. A worker can say anything to the
//     peer of a socket that it was given; it can receive further files from the
//     peer of a unix socket. An unconnected socket, a datagram socket, a
//     directory or a device must not be passed.
//   - Memory: MemoryLimit is the Go runtime's soft limit. Put the parent in a
//     control group for a hard one. There is no limit on processor time but the
//     deadline.
//   - A binary built with cgo cannot drop capabilities on all its threads and so
//     cannot give [TierNamespaced]; build with CGO_ENABLED=0 for it. With cgo,
//     [TierConfined] works when the parent has no capabilities or may become
//     another user.
//   - Platforms other than Linux have [TierProcess] only in name: the package
//     builds there and refuses to make a pool.
//   - Files that main opened, and goroutines that it started, before WorkerMain.
//     Descriptors that were merely inherited are closed.
//   - The bounding set of capabilities stays full; it has no effect under
//     no_new_privs without exec.
package sandbox
