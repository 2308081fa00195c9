// Command digits is Lethe's sample trainer: it learns to read handwritten digits under the trainer contract.
//
// One static binary and no dependency beyond Go's standard library, so that the demo needs no GPU and no
// framework. hack/trainer/pytorch holds the same trainer for a GPU; both publish the same model file.
//
//	digits train                           learn (the default when the contract's variables are set)
//	digits evaluate -model FILE -data DIR  judge a model on held-out rows
//	digits export DIR                      write the shipped dataset as a folder to upload
package main
