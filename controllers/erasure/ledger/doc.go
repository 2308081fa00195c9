// Package ledger keeps the record, in the store itself, of whose data may be there: so
// that data is found and erased also when its object in Kubernetes was taken away
// behind the operator's back.
//
// An owner's account is a record, written before the first byte may enter, and the
// events since, each an object of its own under "<namespace>/<uid>/". Nothing is ever
// changed or removed: each write is on the condition that its key is free, so that
// of two writers one is told what the other has written. An account that says
// "erased" is closed.
//
// The contents are canonical JSON and read strictly. What can not be read is an
// error, never an account that lacks something: the one would stop a sweep, the
// other could erase data that is in use or on hold. The error tells whose account it
// is and nothing of what was found.
package ledger
