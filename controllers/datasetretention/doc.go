// Package datasetretention reconciles DatasetRetention objects: it gives each
// dataset its place in the store, follows the runs that use it, and takes the
// data out of the store when its time is over.
//
// # What it promises
//
// No byte of a dataset enters the store without the finalizer lethe.dev/erase on
// its object: the finalizer is put on first, the location is published second,
// and nobody gets credentials for a dataset without a location. The finalizer
// comes off only after a fresh listing of the place was empty and a receipt is in
// the store. Data in use by a run is never taken away from under it.
//
// # States
//
//	            sealed                 whole                run starts
//	Open ----------------> Sealing ------------> Ready <--------------> InUse
//	 |                        |                    |      runs end        |
//	 | maxAge                 | no usable          | expiresAt            |
//	 |                        v manifest           |                      |
//	 |                     Invalid                 |                      |
//	 |                        | maxAge             |                      |
//	 +------------------------+---------+----------+                      |
//	                                    v                                 |
//	    kubectl delete ------------> Erasing <----------------------------+
//	                                    |          (waits for the runs to end)
//	    users gone, no upload possible, store empty, receipt written
//	                                    v
//	                                  gone
//
// # Conditions
//
//	condition       status  reason              who clears it
//	Ready           False   UploadOpen          the owner seals the dataset
//	                False   CheckingManifest    the controller, when it has read the store
//	                False   StoreUnavailable    the store answers again; retried
//	                False   ManifestMissing     nobody: upload again under another name, delete this one
//	                False   ManifestMalformed   nobody: upload again under another name, delete this one
//	                False   Empty               nobody: upload again under another name, delete this one
//	                False   Incomplete          nobody: upload again under another name, delete this one
//	                True    Verified            -
//	                False   Erased              nobody: the dataset is deleted
//	InUse           True    RunsActive          the runs end or are deleted
//	                False   NoActiveRuns        a run refers to the dataset
//	Erasing         True    Deleted             nobody: the object goes
//	ErasureBlocked  True    RunsActive          the runs, Jobs and Pods end or are deleted
//	                True    UploadsPossible     the credentials to upload end, in a minute or so
//	                True    StoreUnavailable    the store answers again; retried
//	                True    EraseRefused        an administrator, see the message
//	                True    EraseIncomplete     the next try; retried
//	                False   Proceeding          -
//
// # Decisions
//
// Users of the data. A run that has not ended and refers to the dataset by name is
// a user, unless it is bound to a predecessor of that name, and the time after
// training does not run while there is one. A run that is not bound only waits and
// can have no copy, so it does not hold off the end of maxAge: otherwise a
// forgotten run would keep data for ever. After the deletion trainingrun fails it,
// and the erase waits for that, because it may be about to be bound.
//
// Uses. Only a run that is bound makes one, and only such runs are named in
// status.activeRuns, so a name that has gone without a trace was a use.
//
// Order of an erase. The deletion timestamp; the end of the runs, of the Jobs and
// Pods with a copy, and of the credentials to upload; the inventory, which goes into
// the status; the removal; a fresh listing; the receipt; the finalizer.
//
// Credentials to upload live staging.UploadLife. The last can have been given when
// the dataset was sealed, or when it was deleted if it was not seen sealed before
// that; the clocks of the store and of the operator may differ by staging.ClockSkew.
// So nothing is counted and nothing removed before both have passed, and no object
// comes after the listing that the receipt stands for, except by a request that
// began before the end of its credentials and is still running: the store lets it
// finish, however long it takes. What it leaves lies in a place without a record,
// where the sweeper, which is a later part, finds it. Nobody was given credentials
// for a dataset without a place, so it does not wait.
//
// Local copies. An erase also waits for Jobs that have not ended and for Pods that
// are not in a final phase and carry the dataset's UID as a label. A Pod in a final
// phase is no longer waited for, although its object is still there: the kubelet
// tears the volumes of terminated pods down without waiting for their deletion
// (desiredStateOfWorldPopulator.findAndRemoveDeletedPods; SyncTerminatedPod then
// waits until the folders are gone, and only after that lets the object go). The
// phase may be seen some seconds before that is done, and a node that is cut off
// may do it later; a receipt speaks about the store and not about nodes.
//
// Live reads. Both irreversible decisions, to delete the object at its expiry and
// to erase, are taken on what the API server says and not on the cache, so a run
// that the cache has not seen yet is not overlooked. The deletion timestamp is
// the fence: trainingrun and the broker refuse a deleted dataset, so the users
// that are counted after it can only become fewer.
//
// No polling. A timer runs until expiresAt, or until the last credentials to upload
// end; everything else is woken by a watch. There are two exceptions. An erase that
// waits for Jobs or Pods looks again every minute, because one that the operator did
// not make can carry the dataset's UID and the watches do not see it. A dataset that
// gets no turn at the store tries again soon. What failed at the store is tried
// again by the rate limiter, at most a minute apart.
//
// Turns. A check, an inventory or an erase can take an hour, so only a few run at
// once, and far fewer than there are workers: what takes a moment (to place, seal or
// expire a dataset) never waits for them. How long a manifest is read is bounded too.
//
// Reading order: controller.go, observe.go, decide.go, report.go, act.go,
// finalize.go.
package datasetretention
