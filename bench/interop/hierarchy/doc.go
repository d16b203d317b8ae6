// Package hierarchy crosses kmsctx/hierarchy with the official Go
// implementation of the hierarchical keyring and its key store, over one table
// of the DynamoDB that CLOISTER_PEER_MOTO names and one KMS key: of the same
// server's KMS, and of our own. Its tests need -tags esdk, since the official
// module takes minutes to build.
package hierarchy
