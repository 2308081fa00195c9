// Package objectkey says where things lie in the object store and what the files
// that Lethe itself writes there look like. Operator, stager, portal and
// command-line tool all take keys and formats from here, so there is one answer.
//
// Layout, with <ns> a namespace and <uid> the UID of the object that owns the data:
//
//	datasets bucket    <ns>/<uid>/data/<path>       the files of a dataset
//	                   <ns>/<uid>/manifest.jsonl    what they must be
//	artifacts bucket   <ns>/<uid>/data/<path>       the files of a run
//	                   <ns>/<uid>/manifest.jsonl    what they must be; written last
//	                   <ns>/<uid>/checkpoints/<id>/node-<n>/data/<path>      a checkpoint
//	                   <ns>/<uid>/checkpoints/<id>/node-<n>/manifest.jsonl   what it must be
//	                   <ns>/<uid>/checkpoints/<id>/claim                     that the name is taken
//	                   <ns>/<uid>/checkpoints/<id>/complete.json             written last
//	                   <ns>/<uid>/checkpoints/wanted-<n>.json   the step that all nodes are to store
//	                   <ns>/<uid>/logs/attempt-<n>/node-<n>/...              what was logged
//	receipts bucket    chain/<20 digits>.json       the signed receipts, in their order
//	                   <ns>/<uid>.json              the receipt of one object, to look it up
//	ledger bucket      <ns>/<uid>/record.json       that data may be in the store
//	                   <ns>/<uid>/<event>.json      what happened to it
//
// The UID in the prefix is what makes an erase safe: an object that was made again
// under an old name has another UID, so it can never share a place with the data
// of its predecessor.
//
// What Lethe signs or compares is canonical JSON (RFC 8785), read back strictly: a
// content has one sequence of bytes, and whatever else is found is refused.
//
// Only the standard library is imported, and nothing here does any I/O but on
// the readers and writers that it is given.
package objectkey
