// Package overview writes runs and datasets for people: tables, details, and what
// to do about a failure. It is pure: objects and the time of day in, text out.
//
// The question behind every line on a dataset is "when does it go?", so that is
// answered in words, not with a timestamp that one has to subtract.
package overview
