// Package pagecode holds the code on documentation pages to code that is
// compiled and tested: a fenced Go block that follows a line
//
//	<!-- code: DIR/FILE.go NAME -->
//
// must be the body of the function, or the whole declaration of the type, of
// that name, and every Go block on the checked pages must have such a line.
//
//	go test ./internal/pagecode -update
//
// writes the blocks anew. It does not judge the words around them.
package pagecode
