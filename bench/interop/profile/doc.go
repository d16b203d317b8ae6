// Package profile holds tests of fas/profile against go-securesystemslib, the
// DSSE library of the in-toto and sigstore tools: what it signs must verify,
// and it must verify what fas/profile signs.
//
// It proves nothing about other libraries: an envelope's keys must stand in the
// order of the DSSE specification, which this one writes.
package profile
