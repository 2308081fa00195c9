//go:build race

package apitest

// Stride is the step between the crash points that a test tries; see the other file.
const Stride = 5
