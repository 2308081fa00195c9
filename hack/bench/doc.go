// Command bench measures what Lethe promises about speed, on this machine, and ends
// with an error when a promise is not kept. It is run by hand:
//
//	go run ./hack/bench erase
//
// # erase
//
// It starts a MinIO of its own (built by `make tools`), puts -objects small objects
// into a template, and then, -rounds times in turning order, copies the template into
// a new bucket and lets one method empty it:
//
//	portable      controllers/erasure: listing, DeleteObjects, listing again, and the
//	              audit by other credentials and code
//	fast          the same with MinIO's removal of a prefix in front
//	bare          DeleteObjects of keys that are known beforehand, 4 batches of 1,000
//	              at once, quiet, and nothing else: what the server can do
//	bare, listed  the same and, before it, a listing, as everybody needs who does not
//	              know the keys
//	rclone purge  rclone, built once from source into $LETHE_CACHE/bin, with the flags
//	rclone delete that were found to be its fastest here
//
// Each method is a process of its own and is charged for all of its life, but for
// bare, which is charged only for its requests. Afterwards the same audit must find
// nothing, and a neighbour's object must be there; MinIO's trash is emptied before the
// next one, so that nobody pays for what another has left.
//
// The objects of the template are put through S3. That each method gets a copy of
// MinIO's files instead of objects that were put anew is to save time; the files, and
// what is listed, are the same. The parent checks by listing that all are there.
//
// Memory is the peak of a whole process (getrusage): of the methods above, and of the
// engine on a listing of -memory versions that exists only as a formula, since so
// many objects do not fit a short run. The formula's process has no HTTP client; the
// measured methods have.
//
// The bars: portable at least 1.5 times as fast as the better of rclone's two and 0.9
// times as fast as bare with and without the listing, fast at least 20 times as fast as
// portable, and no process of ours with 128 MiB or more. The best round of each method
// counts, since whatever else runs on the machine makes a method slower and never
// faster; all rounds are shown.
//
// Without the listing that bar is out of reach where the CPU is the limit: of a
// thousand objects, the server needs 125 ms to remove them and 30 ms to list them, the
// client 16 ms to read the listing (minio-go, encoding/xml) and 6 ms to ask for the
// removal and read the answer: 0.71 of bare, and 0.79 if the client did it for nothing.
// Pages without MinIO's cache marker, several listers, and ListObjectsV2 were not
// cheaper; the second pass and the audit cost nothing that could be measured.
//
// What it does not show: a network (all is on one machine, and client and server share
// its cores), several drives, and a store that is not MinIO.
package main
