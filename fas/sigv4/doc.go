// Package sigv4 verifies and makes AWS Signature Version 4 signatures in HTTP
// headers, and keeps what was signed as [Evidence].
//
// [Capture] reads a request strictly and needs no secret; [Verify] decides
// whether the evidence was signed by the holder of an access key. The two may
// run in different processes: evidence has a binary form.
//
// # What it refuses
//
//	ErrNoSignature   no Authorization header with AWS4-HMAC-SHA256
//	ErrMalformed     a header that is not in the one accepted form; duplicated
//	                 Authorization or X-Amz-* headers; query authentication
//	ErrNotSigned     host or a received x-amz-* header is not signed
//	ErrAmbiguousPath empty, "." or ".." segments, encoded or not
//	ErrPayload       unsigned or streaming payloads, a wrong body digest
//	ErrTooLarge      a body above the limit
//	ErrSignature     unknown access key, or a signature that does not match
//	ErrScope         signed for another region or service
//	ErrSkew          signed too long ago, or in the future
//
// Only signed headers can be read from evidence. All functions are safe for
// concurrent use.
//
// # What it does not protect against
//
// A signature has a resolution of one second and no nonce: the same bytes
// verify again within the window. Whoever must not act twice keeps a replay
// store. HMAC keys are symmetric: who can verify can forge. Presigned URLs and
// SigV4A are not supported.
//
// Source: AWS General Reference, "Signature Version 4 signing process".
package sigv4
