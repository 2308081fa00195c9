// Package objectstore talks to the object store: a thin adapter over minio-go
// that speaks only S3 and STS, so that any store with those two will do. The
// dependency is there because signing, multipart and retries of S3 are long
// solved; everything above plain calls is left to the callers, who declare the
// few methods that they need as interfaces of their own.
//
// The in-memory store in objectstoretest behaves the same; one conformance suite
// runs on both.
package objectstore
