// Package sigv4 holds tests of fas/sigv4 against the signers that others
// wrote. Each client signs the same calls under one fixed clock; they are sent
// over HTTP/1.1, over HTTP/2 and through a reverse proxy, must verify, and must
// not once any signed piece of them changed.
//
// A client that is not there is skipped with the reason:
//
//	CLOISTER_NODE_MODULES  folder with @smithy/signature-v4,
//	                       @smithy/signature-v4a, @aws-crypto/sha256-js, aws4
//	CLOISTER_PYTHON        an interpreter that has botocore
//	curl                   from the search path, with --aws-sigv4
//
// CLOISTER_SIGV4_RECORD names a folder to which each client's requests are
// written, as fas/sigv4 keeps them in its testdata.
//
// It proves nothing about clients of other versions than those that ran.
package sigv4
