// Package profile holds the upper bounds of what the identity firewall may
// exchange for a customer's signed call. A profile counts only when the
// service, the security and the identity team each signed it: no one person,
// and no one key, can set one up.
//
// The form is a DSSE envelope (secure-systems-lab/dsse). A signature in it is a
// bare Ed25519 one over DSSE's encoding, or one that OpenSSH made over the
// payload (OpenSSH PROTOCOL.sshsig), with an Ed25519 or ECDSA P-256 key that may
// live in a FIDO2 authenticator. The role of a signature is the role of its key
// in the [Keyring].
//
//	cloister profile new --id source … --payload p.payload > p.json
//	ssh-keygen -Y sign -f ~/.ssh/id_ed25519_sk -n cloister-profile p.payload
//	cloister profile sign p.json --ssh p.payload.sig --write
//	cloister profile verify p.json --keys keyring
//
// # What it promises
//
//   - A [Verified] comes from [Load] and a [Store] only, and says what each of
//     the three teams signed, byte for byte; nothing changes it afterwards.
//   - An envelope and a profile have one accepted form, the one that [New] and
//     [Sign] write, with white space allowed around the envelope's tokens only:
//     two readers cannot read two things. What a draft leaves out is written
//     out before anybody signs, in its narrow reading.
//   - An authenticator's signature counts only if somebody touched it.
//   - A store never puts an older version in the place of a newer one, over
//     restarts too, and whatever a file becomes, what was approved stays in
//     force until its time is over or its file is gone.
//   - A refusal returns no profile.
//
// # What it refuses
//
//	ErrMalformed   a profile or envelope that is not of the one form: unknown,
//	               repeated or misspelt keys, something after the end, more
//	               than [MaxSize] bytes; a profile without its parts, or with
//	               too long a life; a signature that is none
//	ErrUnapproved  a missing role, named in the error; a signature over other
//	               bytes, for another purpose, or without a touch
//	ErrKeyring     one key in two roles, whatever it is called there; a role
//	               without a key, a role that is none of the three, a key for
//	               which anybody can sign; a signing key that is not 32 bytes
//	ErrExpired     before NotBefore or after NotAfter; the zero value
//	ErrRollback    a profile that would replace another of the same or a later
//	               version, or of another ID
//	ErrStore       a directory that cannot be read, and a state that is lost,
//	               damaged or cannot be written
//	ErrUnknown     an ID of which no profile is in force
//
// Values are immutable and safe for concurrent use, as are all functions and
// the methods of a [Store].
//
// # What it does not protect against
//
// Three teams that agree on something unwise: the policy is bounded by what
// they read, and cloister profile show and diff only help with reading. Whoever
// chooses the keyring chooses the teams, and whoever writes a store's directory
// can withdraw a profile, though not change one. An older profile is valid until
// its NotAfter wherever [Verified.Replaces] is not asked and no store is used;
// keep validity short. An approval is taken back by a later version, or by a
// keyring without the key and a restart, not by itself. A keyring cannot tell a
// key in an authenticator from a program that claims to be one, nor demand one
// or a PIN; whether a person other than its owner touched it, nobody knows. The
// state of a store is as safe as its file.
package profile
