// Package localkms is a key service in a directory: keys with states, rotation,
// aliases and policies, grants that a context must meet, and data keys bound to
// that context.
//
// It has two faces over one store. [KMS] is for the one process that is trusted
// with the root key: there a grant is a capability, and whoever names it may use
// its key, for contexts that hold every pair of its constraint, until it is
// retired. [NewKeyring] makes a [kmsctx.Keyring] of such a grant. [Service] is
// for principals: AWS KMS's operations with AWS's inputs, outputs and error
// codes, decided by key policies, account policies and grants with Equals and
// Subset constraints, tokens and retiring principals; kmsserver puts it on the
// wire.
//
// A ciphertext names its key and the version of its material, and opens under
// exactly the context that it was made for. Rotation keeps what older versions
// opened.
//
// # What it refuses
//
// Errors carry AWS's code ([Code]); those that kmsctx has a sentinel for match
// that too.
//
//	ErrNotAuthorized      no policy and no live grant covers the call: a grant
//	                      that was retired, one that never was, and one whose
//	                      constraint the context does not meet look alike
//	ErrKeyDisabled        a disabled key, from the next call on
//	ErrPendingDeletion    a key that is to be deleted
//	ErrState              CancelKeyDeletion of a key that is not to be deleted
//	ErrUnknown            no such key, alias or grant; [Service] tells it of keys
//	                      and aliases to whom the account lets describe them,
//	                      and others hear ErrNotAuthorized, as of one that is
//	                      there and not theirs
//	ErrInvalidCiphertext  altered, or under another context: these cannot be
//	                      told apart, by design; [KMS] adds: of another key
//	ErrIncorrectKey       of another key than the caller named
//	ErrGrantToken         a token that this store did not make
//	ErrPolicy, ErrInvalid, ErrTag, ErrAlias, ErrARN, ErrMarker, ErrGrantID
//	                      what AWS KMS would not accept either, and encryption
//	                      contexts and tags with keys that differ in case only
//	ErrExists             CreateAlias of an alias that is there
//	ErrUnsupported        asymmetric, imported and multi-Region keys
//	ErrLimit              more than [Limits]
//	ErrDryRun             a dry run of a call that would have succeeded; it
//	                      changes and returns nothing
//	ErrAudit              a call that could not be recorded; it changes and
//	                      returns nothing
//	ErrCorrupt            a store that does not open under the root key, was
//	                      altered, cut short or removed while in use; a root
//	                      key that has not 32 bytes
//	kmsctx.ErrContext     the zero context; a constraint that no context can meet
//
// # Condition keys
//
// A condition on another key is refused, in a key's policy when it is put and
// in a principal's at every call: a Deny by a key that no call has would never
// deny. As on AWS, a Deny by a key that this one call lacks does not apply,
// unless its operator is a negated one, Null or IfExists.
//
//	every call             aws:PrincipalArn, aws:PrincipalAccount,
//	                       aws:PrincipalType, aws:CurrentTime, aws:EpochTime,
//	                       aws:RequestedRegion, aws:ResourceAccount,
//	                       aws:PrincipalIsAWSService and aws:ViaAWSService,
//	                       which are false, kms:CallerAccount
//	of IAM users           aws:username
//	over a network         aws:SourceIp, aws:SecureTransport; see [Peer]
//	about a key            kms:KeySpec, kms:KeyUsage, kms:KeyOrigin,
//	                       kms:MultiRegion, kms:ResourceAliases,
//	                       aws:ResourceTag/KEY, kms:RequestAlias where the call
//	                       names an alias
//	cryptographic          kms:EncryptionContext:KEY, kms:EncryptionContextKeys,
//	                       kms:EncryptionAlgorithm; ReEncrypt:
//	                       kms:ReEncryptOnSameKey
//	CreateGrant, RetireGrant   kms:EncryptionContext:KEY and
//	                       kms:EncryptionContextKeys, of the pairs that the
//	                       grant's constraints name
//	grants                 kms:GrantIsForAWSResource; CreateGrant:
//	                       kms:GranteePrincipal, kms:RetiringPrincipal,
//	                       kms:GrantConstraintType, kms:GrantOperations
//	tags                   aws:TagKeys, aws:RequestTag/KEY
//	CreateKey, PutKeyPolicy   kms:BypassPolicyLockoutSafetyCheck
//	EnableKeyRotation      kms:RotationPeriodInDays
//	ScheduleKeyDeletion    kms:ScheduleKeyDeletionPendingWindowInDays
//	no call                kms:ViaService, aws:CalledVia, aws:CalledViaFirst,
//	                       aws:CalledViaLast, aws:SourceArn, aws:SourceAccount:
//	                       nobody here is an AWS service
//
// KEY is compared without case, in all letters: a call whose encryption context
// has two keys that are one then is refused with ErrInvalid. An alias is the
// account's: to change one, the account must allow it on the alias, whatever the
// key's policy says. To retire a grant needs no permission of the retiring
// principal, and a Deny still denies it.
//
// A [KMS] and a [Service] are safe for concurrent use, and so is a directory:
// several processes may open it. A change is made to what the file says under
// a lock, and is on disk (temporary file, fsync, rename, fsync of the
// directory) before the call returns; it counts for the next call of every
// process. A change that returns an error is made completely or not at all; so
// is one during which the power goes. The lock is flock on the directory, so
// changes need a Unix system and a local disk. A file of the first form, of
// keys without versions, is read, and written anew at the first change.
//
// # What it does not protect against
//
// Whoever holds the root key and the directory holds every key. Restoring an
// old copy of the directory brings retired grants and old policies back; keep it
// where the registry is. A directory without the file is a new store: removing
// the file between two processes destroys all keys, and what they wrapped stays
// closed. Data keys that were handed out before a key is disabled or a grant
// retired are not called back. A capability has no grantee: keep grant IDs from
// whoever is not to use them. Retiring a grant does not retire those that were
// made through it, as on AWS. Every change writes the whole file: some thousands
// of grants are fast, millions are not what this is for. Go cannot promise that
// no copy of a key remains in memory.
//
// Sources: AWS KMS API Reference; AWS KMS Developer Guide, "Grants", "Key
// policies", "Condition keys", "Key states", "Rotating keys".
package localkms
