// Package invariant is the catalogue of what must never happen in a service
// built of these packages: each sentence with its reason for a tenant, and with
// the attacks that try to make it false.
//
// The catalogue is data. A test of this package looks every attack up in the
// source tree, so that a sentence cannot outlive what attacks it.
//
// # Errors
//
// [WriteMarkdown] returns what the writer returns; there are no others.
//
// All functions are safe for concurrent use; what they return is the caller's.
//
// # What it does not protect against
//
// An attack that is too weak: that a test exists says nothing of how hard it
// tries. A property that nobody wrote down is not here.
package invariant
