package broker

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/objectstore/objectstoretest"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// tenant is what somebody with a grant does in a real store.
type tenant struct {
	t    *testing.T
	core *minio.Core
	at   place
}

// granted is who has credentials under a policy.
func granted(t *testing.T, m *objectstoretest.MinIO, at place, policy string) tenant {
	t.Helper()
	c, err := m.Client(t, m.Root).AssumeRole(t.Context(), policy, objectstore.MinSessionLife)
	if err != nil {
		t.Fatalf("the store does not take the policy: %v", err)
	}
	return tenant{t, coreClient(t, m, c), at}
}

func (u tenant) put(key string) error {
	_, err := u.core.Client.PutObject(u.t.Context(), u.at.bucket, key, strings.NewReader(key), int64(len(key)), minio.PutObjectOptions{})
	return err
}

func (u tenant) get(key string) error {
	body, _, _, err := u.core.GetObject(u.t.Context(), u.at.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // It was only read.
	data, err := io.ReadAll(body)
	if err == nil && !bytes.Equal(data, []byte(key)) {
		return errors.New("other data")
	}
	return err
}

func (u tenant) remove(key string) error {
	return u.core.RemoveObject(u.t.Context(), u.at.bucket, key, minio.RemoveObjectOptions{})
}

func (u tenant) list(prefix string) error {
	_, err := u.core.ListObjectsV2(u.at.bucket, prefix, "", "", "", 10)
	return err
}

// build makes a policy or ends the test.
func build(t *testing.T, policy string, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

// runsInAStore are two runs with two checkpoints each in a real store.
func runsInAStore(t *testing.T) (m *objectstoretest.MinIO, own, other place) {
	t.Helper()
	m = objectstoretest.StartMinIO(t)
	bucket := m.Bucket(t, objectstoretest.Versioned)
	root := tenant{t, coreClient(t, m, m.Root), place{bucket: bucket}}
	places := make([]place, 0, 2)
	for _, uid := range []string{runUID, otherUID} {
		at, err := newPlace(bucket, namespace, uid)
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, at)
		for _, key := range runKeys(at.prefix) {
			if err := root.put(key); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m, places[0], places[1]
}

func runKeys(prefix string) map[string]string {
	return map[string]string{
		"record":          objectkey.CheckpointRecordKey(prefix, "0001-000001"),
		"part":            objectkey.Data(objectkey.CheckpointPart(prefix, "0001-000001", 1), "x"),
		"other record":    objectkey.CheckpointRecordKey(prefix, "0001-000002"),
		"like the record": strings.TrimSuffix(objectkey.CheckpointPrefix(prefix, "0001-000001"), "/") + "0/x",
		"artifact":        objectkey.Data(prefix, "x"),
		"log":             objectkey.LogPrefix(prefix, 1, 0) + "trainer-000001.log",
	}
}

func TestTheStoreGivesOneCheckpointToWhoResumes(t *testing.T) {
	t.Parallel()
	m, own, other := runsInAStore(t)
	policy, err := resumePolicy(own, "0001-000001")
	u := granted(t, m, own, build(t, policy, err))
	for name, key := range runKeys(own.prefix) {
		if err := u.get(key); name == "record" || name == "part" {
			allowed(t, "GetObject of the "+name, err)
		} else {
			refused(t, "GetObject of the "+name, err)
		}
		refused(t, "PutObject of the "+name, u.put(key))
		refused(t, "DeleteObject of the "+name, u.remove(key))
		refused(t, "GetObject of another run's "+name, u.get(runKeys(other.prefix)[name]))
	}
	refused(t, "ListObjects", u.list(objectkey.CheckpointPrefix(own.prefix, "0001-000001")))
}

func TestTheStoreGivesCheckpointsToWhoGathersThem(t *testing.T) {
	t.Parallel()
	m, own, other := runsInAStore(t)
	policy, err := gatherPolicy(own)
	every := granted(t, m, own, build(t, policy, err))
	policy, err = writePolicy(own)
	first := granted(t, m, own, build(t, policy, err))
	for name, key := range runKeys(own.prefix) {
		if strings.HasPrefix(key, objectkey.CheckpointsPrefix(own.prefix)) {
			allowed(t, "GetObject of the "+name, every.get(key))
		} else {
			refused(t, "GetObject of the "+name, every.get(key))
		}
		refused(t, "GetObject of the "+name+" where the first node writes", first.get(key))
		for who, u := range map[string]tenant{"every node": every, "the first node": first} {
			allowed(t, "PutObject of the "+name+" by "+who, u.put(key))
			refused(t, "DeleteObject of the "+name+" by "+who, u.remove(key))
			elsewhere := runKeys(other.prefix)[name]
			refused(t, "GetObject of another run's "+name+" by "+who, u.get(elsewhere))
			refused(t, "PutObject of another run's "+name+" by "+who, u.put(elsewhere))
		}
	}
	refused(t, "ListObjects", every.list(objectkey.CheckpointsPrefix(own.prefix)))
	upload, err := every.core.NewMultipartUpload(t.Context(), own.bucket, runKeys(own.prefix)["part"], minio.PutObjectOptions{})
	allowed(t, "CreateMultipartUpload", err)
	allowed(t, "AbortMultipartUpload", every.core.AbortMultipartUpload(t.Context(), own.bucket, runKeys(own.prefix)["part"], upload))

	// Who waits for another node's part asks for what is not there yet: this store says
	// so, another may answer 403 to who can not list.
	var answer minio.ErrorResponse
	missing := objectkey.Manifest(objectkey.CheckpointPart(own.prefix, "0001-000003", 1))
	if err := every.get(missing); !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound {
		t.Errorf("GetObject of what is not there: %v, want 404", err)
	}
}

// TestTheStoreGivesWhatTheBrokerGrants goes the whole way, from a pod's question to the
// store.
func TestTheStoreGivesWhatTheBrokerGrants(t *testing.T) {
	t.Parallel()
	m, own, other := runsInAStore(t)
	w := newWorld()
	w.resumesFrom("0001-000001", kept(1, 1))
	w.options = func(o *Options) {
		o.STS = m.Client(t, m.Root)
		o.Store.ArtifactsBucket, o.CredentialLife = own.bucket, objectstore.MinSessionLife
	}
	grant, err := w.start(t).Stage(t.Context(), staging.StepStageIn)
	if err != nil {
		t.Fatal(err)
	}
	given := grant.Resume.Store
	u := tenant{t, coreClient(t, m, objectstore.Credentials{
		AccessKeyID: given.AccessKeyID, SecretAccessKey: given.SecretAccessKey, SessionToken: given.SessionToken,
	}), place{given.Bucket, given.Prefix}}
	if given.Prefix != other.prefix || grant.Resume.ID != "0001-000001" {
		t.Fatalf("the grant is for %q", given.Prefix)
	}
	allowed(t, "GetObject of the record", u.get(objectkey.CheckpointRecordKey(given.Prefix, grant.Resume.ID)))
	refused(t, "GetObject of another checkpoint", u.get(objectkey.CheckpointRecordKey(given.Prefix, "0001-000002")))
	refused(t, "GetObject of the own run's", u.get(objectkey.CheckpointRecordKey(own.prefix, "0001-000001")))
}
