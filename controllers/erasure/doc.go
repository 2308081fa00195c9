// Package erasure takes data out of the store for good and measures that it is
// gone.
//
// An erase removes every version, delete marker and unfinished upload under the
// prefix of one object, then lists again, until a full pass finds nothing. It
// keeps no state of its own: what is left in the store is what is left to do, so
// it may be stopped between any two calls and begun again. The caller fences
// writers first, and lets the object go only after Verify and WriteReceipt.
//
// One pass is not enough even without writers: MinIO does not list what lies below
// "a/" while there is an object "a". For the same reason an Inventory of such keys
// counts too few. What a listing of uploads can miss, objectstore.ListUploads says.
package erasure
