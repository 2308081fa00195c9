package objectkey_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
)

func checkpoint(mods ...func(*objectkey.CheckpointRecord)) objectkey.CheckpointRecord {
	r := objectkey.CheckpointRecord{
		ID: objectkey.CheckpointID(2, 17), Step: 500, Time: moment(),
		Parts: []objectkey.CheckpointPartRecord{
			{Node: 0, ManifestDigest: objectkey.Digest([]byte("0")), Objects: 2, Bytes: 4096},
			{Node: 3, ManifestDigest: objectkey.Digest([]byte("3")), Objects: 1, Bytes: 10},
		},
	}
	for _, mod := range mods {
		mod(&r)
	}
	return r
}

func TestCheckpointIsThatOfTheGoldenFile(t *testing.T) {
	t.Parallel()
	data, digest, err := checkpoint().Encode()
	if err != nil {
		t.Fatal(err)
	}
	prefix := objectkey.OwnerPrefix("ns", uid)
	var all strings.Builder
	for _, key := range []string{
		objectkey.CheckpointRecordKey(prefix, "0002-000017"),
		objectkey.CheckpointClaimKey(prefix, "0002-000017"),
		objectkey.CheckpointWantedKey(prefix, 2),
		objectkey.Manifest(objectkey.CheckpointPart(prefix, "0002-000017", 3)),
		objectkey.Data(objectkey.CheckpointPart(prefix, "0002-000017", 3), "model/a.bin"),
		objectkey.LogPrefix(prefix, 2, 3),
	} {
		all.WriteString(key + "\n")
	}
	wantGolden(t, "checkpoint.txt", []byte(all.String()+string(data)+"\n"+digest+"\n"))
	got, err := objectkey.DecodeCheckpointRecord(data, digest)
	if err != nil {
		t.Fatal(err)
	}
	want := checkpoint()
	want.Kind, want.Time = objectkey.CheckpointKind, got.Time
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
	if objects, bytes := got.Size(); objects != 3 || bytes != 4106 {
		t.Errorf("size is %d objects, %d bytes, want 3 and 4106", objects, bytes)
	}
}

func TestCheckpointThatMakesNoSense(t *testing.T) {
	t.Parallel()
	part := func(change func(*objectkey.CheckpointPartRecord)) func(*objectkey.CheckpointRecord) {
		return func(r *objectkey.CheckpointRecord) { change(&r.Parts[1]) }
	}
	for name, mod := range map[string]func(*objectkey.CheckpointRecord){
		"another kind":         func(r *objectkey.CheckpointRecord) { r.Kind = "lethe.dev/checkpoint/v2" },
		"no name":              func(r *objectkey.CheckpointRecord) { r.ID = "" },
		"a name with a folder": func(r *objectkey.CheckpointRecord) { r.ID = "0001-00000/" },
		"a step before any":    func(r *objectkey.CheckpointRecord) { r.Step = -1 },
		"no parts":             func(r *objectkey.CheckpointRecord) { r.Parts = nil },
		"a part twice":         part(func(p *objectkey.CheckpointPartRecord) { p.Node = 0 }),
		"a node too many":      part(func(p *objectkey.CheckpointPartRecord) { p.Node = objectkey.MaxNodes }),
		"no digest":            part(func(p *objectkey.CheckpointPartRecord) { p.ManifestDigest = "" }),
		"fewer than none":      part(func(p *objectkey.CheckpointPartRecord) { p.Objects = -1 }),
		"a size beyond JSON's": part(func(p *objectkey.CheckpointPartRecord) { p.Bytes = 1 << 53 }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, _, err := checkpoint(mod).Encode(); !errors.Is(err, objectkey.ErrBadCheckpoint) {
				t.Errorf("error is %v, want %v", err, objectkey.ErrBadCheckpoint)
			}
		})
	}
}

func TestDecodeCheckpointRefuses(t *testing.T) {
	t.Parallel()
	data, digest, err := checkpoint().Encode()
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for name, changed := range map[string]string{
		"nothing":          "",
		"another step":     strings.Replace(text, "500", "501", 1),
		"a field too many": strings.Replace(text, `{"id"`, `{"a":1,"id"`, 1),
		"white space":      text + "\n",
	} {
		if changed == text {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, err := objectkey.DecodeCheckpointRecord([]byte(changed), digest); !errors.Is(err, objectkey.ErrBadCheckpoint) {
			t.Errorf("%s under the old digest: error is %v, want %v", name, err, objectkey.ErrBadCheckpoint)
		}
		if name == "another step" {
			continue // Under its own digest that is another record.
		}
		if _, err := objectkey.DecodeCheckpointRecord([]byte(changed), objectkey.Digest([]byte(changed))); !errors.Is(err, objectkey.ErrBadCheckpoint) {
			t.Errorf("%s under its own digest: error is %v, want %v", name, err, objectkey.ErrBadCheckpoint)
		}
	}
}

func TestCheckpointOf(t *testing.T) {
	t.Parallel()
	prefix := objectkey.OwnerPrefix("ns", uid)
	for key, want := range map[string]string{
		objectkey.CheckpointRecordKey(prefix, "0001-000002"): "0001-000002",
		objectkey.CheckpointPrefix(prefix, "0001-000002"):    "0001-000002",
		objectkey.CheckpointClaimKey(prefix, "0001-000002"):  "0001-000002",
		objectkey.CheckpointWantedKey(prefix, 1):             "",
		prefix + "checkpoints/0001-000002":                   "",
		prefix + "checkpoints/1-2/complete.json":             "",
		prefix + "checkpoints/":                              "",
		objectkey.Data(prefix, "checkpoints/0001-000002/a"):  "",
		"ns/another/checkpoints/0001-000002/complete.json":   "",
	} {
		id, ok := objectkey.CheckpointOf(prefix, key)
		if ok != (want != "") || ok && id != want {
			t.Errorf("%s: got %q, %v, want %q", key, id, ok, want)
		}
	}
	if a, b := objectkey.CheckpointID(9, 999999), objectkey.CheckpointID(10, 1); a >= b {
		t.Errorf("%s is not before %s", a, b)
	}
}
