// Package contract is the trainer's side of Lethe's trainer contract, version 1: files and environment
// variables only, described in hack/trainer/README.md.
package contract
