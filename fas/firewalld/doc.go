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
//   - A change that returned nil is made for good: no power cut brings back a key
//     that was removed, a setting or the keys of sessions that were renewed.
//   - Revocations are kept, and in force again when the directory is opened.
//   - Readers of rows never wait for a disk; writers of different rows share one
//     write to it.
//   - A public key belongs to one user, for whom it signed; an issuer with an
//     audience belongs to one tenant. What of them was removed counts no more from
//     the next call on.
//   - A grant that no row names is retired when the directory is opened.
//   - [OpenProfiles] takes profiles and the keyring of those who approve them
//     from outside of the directory, and never goes back to an older version.
//   - The keys of sessions change while it serves, recorded first, and no
//     session notices; see [Server.RotateSessionKeys].
//
// # What it refuses
//
//	fas.ErrConfig      [Open] without a recorder, options or operations; profiles
//	                   or a keyring within the directory
//	profile.ErrStore   the versions of profiles that were in force are lost
//	ErrNoTenant        a user for, or a change of, a tenant that is not there
//	ErrNoUser          a key or a subject for a user who is not the tenant's
//	ErrBadKey          what is no Ed25519 key, or one that anybody can sign with
//	ErrProof           a key that did not sign for the user, whoever has it
//	ErrTaken           a key that somebody has, an issuer that another tenant has
//	authz.ErrRejected  policies of a tenant that are wrong, with the change
//	                   that they came in
//
// [Open] returns an error also for a root key that is not 32 bytes, or not the
// directory's own, and for a directory that another process has open;
// [OpenDirectory] for one that is not there.
//
// A [Server] is safe for concurrent use, and so is a [Directory], which the
// verifiers of further schemes ask. [AddTenant], [AddUser], [AddPublicKey],
// [RemovePublicKey] and [ChangeTenant] may run in another process while it serves.
//
// # What it does not protect against
//
// Whoever holds the directory and the root key is every tenant. Whoever may
// write the directory can put an old file in the place of a new one of the same
// name, and one that was removed back. A proof says that a key signed for a user,
// and not when: it serves again after [RemovePublicKey]. The process that makes a
// user or the keys of sessions keeps copies of them, in a string and in the
// buffers of encoding/json, until its memory is used for something else.
//
// The three role keys of the built-in profile are made here and thrown
// away after signing, and the profile lies beside its keyring: nobody but this
// package approved it. A deployment with three teams gives Options.Profiles what
// [OpenProfiles] returns, and writes profiles and keyring as another user than
// the firewall's.
package firewalld
