// Package cluster reads and writes datasets and runs on behalf of a person.
//
// Waiting is done with watches, never by asking again and again. A watch is
// opened before the object is read, so that no change falls in between; it is
// opened anew when the connection breaks, which over hours it will.
//
// Creating a dataset is a server-side apply that owns the retention times alone:
// a second upload to the same, still open dataset is the same request again.
// Sealing is a patch of one field with the UID as its precondition: it touches
// nothing else, and a dataset that was replaced meanwhile is not sealed.
package cluster
