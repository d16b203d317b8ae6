// Package httpsig verifies and makes HTTP message signatures (RFC 9421) with
// Ed25519 over a request and the digest of its body (RFC 9530), and keeps what
// was signed as [Evidence].
//
// [Capture] reads a request strictly and needs no key; [Verify] decides whether
// the evidence was signed by the holder of a private key. The two may run in
// different processes: evidence has a binary form. Who verifies holds public
// keys and cannot sign.
//
// It speaks a subset, so that a signature says one thing to everybody: one
// signature, over "@method", "@authority", either "@path" and "@query" or
// "@target-uri", "content-digest" with SHA-256 alone, and any header fields;
// with the parameters created, nonce, keyid and alg="ed25519", and expires
// where the signer wants it. A body is covered even where there is none.
//
// # What it refuses
//
//	ErrNoSignature   neither Signature nor Signature-Input
//	ErrMalformed     a header that is not in the one accepted form, or twice
//	ErrSignatures    more than one signature
//	ErrComponent     a component that is unknown here, has parameters or is
//	                 covered twice
//	ErrNotSigned     a required component is not covered, or a Content-Type or
//	                 Content-Encoding is there unsigned
//	ErrParameter     a signature parameter that is missing, unknown or twice
//	ErrAlgorithm     another algorithm
//	ErrAmbiguousPath empty, "." or ".." segments, encoded or not
//	ErrPayload       another digest than SHA-256, or a body that has another
//	ErrTooLarge      a body or signature base above the limit
//	ErrSignature     unknown key, one for which anybody can sign, or a signature
//	                 that does not match
//	ErrAuthority     signed for another host
//	ErrSkew          signed too long ago, in the future, or expired
//	ErrConfig        a signer without a part
//
// Only signed headers can be read from evidence. All functions are safe for
// concurrent use.
//
// # What it does not protect against
//
// The same bytes verify again within the window: whoever must not act twice
// keeps a replay store by [Evidence.Once]. A proxy may add headers that are not
// signed; they cannot be read here, and must not be read from the request
// either. The path is signed as it is escaped: a router that unescapes before
// it splits sees another one, but none that has a segment more. Behind a proxy
// that ends TLS the scheme is what [CaptureOptions] says.
//
// Sources: RFC 9421, RFC 9530, RFC 8941 for the form of the headers, RFC 8032
// for Ed25519.
package httpsig
