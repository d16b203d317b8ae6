// Package cloud is the demo's "customer cloud": an S3-compatible object store
// that belongs to the tenants, not to the service. It stands for the place
// where customers keep their code, and it really checks: every request is
// signed, a tenant's own key reaches only that tenant's buckets, and a session
// of the identity firewall reaches only what both the profile and the
// scope-down allow, for the tenant that it was issued to, until it expires.
//
// It speaks the part of S3 that uploads and reads code: PutObject, GetObject
// (with ranges), HeadObject, DeleteObject, ListObjectsV2, HeadBucket,
// GetBucketLocation, ListBuckets. A bucket is made by its owner's first use.
//
// # What it refuses
//
//	AccessDenied            a bucket that is not the caller's, whether or not it
//	                        exists; what a session's layers do not both allow
//	SignatureDoesNotMatch   a missing, old or wrong signature; an unknown key; a
//	                        session that is made up, over, or another's
//	XAmzContentSHA256Mismatch, BadDigest
//	                        a body that is not the signed one or not the one of
//	                        its checksums; unsigned and streaming payloads
//	EntityTooLarge          more than [MaxObject], or a body that is cut short
//	KeyTooLongError, InvalidURI
//	                        keys that a list could not show
//	NotImplemented          every other operation, parameter and header that
//	                        would change what a request means
//
// A [Server] is safe for concurrent use; one process owns a folder.
//
// # What it does not do
//
// Uploads in parts (clients start them above a threshold, 8 MiB in the aws
// command), copies, conditional writes, presigned URLs, streaming signatures,
// versioning, metadata. It keeps objects as they were sent; encryption at rest
// is the customer's business here.
//
// # What it does not protect against
//
// Being kept busy: a body is read, at most [MaxObject] of it, before its
// signature can be checked.
package cloud
