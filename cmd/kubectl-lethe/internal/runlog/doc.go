// Package runlog finds the output that a person wants to read and copies it: from the
// container that made it, or from the store once its Pod is gone.
//
// Following survives a broken connection: lines are asked for with their times,
// which are taken off again, so that after a break the log goes on behind the
// last line that was written, without one of them twice. Whether a log has ended
// is decided by the container's state and not by the connection's end.
//
// It survives the Pod as well: when a container has ended without success, or its Pod
// was taken away, the next one is waited for, be it in the same attempt or in another,
// until the run has ended. A Pod of an earlier run of the same name is not the run's.
package runlog
