// Package receipts keeps the book of erases: signed receipts in a bucket with object
// lock, each with the digest of the one before, so that none can be changed or taken
// out without it showing.
//
// # The order
//
// The keys "chain/<20 digits>.json", without a gap from 1, are the order; a write on
// the condition that the key is free decides who comes next, so that two leaders
// can not both. "<namespace>/<uid>.json" is a copy, to look a receipt up.
//
// A receipt is in the chain once. Whoever adds one first makes sure that the last one
// has its copy. So all but the last have theirs, and when there is none for an
// object after that, there is none in the chain: what another process left half
// done can not be buried and then be done again. For that the store must read what was
// written (S3 and MinIO do).
//
// # Finding the end
//
// The numbers ascend, since they are the places that receipts name. A listing gives
// them from the first, and MinIO sorts a whole folder for each, so the end is not
// listed but asked for: is there a 1, a 3, a 7..., then by halves between the last
// hit and the first miss; 40 requests for a million receipts. From then on the Book
// remembers, and one that another leader has added shows because the next key is
// taken.
//
// # Keys
//
// The signing key lies in a Secret. The public keys, also those of earlier signing
// keys, lie in a ConfigMap that every user may read; whoever wants to hold Lethe
// against its receipts keeps a copy of it. What is found in the bucket and signed by
// none of them is refused, and nothing is added behind it until a person has looked.
package receipts
