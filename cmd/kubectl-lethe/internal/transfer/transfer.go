package transfer

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"k8s.io/utils/clock"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/progress"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// patience is how long a store or broker that is away is waited for. A person can
// end it earlier, and an upload or download can be gone on with.
const patience = 15 * time.Minute

// ConnectFunc makes a client for a granted place with this many connections at
// most; it sends nothing.
type ConnectFunc func(grant staging.StoreGrant, credentials agent.CredentialsFunc, connections int) (agent.Store, error)

// Options are what both directions need. All are required but Parallel.
type Options struct {
	Broker  Broker
	Connect ConnectFunc
	Clock   clock.WithDelayedExecution
	Meter   *progress.Meter
	// Notice tells the person that something is being waited for.
	Notice func(text string)
	// Parallel is how many files are under way at once; 0 for the default.
	Parallel int
}

// Sum is what was transferred.
type Sum struct {
	Files, Bytes int64
	// Digest of the manifest, "sha256:" and 64 hexadecimal digits.
	Digest string
}

// agentOptions completes the options; wrap is put between agent and store. A grant
// must come with the key of that ID, or with none where it is empty.
func (o Options) agentOptions(
	broker agent.Broker, step staging.Step, keyID string, wrap func(agent.Store, string) agent.Store,
) agent.Options {
	parallel := agent.Parallel{Small: o.Parallel, Large: min(o.Parallel, 4)}.WithDefaults(step)
	return agent.Options{
		Broker: broker,
		Connect: func(grant staging.StoreGrant, credentials agent.CredentialsFunc) (agent.Store, error) {
			if err := checkKey(grant, keyID); err != nil {
				return nil, err
			}
			store, err := o.Connect(grant, credentials, parallel.Connections())
			if err != nil {
				return nil, err
			}
			return wrap(store, grant.Prefix), nil
		},
		Log:      slog.New(noticeHandler{o.Notice}),
		Clock:    o.Clock,
		Random:   rand.Float64, // Spreads retries; nothing depends on it.
		Patience: patience,
		Parallel: parallel,
	}
}

// checkKey keeps data from being sent under no key, or under another than the one
// that will be destroyed with it.
func checkKey(grant staging.StoreGrant, want string) error {
	var got string
	if len(grant.EncryptionKey) > 0 {
		key, err := objectstore.NewKey(grant.EncryptionKey)
		if err != nil {
			return fmt.Errorf("use the broker's key: %w", err)
		}
		got = key.ID()
	}
	if got == want {
		return nil
	}
	return &agent.Failure{Exit: staging.ExitDenied, Message: fmt.Sprintf("the operator gave %s, but the files are to be under %s; "+
		"check that the operator and kubectl-lethe are of the same version, and tell your administrator", named(got), named(want))}
}

func named(keyID string) string {
	if keyID == "" {
		return "no key"
	}
	return "the key " + keyID
}

// Dataset names the dataset that is uploaded to.
type Dataset struct {
	Namespace, Name string
	// KeyID names the dataset's own key; empty if it has none.
	KeyID string
}

// Upload sends a folder's files and then their manifest. It may be repeated. Errors
// are explained for the person; cancelling ctx ends it early.
func Upload(ctx context.Context, o Options, to Dataset, folder *Folder, journal *Journal) (Sum, error) {
	o.Meter.Expect(folder.Files, folder.Bytes)
	var found faults
	wrap := func(store agent.Store, prefix string) agent.Store {
		return journaledStore{
			Store: store, prefix: prefix, folder: folder, journal: journal, meter: o.Meter, faults: &found,
		}
	}
	broker := uploading{broker: o.Broker, namespace: to.Namespace, name: to.Name}
	report, err := agent.Publish(ctx, o.agentOptions(broker, staging.StepStageOut, to.KeyID, wrap), folder.Dir)
	if fault := found.get(); fault != nil {
		return Sum{}, fmt.Errorf("upload %s: %w", folder.Dir, fault)
	}
	if err != nil {
		return Sum{}, explain(ctx, err, "upload "+folder.Dir,
			"a file changed while it was uploaded; leave the folder alone and run the same command again")
	}
	if report.Objects != folder.Files {
		return Sum{}, fmt.Errorf("upload %s: %d files were sent, but the folder had %d when it was looked through; "+
			"leave it alone and run the same command again", folder.Dir, report.Objects, folder.Files)
	}
	return Sum{Files: report.Objects, Bytes: report.Bytes, Digest: report.ManifestDigest}, nil
}

// noticeHandler passes warnings on as text and drops the rest.
type noticeHandler struct{ notice func(string) }

func (noticeHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (h noticeHandler) Handle(_ context.Context, record slog.Record) error {
	text := record.Message
	record.Attrs(func(a slog.Attr) bool {
		if a.Key == "cause" {
			text += " (" + a.Value.String() + ")"
		}
		return true
	})
	h.notice(text)
	return nil
}

func (h noticeHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h noticeHandler) WithGroup(string) slog.Handler { return h }
