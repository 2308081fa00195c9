// Package retention removes what has been kept for as long as it may be: security events
// after 90 days (promise P20), sessions, devices, links, counts of failures, mails,
// and notices of runs and datasets that are gone, when they are of no use any more.
//
// What a hold keeps stays, row by row, and goes at the next sweep after its release.
// Nothing here remembers what was swept, so there is nothing to re-arm: each sweep looks
// at what is there.
//
// A sweep comes each hour, so an event can be an hour over its time; Late says by how
// much the oldest one is, from the table and not from when a sweep has last run. A sweep
// that is stopped half-way has removed what it has removed, and the next goes on. Several
// replicas may sweep at once.
package retention
