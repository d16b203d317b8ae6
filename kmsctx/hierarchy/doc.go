// Package hierarchy is the AWS Encryption SDK's hierarchical keyring: a KMS key
// wraps one branch key for each tenant, a DynamoDB table keeps the wrapped branch
// keys, and every data key is wrapped locally with a key derived from its
// tenant's branch key. Messages and table are those of the official
// implementations: provider "aws-kms-hierarchy", items of hierarchy-version 1.
//
// A message costs no call of KMS while its tenant's branch key is cached, and
// tenants still have keys of their own. Which branch key a context is for, a
// [Supplier] says, never the message: an encrypted data key that names another
// branch key is passed over. Beyond the official keyring, a branch key serves
// only contexts that hold every pair it was created with, so that a supplier
// that mixes up two tenants is found out.
//
// A [Store] reads branch keys and needs dynamodb:GetItem and kms:Decrypt; an
// [Admin] creates and rotates them and is best kept in another process, with
// dynamodb:TransactWriteItems (PutItem), kms:GenerateDataKeyWithoutPlaintext and
// kms:ReEncrypt. The table has the partition key "branch-key-id" and the sort
// key "type", both strings.
//
// # What it refuses
//
//	kmsctx.ErrMalformed          a [Place] that is incomplete or names the KMS
//	                             key otherwise than by its ARN; a branch key ID
//	                             that is not 1 to 256 printable ASCII characters;
//	                             a time to live outside 1 second to 1 hour
//	kmsctx.ErrContext            the zero context
//	kmsctx.ErrNoMatchingKey      no encrypted data key of the context's branch
//	                             key opens; with it comes why each did not
//	kmsctx.ErrInvalidCiphertext  altered, or another context, branch key or
//	                             version; an item that KMS does not open, because
//	                             it was altered or copied from another row,
//	                             table or key store
//	kmsctx.ErrKeyNotFound        no such branch key or version, or no such KMS key
//	kmsctx.ErrNotAuthorized, kmsctx.ErrKeyDisabled,
//	kmsctx.ErrKeyPendingDeletion what KMS or DynamoDB said
//	kmsctx.ErrThrottled, kmsctx.ErrUnavailable
//	                             it may succeed later
//	kmsctx.ErrClosed             a keyring after Close
//	[ErrNoBranchKey]             the supplier names no branch key for the context
//	[ErrForeign]                 the branch key was created for another context
//	[ErrItem]                    an item that is no branch key of this store
//	[ErrAnswer]                  an answer of KMS for another key or length
//	[ErrExists]                  creating a branch key that exists
//	[ErrChanged]                 rotating a branch key that somebody else rotated
//	                             at the same time
//
// All types here are safe for concurrent use if the clients are; those of
// aws-sdk-go-v2 are.
//
// # What it does not protect against
//
// A cached branch key opens and wraps until its time to live is over: that long
// after the KMS key was disabled or a permission withdrawn, unless somebody
// calls [Keyring.Forget]. A rotated branch key, too, wraps until then. Whoever
// obtained a branch key's plaintext opens everything wrapped with that version,
// and no call of KMS shows it.
//
// KMS authenticates every attribute of an item, but not that it is the latest:
// who can write the table can put an older active item back, or delete items,
// and what those branch keys wrapped stays closed. Keep point-in-time recovery
// on, and PutItem and DeleteItem away from the services that read.
//
// One KMS key wraps all branch keys of a store. Its states and grants therefore
// count for all of a store's tenants; conditions on
// kms:EncryptionContext:branch-key-id or kms:EncryptionContext:aws-crypto-ec:…
// tell them apart. Replicas of multi-Region keys, several KMS keys in one table
// (discovery) and tables of hierarchy-version 2 are not supported. Beacon keys
// are created, since the format has them, and never opened.
//
// Go cannot promise that no copy of a key remains in memory.
//
// Sources: AWS Encryption SDK Specification, "AWS KMS Hierarchical Keyring" and
// "Keystore"; NIST SP 800-108r1, KDF in counter mode.
package hierarchy
