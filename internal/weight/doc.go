// Package weight measures what taking one package of Cloister costs a module:
// how many requirements its go.mod gets. It has tests only.
package weight
