package main

import (
	"context"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

func TestUpload(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), folder(t)
	if code := w.run(t.Context(), "upload", dir, "digits", "--after-training", "1h30m"); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, &w.errOut)
	}
	want := []string{prefix + "data/images", prefix + "data/labels", prefix + "manifest.jsonl"}
	if diff := cmp.Diff(want, w.keys()); diff != "" {
		t.Errorf("stored (-want +got):\n%s", diff)
	}
	ds, err := cluster.GetDataset(t.Context(), w.client, client.ObjectKey{Namespace: "team", Name: "digits"})
	if err != nil {
		t.Fatal(err)
	}
	if !ds.Spec.Sealed || ds.Spec.Retention.AfterTraining.Duration != 90*time.Minute {
		t.Errorf("dataset: got %+v, want it sealed with 1h30m", ds.Spec)
	}
	for _, line := range []string{
		"Dataset digits is sealed and ready.\n", "  files     2\n", "  size      10 B\n",
		"  manifest  " + ds.Status.ManifestDigest + "\n", "erased in 30d", "  key       " + w.key.ID() + ", the dataset's own\n", "kubectl lethe run NAME --dataset digits --image IMAGE -n team\n",
	} {
		if !strings.Contains(w.out.String(), line) {
			t.Errorf("summary lacks %q:\n%s", line, &w.out)
		}
	}
	if line := "Uploading 100%  2/2 files  10 B of 10 B"; !strings.Contains(w.errOut.String(), line) {
		t.Errorf("progress lacks %q:\n%s", line, &w.errOut)
	}
	if len(w.connected) != 1 || string(w.connected[0].EncryptionKey) != canary {
		t.Errorf("the files and the manifest were sent by %d clients and not by one with the dataset's key", len(w.connected))
	}
	if text := w.out.String() + w.errOut.String(); strings.Contains(text, canary) || strings.Contains(text, hex.EncodeToString([]byte(canary))) {
		t.Errorf("the key is shown:\n%s", text)
	}
	journals, err := w.session.journals()
	if err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(journals); err != nil || len(left) > 0 {
		t.Errorf("journals left: %v, %v", left, err)
	}
	if code := w.run(t.Context(), "upload", dir, "digits"); code != 1 ||
		!strings.Contains(w.errOut.String(), "error: dataset digits is sealed and takes no more files; upload under another name\n") {
		t.Errorf("second upload: exit code %d, %s", code, &w.errOut)
	}
}

func TestUploadChoosesTheEncryption(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args    []string
		before  v1alpha1.Encryption // of an open dataset; empty: there is none
		bucket  bool                // the operator gives no key
		want    v1alpha1.Encryption
		refused string
	}{
		"by default the cluster's":    {want: ""},
		"a key of its own":            {args: []string{"--encryption", "PerDatasetKey"}, want: v1alpha1.EncryptionPerDatasetKey},
		"the bucket's":                {args: []string{"--encryption", "Bucket"}, bucket: true, want: v1alpha1.EncryptionBucket},
		"what an open dataset has":    {before: v1alpha1.EncryptionBucket, bucket: true, want: v1alpha1.EncryptionBucket},
		"the same again":              {before: v1alpha1.EncryptionBucket, args: []string{"--encryption", "Bucket"}, bucket: true, want: v1alpha1.EncryptionBucket},
		"no other than it has":        {before: v1alpha1.EncryptionBucket, args: []string{"--encryption", "PerDatasetKey"}, refused: "has encryption Bucket, which is chosen once"},
		"nothing but the two":         {args: []string{"--encryption", "None"}, refused: "--encryption must be PerDatasetKey or Bucket"},
		"and is never sent otherwise": {args: []string{"--encryption", "Bucket"}, refused: "the files are to be under no key"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var objects []client.Object
			if tc.before != "" {
				objects = append(objects, &v1alpha1.DatasetRetention{
					ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "digits", UID: "uid"},
					Spec:       v1alpha1.DatasetRetentionSpec{Encryption: tc.before},
				})
			}
			w := newWorld(t, objects...)
			granted := w.key
			if tc.bucket {
				granted = objectstore.Key{}
			}
			w.grantKey = granted
			code := w.run(t.Context(), append([]string{"upload", folder(t), "digits"}, tc.args...)...)
			if tc.refused != "" {
				if code == 0 || !strings.Contains(w.errOut.String(), tc.refused) || len(w.objects) > 0 {
					t.Errorf("exit code %d with %d objects, want %q:\n%s", code, len(w.objects), tc.refused, &w.errOut)
				}
				return
			}
			ds, err := cluster.GetDataset(t.Context(), w.client, client.ObjectKey{Namespace: "team", Name: "digits"})
			if code != 0 || err != nil {
				t.Fatalf("exit code %d, %v:\n%s", code, err, &w.errOut)
			}
			if ds.Spec.Encryption != tc.want || len(w.objects) != 3 || len(w.connected[0].EncryptionKey) != len(granted.Bytes()) {
				t.Errorf("encryption %q with a key of %d bytes, want %q", ds.Spec.Encryption, len(w.connected[0].EncryptionKey), tc.want)
			}
		})
	}
}

