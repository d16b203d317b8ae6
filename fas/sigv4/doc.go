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
//	ErrConfig        a verifier, handler or signer without one of its parts
//
// A refusal while reading is a [*ParseError], which names the part. Presigned
// requests, unsigned payloads and SigV4A are refused unless they are switched
// on both where requests are captured and where evidence is verified; evidence
// at [LevelDigest] does not show the first two to who verifies it.
//
// Only signed headers can be read from evidence. All functions are safe for
// concurrent use.
//
// # Where clients disagree
//
// aws-sdk-go-v2, botocore, @smithy/signature-v4 and -v4a, aws4 and [SignRequest] sign
// what is verified here, in headers and in the query, with the exceptions of
// this table. What is refused is what two readers would read differently.
//
//	empty or dotted segments       refused outside S3. smithy, botocore and aws4
//	in the path                    sign the cleaned path and send the other;
//	                               aws-sdk-go-v2 signs what it sends.
//	marks such as ; left unescaped aws-sdk-go-v2 without path escaping signs them
//	in a path of S3                as they are; S3's own rule, and this package's,
//	                               is to escape them. Its S3 client does.
//	+ in the query                 refused: a space to some, a plus to others.
//	                               Write %20 or %2B, as all SDKs do.
//	; in the query                 refused: a separator to some. Write %3B.
//	no X-Amz-Expires               refused. aws4 adds one for S3 only; elsewhere
//	                               put it into the path to presign.
//	X-Amz-Date from the caller     curl 7 sends a second one: refused. Let it
//	                               make its own.
//	curl 7 --aws-sigv4             signs queries unsorted, paths escaped once,
//	                               repeated and empty headers in a list of its
//	                               own: such requests do not verify. Plain ones,
//	                               with a body and a token, do.
//	X-Amz-Security-Token added     refused in headers; in the query an option,
//	after signing                  [CaptureOptions.TokenAfterSigning].
//	UNSIGNED-PAYLOAD               an option, and never with a body in evidence.
//	aws-chunked bodies             refused; have the client sign the body.
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
// public keys. The order of parameters, also of values of one repeated
// parameter, is not signed, nor is with S3's rules how the path is escaped: who
// reads the request and not the evidence reads what somebody on the way chose,
// unless the request came through [NewHandler]. Evidence at [LevelDigest]
// proves neither operation nor host, nor that the request was not presigned
// and its payload not unsigned. Secrets are wiped where this package keeps them;
// copies on stacks that the runtime moved are not.
//
// Sources: AWS General Reference, "Signature Version 4 signing process"; IAM
// User Guide, "Create a signed AWS API request"; the test suite of
// awslabs/aws-c-auth for SigV4A.
package sigv4
