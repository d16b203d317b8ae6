// Package cloud is the demo's "customer cloud": an S3-compatible object store
// that belongs to the tenants, not to the service. It stands for the place
// where customers keep their code, and it really checks: every request is
// signed, a tenant's own key reaches only that tenant's buckets, and a session
// of the identity firewall reaches only what both the profile and the
// scope-down allow, for the tenant that it was issued to, until it expires.
//
// It speaks the part of S3 that uploads and reads code: PutObject, GetObject,
// HeadObject, DeleteObject, ListObjectsV2, HeadBucket, ListBuckets.
//
// What it does not do: multipart uploads, presigned URLs, streaming
// signatures, versioning. It keeps objects as they were sent; encryption at
// rest is the customer's business here.
package cloud