func TestUploadIsDoneAlsoWhenTheDatasetExpiresAlready(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.verdict = v1alpha1.DatasetExpiring
	if code := w.run(t.Context(), "upload", folder(t), "digits"); code != 0 || !strings.Contains(w.out.String(), "is sealed and ready") {
		t.Errorf("exit code %d:\n%s", code, &w.errOut)
	}
}

func TestUploadThatIsInterruptedGoesOn(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.onPut = func(key string) error {
		if strings.HasSuffix(key, "manifest.jsonl") {
			cancel() // Ctrl-C, when all files have arrived.
			return ctx.Err()
		}
		return nil
	}
	code := w.run(ctx, "upload", dir, "digits")
	hint := "error: interrupted; what has been sent stays until the dataset expires; " +
		"go on with: kubectl lethe upload " + dir + " digits -n team --resume\n"
	if code != exitInterrupted || !strings.Contains(w.errOut.String(), hint) {
		t.Fatalf("exit code %d, want %d and %q:\n%s", code, exitInterrupted, hint, &w.errOut)
	}
	sent := 0
	w.onPut = func(string) error { sent++; return nil }
	if code := w.run(t.Context(), "upload", dir, "digits", "--resume"); code != 0 || sent != 1 {
		t.Errorf("exit code %d, sent %d objects, want only the manifest:\n%s", code, sent, &w.errOut)
	}
	if !strings.Contains(w.errOut.String(), "2 files were sent before.\n") {
		t.Errorf("the person is not told what was sent before:\n%s", &w.errOut)
	}
}

func TestUploadThatIsInterruptedAfterTheSealIsComplete(t *testing.T) {
	t.Parallel()
	w, dir := newWorld(t), folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.verdict, w.onSeal = v1alpha1.DatasetSealing, cancel
	code := w.run(ctx, "upload", dir, "digits")
	const hint = "the upload is complete and the operator checks it; " +
		"see how that ends with: kubectl lethe status datasetretention/digits -n team\n"
	if code != exitInterrupted || !strings.HasSuffix(w.errOut.String(), hint) || strings.Contains(w.errOut.String(), "--resume") {
		t.Fatalf("exit code %d, want %d and %q:\n%s", code, exitInterrupted, hint, &w.errOut)
	}
	code = w.run(t.Context(), "upload", dir, "digits", "--resume")
	if want := "it is complete; see what became of it with: kubectl lethe status datasetretention/digits -n team\n"; code != 1 ||
		!strings.HasSuffix(w.errOut.String(), want) {
		t.Errorf("exit code %d, want 1 and %q:\n%s", code, want, &w.errOut)
	}
}

