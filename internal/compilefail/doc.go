// Package compilefail holds programs that must not build: each is a step of
// the chain skipped, or one kind of handle passed for another. The test builds
// them all and compares the compiler's words.
package compilefail
