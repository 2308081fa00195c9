// Package dataset reads and writes labelled images in the IDX format, gzip'ed and cut into shards.
//
// One dataset is one folder with a folder per split, and one pair of files per shard:
//
//	train/images-00.idx3-ubyte.gz    train/labels-00.idx1-ubyte.gz
//	train/images-01.idx3-ubyte.gz    train/labels-01.idx1-ubyte.gz
//	heldout/images-00.idx3-ubyte.gz  heldout/labels-00.idx1-ubyte.gz
//
// Training reads Train only; Heldout is for judging a finished model. Many small files instead of one big
// file, so that moving a dataset in parallel has something to do.
package dataset
