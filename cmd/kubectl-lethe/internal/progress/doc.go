// Package progress shows how far a transfer has come: one line that is drawn over
// on a terminal, a plain line every few seconds anywhere else, so that the log of
// a pipeline stays readable.
//
// The speed is that of the last seconds and not the average since the start,
// because it is what the time left depends on.
package progress
