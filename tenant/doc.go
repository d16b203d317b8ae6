// Package tenant holds the values that travel through every other package:
// machine-made typed IDs, untrusted text, secrets, and the authenticated
// caller.
//
// # What it promises
//
//   - IDs of different kinds are different types: a customization ID where a
//     tenant ID belongs does not compile, nor does a conversion between them.
//   - An ID is 128 bits from crypto/rand. It tells nothing about when, where or
//     for whom it was made, and no tenant can choose one.
//   - The zero value of an ID is invalid, and refuses to marshal.
//   - A [Text] prints quoted and escaped everywhere; the raw bytes come only
//     from [Text.Reveal].
//   - A [Secret] never prints, and is overwritten by [Secret.Destroy].
//
// No string that a tenant chose is ever an identifier, a path, a metric label
// or an encryption-context value; that is why the IDs here cannot be made from
// one except by a parser that accepts only what a machine wrote.
//
// # Errors
//
//	ErrBadID      a text is not an ID of the wanted kind
//	ErrZeroID     a zero-value ID was used
//	ErrBadText    a text breaks the limits of [NewText]
//	ErrDestroyed  a secret was used after Destroy
//
// # What it does not protect against
//
// An unguessable ID is not an authorization: whoever knows it may still name
// the thing. Go cannot promise that no copy of a secret remains in memory.
// Timing of comparisons is constant for secrets, not for IDs.
package tenant
