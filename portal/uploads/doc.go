// Package uploads is what people do with datasets: make one, send files to it, seal it,
// shorten how long it stays, erase it, and read the receipts of erases.
//
// Decisions:
//   - What a person wishes is written first and in one transaction; settle then asks the
//     cluster and the store for whatever the row says and is not so yet. Each of its steps
//     may be done twice, so whoever was cut off anywhere is taken up by Run, and by the
//     person's next act.
//   - The bytes of files go from the browser to the store and never through the portal.
//     The browser gets single requests, each signed for one part of one file with its
//     length, good for less than the broker's grant, which is a minute. It never gets the
//     grant's credentials.
//   - A grant may write and may not read, so the store is asked about parts only. That
//     every file of the manifest is there, with its size, the operator checks when the
//     dataset is sealed.
//   - A file that is sent in parts is completed in two steps: first its digest is written,
//     then the store is asked. The upload's name is taken out of the row last. A store that
//     does not know the upload any more has thus completed it, if the digest is there, and
//     has lost it otherwise.
//   - The manifest is made of rows that nobody can change any more, so that it has the
//     same bytes however often it is put, and by whichever replica. The rows go when the
//     operator has been seen to have verified it, by who follows the cluster: a dataset
//     that is to be sealed and has no rows is sealed, and a manifest is put with all of the
//     rows or not at all.
//   - Billing, GPUs and tier of a tenant are given once, when it is made. What staff change
//     about them later stays.
package uploads
