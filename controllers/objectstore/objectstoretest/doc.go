// Package objectstoretest is the object store for tests: one in memory whose every
// call can be made to fail, a real MinIO, and the conformance suite that both pass,
// so that what a test shows on the first holds on the second.
//
// The store in memory keeps S3's rules that matter for erasing: versions, delete
// markers, unfinished uploads, object lock, listings in pages, per-key errors, objects
// under keys. It says of itself that it is a MinIO, so that RemovePrefix works; see
// SetFacts. It does not enforce session policies.
//
// faultproxy makes a real MinIO fail, and audit has tests of its own on one.
package objectstoretest
