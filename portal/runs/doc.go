// Package runs is what a person does with runs: choose what to train on what, see what it
// costs at most, start it, stop it, let it go on, delete it, start it again.
//
// A run's ID is drawn when the form is shown (the account's draft) and is the key that
// makes starting happen once: the form, its copy in another tab and a second click all
// carry the same. The store takes the draft away and writes the run in one transaction;
// whoever comes second finds the run.
//
// What a person wishes is written before the cluster is asked, and the object's name
// comes from the ID, so that each call can be made again: a portal that is killed between
// any two steps, or a cluster that is away, loses nothing and starts nothing twice. Run
// takes up what is left.
package runs
