// Package runspec makes the TrainingRun that somebody asks for: from flags, or from a
// file. It is pure, but for the reading.
//
// What is left out stays out, so that the API server's defaults apply, and the limits
// of the values are those of the API server: they are not repeated here, where they
// would differ one day. Checked here is what the API server never gets to see: how
// flags are written and go together, and a file's unknown fields.
package runspec
