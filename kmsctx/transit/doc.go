// Package transit is a keyring over the transit engine of OpenBao or Vault, by
// its HTTP API and nothing else: data keys from datakey/plaintext, opened by
// decrypt, the canonical encryption context as associated data.
//
// The transit key must be of an AEAD type that takes associated data, such as
// aes256-gcm96 (the default) or chacha20-poly1305, and not derived.
//
// # What it refuses
//
//	kmsctx.ErrMalformed          an address that is not https, except on
//	                             loopback; names with other characters than
//	                             letters, digits, . _ -; an empty token
//	kmsctx.ErrContext            the zero context
//	kmsctx.ErrNoMatchingKey      no encrypted data key of this mount and name
//	                             opens; with it comes what the server said
//	kmsctx.ErrInvalidCiphertext  altered, or another context, key or version
//	kmsctx.ErrNotAuthorized      the token may not do this
//	kmsctx.ErrKeyNotFound        no such key or mount
//	kmsctx.ErrThrottled          too many requests
//	kmsctx.ErrUnavailable        everything else: sealed, unreachable, a redirect,
//	                             an answer that is none
//
// A [Keyring] is safe for concurrent use.
//
// # What it does not protect against
//
// The server knows neither grants nor contexts: whoever may decrypt with the
// key may do so under any context, so use one key and one token policy for each
// tenant. The engine's rewrap drops associated data; move a data key to another
// version with [kmsctx.Envelope.Rewrap]. The token is the caller's to renew.
//
// Sources: OpenBao API documentation, "Transit secrets engine".
package transit
