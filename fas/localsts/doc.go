// Package localsts issues and checks sessions on customers' buckets without
// AWS: the embedded stand-in for AssumeRole with a session policy.
//
// An [Authority], inside the firewall, signs the session's claims with Ed25519
// and derives the session's secret from its ID. A [Verifier], at the bucket,
// holds the public keys and the keys that derive secrets for its own audience.
//
// A token is "2.", the ID of the key, the claims and the signature over all
// three; the version stands for the algorithms, which a token cannot choose.
//
// # Change of keys
//
// [Keys.Rotate] adds a pair that signs from a moment on. Verifiers that have the
// new [Material] by then serve every session, old or new, and the old pair is
// retired when the last session it made is over: nobody notices. A [Follower]
// asks for material by itself. [Keys.Renew] is for keys that were seen by
// somebody: it ends every session.
//
// # What it promises
//
//   - Only the authority mints, and only for a grant that the firewall made:
//     neither the verifier nor its [Material] holds what a signature needs, for
//     any pair of the set.
//   - A token has one form; every character of it counts.
//   - A session allows what both of its layers allow, at the service that it is
//     for, until its end, and never a call on an identity service.
//   - A verifier never goes back to earlier material. A follower that hears
//     nothing for longer than a session lives serves nothing.
//   - A refusal returns no claims and no secret.
//
// # What it refuses
//
//	ErrToken       a token that the authority did not sign, that is malformed,
//	               too long, expired, longer-lived than any profile allows, for
//	               another audience, or presented with the access key of another
//	               session
//	ErrUnknownKey  (also an ErrToken) a token under a key of another authority,
//	               or one that is retired or not known yet
//	ErrCondition   (also an ErrToken) a layer with a condition key or variable
//	               other than aws:PrincipalTag/tenant and aws:CurrentTime, when
//	               the session is issued and when its token is checked
//	ErrConfig      missing keys, sets and material that are none or go back; the
//	               zero Grant
//
// Of a request a bucket tells [Claims.Allows] the action, the resource and the
// time. A policy that asks for more, for the address, TLS or the prefix that is
// listed, is refused and not decided as if it had not asked: its denials would
// be gone. [CheckPolicy] tells the teams that approve a profile before they do;
// with a profile that it refuses the firewall makes no session.
//
// All of it is safe for concurrent use; [Keys] and [Material] are plain values.
//
// # What it does not protect against
//
// One session cannot be recalled before it expires; sessions last minutes. A
// bucket server that does not ask [Claims.Allows] grants everything, and one
// that does not verify the request's signature with the secret of
// [Verifier.Lookup] serves whoever has seen a token. Whoever holds the
// derivation key of an audience can use an existing session for it whose token
// it has seen, and cannot make another, nor use one for another audience. A
// verifier that nobody updates accepts keys that were taken back, and a process
// that starts anew accepts whatever material it is given first: keep it where
// only the firewall writes. The clocks of firewall and buckets must agree to
// the minute.
package localsts
