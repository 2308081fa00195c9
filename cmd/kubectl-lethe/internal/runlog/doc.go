// Package runlog finds the container that a person wants to read and copies its
// log.
//
// Following survives a broken connection: lines are asked for with their times,
// which are taken off again, so that after a break the log goes on behind the
// last line that was written, without one of them twice. Whether a log has ended
// is decided by the container's state and not by the connection's end.
package runlog
