// Package profile holds the upper bounds of what the identity firewall may
// exchange for a customer's signed call. A profile counts only when the
// service, the security and the identity team each signed it: no one person,
// and no one key, can set one up.
//
// The form is a DSSE envelope (secure-systems-lab/dsse) with Ed25519
// signatures; the role of a signature is the role of its key.
//
// # What it promises
//
//   - A [Verified] comes from [Load] only, and says what each of the three
//     teams signed, byte for byte; nothing changes it afterwards.
//   - An envelope and a profile have one accepted form, the one that [New] and
//     [Sign] write, with white space allowed around the envelope's tokens only:
//     two readers cannot read two things.
//   - A refusal returns no profile.
//
// # What it refuses
//
//	ErrMalformed   a profile or envelope that is not of the one form: unknown,
//	               repeated or misspelt keys, something after the end, more
//	               than [MaxSize] bytes; a profile without its parts, or with
//	               too long a life
//	ErrUnapproved  a missing role, or a signature that does not verify
//	ErrKeyring     one key in two roles, a role without a key, a role that is
//	               none of the three; a signing key that is not 32 bytes
//	ErrExpired     before NotBefore or after NotAfter; the zero value
//	ErrRollback    a profile that would replace another of the same or a later
//	               version, or of another ID
//
// Values are immutable and safe for concurrent use, as are all functions.
//
// # What it does not protect against
//
// Three teams that agree on something unwise: the policy is bounded by what
// they read. An older profile is valid until its NotAfter wherever
// [Verified.Replaces] is not asked; keep validity short. Whoever chooses the
// keyring chooses the teams.
package profile
