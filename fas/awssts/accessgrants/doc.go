// Package accessgrants issues sessions by S3 Access Grants: a tenant grants the
// service's firewall a prefix, in the tenant's own account, and takes it back
// when it wants to.
//
// # What it promises
//
//   - One prefix of one bucket is asked for, to read, with Privilege=Minimal: the
//     credentials are for what was asked, not for all that the grant covers.
//   - The signed call is the request's AuditContext, in the tenant's CloudTrail.
//   - An answer that is about something else gives no credentials.
//
// # What it refuses
//
//	ErrConfig   a missing part
//	ErrGrant    the zero Grant, one that is over, one of more than 15 minutes
//	ErrAccount  a tenant without an account
//	ErrRefused  AccessDenied: the tenant granted no such thing
//	ErrService  no answer, or one that is not about what was asked
//
// An [Issuer] is safe for concurrent use.
//
// # What was not proven
//
// No server that can be run beside the tests has S3 Access Grants. The tests
// speak the wire of GetDataAccess to the real SDK and show what this package
// does with each answer; that S3 bounds the credentials is AWS's word.
//
// # What it does not protect against
//
// The credentials live for 15 minutes: S3 Access Grants gives nothing shorter
// and takes no policy, so that stolen ones outlive a shorter session. Its
// target is a prefix: a narrower scope-down is not in the credentials, and the
// layers of the grant bound only what the firewall agrees to ask for.
//
// Source: Amazon S3 API Reference, GetDataAccess.
package accessgrants
