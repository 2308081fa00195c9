// Package stand puts up a portal of its own, as the real program, with what it needs
// beside it: a certificate of a throw-away authority, a SQLite file or a database that is
// named, keys, and a mail server that shows what it got. The demo and the tests share it.
//
// Nothing outlives Close: the program is told to stop, awaited, and killed if it does not.
// It also dies with the process that started it.
package stand
