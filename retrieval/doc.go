// Package retrieval searches one collection: the sealed snapshot of one
// customization, opened by a session and by nothing else.
//
// [Open] takes no name. The session says which collection, which snapshot and
// which digest; the key in it opens that file and no other. Text is split into
// declarations and tokenized here, the same for every driver.
//
// # What it refuses
//
//	ErrBinding   a session without a collection, or a zero ID
//	ErrManifest  a snapshot that is not the one that the registry pins: an
//	             older one, another's, or an altered one
//	ErrDamaged   an altered, moved or missing page
//	ErrMixed     hits of two bindings in one prompt, or a hit made by hand
//	ErrLimit     a query or document outside the limits
//
// Errors of the session (fas.ErrExpired, fas.ErrVerb) pass through. A [Reader]
// is safe for concurrent use.
//
// # What it does not protect against
//
// Retrieved text is untrusted: it may try to instruct a model. A hit says where
// it came from, not that whoever held it left its text alone. Whoever can
// query a customization can read it, piece by piece. Sizes of files and times
// of queries are visible to the operator.
package retrieval
