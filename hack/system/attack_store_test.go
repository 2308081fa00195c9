package system_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/encrypt"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// The attacks of somebody who has got hold of what a run's stagers hold: the Pod's token
// for the broker, and the credentials that it gives. They reach the run's own data.

// holder is a client of the store with the credentials of one step of a run.
type holder struct {
	*minio.Client
	grant staging.StoreGrant
}

// hold asks the broker as the Pod would.
func hold(t *testing.T, token string, step staging.Step) holder {
	t.Helper()
	text, err := fromBroker(t.Context(), staging.PathStage, token, fmt.Sprintf(`{"step":%q}`, step))
	if err != nil {
		t.Fatal(err)
	}
	var grant staging.StageGrant
	if err := json.Unmarshal(text, &grant); err != nil {
		t.Fatal(err)
	}
	g := grant.Store
	at, err := url.Parse(g.Endpoint)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := minio.DefaultTransport(true)
	if err != nil {
		t.Fatal(err)
	}
	if !transport.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(g.CABundle)) {
		t.Fatal("the grant has no certificates")
	}
	c, err := minio.New(at.Host, &minio.Options{
		Creds:  credentials.NewStaticV4(g.AccessKeyID, g.SecretAccessKey, g.SessionToken),
		Secure: true, Transport: transport, Region: "us-east-1", MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return holder{c, g}
}

func (h holder) read(ctx context.Context, bucket, key string, options minio.StatObjectOptions) error {
	_, err := h.StatObject(ctx, bucket, key, options)
	return err
}

func (h holder) write(ctx context.Context, bucket, key string) error {
	_, err := h.PutObject(ctx, bucket, key, strings.NewReader("x"), 1, minio.PutObjectOptions{})
	return err
}

func (h holder) list(ctx context.Context, bucket, prefix string) error {
	for found := range h.ListObjects(ctx, bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
		return found.Err
	}
	return nil
}

func (h holder) remove(ctx context.Context, bucket, key string) error {
	return h.RemoveObject(ctx, bucket, key, minio.RemoveObjectOptions{})
}

//nolint:tparallel // what is looked at in the end is what all attempts left
func TestAttackWithStagersCredentials(t *testing.T) {
	t.Parallel()
	if err := loadUnruly(); err != nil {
		t.Fatal(err)
	}
	a, b := newTenant(t, 0), newTenant(t, 0)
	own, secret := upload(t, a, "digits"), upload(t, b, "secret")
	create(t, unruly(a, "mine", 100_000, nil))
	run := waitRun(t, a, "mine", v1alpha1.RunRunning)
	token := accountToken(t, a, "default", staging.Audience, podsOf(t, a, "mine")[0].Name)
	in, out := hold(t, token, staging.StepStageIn), hold(t, token, staging.StepStageOut)
	theirs, mine := *secret.Status.Location, *own.Status.Location
	results := objectkey.OwnerPrefix(a, string(run.UID))
	foreign := objectkey.Manifest(theirs.Prefix)

	// What the run needs works, so that what is refused below is refused for its place.
	key, err := encrypt.NewSSEC(in.grant.EncryptionKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.read(t.Context(), mine.Bucket, objectkey.Manifest(mine.Prefix), minio.StatObjectOptions{ServerSideEncryption: key}); err != nil {
		t.Errorf("the run's own dataset: %v", err)
	}
	if err := out.write(t.Context(), artifactsBucket, objectkey.Data(results, "probe")); err != nil {
		t.Errorf("the run's own artifacts: %v", err)
	}
	ctx := t.Context()
	tries := map[string]func() error{
		"read another tenant's manifest": func() error { return in.read(ctx, theirs.Bucket, foreign, minio.StatObjectOptions{}) },
		"read another tenant's manifest, with the own key": func() error {
			return in.read(ctx, theirs.Bucket, foreign, minio.StatObjectOptions{ServerSideEncryption: key})
		},
		"read another tenant's manifest, to write artifacts": func() error { return out.read(ctx, theirs.Bucket, foreign, minio.StatObjectOptions{}) },
		"read the own dataset, to write artifacts": func() error {
			return out.read(ctx, mine.Bucket, objectkey.Manifest(mine.Prefix), minio.StatObjectOptions{ServerSideEncryption: key})
		},
		"list another tenant's dataset":        func() error { return in.list(ctx, theirs.Bucket, theirs.Prefix) },
		"list all datasets":                    func() error { return in.list(ctx, theirs.Bucket, "") },
		"list all artifacts":                   func() error { return out.list(ctx, artifactsBucket, "") },
		"list by half a prefix":                func() error { return in.list(ctx, mine.Bucket, strings.TrimRight(mine.Prefix, "/")[:len(a)/2]) },
		"list by a wildcard":                   func() error { return in.list(ctx, mine.Bucket, "*") },
		"list the receipts":                    func() error { return in.list(ctx, receiptsBucket, "") },
		"list the buckets":                     func() error { return buckets(ctx, in) },
		"write into another tenant's dataset":  func() error { return out.write(ctx, theirs.Bucket, objectkey.Data(theirs.Prefix, "evil")) },
		"write into the own dataset":           func() error { return in.write(ctx, mine.Bucket, objectkey.Data(mine.Prefix, "evil")) },
		"write into the own dataset, to write": func() error { return out.write(ctx, mine.Bucket, objectkey.Data(mine.Prefix, "evil")) },
		"write a receipt":                      func() error { return out.write(ctx, receiptsBucket, objectkey.Receipt(a, string(own.UID))) },
		"write beside the own artifacts":       func() error { return out.write(ctx, artifactsBucket, strings.TrimRight(results, "/")+"-evil/x") },
		"write by a path that leads out":       func() error { return out.write(ctx, artifactsBucket, results+"../"+b+"/x") },
		"delete the own dataset":               func() error { return in.remove(ctx, mine.Bucket, objectkey.Manifest(mine.Prefix)) },
		"delete another tenant's dataset":      func() error { return out.remove(ctx, theirs.Bucket, foreign) },
		"copy another tenant's dataset": func() error {
			_, err := out.CopyObject(ctx, minio.CopyDestOptions{Bucket: artifactsBucket, Object: objectkey.Data(results, "stolen")},
				minio.CopySrcOptions{Bucket: theirs.Bucket, Object: foreign})
			return err
		},
		"make a bucket":                 func() error { return out.MakeBucket(ctx, "evil-"+a, minio.MakeBucketOptions{}) },
		"open a bucket to everybody":    func() error { return out.SetBucketPolicy(ctx, artifactsBucket, "") },
		"switch the versioning off":     func() error { return out.SuspendVersioning(ctx, artifactsBucket) },
		"credentials from credentials":  func() error { return assume(ctx, in) },
		"another step than there is":    func() error { return askBroker(ctx, staging.PathStage, token, `{"step":"erase"}`) },
		"upload, as a run's Pod":        func() error { return uploads(ctx, token, a, "digits") },
		"upload elsewhere, as that Pod": func() error { return uploads(ctx, token, b, "secret") },
	}
	for _, name := range slices.Sorted(maps.Keys(tries)) {
		t.Run(name, func(t *testing.T) {
			err := tries[name]()
			if err == nil {
				t.Fatal("it was not refused")
			}
			t.Log(err)
			if says := err.Error(); !slices.ContainsFunc([]string{"Access Denied", "AccessDenied", "Forbidden", "Malformed", "invalid", "bad components"}, func(word string) bool {
				return strings.Contains(says, word)
			}) {
				t.Errorf("it says %q, want a refusal", says)
			}
		})
	}
	t.Logf("%d attempts", len(tries))
	if got := holdings(t, &theirs); got == 0 {
		t.Error("the other tenant's data is gone")
	}
}

func buckets(ctx context.Context, h holder) error {
	all, err := h.ListBuckets(ctx)
	if err == nil && len(all) == 0 {
		return errors.New("AccessDenied: none is listed")
	}
	return err
}

// assume wants new credentials from those that it has, without their bounds.
func assume(_ context.Context, h holder) error {
	sts, err := credentials.NewSTSAssumeRole(os.Getenv("LETHE_S3_ENDPOINT"), credentials.STSAssumeRoleOptions{
		AccessKey: h.grant.AccessKeyID, SecretKey: h.grant.SecretAccessKey, SessionToken: h.grant.SessionToken,
	})
	if err != nil {
		return err
	}
	transport, err := minio.DefaultTransport(true)
	if err != nil {
		return err
	}
	transport.TLSClientConfig.RootCAs.AppendCertsFromPEM([]byte(h.grant.CABundle))
	_, err = sts.GetWithContext(&credentials.CredContext{Client: &http.Client{Transport: transport}})
	return err
}

func uploads(ctx context.Context, token, ns, name string) error {
	return askBroker(ctx, staging.PathUpload, token, fmt.Sprintf(`{"namespace":%q,"name":%q}`, ns, name))
}
