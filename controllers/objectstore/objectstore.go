package objectstore

import (
	"errors"
	"time"
)

// Errors that callers tell apart with errors.Is. Every error of this package
// that has one of these causes wraps it; all others are worth another try.
var (
	// ErrNotFound: no such object, upload or bucket.
	ErrNotFound = errors.New("not found in the store")
	// ErrPrecondition: PutOptions.IfAbsent was set and the object is there.
	ErrPrecondition = errors.New("object exists already")
	// ErrDenied: the credentials may not do this, or are no longer valid.
	ErrDenied = errors.New("denied by the store")
	// ErrUnavailable: the store does not answer, or answers that it can not now.
	ErrUnavailable = errors.New("store is unavailable")
	// ErrKey: the object is under another key than the one given, or under one and
	// none was given, or the other way round.
	ErrKey = errors.New("object is not under this key")
	// ErrHidden: something lies at a prefix's own name, without the slash, and MinIO
	// does not tell what lies below the prefix until that has gone.
	ErrHidden = errors.New("an object at the prefix itself hides what is below it")
	// ErrUnsupported: this store or bucket can not do that, or must not.
	ErrUnsupported = errors.New("not supported by the store or not allowed in the bucket")
)

// Object is a current object as a listing gives it.
type Object struct {
	Key  string
	Size int64
	ETag string
}

// Version is one version of an object, or a delete marker.
type Version struct {
	Key string
	// ID is "null" in buckets that never had versioning.
	ID     string
	Size   int64
	Marker bool
}

// Upload is an unfinished multipart upload.
type Upload struct {
	Key string
	ID  string
}

// PutOptions of an upload. The zero value overwrites what is there.
type PutOptions struct {
	// IfAbsent fails with ErrPrecondition when the key exists (If-None-Match: *).
	IfAbsent bool
	// ContentType defaults to application/octet-stream.
	ContentType string
}

// Credentials of the store. Session is empty for an IAM user's.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	// ExpiresAt is zero for credentials that do not expire.
	ExpiresAt time.Time
}
