// Package training is the loop that turns a dataset into a model file under the trainer contract.
//
// What happens in a step depends only on the settings, the seed and the step's number: the order of rows comes
// from (seed, epoch) and the jitter of images from (seed, step). So a run that was stopped anywhere and resumed
// from its checkpoint ends with the very same model as one that was never stopped.
//
// On several nodes each takes its share of every batch, the gradients are added up, and all nodes make the same
// move: the model is that of one node with the same settings, but for the last bits of sums in another order. All
// nodes are at the same step at any time, so node 0 can write a checkpoint whenever they are asked to stop.
//
// Held-out rows are not read here. The accuracy reported per epoch is measured on validation rows, a tenth of
// the training split set aside at the start.
package training
