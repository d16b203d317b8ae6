// Package awskms is the AWS KMS keyring: data keys from GenerateDataKey, opened
// by Decrypt, both under the whole encryption context. Messages are those of
// the official Encryption SDKs' KMS keyrings: provider "aws-kms", the key's ARN
// beside the ciphertext.
//
// One keyring stands for one key. Its ARN is sent with every call, compared
// with the one that the service returns, and decides which encrypted data keys
// are tried at all: a message cannot choose another key or another account.
//
// # What it refuses
//
//	kmsctx.ErrMalformed          a key that is not the full ARN of a key: an
//	                             alias can be moved, a bare ID names no account
//	kmsctx.ErrContext            the zero context
//	kmsctx.ErrNoMatchingKey      no encrypted data key of this ARN opens; with
//	                             it comes what the service said of each
//	kmsctx.ErrInvalidCiphertext  altered, or another context or key
//	kmsctx.ErrNotAuthorized      AccessDeniedException, or a token that is none;
//	                             a signature that is not accepted, and credentials
//	                             that cannot be had
//	kmsctx.ErrGrantPending       the same while a grant was named without its
//	                             token, which would make it usable at once
//	kmsctx.ErrKeyDisabled        DisabledException
//	kmsctx.ErrKeyPendingDeletion KMSInvalidStateException that says so
//	kmsctx.ErrKeyNotFound        NotFoundException
//	kmsctx.ErrThrottled          throttling and exhausted quotas
//	kmsctx.ErrUnavailable        no answer, of the service or of who gives out
//	                             credentials over the network; an answer of
//	                             status 5xx, or none that is one; a key in another
//	                             state, such as a key store that is not connected
//	no sentinel                  any other 4xx, such as ValidationException and
//	                             InvalidArnException: the same call is refused
//	                             again; smithy.APIError has the code
//	ErrAnswer                    an answer for another key or of another length
//	ErrNoDryRun                  a probe that a service carried out for real
//
// A [Keyring] is safe for concurrent use if its client is; *kms.Client is. It
// does not retry beyond what the client does.
//
// # What it does not protect against
//
// KMS compares contexts exactly but cannot know which one the caller should
// have named. Data keys that were handed out before a key is disabled or a
// grant retired are not called back. A key policy that lets somebody else use
// the key lets them open what this keyring made, under the same context.
//
// Sources: AWS KMS API Reference, GenerateDataKey, Decrypt, Encrypt, "Testing
// your permissions"; AWS Encryption SDK Specification, "AWS KMS keyring".
package awskms
