// Package overview writes runs and datasets for people: tables and details.
// It is pure: objects and the time of day in, text out. What to do about a failure
// is in the status's message, which the operator words; nothing is added to it.
//
// The question behind every line on a dataset is "when does it go?", so that is
// answered in words, not with a timestamp that one has to subtract.
package overview
