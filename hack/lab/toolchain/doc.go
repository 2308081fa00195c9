// Package toolchain builds the programs the lab runs from their Go modules.
//
// Only a Go module proxy and Debian's packages need to be reachable: no image
// registry, no downloads of binaries. A tool is built once per stamp (recipe
// and own sources) and kept in the cache; builds go through temporary folders,
// so the cache never holds half a tool. MinIO is run as a process only: its
// licence (AGPL) forbids linking it here.
package toolchain
