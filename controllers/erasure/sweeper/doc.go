// Package sweeper finds data in the store that nobody answers for any more, and
// erases it: what a finalizer can not promise, because it can be gone round.
//
// # Why it is needed
//
// The finalizer of a dataset or a run makes an erase quick; it is no guarantee.
// Somebody can patch it away, force the end of a namespace, delete the CRD, restore
// etcd from a backup, or delete an object that the API server can not read. In each
// case the data stays and its object does not. So the store is compared with the
// ledger, which lies in the store too, both ways:
//
//	in the store   in the ledger   object               finding       what is done
//	yes            erased          gone or going        LateData      erased at once
//	yes or no      erased          alive                Resurrected   -
//	yes            nothing         there or gone        Unrecorded    - (see EraseUnrecorded)
//	yes or no      active          dataset, gone        Orphan        erased after the grace
//	yes            active          run, gone            Orphan        nothing while the namespace is there
//	yes or no      active          run, namespace gone  Orphan        erased after the grace
//	yes or no      active, hold    gone                 Held          nothing until the hold ends
//	yes            past its time   not in use, no hold  Overdue       -
//	no             active          Ready or later       DataMissing   -
//	-              another store   -                    UnknownStore  -
//	-              does not fit    -                    Damaged       -
//	yes or no      active          can not be read      Damaged       -
//	no owner's     -               -                    Foreign       never touched
//
// # Artifacts
//
// Artifacts that outlive their run by its owner's will (event "retained") are orphans
// only once their namespace is gone. The namespace is known by its name: one that is
// made again before a sweep has seen it gone keeps them. Once a sweep has (event
// "orphaned"), they go after the grace, whoever uses the name by then.
//
// Artifacts whose run went without a word, while their namespace is there, may be
// wanted: that is how it looks when etcd is restored from a backup that is older than
// the run, and most runs' artifacts are to outlive them. They are reported as orphans
// and kept until their namespace is gone. A record of a run without data is closed after
// the grace.
//
// # Data without a record
//
// No byte enters the store before its record is in the ledger, so data that neither the
// ledger nor the API server knows should not be. But everything looks like that when the
// ledger is lost, set back or the wrong one. So it is reported, and nothing is recorded
// or erased, unless an administrator who has looked says so (Options.EraseUnrecorded);
// then a record is opened and the data erased after the grace. If the process ends
// between the record and the mark of artifacts, they stay as those of a run that went
// without a word.
//
// # Keys
//
// A key is found by a dataset's UID alone. Whoever may write into the store can copy a
// dataset's data to <other namespace>/<same uid>/, which becomes an orphan. So no key is
// destroyed for artifacts, nor for a record that the sweeper opened itself (one of a
// dataset without EraseBy), nor while another namespace has a dataset with that UID. The
// receipt then claims only that the objects were removed.
//
// # Polling
//
// The operator polls nothing without a written reason. Here it is: nobody tells the
// operator of what was done behind its back. So there is one sweep after each start
// and one in every Interval.
//
// # Why it can be trusted not to erase what is alive
//
//   - The ledger decides, never a list of objects alone. An object counts as gone
//     only where the ledger has data of it, where its namespace's list, read live, is
//     complete and does not have it, and where that is so again right before the
//     erase. A namespace or a CRD counts as gone when the API server says of it by
//     name that there is none. Any other error of the API server, of the store or of
//     the ledger ends the sweep before anything is erased; only where the API server
//     answers and the objects of one namespace can not be read (ErrUnreadable), that
//     namespace's data is left alone and the others have their turn.
//   - What is alive is never swept, even if the ledger says that its data is erased.
//   - Suspicion comes from listings, which are old by the time they are complete. Each
//     suspect is looked at again on its own, in an order that a regular erase or
//     upload in between can not deceive, and only what is found then counts.
//   - Two phases. What is an orphan for the first time is written down in the ledger
//     and left alone. It is erased when that was Options.Grace ago, by the ledger, and
//     the sweep before, of this process, saw it too. The second condition is there
//     because the ledger forgets nothing: an orphan that found its object again would
//     have no grace at its next time. A time that is missing counts as now.
//   - A circuit breaker. When more datasets, or more runs, would be erased as orphans in
//     one sweep than Options.BreakerMin and one in a hundred of their active records
//     that are neither retained nor orphans, none is: more likely than so many accidents
//     is that we are looking at the wrong cluster.
//   - The store's identity is compared with that in the record, here and by the engine.
//     A bucket without one, of the data or of the ledger, ends the sweep.
//   - Data on hold is never erased, nor a dataset that a run still uses.
//   - Options.DryRun writes nothing, neither to the store nor to the ledger.
//
// # What it promises
//
// One sweep at a time, in the leader. A sweep takes at most sweepTimeout and goes on
// where the one before was cut off. It keeps in memory some sixty bytes for each owner
// with data in the store, the objects of one namespace, and what it found.
//
// A receipt of an orphan counts what its erase found, and names the key that it
// destroyed. When an erase was cut off by the end of the process, the next one finds less
// and no key; the receipt says so (NotCovered), and does not claim the key.
//
// Reading order: sweeper.go, observe.go, judge.go, plan.go, act.go, report.go.
package sweeper
