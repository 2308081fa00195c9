// Package audit looks into the object store to check that data is gone.
//
// It is a second opinion: it signs its own requests and reads the answers itself, so
// that a mistake in objectstore, or in the library under it, does not also make the
// check go well. It shares only the errors and credentials of objectstore, and takes
// credentials of its own that may look and nothing else.
//
// In doubt it fails. A bucket that is not there, an answer that is cut short, too
// long, about something else or not of the kind that was asked for is an error, never
// "empty".
package audit
