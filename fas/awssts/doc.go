// Package awssts gives forward access sessions on AWS, and says who enforces
// what: public AWS has no forward access sessions for a service outside of it.
//
// An [Issuer], inside the firewall, calls AssumeRole for the tenant's own role
// with a session policy. A [Provider] hands a session's credentials to clients
// of aws-sdk-go-v2 and to nobody after its end. A [Proof] is evidence of a
// caller that has AWS credentials and no key of the service: a signature under a
// GetCallerIdentity request that a [ProofVerifier] writes itself. With [Mint] a
// caller makes the session in its own account and seals it for one request; an
// [Opener] opens it.
//
// # What it promises
//
//   - What is sent to STS lies within the profile, proved before; the role's own
//     policy bounds it again. STS takes one layer of session policies (managed
//     ones would be added to it, not intersected with it), so none but ours is
//     ever sent.
//   - Each allowance carries DateLessThan aws:CurrentTime at the session's end:
//     AWS refuses the keys then, though STS lets none live below 15 minutes.
//   - What is not allowed is denied in words, AssumeRole included: a policy on a
//     resource that names the session cannot reach past the scope-down.
//   - The session carries the tenant and the customization as tags, and the
//     signed call as its SourceIdentity, in every record of CloudTrail.
//   - A provider never refreshes and never falls back.
//   - A proof counts for one audience, one request and once. It holds no URL,
//     header or body that the verifier would send.
//   - A sealed session opens for the one request and the one firewall.
//
// # What it refuses
//
//	ErrConfig     a missing part
//	ErrGrant      the zero Grant, one that is over, one of more than an hour
//	ErrScope      an empty or malformed scope-down, one not proved to lie within
//	              the profile, one whose outside cannot be closed
//	ErrTooLarge   a session policy above 2,048 characters
//	ErrPacked     STS's PackedPolicyTooLarge
//	ErrRole       a tenant without a role or an external ID
//	ErrRefused    AccessDenied from STS
//	ErrService    no answer, or one that is not about what was asked
//	ErrBusy       (also an ErrService) a proof beyond the four that STS is being
//	              asked about
//	ErrAmbient    AWS credentials in the environment, for who asks
//	ErrProof      a proof that is malformed, or that STS does not confirm
//	ErrAudience   a proof for another service or another request
//	ErrRegion     a region that is not on the list
//	ErrSkew       a proof of more than five minutes ago, or of the future
//	ErrReplayed   a proof that was used before, or perhaps before a restart
//	ErrSealed     a sealed session for another request or key, or altered
//	ErrExpired    a sealed session past its end
//
// All of it is safe for concurrent use.
//
// # What a verifier of proofs forgets
//
// A replay store of the process forgets what was used when that ends. What was
// taken then may be dated as far after it as callers' clocks may be ahead; so a
// verifier with such a store takes five seconds ahead instead of a minute, and
// refuses what is dated before it has been there for five. A minute of both
// would be a minute without callers at each restart, and none of either would
// refuse clocks that are off by milliseconds. With a store that outlives the
// process (fas/sqlreplay) neither is so. Evidence in a firewall is remembered by
// the firewall, by its own rules.
//
// # Who enforces "no signed call, no access"
//
// With AssumeRole it is the firewall alone: AWS enforces what a session can do
// and until when, not that a customer asked for it. A compromised firewall can
// assume every role that tenants gave it. With sealed sessions it is AWS and
// the caller: the service has no role to assume, and what a session may do is
// what the caller put into it, which the firewall cannot read. The page
// doc/forward-access-sessions-on-aws.md has the whole table, and what was run
// against which server.
//
// # What it does not protect against
//
// AWS cannot recall keys; until the session's end, at most the profile's life,
// stolen ones serve. The SDK needs a secret as a Go string, and copies of
// strings cannot be wiped. The metadata service of the machine is closed by
// network policy, not here. The clock that ends a session is that of AWS, the
// one that sets the end is ours. A session token inside a proof opens nothing
// without its secret, and does not belong in a log. A sealed session does not
// say who sealed it: a front end can put in keys of its own. Whoever may choose
// a verifier's transport decides who callers are. Only STS can say that a
// stranger's proof is none: a flood of them takes the four places and keeps
// callers by proof out while it lasts, and nobody else.
//
// Source: AWS STS API Reference, AssumeRole; IAM User Guide, "Policies and
// permissions", session policies, and "Actions, resources, and condition keys
// for AWS STS", and "IAM JSON policy elements: Principal", role session
// principals; RFC 9180.
package awssts
