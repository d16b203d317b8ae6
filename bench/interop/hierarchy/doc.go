// Package hierarchy crosses kmsctx/hierarchy with the official Go
// implementation of the hierarchical keyring and its key store, over one table
// of DynamoDB and one KMS key of a server that CLOISTER_PEER_MOTO names. Its
// tests need -tags esdk, since the official module takes minutes to build.
package hierarchy
