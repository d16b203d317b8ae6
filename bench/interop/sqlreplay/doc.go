// Package sqlreplay holds tests of fas/sqlreplay against a real PostgreSQL
// server: many processes claim one key, the server is killed and started again.
//
//	CLOISTER_POSTGRES_DSN  a database in which the tests may make and drop tables
//	initdb, postgres       from the search path, otherwise: a server of the
//	                       tests' own on a Unix socket, which they also kill.
//	                       PostgreSQL refuses to run as root; there the tests
//	                       need setpriv and run it as nobody
//
// It proves nothing about a cluster with replicas.
package sqlreplay
