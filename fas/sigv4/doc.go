// Package sigv4 verifies and makes AWS Signature Version 4 signatures, in HTTP
// headers and in the query, HMAC and ECDSA P-256 (SigV4A), and keeps what was
// signed as [Evidence].
//
// [Capture] reads a request strictly and needs no secret; a [Verifier] decides
// whether the evidence was signed by the holder of an access key. The two may
// run in different processes: evidence has a binary form. How much it says is
// its [Level].
//
// # What it refuses
//
//	ErrNoSignature   no signature; ErrAlgorithm: one that is not accepted
//	ErrMalformed     what is not in the one accepted form, among it
//	                 ErrDuplicated  a second Authorization, X-Amz-* header or parameter
//	                 ErrBothAuth    authentication in headers and in the query
//	                 ErrUnsorted    signed headers not lower-case, sorted, unique
//	                 ErrPresigned   a presigned request, unless asked for
//	                 ErrExpires     a life that is not 1 s to 7 days
//	                 ErrAmbiguousQuery  a + or ; in the query that is not escaped
//	ErrNotSigned     host or a received X-Amz-* header is not signed
//	ErrAmbiguousPath empty, "." or ".." segments, encoded or not
//	ErrPayload       a wrong body digest; ErrStreaming, ErrUnsignedPayload;
//	                 ErrCutShort: the body ended before its length
//	ErrTooLarge      a body above the limit
//	ErrLevel         evidence that says less than is demanded
//	ErrSignature     unknown access key, or a signature that does not match
//	ErrScope         signed for another region or service
//	ErrSkew          signed too long ago, or in the future; ErrExpired
//
// A refusal while reading is a [*ParseError], which names the part. Presigned
// requests, unsigned payloads and SigV4A are refused unless they are switched
// on both where requests are captured and where evidence is verified.
//
// Only signed headers can be read from evidence. All functions are safe for
// concurrent use.
//
// # Where clients disagree
//
// What a few clients do is refused, because two readers would read it
// differently:
//
//	empty and dotted segments     some sign the cleaned path, some the path as
//	                              it is; all send it as it is. S3 has neither.
//	+ in the query                a space to some, a plus to others: write %20
//	                              or %2B.
//	; in the query                a separator to some: write %3B.
//	X-Amz-Security-Token added    is refused in headers; in the query it is an
//	after signing                 option, [CaptureOptions.TokenAfterSigning].
//	UNSIGNED-PAYLOAD              an option, never with a body in evidence.
//	aws-chunked bodies            are refused; have the client sign the body.
//
// A reverse proxy must leave Host, path and query as they are:
// [net/http/httputil.ReverseProxy] with Rewrite needs Out.Host = In.Host, and
// Out.URL.RawQuery = In.URL.RawQuery.
//
// # What it does not protect against
//
// A signature has a resolution of one second and no nonce: the same bytes
// verify again within the window. Whoever must not act twice keeps a replay
// store, keyed by [Evidence.Digest], for as long as a presigned request may
// live. HMAC keys are symmetric: who can verify can forge; SigV4A verifies with
// public keys. The order of parameters with different names, and of values of
// one repeated parameter, is not signed. Evidence at [LevelDigest] proves
// neither operation nor host. Secrets are wiped where this package keeps them;
// copies on stacks that the runtime moved are not.
//
// Sources: AWS General Reference, "Signature Version 4 signing process"; IAM
// User Guide, "Create a signed AWS API request"; the test suite of
// awslabs/aws-c-auth for SigV4A.
package sigv4
