// Package live is what a person watches a run by: its log as it grows, its curves, its
// files, and a word when something of it has changed.
//
// Decisions:
//   - One stream of a run's log comes from the cluster however many read it, and only while
//     somebody does (Hub). Lines lie once in memory, in a ring of bounded size; a reader is
//     a place in that ring, so a slow one costs nothing, holds up nobody, and is told how
//     many lines it has missed.
//   - A log has no numbers of its own: a place in it is the time of a line, and which of the
//     lines of that time it is. That holds across reconnects and portals.
//   - When a run has ended, its log is what the store keeps.
//   - Points of the curves are what was seen, in memory, after what the trainer's own series
//     in the store has: etcd holds the newest only.
package live
