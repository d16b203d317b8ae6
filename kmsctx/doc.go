// Package kmsctx seals data under an encryption context: AWS Encryption SDK
// message format v2, suite 0x0478 (AES-256-GCM, HKDF-SHA512, key commitment,
// no signature), framed.
//
// Opening demands the context that the reader believes in. It is compared
// exactly, it is authenticated by the header, and it is what the wrapping of
// the data key is bound to; a mix-up fails in cryptography.
//
// # What it refuses
//
//	ErrContext          a context that breaks the rules of [NewContext]; the zero Context
//	ErrContextMismatch  a message sealed under another context
//	ErrNoMatchingKey    no encrypted data key that the keyring can open
//	ErrCommitment       a data key that is not the one committed to
//	ErrHeaderAuth       an altered header
//	ErrFrameAuth        an altered frame
//	ErrTruncated        a message that ends early
//	ErrTrailing         bytes after the last frame
//	ErrMalformed        anything else that is not a message
//	ErrUnsupported      another version or algorithm suite
//	ErrLimit            more than the limits of [Options]
//
// An [Envelope] is safe for concurrent use.
//
// # What it does not protect against
//
// Length and time of a message are visible, and so is its context. Whoever
// holds the key and the context can replay an old message; pin digests where
// that matters. Go cannot promise that no copy of a key remains in memory.
//
// Source: AWS Encryption SDK Specification, data-format/message-header and
// message-body.
package kmsctx
