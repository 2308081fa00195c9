package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/overview"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/progress"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// placeTimeout is how long the operator may take to give a new dataset its place;
// it takes milliseconds when it is there.
const placeTimeout = 2 * time.Minute

// errNoOperator ends the wait for a place.
var errNoOperator = errors.New("the operator has not given the dataset a place in the store; " +
	"see whether it runs with: kubectl -n lethe-system get pods")

// errNotSealed marks a failure to seal that another try may overcome.
var errNotSealed = errors.New("the dataset is not sealed yet")

type uploadOptions struct {
	broker   brokerFlags
	settings cluster.Settings
	parallel int
	resume   bool
}

func newUpload(open func() (*session, error)) *cobra.Command {
	var o uploadOptions
	var afterTraining, maxAge time.Duration
	cmd := &cobra.Command{
		Use:   "upload DIR DATASET",
		Short: "Upload a folder as a dataset and seal it",
		Long: "Creates the dataset, uploads the files of DIR to it in parallel, and seals it: from then on it can not be\n" +
			"changed, and runs may train on it. A dataset of that name that is still open is gone on with.",
		Example: "  kubectl lethe upload ./digits digits\n" +
			"  kubectl lethe upload ./faces faces --after-training 0s --max-age 48h\n" +
			"  kubectl lethe upload ./maps maps --encryption Bucket",
		Args: usageArgs(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			flags := cmd.Flags()
			if flags.Changed("after-training") {
				o.settings.AfterTraining = &afterTraining
			}
			if flags.Changed("max-age") {
				o.settings.MaxAge = &maxAge
			}
			if err := o.validate(); err != nil {
				return usageError{err}
			}
			s, err := open()
			if err != nil {
				return err
			}
			return upload(cmd.Context(), s, o, args[0], args[1])
		},
	}
	o.broker.register(cmd.Flags())
	cmd.Flags().DurationVar(&afterTraining, "after-training", 0, "how long the data stays after the last run on it has ended (24h unless given)")
	cmd.Flags().DurationVar(&maxAge, "max-age", 0, "how long the data may stay in all, used or not (720h unless given)")
	cmd.Flags().StringVar((*string)(&o.settings.Encryption), "encryption", "",
		"under which key the store keeps the data: PerDatasetKey, one that is destroyed with the data (unless given), or\n"+
			"Bucket, the bucket's own, for stores without SSE-C")
	cmd.Flags().IntVar(&o.parallel, "parallel", 16, "how many files are sent at once")
	cmd.Flags().BoolVar(&o.resume, "resume", false, "do not send again what an interrupted upload of this folder has sent")
	return cmd
}

func (o uploadOptions) validate() error {
	for name, d := range map[string]*time.Duration{"after-training": o.settings.AfterTraining, "max-age": o.settings.MaxAge} {
		if d != nil && (*d < 0 || *d > v1alpha1.MaxRetention || *d%time.Second != 0) {
			return fmt.Errorf("--%s must be whole seconds, not negative, and at most %.0fh", name, v1alpha1.MaxRetention.Hours())
		}
	}
	switch o.settings.Encryption {
	case "", v1alpha1.EncryptionPerDatasetKey, v1alpha1.EncryptionBucket:
	default:
		return fmt.Errorf("--encryption must be %s or %s", v1alpha1.EncryptionPerDatasetKey, v1alpha1.EncryptionBucket)
	}
	return validParallel(o.parallel)
}

func validParallel(n int) error {
	if n < 1 || n > 256 {
		return errors.New("--parallel must be from 1 to 256")
	}
	return nil
}

func upload(ctx context.Context, s *session, o uploadOptions, dir, name string) error {
	folder, err := transfer.Survey(dir)
	if err != nil {
		return err
	}
	broker, err := s.broker(ctx, o.broker)
	if err != nil {
		return err
	}
	key := s.key(name)
	if _, err := cluster.OpenDataset(ctx, s.client, key, o.settings); err != nil {
		if o.resume && errors.Is(err, cluster.ErrSealed) {
			return hintError{err, "if it is your upload that was cut off, it is complete; see what became of it with: " + look(key)}
		}
		return err
	}
	sum, err := send(ctx, s, sending{o, broker, folder, key})
	if err != nil {
		return goOn(ctx, err, fmt.Sprintf("kubectl lethe upload %s %s -n %s --resume", dir, name, s.namespace))
	}
	return conclude(ctx, s, key, sum)
}

// look is the command that shows a dataset.
func look(key client.ObjectKey) string {
	return fmt.Sprintf("kubectl lethe status %s/%s -n %s", kindDataset, key.Name, key.Namespace)
}

// goOn says how an upload that was cut off before it was sealed is gone on with.
func goOn(ctx context.Context, err error, command string) error {
	switch {
	case ctx.Err() != nil:
		err = errInterrupted
	case errors.Is(err, errNotSealed):
		return hintError{err, "all files have been sent; go on with: " + command}
	case !errors.Is(err, transfer.ErrUnavailable) && !errors.Is(err, errNoOperator):
		return err
	}
	return hintError{err, "what has been sent stays until the dataset expires; go on with: " + command}
}

