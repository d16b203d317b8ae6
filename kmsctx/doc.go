// Package kmsctx seals data under an encryption context, in the message format
// of the AWS Encryption SDK, version 2, with the standard library alone. What it
// writes, the official SDKs for Python, Java, JavaScript and Go read,
// and the other way round.
//
// Opening demands the context that the reader believes in. It is compared
// exactly, it is authenticated by the header, and it is what the wrapping of
// the data key is bound to; a mix-up fails in cryptography. No official SDK
// demands one.
//
//	[Envelope]   Seal and Open for what fits in memory; NewWriter, EncryptReader
//	             and NewReader for streams; NewReaderAt for parts of an object
//	[Keyring]    where data keys come from: [RawAES], [Multi], and the key
//	             services in packages of their own; kmstest is their suite
//	[Cache]      keeps data keys for a minute, per tenant, key and session
//	[Context]    also makes the matching KMS grant, key policy and S3 header
//
// # What it refuses
//
//	ErrContext          no context; one that breaks the rules of its constructor;
//	                    a required key missing; when sealing, a withheld one
//	ErrContextMismatch  a message sealed under another context
//	ErrNoMatchingKey    no encrypted data key that the keyring can open
//	ErrCommitment       a data key that is not the one committed to
//	ErrHeaderAuth       an altered header, or another value of a withheld pair
//	ErrFrameAuth        an altered, moved or foreign frame
//	ErrSignature        a message of the signed suite whose signature is missing,
//	                    altered or foreign
//	ErrTruncated        a message that ends early, or has not begun
//	ErrTrailing         bytes after the message
//	ErrUnsupported      bytes that do not begin as a message of format version 2
//	                    does: another version, or something else altogether; a
//	                    suite without key commitment; what [Options] must allow
//	                    first
//	ErrMalformed        a message of version 2 whose fields contradict the format;
//	                    base64 of one; an argument that is none, such as a nil
//	                    keyring or a key of another length
//	ErrLimit            more than the limits of [Options] or [CachePolicy]
//	ErrOverlap          output that would overwrite the input
//	ErrAborted          a [Writer] after Abort
//	ErrClosed           a Writer or a [Cache] after Close
//	ErrSession          a cached key whose session has ended
//	ErrFIPS             the deterministic IVs of the format, refused by the
//	                    standard library with GODEBUG=fips140=only
//
// What a key service says no with comes from its keyring, with the service's own
// error beside it, and from a [Keyring] that opens nothing, beside
// ErrNoMatchingKey:
//
//	ErrInvalidCiphertext   an encrypted key that was altered, or is another
//	                       context's: a service cannot say which
//	ErrNotAuthorized       neither policy nor grant permits the call
//	ErrGrantPending        the same, while a grant may not be in force yet
//	ErrKeyDisabled         a disabled key
//	ErrKeyPendingDeletion  a key that is to be deleted
//	ErrKeyNotFound         a key that does not exist
//	ErrThrottled           too many calls; it may succeed later
//	ErrUnavailable         no answer; it may succeed later
//
// Every refusal is an [*Error] that names the operation, and the frame where it
// is one. No byte of a frame leaves before the frame verifies; Open returns
// nothing unless all of the message does.
//
// Envelopes, keyrings and caches are safe for concurrent use; a Writer and a
// Reader are not.
//
// # What it does not protect against
//
// Length and time of a message are visible, and so is its context unless it is
// withheld. Whoever holds the key and the context can replay an old message;
// pin digests where that matters. What has been read from a stream is a prefix
// until the stream has ended with io.EOF. A data key in a cache works until its
// MaxAge after the key service would have refused, unless somebody calls
// Invalidate. Two headers of one message, which [Envelope.Rewrap] makes, break
// its integrity for who sees both. Go cannot promise that no copy of a key
// remains in memory: keys are wiped where they are held, and not in the key
// schedules of crypto/aes. With GODEBUG=fips140=only the standard library
// refuses the format's deterministic IVs ([ErrFIPS]); fips140=on does not.
//
// Sources: AWS Encryption SDK Specification, data-format and client-apis; its
// errata, as real messages show them, are in doc/esdk-vectors.md.
package kmsctx
