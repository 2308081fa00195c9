package transfer

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// realBroker grants a place in a real store.
type realBroker struct {
	noPod
	grant staging.StoreGrant
}

func (b realBroker) Upload(context.Context, string, string) (staging.StoreGrant, error) {
	return b.grant, nil
}

func (b realBroker) Artifacts(context.Context, string, string) (staging.StoreGrant, error) {
	return b.grant, nil
}

// Stage lets a pod stage in what was uploaded.
func (b realBroker) Stage(ctx context.Context, _ staging.Step) (staging.StageGrant, error) {
	body, err := b.manifest(ctx)
	if err != nil {
		return staging.StageGrant{}, err
	}
	defer func() { _ = body.Close() }() // It was only read.
	manifest, err := io.ReadAll(body)
	return staging.StageGrant{Store: b.grant, ManifestDigest: objectkey.Digest(manifest)}, err
}

func (b realBroker) manifest(ctx context.Context) (io.ReadCloser, error) {
	store, err := agent.ConnectStore(b.grant, b.credentials, 1)
	if err != nil {
		return nil, err
	}
	return store.Get(ctx, b.grant.Bucket, objectkey.Manifest(b.grant.Prefix), 0, -1)
}

func (b realBroker) credentials(context.Context) (objectstore.Credentials, error) {
	return objectstore.Credentials{AccessKeyID: b.grant.AccessKeyID, SecretAccessKey: b.grant.SecretAccessKey}, nil
}

// TestUploadAndStageInUnderAKey brings a folder to a real store under a key, small
// files, an empty one, one in parts and the manifest, and back to a volume.
func TestUploadAndStageInUnderAKey(t *testing.T) {
	t.Parallel()
	m := objectstoretest.StartMinIO(t)
	broker := realBroker{grant: staging.StoreGrant{
		Endpoint: m.Endpoint, CABundle: string(m.CA), Bucket: m.Bucket(t, objectstoretest.Versioned), Prefix: prefix,
		AccessKeyID: m.Root.AccessKeyID, SecretAccessKey: m.Root.SecretAccessKey,
		IssuedAt: time.Unix(0, 0), ExpiresAt: time.Unix(3600, 0), EncryptionKey: []byte(canary),
	}}
	files := map[string]string{"small": "pixels", "empty": "", "in/parts": strings.Repeat("weights", 5<<20)}
	w, dir := newWorld(), t.TempDir()
	write(t, dir, files)
	folder, err := Survey(dir)
	if err != nil {
		t.Fatal(err)
	}
	journal, err := OpenJournal(t.TempDir(), "uid", false)
	if err != nil {
		t.Fatal(err)
	}
	o := w.options()
	o.Broker, o.Connect = broker, agent.ConnectStore
	to := dataset
	to.KeyID = keyID(t, canary)
	if _, err := Upload(t.Context(), o, to, folder, journal); err != nil {
		t.Fatal(err)
	}

	root, count := m.Client(t, m.Root), 0
	for object, err := range root.List(t.Context(), broker.grant.Bucket, prefix) {
		if err != nil {
			t.Fatal(err)
		}
		count++
		if _, err := root.Get(t.Context(), broker.grant.Bucket, object.Key, 0, -1); !errors.Is(err, objectstore.ErrKey) {
			t.Errorf("an object can be read without the key: %v", err)
		}
	}
	if count != len(files)+1 {
		t.Errorf("%d objects, want the files and the manifest", count)
	}

	volume := t.TempDir()
	in := o.agentOptions(broker, staging.StepStageIn, to.KeyID, func(store agent.Store, _ string) agent.Store { return store })
	report, err := agent.StageIn(t.Context(), agent.StageInOptions{
		Options: in, DatasetDir: filepath.Join(volume, "dataset"), FreeSpace: agent.FreeSpace,
	})
	if err != nil || report.Objects != int64(len(files)) {
		t.Fatalf("stage-in: %+v, %v", report, err)
	}
	if diff := cmp.Diff(files, read(t, filepath.Join(volume, "dataset"))); diff != "" {
		t.Errorf("the volume (-want +got):\n%s", diff)
	}
}
