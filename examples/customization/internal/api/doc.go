// Package api is the wire of the customization service: restJson1 over POST,
// SigV4, one operation table.
//
// The table is the only way in. Everything that must be true of an operation
// comes from its line: routing, the size limit, the capture of what the caller
// signed, the call to the identity firewall, the decoding of the body, the
// error format and the OpenAPI document. A handler is never called without a
// session that the firewall issued for exactly this signed request.
//
// # What it refuses
//
//	UnknownOperationException  a target that is not exactly "/Name" of the table,
//	                           or another method than POST
//	ValidationException        a body that is too large, is not one JSON object,
//	                           or that two readers could understand differently
//	AccessDeniedException      every signature that the firewall does not accept,
//	                           and every customization that the caller may not
//	                           use, whether or not it exists
//
// A refusal is a code, a fixed text and a request ID; the reason stands in the
// audit log. A [Table] is safe for concurrent use.
//
// # What it does not protect against
//
// The customization that a body names is read here: a compromised front end
// could use a caller's evidence for another customization that this caller may
// use anyway.
package api
