// Package objectstoretest is the object store for tests: one in memory whose every
// call can be made to fail, a real MinIO, and the conformance suite that both pass,
// so that what a test shows on the first holds on the second.
//
// The store in memory keeps S3's rules that matter for erasing: versions, delete
// markers, unfinished uploads, object lock, listings in pages, per-key errors. It
// does not enforce session policies.
package objectstoretest
