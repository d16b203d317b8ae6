// Package policy parses and evaluates policies in the IAM language, strictly,
// for scope-downs: every layer must allow, any deny wins, and an absent layer
// allows nothing.
//
// It understands Version 2012-10-17, Effect, Action and NotAction (globs,
// case-insensitive), Resource and NotResource (globs, case-sensitive), policy
// variables, and the conditions StringEquals, StringNotEquals, StringLike,
// StringNotLike, DateLessThan, DateGreaterThan and Bool, each with IfExists.
//
// # What it refuses
//
//	ErrMalformed  unknown, duplicate or case-variant keys; Principal; an empty
//	              statement list; an unknown operator; characters outside
//	              U+0020 to U+00FF; another Version
//	ErrTooLarge   more than 2,048 characters, the limit of AWS STS
//	ErrEmpty      no document at all
//
// A [Document] is immutable and safe for concurrent use.
//
// # What it does not protect against
//
// [Subset] is conservative: it says no to some pairs that are fine. The
// security of a session comes from evaluating both layers at access time.
//
// Source: AWS IAM User Guide, "IAM JSON policy elements reference".
package policy
