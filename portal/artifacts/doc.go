// Package artifacts reads what runs have left in the object store, with the short-lived
// credentials that the operator's broker gives for one run.
//
// Decisions:
//   - The credentials read and don't list: artifacts are found by their manifest, logs and
//     checkpoints by the names that package objectkey and the stager give them.
//   - A browser gets a file by a link that the credentials have signed for that file and a
//     minute. Nothing is public, and no byte crosses the portal. A file under a key of its
//     own can't be had in this way, since the key would have to stand in the link: it is
//     copied through the portal.
//   - The store is told to send every file as an attachment of no type: a page that a trainer
//     wrote must not run in the store's name.
package artifacts
