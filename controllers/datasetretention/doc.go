// Package datasetretention reconciles DatasetRetention objects: it gives each
// dataset its place in the store, follows the runs that use it, and takes the
// data out of the store when its time is over.
//
// # What it promises
//
// No byte of a dataset enters the store without the finalizer lethe.dev/erase on
// its object and a record in the ledger: both are there first, the location is
// published after them, and nobody gets credentials for a dataset without a location.
// The finalizer comes off only after others than who erased have listed the place and
// found it empty, a signed receipt is in the store, the ledger says "erased", and
// every run that was bound to the dataset names the receipt, or the API server refused
// to let it for good and an event says so. Data in use by a run, or
// on hold, is never taken away.
//
// # States
//
//	            sealed                 whole                run starts
//	Open ----------------> Sealing ------------> Ready ---------------> InUse
//	 |                        |                    |                     |  ^
//	 | maxAge                 | no usable          |           runs end  |  | run starts
//	 |                        v manifest, no key   |                     v  |
//	 |                     Invalid                 | maxAge           Expiring
//	 |                        | maxAge             |                     | afterTraining
//	 +------------------------+---------+----------+---------------------+ or maxAge
//	                                    v
//	    kubectl delete ------------> Erasing
//	                                    |
//	    no hold, users gone, key destroyed, no upload possible, store empty,
//	    receipt written, ledger closed, runs told
//	                                    v
//	                                  gone
//
// # Conditions
//
//	condition       status  reason              who clears it
//	Ready           False   StoreUnavailable    the store answers again; retried
//	                False   StoreUnsuitable     an administrator: the bucket has an object lock; looked at every minute
//	                False   UploadOpen          the owner seals the dataset
//	                False   CheckingManifest    the controller, when it has read the store
//	                False   ManifestMissing     nobody: upload again under another name, delete this one
//	                False   ManifestMalformed   nobody: upload again under another name, delete this one
//	                False   Empty               nobody: upload again under another name, delete this one
//	                False   Incomplete          nobody: upload again under another name, delete this one
//	                False   KeyMissing          nobody: upload again under another name, delete this one
//	                True    Verified            -
//	                False   Expired             the owner makes its time longer; else it goes when runs and hold have ended
//	                False   Erased              nobody: the dataset is deleted, or came back after its erase
//	InUse           True    RunsActive          the runs end or are deleted
//	                False   NoActiveRuns        a run refers to the dataset
//	Expiring        False   NeverUsed           a run uses the dataset and ends
//	                False   RunsActive          the runs end
//	                True    WindowRunning       a run starts, or the time is over
//	Held            True    OnHold              the hold ends or is taken away
//	                False   NoHold              a hold is set; or it came when there was nothing to hold, see the message
//	Erasing         True    Deleted             nobody: the object goes
//	ErasureBlocked  True    OnHold              the hold ends or is taken away
//	                True    RunsActive          the runs, Jobs and Pods end or are deleted
//	                True    UploadsPossible     the credentials to upload end, in a minute or so
//	                True    StoreUnavailable    the store answers again; retried
//	                True    UnknownStore        an administrator points the operator at the right store; retried
//	                True    ObjectLock          the date in the message, or an administrator; retried
//	                True    WaitingForTurn      the erases of other datasets end
//	                True    RunsNotTold         the API server takes the run's status, or the object's; retried
//	                True    EraseRefused        an administrator, see the message
//	                True    EraseIncomplete     the next try; retried
//	                False   Proceeding          -
//
// Held is there once there was a hold, Expiring until the deletion.
//
// # Decisions
//
// Order of placing. The finalizer; the identity of the store and the facts of the
// bucket, which new datasets share for a minute; the ledger's record; the key; then
// location and key's name in one status. After a crash between any two the next
// finds what was done: the record is the same and so is the key. A deleted dataset
// without a location asks the ledger: with a record it may have been placed and lost
// its status, so it is erased as any other, with a receipt; without one nothing can be
// there, and it is let go after the auditor found nothing.
//
// Limits. The administrator's ceilings and floors clamp what the owner asks for, at
// every decision anew, and messages say so. So shortening is always possible, and
// lengthening up to the ceiling. Floors hold off the expiry, never an owner's delete.
// The ledger's record can not follow later changes: its last day is that of the
// ceiling.
//
// Users of the data. A run that has not ended and refers to the dataset by name is
// a user, unless it is bound to a predecessor of that name, and the time after
// training does not run while there is one. A run that is not bound only waits and
// can have no copy, so it does not hold off the end of maxAge: otherwise a
// forgotten run would keep data for ever. After the deletion trainingrun fails it,
// and the erase waits for that, because it may be about to be bound. A run that is
// suspended has no Pod and no copy either: the time after training waits for it, the
// end of maxAge and an erase do not, and it fails when it is to go on.
//
// The end of the time. A dataset that stays past it, because runs that are bound use
// it, a hold keeps it or the store does not answer, is not Ready (Expired): no further
// run is bound, the broker gives no credentials to upload, and runs that were bound go
// on with their data. In the usual case it goes at once, and nothing is written before.
//
// Clocks. What the time takes away, an object at its expiry and the key of a dataset
// that expired, goes only after the store was asked live which one it is. It has to be
// the one in status.location.store, and it refuses a signature of another time than its
// own (S3: a quarter of an hour), so a clock that was set wrong erases nothing, unless
// the store runs by the same clock. What an owner deletes does not wait for that: its
// key is destroyed also while the store is away.
//
// Uses. Only a run that is bound makes one, and only such runs are named in
// status.activeRuns, so a name that has gone without a trace was a use.
//
// Holds. A hold keeps data by being in the spec, from that moment on. That it was
// set, changed, or has ended is written into the ledger first, then into the status,
// and then told as an event; nothing expires and no key is destroyed before the
// ledger knows the end. Who may set one is decided by config/policies. When the ledger
// says that the data was erased before, the object came back from a backup: it is not
// held, not ready, and stays so, because an account never opens again.
//
// Order of an erase. The deletion timestamp, which is the fence; no hold; the end of
// the runs, and of the Jobs and Pods with a copy; the announcement
// (status.erasure.startTime); the key; the end of the credentials to upload; the
// inventory, which goes into the status; the removal; the auditor's listing; the
// receipt; the ledger's "erased"; the runs' condition DatasetErased; the event; the
// finalizer. Each step may be repeated, and each that a receipt speaks of is in the
// status before the next. Data that is under the bucket's key has no announcement of
// its own: it begins with the inventory.
//
// The way back ends with the announcement. It is written on the very version of the
// object that was read live, so a hold that comes a moment before makes the write
// fail, and one that comes after comes too late, changes nothing and is told so. For
// the same reason the key goes before the credentials to upload have ended: what they
// still bring can not be read by anybody.
//
// A key that is missing keeps no erase from going on. While the dataset lives it is
// found missing when the manifest is to be read; afterwards the broker finds out.
//
// Credentials to upload live staging.UploadLife. The last can have been given when
// the dataset was sealed, or when it was deleted if it was not seen sealed before
// that; the clocks of the store and of the operator may differ by staging.ClockSkew.
// So nothing is counted and nothing removed before both have passed, and no object
// comes after the listing that the receipt stands for, except by a request that
// began before the end of its credentials and is still running: the store lets it
// finish, however long it takes. What it leaves is unreadable without the key, and
// lies in a place whose account is closed, where the sweeper finds it. Nobody was
// given credentials for a dataset without a place, so it does not wait.
//
// Local copies. An erase also waits for Jobs that have not ended and for Pods that
// are not in a final phase and carry the dataset's UID as a label. A Pod in a final
// phase is no longer waited for, although its object is still there: the kubelet
// tears the volumes of terminated pods down without waiting for their deletion
// (desiredStateOfWorldPopulator.findAndRemoveDeletedPods; SyncTerminatedPod then
// waits until the folders are gone, and only after that lets the object go). The
// phase may be seen some seconds before that is done, and a node that is cut off
// may do it later; a receipt speaks about the store and not about nodes, and says so.
//
// Live reads. What can not be undone, to delete the object at its expiry, to destroy
// the key and to erase, is decided on what the API server says and not on the cache,
// so a run that the cache has not seen yet is not overlooked. The deletion timestamp
// is the fence: trainingrun and the broker refuse a deleted dataset, so the users
// that are counted after it can only become fewer. A place and a key are given, and a
// hold is noted, on a live read as well: an old version would make a key for a
// dataset whose key is destroyed, or note a hold twice. The identity of the store is never
// remembered for an erase.
//
// Whole objects are listed from the API server in pages, and only what matters of them
// is kept: hundreds of runs of a megabyte each would not fit into memory. The cache
// knows no pages, and holds them slim.
//
// Runs are told by a patch of their status on the version that was read: conditions
// are a list that their own controller writes too. A run that is gone needs no
// telling, and one whose status the API server refuses for good (invalid, forbidden)
// gets none but an event on the dataset: the receipt is there, and the data is gone. Any
// other failure keeps the finalizer.
//
// No polling. A timer runs until expiresAt, until the end of a hold, or until the last
// credentials to upload end; everything else is woken by a watch. There are three
// exceptions. An erase that waits for Jobs or Pods looks again every minute, because
// one that the operator did not make can carry the dataset's UID and the watches do
// not see it. A dataset that gets no turn at the store tries again soon. A bucket that
// is not fit is looked at every minute. What failed at the store is tried again by the
// rate limiter, at most a minute apart.
//
// Turns. A check, an inventory or an erase can take an hour, so only a few run at
// once, and far fewer than there are workers: what takes a moment (to place, seal or
// expire a dataset, or to destroy its key) never waits for them. Checks have turns of
// their own, so that uploads can not keep erases back. How long a manifest is read is
// bounded too. That an erase waits for its turn is one write of the status: it stays
// until there is progress, a failure or the end to tell.
//
// Metrics. lethe_erase_overdue_seconds is computed at each scrape, from what the last
// reconcile of each dataset saw: it grows while nothing is reconciled. Time for which
// runs or a hold keep data is not overdue; lethe_erase_blocked counts those.
//
// Reading order: controller.go, observe.go, pages.go, decide.go, limits.go, hold.go,
// decide_erase.go, place.go, report.go, conditions.go, conditions_erase.go, act.go,
// finalize.go, receipt.go, runs.go.
package datasetretention
