// Package network is a small neural network that tells images of digits apart: one hidden layer of rectified
// linear units, softmax over the classes, cross-entropy loss, trained by Adam on mini-batches.
//
// Plain loops over float64: a few thousand small images need no more, and every number can be followed.
// Randomness comes in as a value, so the same seed gives the same network on the same processor architecture.
package network
