// Package esdk crosses kmsctx with the official implementations of the AWS
// Encryption SDK: what either writes, the other reads, and neither opens for
// another tenant or after one bit has changed. The implementations are programs
// with one common command line, named by CLOISTER_ESDK_PYTHON, _NODE, _JAVA and
// _GO; [peer] is kmsctx with the same one. It is no product: use package kmsctx
// or the command cloister, whose seal and open are crossed with them too.
//
// [peer]: https://pkg.go.dev/github.com/cloisterdev/cloister/bench/interop/esdk/peer
package esdk
