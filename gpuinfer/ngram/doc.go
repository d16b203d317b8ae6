// Package ngram is a completion engine without weights: a suffix index over
// the customization's own corpus, mixed with the open file.
//
// Every token that it writes comes from the request's own text or is supported
// by positions in the corpus; [Model.Complete] names them, so that a test can
// prove that nothing came from elsewhere. It abstains when it is not sure.
//
// # What it refuses
//
//	ErrModel  bytes that are not a model, or are inconsistent
//	ErrLimit  a corpus of more than [MaxTokens] tokens, or positions beyond 4 GiB
//
// A [Model] is immutable and safe for concurrent use.
//
// # What it does not protect against
//
// It repeats what it has seen: secrets in the corpus can be completed by
// whoever may use the customization.
package ngram
