// Package erasure takes data out of the store for good and measures that it is
// gone.
//
// An erase removes every version, delete marker and unfinished upload under the
// prefix of one object, then lists again, until a full pass finds nothing. It
// keeps no state of its own: what is left in the store is what is left to do, so
// it may be stopped between any two calls and begun again. The caller fences
// writers first, and lets the object go only after Verify.
//
// Before anything is listed or removed the target is held against what is known:
// the prefix must be a namespace and the object's own UID, the bucket must be one
// for data, the store must say by the object lethe-identity.json that it is the one
// where the data was put, and the bucket must have no object lock. Retention in
// governance mode is never bypassed, whatever the credentials allow.
//
// One pass is not enough even without writers: MinIO does not list what lies below
// "a/" while there is an object "a". For the same reason an Inventory of such keys
// counts too few. What a listing of uploads can miss, objectstore.ListUploads says.
//
// How it scales: one lister feeds four removers by batches of 1,000, all versions of
// a key in one batch. While the removers have to wait for the listing, the keys that
// are left are divided and another lister takes the upper part, up to four. Measured
// on MinIO (hack/bench), removing is slower than one lister, so there it stays at
// one; a store far away is another matter. Memory does not depend on the number of
// objects: it is a page and a batch for each lister, and two batches for each remover.
//
// The fast path is one request that MinIO knows (force delete of a prefix). It is
// tried where the bucket's configuration shows that nothing depends on removals one
// by one, and it proves nothing: the same passes follow, and remove what they find.
package erasure
