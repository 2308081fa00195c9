// Package runbar shows how far a run has come, from its status alone: on a terminal
// one line that is drawn over, below lines for what has happened; anywhere else lines
// only, so that the log of a pipeline stays readable.
//
// A bar belongs to the attempt that runs. What an earlier attempt said of itself is
// not shown as this one's, and what was said a while ago says how old it is.
//
// Where the terminal is narrow, what matters least is left out: first further
// metrics, then the epoch, then the bar itself; the percentage stays.
package runbar
