// Package kmsserver speaks AWS KMS's wire protocol for a [localkms.Service]:
// awsJson1.1 over HTTP, requests signed with Signature Version 4. The AWS SDKs
// and the AWS CLI drive it unchanged, so that code with grants, constraints,
// grant tokens, key policies and dry runs can be tested without an account.
//
//	handler, err := kmsserver.New(service, principals, nil)
//	listener, err := kmsserver.Listen("127.0.0.1:7071", nil)
//	err = kmsserver.Serve(ctx, listener, handler)
//
// # What it refuses
//
// Before it reads an operation: requests that are not signed, are signed by
// nobody, for another region or service, or at the wrong time; session tokens;
// bodies above 256 KiB; anything but POST / with one JSON object. Then, with
// ValidationException or SerializationException: members that the operation
// does not have here, to the letter, or has twice. A member that AWS knows and
// this server does not is refused and never passed over: it may be what makes
// the call safe. Everything else is refused by the service, with AWS's codes.
//
// [Listen] refuses an address other than loopback without TLS.
//
// # Differences from AWS
//
// Symmetric keys only. Retiring and revoking a grant count at once. Encryption
// contexts whose keys differ in case only are refused, and those whose keys have
// capital letters beyond ASCII. Key policies are those
// that fas/policy evaluates, with principals named one by one; a role's name
// stands for its sessions, and aws:PrincipalArn of a session is its role without
// the path. Grants are to one ARN to the letter, that of a session too. An
// unknown access key and a wrong signature have one code.
//
// # What it does not protect against
//
// A signature is good again for five minutes: whoever can read a request can
// repeat it, and with CreateGrant or EnableKey bring back what was revoked or
// disabled meanwhile; so use TLS beyond one machine. Names on grants keep a
// repeated call from making a second one. Principals are the access keys of one
// file, which is read once. Whoever reads that file is every principal.
//
// Sources: AWS KMS API Reference; Smithy documentation, "AWS JSON 1.1 protocol".
package kmsserver
