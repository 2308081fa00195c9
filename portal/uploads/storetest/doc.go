// Package storetest starts an object store for tests of uploads: a real MinIO with TLS,
// reached with the grants that the broker gives.
package storetest
