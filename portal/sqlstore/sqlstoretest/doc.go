// Package sqlstoretest is the suite that every portal.Store passes: what each method
// gives and refuses, what a transaction is, and what happens when two want the same.
//
// It knows nothing of SQL: a store in memory could be held to it too.
package sqlstoretest
