package web

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

// fakeDatasets has a dataset in every state. A method whose name is in errs fails with that
// error.
type fakeDatasets struct {
	mutex    sync.Mutex
	errs     map[string]error
	list     []portal.DatasetView
	files    []portal.File
	receipts []portal.Receipt
	next     portal.PageCursor
	done     []string
	key      ed25519.PrivateKey
}

// fakeDatasetStates are names and what makes a dataset so.
func fakeDatasetStates() []func(*portal.DatasetView) {
	seen := func(state, reason string, mods ...func(*portal.DatasetView)) func(*portal.DatasetView) {
		return func(v *portal.DatasetView) {
			v.Wish = portal.WishSealed
			v.Seen = portal.DatasetSeen{
				Version: 1, State: state, Reason: reason, Files: 60_000, Bytes: 5 << 30, Manifest: "sha256:" + strings.Repeat("ab", 32),
				ExpiresAt: start.Add(26*time.Hour + 12*time.Minute), AfterTraining: v.AfterTraining, MaxAge: v.MaxAge,
			}
			for _, mod := range mods {
				mod(v)
			}
		}
	}
	hold := func(v *portal.DatasetView) {
		v.Seen.HoldUntil, v.Seen.HoldReason = start.Add(90*24*time.Hour), "case 2026-117"
	}
	wished := func(v *portal.DatasetView) { v.Wish = portal.WishErased }
	return []func(*portal.DatasetView){
		func(v *portal.DatasetView) { v.Name, v.UID = "Being set up", "" },
		func(v *portal.DatasetView) {
			v.Name, v.Count = "Open", portal.FileCount{Files: 3, Complete: 2, Bytes: 340 << 20}
		},
		func(v *portal.DatasetView) {
			v.Name, v.Wish, v.Count = "Being finished", portal.WishSealed, portal.FileCount{Files: 3, Complete: 3, Bytes: 340 << 20}
		},
		seen("Sealing", "UploadsPossible"), seen("Ready", "NeverUsed"), seen("Ready", "NeverUsed", hold), seen("InUse", "RunsActive"),
		seen("Expiring", "WindowRunning"), seen("Expiring", "StoreUnavailable", func(v *portal.DatasetView) { v.Seen.ExpiresAt = start.Add(-time.Hour) }),
		seen("Invalid", "Incomplete"),
		seen("Erasing", "RunsActive", wished, func(v *portal.DatasetView) { v.Seen.ActiveRuns = []string{"r-a"} }),
		seen("Erasing", "OnHold", wished, hold),
		seen("Erasing", "Deleted", wished),
		seen("Erasing", "StoreUnavailable", wished, func(v *portal.DatasetView) {
			v.Seen.EraseStartedAt, v.Seen.Versions, v.Seen.RemovedVersions = start, 60_001, 41_200
		}),
		func(v *portal.DatasetView) { v.Wish, v.ErasedAt = portal.WishErased, start },
		func(v *portal.DatasetView) { v.Wish, v.ErasedAt, v.Receipt = portal.WishErased, start, "sha256:1" },
		func(v *portal.DatasetView) { v.Wish, v.ErasedAt, v.UID = portal.WishErased, start, "" },
	}
}

func newFakeDatasets(t testing.TB) *fakeDatasets {
	t.Helper()
	f := &fakeDatasets{errs: map[string]error{}, key: ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))}
	for i, mod := range fakeDatasetStates() {
		uid := fmt.Sprintf("00000000-0000-0000-0000-%012d", i)
		view := portal.DatasetView{Dataset: portal.Dataset{
			ID: portal.DatasetID(strings.Repeat("d", 25) + string(rune('a'+i))), UID: uid, Name: fmt.Sprintf("Speech %d", i+1), Wish: portal.WishOpen,
			AfterTraining: 24 * time.Hour, MaxAge: 720 * time.Hour, CreatedAt: start.Add(-time.Duration(i) * 7 * time.Hour),
		}}
		mod(&view)
		if view.Seen.State == "InUse" {
			view.Runs = []portal.Run{{ID: idOf[portal.RunID]("r"), Name: "Baseline 1"}}
		}
		f.list = append(f.list, view)
	}
	f.files = []portal.File{
		{Path: "audio/1.flac", Size: 12 << 20, SHA256: strings.Repeat("a", 64)}, {Path: "audio/a very long name of a file that goes on and on and on.flac", Size: 300 << 20}, {Path: "list.csv", Size: 900, SHA256: strings.Repeat("a", 64)},
	}
	for i, trigger := range []string{objectkey.TriggerExpired, objectkey.TriggerDeleted} {
		uid := fmt.Sprintf("00000000-0000-0000-0000-%012d", 15+i)
		begun, ended := start.Add(-time.Hour), start.Add(-time.Hour+41*time.Second)
		envelope, digest, err := objectkey.Sign(f.key, objectkey.EraseReceipt{
			Resource: objectkey.ResourceDataset, Namespace: "t-abc", UID: uid, Store: strings.Repeat("0", 32), Bucket: "datasets", Prefix: "t-abc/" + uid + "/",
			Trigger: trigger, Methods: []string{objectkey.MethodKeyDestroyed, objectkey.MethodObjectsRemoved}, KeyID: strings.Repeat("1", 32), KeyDestroyedTime: &begun,
			ManifestDigest: "sha256:" + strings.Repeat("ab", 32), Objects: 60_000, ObjectBytes: 5 << 30, Versions: 60_001, VersionBytes: 5<<30 + 9<<20,
			StartTime: begun, EndTime: ended, NotCovered: []string{"Copies that a run wrote elsewhere.", "Backups of the store's disks."}, Sequence: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		f.receipts = append(f.receipts, portal.Receipt{UID: uid, Name: fmt.Sprintf("Speech %d", 16+i), Digest: digest, Envelope: envelope, ErasedAt: ended})
	}
	return f
}

func (f *fakeDatasets) act(name, what string) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if err := f.errs[name]; err != nil {
		return err
	}
	f.done = append(f.done, strings.TrimSpace(name+" "+what))
	return nil
}

