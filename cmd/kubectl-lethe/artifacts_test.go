package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// storeCheckpoint puts a checkpoint of one file into the store of a world.
func storeCheckpoint(t *testing.T, w *world, id string) v1alpha1.Checkpoint {
	t.Helper()
	part := objectkey.CheckpointPart(prefix, id, 0)
	content := []byte("weights")
	var manifest bytes.Buffer
	writer := objectkey.NewManifestWriter(&manifest)
	err := writer.Add(objectkey.Entry{Path: "step-500", Size: int64(len(content)), SHA256: strings.TrimPrefix(objectkey.Digest(content), "sha256:")})
	if err != nil {
		t.Fatal(err)
	}
	sum, err := writer.Close()
	if err != nil {
		t.Fatal(err)
	}
	record, digest, err := objectkey.CheckpointRecord{
		ID: id, Step: 500, Time: time.Unix(1000, 0),
		Parts: []objectkey.CheckpointPartRecord{{ManifestDigest: sum.Digest, Objects: sum.Objects, Bytes: sum.Bytes}},
	}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w.objects[objectkey.Data(part, "step-500")], w.objects[objectkey.Manifest(part)] = content, manifest.Bytes()
	w.objects[objectkey.CheckpointRecordKey(prefix, id)] = record
	return v1alpha1.Checkpoint{ID: id, Step: 500, Digest: digest, Objects: 1, Bytes: int64(len(content))}
}

func TestArtifactsOfARunThatGoesOn(t *testing.T) {
	t.Parallel()
	const id = "0001-000500"
	parent := t.TempDir()
	tests := map[string]struct {
		args string // DIR stands for the folder
		code int
		out  []string
		err  string
		file string
		want string
	}{
		"a checkpoint": {
			args: "digits-1 DIR --checkpoint " + id, file: "step-500", want: "weights",
			out: []string{"Checkpoint " + id + " of run digits-1 is in DIR.\n", "  step      500\n", "  files     1, verified\n", "  size      7 B\n"},
		},
		"the newest checkpoint": {args: "digits-1 DIR --checkpoint latest", file: "step-500", want: "weights"},
		"its logs": {
			args: "digits-1 DIR --logs", file: "attempt-1/node-0/trainer.log", want: "2026-09-01T12:00:00.1Z epoch 1\n",
			out: []string{"The logs of run digits-1 are in DIR.\n", "  files     1\n"},
		},
		"but not another checkpoint":            {args: "digits-1 DIR --checkpoint 0009-000001", code: exitFailed, err: "there are 0001-000500, and latest"},
		"but no checkpoint of that ID":          {args: "digits-1 DIR --checkpoint 500", code: staging.ExitUsage, err: "--checkpoint must be an ID like"},
		"but not both":                          {args: "digits-1 DIR --checkpoint latest --logs", code: staging.ExitUsage, err: "exclude each other"},
		"but no logs where there are none":      {args: "silent DIR --logs", code: exitFailed, err: "there is no stored log of run silent"},
		"but no checkpoint where there is none": {args: "silent DIR --checkpoint latest", code: exitFailed, err: "run silent has stored none"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			run := trainingRun("digits-1", v1alpha1.RunRunning)
			run.Status.Attempt = 1
			run.Status.Checkpoints = []v1alpha1.Checkpoint{storeCheckpoint(t, w, id)}
			w.objects[objectkey.LogPrefix(prefix, 1, 0)+"trainer-000001.log"] = []byte("2026-09-01T12:00:00.1Z epoch 1\n")
			for _, r := range []*v1alpha1.TrainingRun{run, trainingRun("silent", v1alpha1.RunRunning)} {
				if err := w.client.Create(t.Context(), r); err != nil {
					t.Fatal(err)
				}
			}
			dir := filepath.Join(parent, strings.ReplaceAll(name, " ", "-"))
			args := strings.Fields(strings.Replace(tc.args, "DIR", dir, 1))
			if code := w.run(t.Context(), append([]string{"artifacts"}, args...)...); code != tc.code || !strings.Contains(w.errOut.String(), tc.err) {
				t.Errorf("exit code %d, want %d with %q:\n%s", code, tc.code, tc.err, &w.errOut)
			}
			for i := range tc.out {
				tc.out[i] = strings.Replace(tc.out[i], "DIR", dir, 1)
			}
			w.says(t, tc.out, nil)
			data, err := os.ReadFile(filepath.Join(dir, tc.file))
			if tc.file != "" && (err != nil || string(data) != tc.want) {
				t.Errorf("%s: got %q, %v; want %q", tc.file, data, err, tc.want)
			}
		})
	}
}
