// Package authz decides with Cedar who may do what, and gives an allow the
// form of a [Permit] that the next room demands.
//
// A decision passes five independent gates, and fails at the first that says
// no: the tenants are compared in Go; caller, action and resource are
// validated against the schema; the guard, a forbid that no policy can
// override, is evaluated with every request; the tenant's own and the
// service's policies are evaluated; any forbid that errors denies.
//
// Policies are checked when they are submitted: size and nesting before the
// parser sees them, strict validation against the schema, and what the
// validator misses (unknown enum members, unknown entity types, entities of
// somebody else). The guard is proved when the authorizer is made, by
// evaluating it on every combination of missing, equal and different tenants.
//
// # What it refuses
//
//	ErrDenied     every refused decision: foreign, missing and not permitted
//	              have one text; the reason stands in the audit log
//	ErrRejected   a policy or schema that did not pass; see [RejectedError]
//	ErrGuard      a guard that does not hold on every model
//	ErrNoPermit   the zero Permit, or one that has expired
//	ErrUnknown    what a [Directory] returns for what does not exist
//
// An [Authorizer] is safe for concurrent use; policy sets are replaced
// atomically.
//
// # What it does not protect against
//
// Wrong facts: a directory that names the wrong tenant for a user or a
// customization decides wrongly with every policy. Decisions hold for the life
// of a Permit; keep it short.
package authz