func (f *fakeDatasets) ReceiptKeys(context.Context) ([]byte, error) {
	if err := f.act("ReceiptKeys", ""); err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKIXPublicKey(f.key.Public())
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), err
}

func (f *fakeDatasets) NewID() portal.DatasetID { return idOf[portal.DatasetID]("n") }

func (f *fakeDatasets) MaxBytes() int64 { return 1 << 40 }

func (f *fakeDatasets) Create(_ context.Context, _ portal.Principal, order portal.NewDataset) (portal.DatasetView, error) {
	return portal.DatasetView{Dataset: portal.Dataset{ID: order.ID}}, f.act("Create", fmt.Sprintf("%s %s %s", order.Name, order.AfterTraining, order.MaxAge))
}

func (f *fakeDatasets) Get(_ context.Context, _ portal.Principal, id portal.DatasetID) (portal.DatasetView, error) {
	for _, view := range f.list {
		if view.ID == id {
			return view, nil
		}
	}
	return portal.DatasetView{}, portal.ErrNotFound
}

func (f *fakeDatasets) on(name string, id portal.DatasetID, what string) (portal.DatasetView, error) {
	view, err := f.Get(context.Background(), portal.Principal{}, id)
	if err != nil {
		return view, err
	}
	return view, f.act(name, what)
}

func (f *fakeDatasets) Seal(_ context.Context, _ portal.Principal, id portal.DatasetID) (portal.DatasetView, error) {
	return f.on("Seal", id, "")
}

func (f *fakeDatasets) SetRetention(_ context.Context, _ portal.Principal, id portal.DatasetID, after, age time.Duration) (portal.DatasetView, error) {
	return f.on("SetRetention", id, fmt.Sprintf("%s %s", after, age))
}

func (f *fakeDatasets) Erase(_ context.Context, _ portal.Principal, id portal.DatasetID, cancel bool) (portal.DatasetView, error) {
	return f.on("Erase", id, fmt.Sprint(cancel))
}

func (f *fakeDatasets) AddFiles(_ context.Context, _ portal.Principal, id portal.DatasetID, claims []portal.FileClaim) ([]portal.FilePlan, error) {
	_, err := f.on("AddFiles", id, fmt.Sprint(len(claims)))
	plans := make([]portal.FilePlan, 0, len(claims))
	for _, c := range claims {
		plans = append(plans, portal.FilePlan{Path: c.Path, Status: portal.FileWhole, Parts: 1})
	}
	return plans, err
}

func (f *fakeDatasets) Sign(_ context.Context, _ portal.Principal, id portal.DatasetID, wanted []portal.WantedParts) ([]portal.SignedPart, error) {
	_, err := f.on("Sign", id, fmt.Sprint(len(wanted)))
	return []portal.SignedPart{{Path: "a", Part: 1, SignedRequest: portal.SignedRequest{Method: "PUT", URL: "https://store/a", ExpiresAt: start}}}, err
}

func (f *fakeDatasets) Finish(_ context.Context, _ portal.Principal, id portal.DatasetID, done []portal.FileDone) ([]portal.FileResult, error) {
	_, err := f.on("Finish", id, fmt.Sprint(len(done)))
	return []portal.FileResult{{Path: "a", Complete: true}}, err
}

func (f *fakeDatasets) Remove(_ context.Context, _ portal.Principal, id portal.DatasetID, paths []string) error {
	_, err := f.on("Remove", id, strings.Join(paths, " "))
	return err
}

func (f *fakeDatasets) Files(context.Context, portal.Principal, portal.DatasetID, string, int) ([]portal.File, error) {
	return f.files, f.errs["Files"]
}

func (f *fakeDatasets) List(_ context.Context, _ portal.Principal, erased bool, _ portal.PageCursor) ([]portal.DatasetView, portal.PageCursor, error) {
	var list []portal.DatasetView
	for _, view := range f.list {
		if erased || view.ErasedAt.IsZero() {
			list = append(list, view)
		}
	}
	return list, f.next, f.errs["List"]
}

func (f *fakeDatasets) Receipts(context.Context, portal.Principal, portal.PageCursor) ([]portal.Receipt, portal.PageCursor, error) {
	return f.receipts, f.next, f.errs["Receipts"]
}

func (f *fakeDatasets) Receipt(_ context.Context, _ portal.Principal, uid string) (portal.Receipt, error) {
	for _, receipt := range f.receipts {
		if receipt.UID == uid {
			return receipt, nil
		}
	}
	return portal.Receipt{}, portal.ErrNotFound
}
