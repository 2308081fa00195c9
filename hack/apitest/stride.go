//go:build !race

package apitest

// Stride is the step between the crash points that a test tries: here each is tried.
// The race detector makes a life five times as long and looks for something else, so
// under it every fifth is; `make test` runs both.
const Stride = 1
