// Package team lets the nodes of one training add up their gradients, over TCP and with nothing but the
// standard library: the smallest all-reduce there is, to show what a run on several nodes needs.
//
// Node 0 listens, the others connect to it, and for each step every node sends its part and gets the sum. Parts
// are added in the order of the nodes, so that the sum is the same to the last bit each time and on each node.
// Nodes that do not train the same thing find out when they meet. A node that is lost makes the others fail
// within seconds: none trains on alone, and the next attempt goes on from the last checkpoint.
//
// It trusts its network, as NCCL and Gloo do.
package team
