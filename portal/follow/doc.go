// Package follow writes into the store what the cluster shows of datasets and runs, and
// mails what is worth a mail.
//
// Decisions:
//   - What is seen waits in memory, the newest of each object, and one loop writes it: the
//     informers never wait for the database, and what can't be written now is tried again.
//     Nothing is lost with the process: informers list everything at the start, and what
//     they don't list then is found gone (Synced).
//   - One write per object and change. Replicas that see the same write the same, so the
//     second finds nothing to do. A mail goes out in the transaction that takes its notice,
//     so once.
//   - A dataset counts as erased when its object has gone and its receipt is at hand, and
//     not before.
//   - That a dataset will be erased soon is told by a timer on its own time, not by a poll.
package follow
