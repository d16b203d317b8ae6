// Package fas gives out forward access sessions: short-lived access to exactly
// one resource, only for a caller whose signed request is in hand.
//
// The [Firewall] runs in a process of its own. It alone verifies evidence,
// authorizes, unwraps keys, mints credentials and keeps the registry: the row
// of a customization decides what can be opened. The rest of the service holds
// a [Client]. It has two doors: AssumeOwn, for the service's own resource of
// one customization, and Exchange, for the customer's bucket within a signed
// profile and a scope-down that the signed call bounds.
//
// A [Session] has unexported fields and no constructor outside this package. A
// made-up one carries no key that opens anything and no credential that a
// bucket accepts.
//
// # Who may call
//
// In the embedded default a supervisor makes a socket pair, and there is no
// path that another process could dial: [Firewall.Serve] answers its own user.
// [Firewall.ListenUnix] answers processes that the kernel says to be on a list
// of workloads, [Firewall.ListenTLS] those whose client certificate says so.
// Operations and profiles name the workloads that may ask for them; a session on
// the catalog is good for the workload that got it. Tickets are used, and what is
// unfinished is told, to a control plane: the embedded one, and workloads that
// the list calls so.
//
// # Evidence
//
// [Evidence] is opaque until the [Verifier] of its scheme read it again, inside
// the firewall: what a front end made of it decides nothing. SigV4 is built in;
// others are parts of [Config]. A signature is good once at each door, or as
// often as a profile says; a [ReplayStore] remembers, and what cannot be
// remembered is refused. The very same request again, within 30 seconds and
// from the same workload, gets the very same session: an answer may be lost on
// its way, and what it opens is decided again. Reads are answered again within
// [Config].ReadReplay. With a store that does not outlive the process, what was
// signed before it started is refused, reads once they are older than that; what
// is dated ahead is kept in [Horizons].
//
// # What it refuses
//
//	ErrNoEvidence  evidence without a scheme, or that says nothing
//	ErrDenied      bad signature, unknown key, no permission, foreign or
//	               missing resource, disabled key: one error, one text
//	ErrLevel       evidence that says less than its operation or profile demands
//	ErrOperation   evidence of an operation that is not in the table
//	ErrReplayed    evidence that was used before, or that cannot be remembered
//	ErrScope       an empty or malformed scope-down, or one wider than the
//	               profile or the signed call
//	ErrLimited     more calls than a tenant may make, see [Limits]
//	ErrRevoked     a session, a signed call or all of a tenant's, see [Revocation]
//	ErrTicket      a ticket that is foreign, finished, expired, or for another step
//	ErrRole        a call that this connection, or this workload, may not make
//	ErrExpired     a session past its end
//	ErrClosed      a closed session or client
//	ErrVerb        a use that the session does not list
//	ErrConflict    an operation that the state of the row does not allow
//	ErrAudit       the decision could not be recorded, so it was refused
//	ErrConfig      a firewall without one of its parts, or with two of one name;
//	               a listener that could not tell its callers
//	ErrTime, ErrAudience, ErrUnavailable
//	               reasons of a [Verifier], for the audit log: no caller sees them
//	ErrInternal    a call whose answer did not come, or is not whole; the
//	               context's error is in the chain when the caller had left
//
// An error crosses the socket by name, without its text; what has no name here
// is ErrInternal. A call that the firewall cannot even read is refused on record
// too. What is over the limit is counted, in one record a tenant and second.
//
// [Firewall] and [Client] are safe for concurrent use; so is a [Session]. Up to
// eight calls of a client are under way at once, each on a socket of its own,
// and a caller's context bounds each, also while the firewall hangs.
//
// # What it does not protect against
//
// A compromised front end may use a caller's evidence, while it is fresh, for
// another customization that this caller may use anyway. A key already handed
// to a process opens its snapshot as long as that process lives; sessions last
// at most a minute, and a revocation does not reach into a process, nor to a
// bucket that has credentials already. What the kernel says of a peer is true
// when it connects: a program that was admitted may hand its socket on, and runs
// whatever was injected into it. A tenant's limits do not protect it from its
// own users. Strangers who come by the hundred within the time of a handshake keep
// workloads from a TLS listener. A replay store of this process that is full refuses until it
// forgets; eight tenants with all that each may have fill it. Two firewalls need a
// shared store, and know nothing of each other's catalog sessions and lost
// answers. How many refusals there were in the last second may be missing from the
// log when the process ends. Whoever controls the firewall's process controls
// everything.
package fas
