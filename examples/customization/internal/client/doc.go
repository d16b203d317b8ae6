// Package client calls the customization service as a tenant's user does: the
// API signed with the user's own access key, and uploads of source code to the
// user's own bucket with the official S3 client. It holds no secret beyond the
// one given.
//
// # What it refuses
//
//	*Failure    an answer of the service that is not a success
//	ErrAnswer   an answer of more than 8 MiB
//	ErrChanged  a file that became a link, or no file, between list and upload
//
// Redirects are not followed: a call is signed for one host, and its body is
// for that host. [Walk] lists no hidden files, no links and nothing outside of
// its root.
//
// A [Client] is safe for concurrent use.
//
// # What it does not protect against
//
// It speaks plain HTTP, to services on the own machine; in front of others
// stands TLS. A folder on the way to a listed file that is exchanged for a
// link while the upload runs is followed. [User] holds its secret as a string,
// as it came from a file.
package client
