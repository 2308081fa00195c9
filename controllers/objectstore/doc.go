// Package objectstore talks to the object store: a thin adapter over minio-go
// that speaks only S3 and STS, so that any store with those two will do. The
// dependency is there because signing, multipart and retries of S3 are long
// solved; everything above plain calls is left to the callers, who declare the
// few methods that they need as interfaces of their own.
//
// Objects may lie under keys of their owners (UnderKey): S3's SSE-C, since there the
// store never keeps the key, so that destroying it takes the data from everybody,
// wherever a copy may be. Two things go beyond S3, with a portable way beside them:
// RemovePrefix, which MinIO knows, and the guard against what MinIO hides (ErrHidden).
//
// The in-memory store in objectstoretest behaves the same; one conformance suite
// runs on both.
package objectstore
