// Command bench measures what Lethe promises about speed, on this machine, and ends
// with an error when a promise is not kept. It is run by hand:
//
//	go run ./hack/bench erase
//	go run ./hack/bench runs
//	go run ./hack/bench stage
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
// # stage
//
// It starts a MinIO of its own and puts a large file of -bytes and -objects small ones
// into a dataset under a key (SSE-C, TLS). -rounds times in turning order each method
// brings each load to a new folder, and puts it to a new prefix:
//
//	ours          cmd/stager itself, with a broker that grants at once
//	bare          GET of keys that are known beforehand, what comes is discarded; PUT of
//	              zeros. As much at once as ours: 4 ranges or parts of 16 MiB, 32 small
//	              files
//	bare, hashed  GET and SHA-256 of each file, which is what it takes to know that a file
//	              is what was sealed; nothing is written
//	rclone        rclone copy, with the flags that were found to be its fastest here
//
// All have the same temporary credentials, and are charged for all of their lives, but
// for bare, which is charged only for its requests. What ours and rclone bring is
// compared byte by byte; what ours puts is brought back once.
//
// Then the stager is killed (SIGKILL) when half of the bytes have come, and started
// again. A proxy before the store counts what it gives out, to it and to one that is left
// alone.
//
// The bars: 0.85 of bare with the large file and 0.7 with the small ones, and the same of
// bare, hashed; 0.85 of bare outward; faster than rclone; less than 128 MiB; at most 5 %
// fetched twice. Here, too, the best round of each method counts.
//
// Client and server share two cores here, so bare is no limit of the network but of the
// CPU, and what the stager does beside it costs as much as what bare does. For one GiB,
// bare needs 0.6 s of CPU and the server 1.15 s; the hash 0.57 s, which is the speed of
// the processor's instructions for SHA-256 of one file; writing past the page cache
// 0.1 s. That makes 0.72 of bare where all of it is CPU.
//
// # runs
//
// What the operator does at the API server; see the package internal/runs.
//
// # What none of it shows
//
// A network (all is on one machine, and client and server share its cores), several
// drives, and a store that is not MinIO.
package main
