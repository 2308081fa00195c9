// Package sqlstore is the portal's store in SQL: SQLite in one file for one replica, or
// PostgreSQL for several.
//
// Both pass the suite of package sqlstoretest. SQL is written so that both take it;
// placeholders are question marks and are rewritten for PostgreSQL. Where they differ,
// that is in dialect.go and in the two folders of migrations.
//
// Times are kept as microseconds since 1970 UTC in an integer, so that both keep the same;
// a zero time that means "not yet" is NULL. Durations are nanoseconds. Texts sort by their bytes in both. Texts that
// only one of the two could keep (zero bytes, broken UTF-8) are refused before.
//
// A write is serializable. SQLite has one writer, which takes the lock at the beginning.
// PostgreSQL runs writes beside each other and refuses what does not fit; it is then run
// anew, and who failed twice waits until it is alone, so that a crowd that wants the same row
// gets through.
//
// What must never be is the schema's task: unique values, references, one confirmed
// factor, an audit log that only grows, an event that a hold binds and nobody removes.
//
// Only the table events holds addresses (IP), and the filter of a hold while it holds.
// SQLite overwrites what is removed (secure_delete).
package sqlstore
