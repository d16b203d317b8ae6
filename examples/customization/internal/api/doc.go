// Package api is the wire of the customization service: restJson1 over POST,
// SigV4, one operation table.
//
// The table is the only way in. Everything that must be true of an operation
// comes from its line: routing, the size limit, the capture of what the caller
// signed, the call to the identity firewall, the decoding of the body, the
// error format and the OpenAPI document. A handler is never called without a
// session that the firewall issued for exactly this signed request.
//
// What it does not protect against: the customization that a body names is
// read here, so a compromised front end could use a caller's evidence for
// another customization that this caller may use anyway.
package api