func TestUploadFails(t *testing.T) {
	t.Parallel()
	erasing := &v1alpha1.DatasetRetention{ObjectMeta: metav1.ObjectMeta{
		Namespace: "team", Name: "digits", Finalizers: []string{v1alpha1.FinalizerErase},
		DeletionTimestamp: &metav1.Time{Time: time.Unix(1, 0)},
	}}
	tests := map[string]struct {
		objects []client.Object
		prepare func(w *world)
		args    []string // after "upload DIR"; "digits" if empty
		dir     string   // a folder with two files if empty
		code    int
		want    string
	}{
		"when the folder does not exist": {dir: "/nowhere", code: staging.ExitUsage, want: "no such file"},
		"when a flag is wrong":           {args: []string{"digits", "--parallel", "0"}, code: staging.ExitUsage, want: "--parallel must be from 1 to 256"},
		"when a time is wrong":           {args: []string{"digits", "--max-age", "1ms"}, code: staging.ExitUsage, want: "--max-age must be whole seconds"},
		"when a time is too long":        {args: []string{"digits", "--max-age", "87601h"}, code: staging.ExitUsage, want: "at most 87600h\n"},
		"when an argument is missing":    {args: []string{"--resume"}, code: staging.ExitUsage, want: "see: kubectl lethe upload --help"},
		"when a flag is unknown":         {args: []string{"digits", "--force"}, code: staging.ExitUsage, want: "unknown flag: --force"},
		"when the dataset is being erased": {
			objects: []client.Object{erasing}, code: 1, want: "is being erased; wait until it is gone, or upload under another name",
		},
		"when the person has no right": {
			prepare: func(w *world) {
				w.refuse = &staging.Problem{Status: 403, Reason: staging.ProblemForbidden, Detail: "you need the verb create"}
			},
			code: staging.ExitDenied, want: "you need the verb create; ClusterRole lethe-user holds this right",
		},
		"when the seal is refused": {
			prepare: func(w *world) { w.refuseSeal = errors.New("the API server is busy") },
			code:    1, want: "the API server is busy; all files have been sent; go on with: kubectl lethe upload ",
		},
		"when there is no login for the broker": {
			prepare: func(w *world) { w.session.config = &rest.Config{} },
			code:    1, want: "kubectl -n team create serviceaccount lethe-uploader",
		},
		"when the operator can not use what was sealed": {
			prepare: func(w *world) { w.verdict = v1alpha1.DatasetInvalid },
			code:    1, want: "no run can use it (Empty): The manifest lists nothing. Upload the data again under another name, then delete this one.\n",
		},
		"when the dataset is deleted at once": {
			prepare: func(w *world) { w.verdict = v1alpha1.DatasetErasing },
			code:    1, want: "is being erased",
		},
		"when somebody else uploads at the same time": {
			prepare: func(w *world) {
				w.onSeal = func() { w.objects[prefix+"manifest.jsonl"] = []byte("another one") }
			},
			code: 1, want: "at the same time; upload the data again under another name, then delete this one\n",
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, dir := newWorld(t, tc.objects...), folder(t)
			if tc.dir != "" {
				dir = tc.dir
			}
			if tc.prepare != nil {
				tc.prepare(w)
			}
			args := append([]string{"upload", dir}, tc.args...)
			if len(tc.args) == 0 {
				args = append(args, "digits")
			}
			code := w.run(t.Context(), args...)
			text := w.errOut.String()
			if code != tc.code || !strings.Contains(text, tc.want) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tc.code, tc.want, text)
			}
			lines := strings.Split(strings.TrimSpace(text), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "error: ") {
				t.Errorf("last line: got %q, want the error in one line", last)
			}
		})
	}
}

func TestArtifacts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// A run's artifacts look like a dataset in the store.
	if code := w.run(t.Context(), "upload", folder(t), "digits"); code != 0 {
		t.Fatal(&w.errOut)
	}
	ds, err := cluster.GetDataset(t.Context(), w.client, client.ObjectKey{Namespace: "team", Name: "digits"})
	if err != nil {
		t.Fatal(err)
	}
	succeeded := trainingRun("digits-1", v1alpha1.RunSucceeded)
	succeeded.Status.Artifacts = &v1alpha1.ArtifactsStatus{ManifestDigest: ds.Status.ManifestDigest, Objects: 2, Bytes: 10}
	empty := trainingRun("empty", v1alpha1.RunSucceeded)
	empty.Status.Artifacts = &v1alpha1.ArtifactsStatus{}
	for _, run := range []*v1alpha1.TrainingRun{succeeded, empty, trainingRun("busy", v1alpha1.RunRunning), trainingRun("lost", v1alpha1.RunFailed)} {
		if err := w.client.Create(t.Context(), run); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "model")
	tests := []struct {
		run     string
		code    int
		wantOut string
		wantErr string
	}{
		{run: "busy", code: 1, wantErr: "not published its artifacts yet. Running. Wait for them with: kubectl lethe watch busy -n team"},
		{run: "lost", code: 1, wantErr: "has published no artifacts. Failed"},
		{run: "empty", wantOut: "published no files"},
		{run: "nobody", code: 1, wantErr: "run nobody does not exist in namespace team"},
		{run: "digits-1", wantOut: "The artifacts of run digits-1 are in " + dir + ".\n  files     2, verified\n"},
		{run: "digits-1", code: staging.ExitUsage, wantErr: "is not empty"},
	}
	for _, tc := range tests {
		code := w.run(t.Context(), "artifacts", tc.run, dir)
		if code != tc.code || !strings.Contains(w.out.String(), tc.wantOut) || !strings.Contains(w.errOut.String(), tc.wantErr) {
			t.Errorf("%s: exit code %d, want %d with %q%q:\n%s%s", tc.run, code, tc.code, tc.wantOut, tc.wantErr, &w.out, &w.errOut)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dir, "labels")); err != nil || string(data) != "5041" {
		t.Errorf("labels: got %q, %v", data, err)
	}
	if last := w.asked[len(w.asked)-1]; last != `/v1/artifacts {"namespace":"team","name":"digits-1"}` {
		t.Errorf("asked the broker for %s", last)
	}
}

func trainingRun(name string, state v1alpha1.RunState) *v1alpha1.TrainingRun {
	return &v1alpha1.TrainingRun{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: "uid"},
		Status:     v1alpha1.TrainingRunStatus{State: state},
	}
}
