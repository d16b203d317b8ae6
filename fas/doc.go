// Package fas gives out forward access sessions: short-lived access to exactly
// one resource, only for a caller whose signed request is in hand.
//
// The [Firewall] runs in a process of its own. It alone verifies evidence,
// authorizes, unwraps keys, mints credentials and keeps the registry: the row
// of a customization decides what can be opened. The rest of the service holds
// a [Client] over a socket that nobody else can dial. It has two doors:
// AssumeOwn, for the service's own resource of one customization, and
// Exchange, for the customer's bucket within a signed profile and a scope-down
// that the signed body bounds.
//
// A [Session] has unexported fields and no constructor outside this package. A
// made-up one carries no key that opens anything and no credential that a
// bucket accepts.
//
// # What it refuses
//
//	ErrNoEvidence  evidence without a scheme, or that says nothing
//	ErrDenied      bad signature, unknown key, no permission, foreign or
//	               missing resource, disabled key: one error, one text
//	ErrLevel       evidence that says less than its operation or profile demands
//	ErrLimited     more calls than a tenant may make
//	ErrRevoked     a session, evidence or tenant's epoch that was revoked
//	ErrOperation   evidence of an operation that is not in the table
//	ErrReplayed    evidence that was used before, or that cannot be remembered
//	ErrScope       an empty or malformed scope-down, or one wider than the
//	               profile or the signed body
//	ErrTicket      a ticket that is foreign, finished, expired, or for another step
//	ErrRole        a call that this connection may not make
//	ErrExpired     a session past its end
//	ErrClosed      a closed session or client
//	ErrVerb        a use that the session does not list
//	ErrConflict    an operation that the state of the row does not allow
//	ErrAudit       the decision could not be recorded, so it was refused
//	ErrConfig      a firewall without one of its parts, or with two of one name
//	ErrInternal    a call whose answer did not come, or is not whole; the
//	               context's error is in the chain when the caller had left
//
// An error crosses the socket by name, without its text; what has no name here
// is ErrInternal. A call that the firewall cannot even read is refused on record too.
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
// at most a minute. A front end that floods the firewall with calls delays the
// others; the replay store, when it is full, refuses until it forgets. Whoever
// controls the firewall's process controls everything.
package fas
