// Package datasetkey keeps the keys that datasets are encrypted under in the store:
// one for each dataset, in a Secret of the operator's namespace and nowhere else.
//
// # One key, once
//
// A key is made when a dataset gets its place, before the first byte may enter, and
// it is never replaced. Its Secret is named after the dataset's UID, immutable, and
// written with one create, so of several writers the first wins and the others read
// what it wrote. A Secret that can not be used is an error that a person has to look
// at: another key in its place would turn the data into noise without a word.
//
// All reads are live. A cache would hand out a key that is destroyed, and would hold
// every key of the cluster in memory.
//
// # What destroying means
//
// Without its key nobody can read the data, wherever a copy of it is: in the bucket,
// on a drive that was offline, in a replica, in a backup of the store, or in an object
// that a late request brought in afterwards. That holds as far as the key itself is
// gone. Destroy makes sure that the API server no longer has it. It does not reach:
//
//   - etcd's history. The API server compacts it every five minutes
//     (--etcd-compaction-interval), so an old revision can be asked for until then,
//     which is ten minutes at most. What is compacted stays as bytes on etcd's disks,
//     in free pages of its database until they are used again or `etcdctl defrag`
//     has run, and in its write-ahead log and snapshots until those are rotated: by
//     default the last five of each, which on a quiet cluster can be weeks.
//   - backups of etcd, and backups of objects that were taken through the API
//     server. They keep the key for as long as they live.
//   - memory. A stager or an uploader that was given the key has it until it ends,
//     the store has it for the time of each request, and the API server's watch cache
//     for some further changes of Secrets.
//
// # What an administrator has to do
//
//   - Encrypt Secrets at rest (the API server's EncryptionConfiguration, best with a
//     KMS), so that pages, logs and snapshots of etcd hold no key in the clear. Keep
//     the key of that encryption away from etcd's backups: who has both has all
//     dataset keys of that time.
//   - Leave compaction on, and run `etcdctl defrag` on each member at a fixed interval.
//   - Keep Secrets of the operator's namespace out of backups, or give the backups a
//     life and publish it: until the last one with the key is gone, an erase is only as
//     good as the care for those backups. A restored key does not bring back data that
//     was removed, but it opens every copy that was missed.
//   - Never let the API server's audit policy log the bodies of Secrets.
//
// The receipt of an erase says the same in short: it names the key and the time at
// which the API server had it no more.
package datasetkey
