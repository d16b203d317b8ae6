// Package kmsserver speaks AWS KMS's wire protocol for a [localkms.Service]:
// awsJson1.1 over HTTP, requests signed with Signature Version 4. The AWS SDKs
// and the AWS CLI drive it unchanged, so that code with grants, constraints,
// grant tokens, key policies and dry runs can be tested without an account.
//
//	handler, err := kmsserver.New(service, principals, nil)
//	listener, err := kmsserver.Listen("127.0.0.1:7071", nil)
//	err = kmsserver.Serve(ctx, listener, handler)
//
// # Operations
//
//	CancelKeyDeletion, CreateAlias, CreateGrant, CreateKey, Decrypt,
//	DeleteAlias, DescribeKey, DisableKey, DisableKeyRotation, EnableKey,
//	EnableKeyRotation, Encrypt, GenerateDataKey,
//	GenerateDataKeyWithoutPlaintext, GenerateRandom, GetKeyPolicy,
//	GetKeyRotationStatus, ListAliases, ListGrants, ListKeyRotations, ListKeys,
//	ListResourceTags, ListRetirableGrants, PutKeyPolicy, ReEncrypt,
//	RetireGrant, RevokeGrant, RotateKeyOnDemand, ScheduleKeyDeletion,
//	TagResource, UntagResource, UpdateAlias
//
// # What it refuses
//
// Before it reads an operation: requests that are not signed, are signed by
// nobody, for another region or service, or at the wrong time; signatures that
// were used before; session tokens; bodies above 256 KiB; anything but POST / with
// one JSON object. Then, with ValidationException or SerializationException:
// members that the operation does not have here, to the letter, or has twice. A
// member that AWS knows and this server does not is refused and never passed over:
// it may be what makes the call safe. Everything else is refused by the service,
// with AWS's codes.
//
// [Listen] refuses an address other than loopback without TLS.
//
// Programs are told with these errors, and callers with AWS's codes:
//
//	ErrConfig      a principals file, an address or a part that is not accepted
//	ErrThrottled   in [Refusal]: more requests than [Options].Rate
//	ErrReplayed    in [Refusal]: a signature that was used before
//
// # Differences from AWS
//
// AWS's other operations, such as UpdateKeyDescription, ListKeyPolicies,
// GenerateDataKeyPair, Sign and ImportKeyMaterial, are answered with
// UnknownOperationException. Symmetric keys only. Retiring and revoking a grant
// count at once. Encryption contexts and tags whose keys differ in case only, in
// any letter, are refused. The rate is one for all operations. Key policies are
// those that fas/policy evaluates, with principals named one by one; a role's name
// stands for its sessions, and aws:PrincipalArn of a session is its role without
// the path. Grants are to one ARN to the letter, that of a session too. An unknown
// access key and a wrong signature have one code.
//
// A signature is good once for what changes a key: a CreateGrant or EnableKey that
// somebody kept does not bring back what was revoked or disabled meanwhile. AWS
// does not say that it remembers signatures. Most SDKs sign the number of the call
// and of the attempt, so that neither two equal calls nor a retry look like a
// replay. boto3 and the AWS CLI do not: the second of two equal changes within one
// second is answered ThrottlingException, a second after the first, and their retry
// is served. What reads, and CreateKey, is served again for five seconds after the
// first time.
//
// aws:SourceIp and aws:SecureTransport are those of the connection: behind a
// proxy, the proxy's. No header changes them.
//
// # What it does not protect against
//
// Signatures that were used are remembered in this process, unless
// [Options.Replay] says where else. So what was signed before the server began is
// refused, except in the second in which it began and, by clients whose clocks
// are ahead, for as long as they are, at most thirty seconds; a client whose
// clock is behind waits until it has caught up. Two servers of one store each
// take a signature once. What only reads can be repeated for five seconds. Whoever can read requests without TLS reads the answers
// too. Principals are the access keys of one file, which is read once. Whoever
// reads that file is every principal.
//
// Sources: AWS KMS API Reference; Smithy documentation, "AWS JSON 1.1 protocol".
package kmsserver
