// Package localsts issues and checks sessions on customers' buckets without
// AWS: the embedded stand-in for AssumeRole with a session policy.
//
// An [Authority], inside the firewall, signs the session's claims with Ed25519
// and derives the session's secret from its ID. A [Verifier], at the bucket,
// holds the public key and the derivation key.
//
// # What it promises
//
//   - Only the authority mints, and only for a grant that the firewall made:
//     neither the verifier nor its [Material] holds what a signature needs.
//   - A token has one form; every character of it counts.
//   - A session allows what both of its layers allow, until its end, and never
//     a call on an identity service.
//   - A refusal returns no claims and no secret.
//
// # What it refuses
//
//	ErrToken    a token that the authority did not sign, that is malformed, too
//	            long, expired, longer-lived than any profile allows, or
//	            presented with the access key of another session
//	ErrConfig   missing keys; the zero Grant
//
// All of it is safe for concurrent use.
//
// # What it does not protect against
//
// A session cannot be recalled before it expires; sessions last minutes. A
// bucket server that does not ask [Claims.Allows] grants everything, and one
// that does not verify the request's signature with the secret of
// [Verifier.Lookup] serves whoever has seen a token. Whoever holds the
// derivation key can use an existing session of this service whose token it
// has seen, and cannot make another.
package localsts
