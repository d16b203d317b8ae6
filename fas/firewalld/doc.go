// Package firewalld wires an identity firewall from the embedded parts: a
// registry in bbolt, identities in sealed files, the local key service and the
// local session authority.
//
// # What it promises
//
//   - One process serves a directory.
//   - Identities, tenants' settings, the authority's keys and the ticket key are
//     sealed under the root key, each under its own name: a file that was
//     changed, or put in the place of another, opens nothing.
//   - What a tenant decides is recorded and in force before its next call.
//   - A grant that no row names is retired when the directory is opened.
//
// # What it refuses
//
//	fas.ErrConfig      [Open] without a recorder, options or operations
//	ErrNoTenant        a user for, or a change of, a tenant that is not there
//	authz.ErrRejected  policies of a tenant that are wrong, with the change
//	                   that they came in
//
// [Open] returns an error also for a root key that is not 32 bytes, or not the
// directory's own, and for a directory that another process has open.
//
// A [Server] is safe for concurrent use. [AddTenant], [AddUser] and
// [ChangeTenant] may run in another process while it serves.
//
// # What it does not protect against
//
// Whoever holds the directory and the root key is every tenant. Whoever may
// write the directory can put an old file in the place of a new one of the same
// name. The three role keys of the built-in profile are made here and thrown
// away after signing; the profile lies beside its keyring, and a deployment
// with three teams brings its own.
package firewalld
