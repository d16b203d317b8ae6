// Package front is the front end and control plane: it serves the operation
// table, keeps the journal of ingestions, starts single-use workers, and
// leases engine slots.
//
// It never verifies a signature, mints a session, unwraps a key of the
// ingestion, reads a customer's bucket or sees source text while a
// customization is made: it moves tickets, sealed files and digests. While it
// answers a request it holds that request's text, hits and session; nothing
// across requests but ciphertext.
package front