// sending is one upload to an open dataset.
type sending struct {
	uploadOptions
	broker transfer.Broker
	folder *transfer.Folder
	key    client.ObjectKey
}

// send sends the files and seals the dataset.
func send(ctx context.Context, s *session, u sending) (transfer.Sum, error) {
	ds, err := awaitPlace(ctx, s, u.key)
	if err != nil {
		return transfer.Sum{}, err
	}
	folder, err := s.journals()
	if err != nil {
		return transfer.Sum{}, err
	}
	journal, err := transfer.OpenJournal(folder, string(ds.UID), u.resume)
	if err != nil {
		return transfer.Sum{}, err
	}
	defer func() { _ = journal.Close() }() // Every note was written when it was made.
	if u.resume {
		s.note("%s were sent before.", words.Count(int64(journal.Files()), "file"))
	}
	var meter progress.Meter
	display := s.display("Uploading")
	stop := display.Start(&meter)
	sum, err := transfer.Upload(ctx, transfer.Options{
		Broker: u.broker, Connect: s.connect, Clock: s.clock, Meter: &meter, Notice: display.Notice, Parallel: u.parallel,
	}, transfer.Dataset{Namespace: u.key.Namespace, Name: u.key.Name, KeyID: ds.Status.KeyID}, u.folder, journal)
	stop()
	if err != nil {
		return transfer.Sum{}, err
	}
	if err := seal(ctx, s, u.key, ds.UID); err != nil {
		return transfer.Sum{}, err
	}
	if err := journal.Remove(); err != nil {
		s.note("The dataset is sealed, but this is left over: %v", err)
	}
	return sum, nil
}

// seal marks the failures after which the same dataset can still be sealed.
func seal(ctx context.Context, s *session, key client.ObjectKey, uid types.UID) error {
	err := cluster.Seal(ctx, s.client, key, uid)
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return err // In the last two cases it is not there any more.
	}
	return fmt.Errorf("%w: %w", errNotSealed, err)
}

// awaitPlace waits until the operator has said where the dataset lies, and under
// which key.
func awaitPlace(ctx context.Context, s *session, key client.ObjectKey) (*v1alpha1.DatasetRetention, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, placeTimeout, errNoOperator)
	defer cancel()
	var placed *v1alpha1.DatasetRetention
	err := s.follower().Dataset(ctx, key, func(ds *v1alpha1.DatasetRetention) (bool, error) {
		placed = ds
		return cluster.Placed(ds), cluster.Uploadable(ds)
	})
	return placed, err
}

// conclude waits until the operator has checked the sealed dataset. The operator
// does that also if nobody waits.
func conclude(ctx context.Context, s *session, key client.ObjectKey, sum transfer.Sum) error {
	var last string
	var verdict error
	err := s.follower().Dataset(ctx, key, func(ds *v1alpha1.DatasetRetention) (bool, error) {
		status := ds.Status
		switch status.State {
		case v1alpha1.DatasetReady, v1alpha1.DatasetInUse, v1alpha1.DatasetExpiring:
			verdict = summarize(s, ds, sum)
			return true, nil
		case v1alpha1.DatasetInvalid:
			verdict = fmt.Errorf("dataset %s was sealed, but no run can use it (%s): %s", ds.Name, status.Reason, status.Message)
			return true, nil
		case v1alpha1.DatasetErasing:
			verdict = fmt.Errorf("dataset %s %w", ds.Name, cluster.ErrErasing)
			return true, nil
		case v1alpha1.DatasetOpen, v1alpha1.DatasetSealing:
		}
		if line := overview.Summary(string(status.State), status.Reason, status.Message); line != last && status.State == v1alpha1.DatasetSealing {
			last = line
			s.note("%s", line)
		}
		return false, nil
	})
	switch {
	case err == nil:
		return verdict
	case ctx.Err() != nil:
		err = errInterrupted
	case errors.Is(err, cluster.ErrNotFound):
		return err
	}
	return hintError{err, "the dataset is sealed, so the upload is complete and the operator checks it; see how that ends with: " + look(key)}
}

func summarize(s *session, ds *v1alpha1.DatasetRetention, sum transfer.Sum) error {
	if ds.Status.ManifestDigest != sum.Digest {
		return fmt.Errorf("dataset %s was sealed with another manifest than the one sent here: "+
			"somebody else uploaded to it at the same time; upload the data again under another name, then delete this one", ds.Name)
	}
	s.say("Dataset %s is sealed and ready.\n", ds.Name)
	s.say("  files     %d\n", sum.Files)
	s.say("  size      %s\n", words.Bytes(sum.Bytes))
	s.say("  manifest  %s\n", sum.Digest)
	if id := ds.Status.KeyID; id != "" {
		s.say("  key       %s, the dataset's own\n", id)
	}
	if at := ds.Status.ExpiresAt; at != nil {
		s.say("  goes      %s, at %s\n", overview.Goes(ds, s.clock.Now()), at.UTC().Format(time.RFC3339))
	}
	s.say("\nTrain on it: kubectl lethe run NAME --dataset %s --image IMAGE -n %s\n", ds.Name, ds.Namespace)
	return nil
}
