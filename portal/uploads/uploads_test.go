package uploads_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/portaltest"
	"github.com/lethe-dev/lethe/portal/uploads"
)

const (
	afterTraining = 24 * time.Hour
	maxAge        = 720 * time.Hour
)

func newDataset(id portal.DatasetID) portal.NewDataset {
	return portal.NewDataset{ID: id, Name: "Speech", AfterTraining: afterTraining, MaxAge: maxAge}
}

func create(t *testing.T, s *uploads.Service, p portal.Principal) portal.DatasetView {
	t.Helper()
	view, err := s.Create(t.Context(), p, newDataset(""))
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	return view
}

func digestOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

func claimOf(path, content string) portal.FileClaim {
	return portal.FileClaim{Path: path, Size: int64(len(content)), Fingerprint: "f1"}
}

// upload does what a browser does, from wherever it is: it tells of the files, sends the
// parts that are missing, and finishes.
func upload(w *world, s *uploads.Service, p portal.Principal, id portal.DatasetID, files map[string]string) error {
	ctx := w.t.Context()
	paths := slices.Sorted(maps.Keys(files))
	claims := make([]portal.FileClaim, 0, len(files))
	for _, path := range paths {
		claims = append(claims, claimOf(path, files[path]))
	}
	plans, err := s.AddFiles(ctx, p, id, claims)
	if err != nil {
		return err
	}
	var done []portal.FileDone
	for _, plan := range plans {
		if plan.Status == portal.FileComplete {
			continue
		}
		if err := sendMissing(w, s, p, id, plan, files[plan.Path]); err != nil {
			return err
		}
		done = append(done, portal.FileDone{Path: plan.Path, SHA256: digestOf(files[plan.Path])})
	}
	if len(done) == 0 {
		return nil
	}
	results, err := s.Finish(ctx, p, id, done)
	if err != nil {
		return err
	}
	for _, result := range results {
		if !result.Complete {
			return fmt.Errorf("%s lacks parts %v", result.Path, result.Missing)
		}
	}
	return nil
}

func sendMissing(w *world, s *uploads.Service, p portal.Principal, id portal.DatasetID, plan portal.FilePlan, content string) error {
	var missing []int
	for n := 1; n <= plan.Parts; n++ {
		if !slices.Contains(plan.Have, n) {
			missing = append(missing, n)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	signed, err := s.Sign(w.t.Context(), p, id, []portal.WantedParts{{Path: plan.Path, Parts: missing}})
	if err != nil {
		return err
	}
	for _, request := range signed {
		from, to := 0, len(content)
		if plan.PartSize > 0 {
			from = (request.Part - 1) * int(plan.PartSize)
			to = min(len(content), from+int(plan.PartSize))
		}
		w.send(request, content[from:to])
	}
	return nil
}

var large = strings.Repeat("0123456789abcdef", 2<<20) + "the rest" // 32 MiB and 8 bytes: three parts

var someFiles = map[string]string{"a.txt": "hello", "b/c.txt": "world", "b/large.bin": large, "empty": ""}

// sealed fails unless the dataset is sealed in the cluster, with a manifest of exactly the
// files, which are in the store.
func (w *world) sealed(d portal.Dataset, files map[string]string) {
	w.t.Helper()
	o := w.objects[place(d.Namespace, d.ID.Object())]
	if o == nil || !o.sealed {
		w.t.Fatalf("the dataset is not sealed: %+v", o)
	}
	got := map[string]string{}
	_, err := objectkey.ReadManifest(strings.NewReader(w.blobs[o.uid+"/manifest.jsonl"]), func(e objectkey.Entry) error {
		content := w.blobs[objectkey.Data(o.uid+"/", e.Path)]
		if int64(len(content)) != e.Size || digestOf(content) != e.SHA256 {
			w.t.Errorf("%s is not in the store as the manifest has it", e.Path)
		}
		got[e.Path] = content
		return nil
	})
	if err != nil {
		w.t.Fatalf("read the manifest: %v", err)
	}
	if !maps.Equal(files, got) {
		w.t.Errorf("the manifest has the files %v, want %v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(files)))
	}
}

func TestUploadAndSeal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{GPUs: 2}), w.person()
	d := create(t, s, p)
	if err := upload(w, s, p, d.ID, someFiles); err != nil {
		t.Fatalf("upload: %v", err)
	}
	if got := w.grants; got != 1 {
		t.Errorf("the broker was asked %d times within half of a grant's life", got)
	}
	view, err := s.Seal(t.Context(), p, d.ID)
	if err != nil || view.Wish != portal.WishSealed {
		t.Fatalf("seal: %+v, %v", view, err)
	}
	w.sealed(view.Dataset, someFiles)
	if view.Count.Files != int64(len(someFiles)) {
		t.Errorf("%d rows of files are left before the manifest is verified", view.Count.Files)
	}
	want := portal.TenantOrder{Namespace: d.Namespace, Label: string(p.Account.ID), GPUs: 2, Billing: portal.BillingActive}
	if diff := cmp.Diff(want, w.tenants[d.Namespace]); diff != "" {
		t.Errorf("tenant (-want +got):\n%s", diff)
	}
	if err := upload(w, s, p, d.ID, someFiles); portal.KindOf(err) != portal.KindConflict {
		t.Errorf("files of a sealed dataset: %v", err)
	}
	if _, err := s.Seal(t.Context(), p, d.ID); err != nil {
		t.Errorf("sealed again: %v", err)
	}
}

func TestResume(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	d := create(t, s, p)
	ctx := t.Context()
	claim := claimOf("large", large)
	plans, err := s.AddFiles(ctx, p, d.ID, []portal.FileClaim{claim})
	if err != nil {
		t.Fatal(err)
	}
	signed, err := s.Sign(ctx, p, d.ID, []portal.WantedParts{{Path: "large", Parts: []int{2}}})
	if err != nil {
		t.Fatal(err)
	}
	part := int(plans[0].PartSize)
	w.send(signed[0], large[part:2*part])

	again := func(c portal.FileClaim) portal.FilePlan {
		t.Helper()
		plans, err := s.AddFiles(ctx, p, d.ID, []portal.FileClaim{c})
		if err != nil {
			t.Fatal(err)
		}
		return plans[0]
	}
	want := portal.FilePlan{Path: "large", Status: portal.FileInParts, PartSize: int64(part), Parts: 3, Have: []int{2}}
	if diff := cmp.Diff(want, again(claim)); diff != "" {
		t.Errorf("the same file (-want +got):\n%s", diff)
	}
	results, err := s.Finish(ctx, p, d.ID, []portal.FileDone{{Path: "large", SHA256: digestOf(large)}})
	if diff := cmp.Diff([]portal.FileResult{{Path: "large", Missing: []int{1, 3}}}, results); err != nil || diff != "" {
		t.Errorf("finished too early (-want +got):\n%s%v", diff, err)
	}
	if _, err := s.Seal(ctx, p, d.ID); portal.KindOf(err) != portal.KindConflict || !strings.Contains(err.Error(), "“large”") {
		t.Errorf("sealed too early: %v", err)
	}

	// The store has lost the upload: it begins anew.
	for id := range w.uploads {
		delete(w.uploads, id)
	}
	want.Have = nil
	if diff := cmp.Diff(want, again(claim)); diff != "" {
		t.Errorf("after the store lost it (-want +got):\n%s", diff)
	}
	// Another file of that name begins anew too, and what was there goes.
	if err := sendMissing(w, s, p, d.ID, want, large); err != nil {
		t.Fatal(err)
	}
	changed := claim
	changed.Fingerprint = "f2"
	if diff := cmp.Diff(want, again(changed)); diff != "" {
		t.Errorf("another file of that name (-want +got):\n%s", diff)
	}
	if len(w.uploads) != 0 {
		t.Errorf("%d uploads are left", len(w.uploads))
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		claims []portal.FileClaim
		paths  []string // as cleaned
		want   string   // in the error
	}{
		"names are cleaned": {
			claims: []portal.FileClaim{{Path: `/a\b//./c .txt`}, {Path: "u\u0308"}},
			paths:  []string{"a/b/c .txt", "ü"},
		},
		"no name leads elsewhere":       {claims: []portal.FileClaim{{Path: "../../etc/passwd"}}, want: "can't be used"},
		"nor has characters of control": {claims: []portal.FileClaim{{Path: "a\nb"}}, want: "control character"},
		"nor is empty":                  {claims: []portal.FileClaim{{Path: "//"}}, want: "it is empty"},
		"each is there once":            {claims: []portal.FileClaim{{Path: "u\u0308"}, {Path: "ü"}}, want: "there twice"},
		"sizes are known":               {claims: []portal.FileClaim{{Path: "a", Size: -1}}, want: "not known"},
		"no file is too large":          {claims: []portal.FileClaim{{Path: "a", Size: 1001}}, want: "may have 1000 B"},
		"nor are all together":          {claims: []portal.FileClaim{{Path: "a", Size: 600}, {Path: "b", Size: 401}}, want: "None of them was taken"},
		"a file is no folder":           {claims: []portal.FileClaim{{Path: "a"}, {Path: "a/b"}}, want: "a file and a folder"},
		"a folder is no file":           {claims: []portal.FileClaim{{Path: "a/b"}, {Path: "a"}}, want: "a file and a folder"},
		"folders go only so deep":       {claims: []portal.FileClaim{{Path: strings.Repeat("d/", 32) + "a"}}, want: "more than 31 folders"},
		"a deep file is a file": {
			claims: []portal.FileClaim{{Path: strings.Repeat("d/", 31) + "a"}, {Path: strings.Repeat("d/", 31) + "b"}},
			paths:  []string{strings.Repeat("d/", 31) + "a", strings.Repeat("d/", 31) + "b"},
		},
		"something is told of": {claims: nil, want: "1 to 1000"},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			s, p := w.service(uploads.Options{MaxBytes: 1000}), w.person()
			d := create(t, s, p)
			plans, err := s.AddFiles(t.Context(), p, d.ID, tc.claims)
			if tc.want != "" {
				if portal.KindOf(err) != portal.KindInvalid || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("error %v, want one with %q", err, tc.want)
				}
				files, err := s.Files(t.Context(), p, d.ID, "", 10)
				if err != nil || len(files) > 0 {
					t.Errorf("%d files were taken: %v", len(files), err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var paths []string
			for _, plan := range plans {
				paths = append(paths, plan.Path)
			}
			if diff := cmp.Diff(tc.paths, paths); diff != "" {
				t.Errorf("paths (-want +got):\n%s", diff)
			}
		})
	}
}

// TestSignBounds: each file that is asked for is read, so none is without parts.
func TestSignBounds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	d := create(t, s, p)
	if _, err := s.AddFiles(t.Context(), p, d.ID, []portal.FileClaim{claimOf("a", "a")}); err != nil {
		t.Fatal(err)
	}
	one := portal.WantedParts{Path: "a", Parts: []int{1}}
	for name, wanted := range map[string][]portal.WantedParts{
		"nothing":              nil,
		"a file without parts": {one, {Path: "a"}},
		"too many files":       slices.Repeat([]portal.WantedParts{{Path: "a"}}, portal.MaxSignedParts+1),
		"too many parts":       slices.Repeat([]portal.WantedParts{one}, portal.MaxSignedParts+1),
	} {
		if _, err := s.Sign(t.Context(), p, d.ID, wanted); portal.KindOf(err) != portal.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if signed, err := s.Sign(t.Context(), p, d.ID, []portal.WantedParts{one}); err != nil || len(signed) != 1 {
		t.Errorf("%d are signed, %v", len(signed), err)
	}
}

func TestSealNeedsFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	d := create(t, s, p)
	if _, err := s.Seal(t.Context(), p, d.ID); portal.KindOf(err) != portal.KindInvalid {
		t.Errorf("an empty dataset: %v", err)
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	d := create(t, s, p)
	if err := upload(w, s, p, d.ID, someFiles); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), p, d.ID, []string{"a.txt", "not there"}); err != nil {
		t.Fatal(err)
	}
	view, err := s.Seal(t.Context(), p, d.ID)
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(someFiles)
	delete(left, "a.txt")
	w.sealed(view.Dataset, left)
}

func TestOnlyOnesOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, owner, other := w.service(uploads.Options{}), w.person(), w.person()
	d := create(t, s, owner)
	token := owner
	token.Session, token.Token = nil, &portal.APIToken{Scopes: []portal.Scope{portal.ScopeRunsWrite}}
	reads := token
	reads.Token = &portal.APIToken{Scopes: []portal.Scope{portal.ScopeDatasetsRead}}
	acts := map[string]struct {
		reads bool
		do    func(context.Context, portal.Principal) error
	}{
		"get": {true, func(ctx context.Context, p portal.Principal) error { _, err := s.Get(ctx, p, d.ID); return err }},
		"files": {true, func(ctx context.Context, p portal.Principal) error {
			_, err := s.Files(ctx, p, d.ID, "", 1)
			return err
		}},
		"add": {false, func(ctx context.Context, p portal.Principal) error {
			_, err := s.AddFiles(ctx, p, d.ID, []portal.FileClaim{{Path: "a", Size: 1}})
			return err
		}},
		"sign": {false, func(ctx context.Context, p portal.Principal) error {
			_, err := s.Sign(ctx, p, d.ID, []portal.WantedParts{{Path: "a", Parts: []int{1}}})
			return err
		}},
		"finish": {false, func(ctx context.Context, p portal.Principal) error {
			_, err := s.Finish(ctx, p, d.ID, []portal.FileDone{{Path: "a", SHA256: digestOf("a")}})
			return err
		}},
		"remove": {false, func(ctx context.Context, p portal.Principal) error { return s.Remove(ctx, p, d.ID, []string{"a"}) }},
		"seal":   {false, func(ctx context.Context, p portal.Principal) error { _, err := s.Seal(ctx, p, d.ID); return err }},
		"retention": {false, func(ctx context.Context, p portal.Principal) error {
			_, err := s.SetRetention(ctx, p, d.ID, 0, time.Hour)
			return err
		}},
		"erase": {false, func(ctx context.Context, p portal.Principal) error {
			_, err := s.Erase(ctx, p, d.ID, true)
			return err
		}},
		"receipt": {true, func(ctx context.Context, p portal.Principal) error { _, err := s.Receipt(ctx, p, d.UID); return err }},
	}
	for name, act := range acts {
		if err := act.do(t.Context(), other); portal.KindOf(err) != portal.KindNotFound {
			t.Errorf("%s by somebody else: %v", name, err)
		}
		if err := act.do(t.Context(), token); portal.KindOf(err) != portal.KindForbidden {
			t.Errorf("%s by a token without the scope: %v", name, err)
		}
		if err := act.do(t.Context(), reads); (portal.KindOf(err) == portal.KindForbidden) == act.reads {
			t.Errorf("%s by a token that may read: %v", name, err)
		}
	}
	list, _, err := s.List(t.Context(), other, true, portal.PageCursor{})
	if err != nil || len(list) > 0 {
		t.Errorf("somebody else sees %d datasets, %v", len(list), err)
	}
}

func TestRetentionOnlyShortens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	d := create(t, s, p)
	for name, tc := range map[string]struct {
		after, age time.Duration
		field      string
	}{
		"longer after training": {after: 48 * time.Hour, age: maxAge, field: "after_training"},
		"longer in all":         {after: 0, age: 2 * maxAge, field: "max_age"},
		"no time at all":        {after: 0, age: 0, field: "max_age"},
		"a part of a second":    {after: time.Millisecond, age: maxAge, field: "after_training"},
	} {
		_, err := s.SetRetention(t.Context(), p, d.ID, tc.after, tc.age)
		var told *portal.Error
		if !errors.As(err, &told) || told.Field != tc.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	view, err := s.SetRetention(t.Context(), p, d.ID, 0, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	o := w.objects[place(d.Namespace, d.ID.Object())]
	if after, age := view.Windows(); after != 0 || age != time.Hour || o.after != 0 || o.maxAge != time.Hour {
		t.Errorf("windows: %s, %s; in the cluster %s, %s", after, age, o.after, o.maxAge)
	}
	if by := view.ErasedBy(); !by.Equal(view.CreatedAt.Add(time.Hour)) {
		t.Errorf("it goes at %s", by)
	}
}

func TestEraseAsksForRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	d := create(t, s, p)
	running := portaltest.AddRun(t, w.store, d.Dataset)
	portaltest.AddRun(t, w.store, d.Dataset, func(r *portal.Run) { r.Seen.EndedAt = portaltest.Start })
	_, err := s.Erase(t.Context(), p, d.ID, false)
	var used *portal.DatasetInUse
	if !errors.As(err, &used) || portal.KindOf(err) != portal.KindConflict || len(used.Runs) != 1 || used.Runs[0].ID != running.ID {
		t.Fatalf("erase of a dataset in use: %v", err)
	}
	view, err := s.Erase(t.Context(), p, d.ID, true)
	if err != nil || view.Wish != portal.WishErased {
		t.Fatalf("erase: %+v, %v", view, err)
	}
	if diff := cmp.Diff([]portal.RunID{running.ID}, w.cancelled); diff != "" {
		t.Errorf("cancelled (-want +got):\n%s", diff)
	}
	if !w.objects[place(d.Namespace, d.ID.Object())].deleting {
		t.Error("the dataset is not being erased")
	}
	if _, err := s.Seal(t.Context(), p, d.ID); portal.KindOf(err) != portal.KindConflict {
		t.Errorf("sealed after that: %v", err)
	}
}

func TestClusterIsAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	w.away = true
	d := create(t, s, p)
	if d.UID != "" {
		t.Errorf("it has the UID %s", d.UID)
	}
	if _, err := s.AddFiles(t.Context(), p, d.ID, []portal.FileClaim{claimOf("a", "a")}); err != nil {
		t.Errorf("tell of files: %v", err)
	}
	if _, err := s.Sign(t.Context(), p, d.ID, []portal.WantedParts{{Path: "a", Parts: []int{1}}}); portal.KindOf(err) != portal.KindUnavailable {
		t.Errorf("sign: %v", err)
	}
	w.away = false
	if left, err := s.Settle(t.Context()); left != 1 || err != nil {
		t.Errorf("settle: %d, %v", left, err)
	}
	if err := upload(w, s, p, d.ID, map[string]string{"a": "a"}); err != nil {
		t.Fatalf("upload: %v", err)
	}
	w.away = true
	if _, err := s.Seal(t.Context(), p, d.ID); err != nil {
		t.Errorf("seal: %v", err)
	}
	w.away = false
	if _, err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.sealed(d.Dataset, map[string]string{"a": "a"})
}

func TestTenantIsPutRight(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	d := create(t, s, p)
	suspended := portal.TenantOrder{Namespace: d.Namespace, GPUs: 64, Billing: portal.BillingSuspended, Tier: "gold"}
	drift := func() bool {
		t.Helper()
		w.tenants[d.Namespace] = suspended
		if err := s.TenantSeen(t.Context(), d.Namespace, false, "AllowanceMissing"); err != nil {
			t.Fatal(err)
		}
		return w.tenants[d.Namespace].Label != ""
	}
	if !drift() {
		t.Error("a tenant that is not as wanted stays so")
	}
	_ = create(t, s, p)
	after := w.tenants[d.Namespace]
	if after.Label = ""; after != suspended {
		t.Errorf("what staff set became %+v", after)
	}
	if drift() {
		t.Error("it is put right again at once")
	}
	w.clock.Advance(time.Minute)
	if !drift() {
		t.Error("it is never put right again")
	}
	if err := s.TenantSeen(t.Context(), "kube-system", false, ""); err != nil || w.tenants["kube-system"].Label != "" {
		t.Errorf("a namespace of others: %v", err)
	}
	if err := s.TenantSeen(t.Context(), d.Namespace, true, ""); err != nil {
		t.Fatal(err)
	}
	err := w.store.Read(t.Context(), func(ctx context.Context, tx portal.Tx) error {
		tenant, err := tx.Tenant(ctx, p.Account.ID)
		if tenant.ReadyAt.IsZero() {
			t.Error("the tenant is not noted as ready")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTwoDatasetsOneTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	if a, b := create(t, s, p), create(t, s, p); a.Namespace != b.Namespace || a.ID == b.ID {
		t.Errorf("two datasets: %s in %s, %s in %s", a.ID, a.Namespace, b.ID, b.Namespace)
	}
	id := s.NewID()
	for range 2 {
		if _, err := s.Create(t.Context(), p, newDataset(id)); err != nil {
			t.Fatal(err)
		}
	}
	if list, _, err := s.List(t.Context(), p, false, portal.PageCursor{}); err != nil || len(list) != 3 {
		t.Errorf("%d datasets, %v; a form that was sent twice makes one", len(list), err)
	}
}

// TestSettledStaysSettled: what is sealed or has gone in the cluster is left alone, however
// often it is settled.
func TestSettledStaysSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	d := create(t, s, p)
	if err := upload(w, s, p, d.ID, someFiles); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Seal(t.Context(), p, d.ID); err != nil {
		t.Fatal(err)
	}
	again := func() []string {
		t.Helper()
		w.see(d.Dataset, "Sealing")
		w.calls.names = nil
		if _, err := w.service(uploads.Options{}).Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		return slices.DeleteFunc(w.calls.names, func(name string) bool { return name == "read" || name == "write" })
	}
	if calls := again(); len(calls) > 0 {
		t.Errorf("a sealed dataset is settled by %v", calls)
	}
	delete(w.objects, place(d.Namespace, d.ID.Object()))
	if calls := again(); len(calls) > 0 || len(w.objects) > 0 {
		t.Errorf("a dataset that has gone is settled by %v", calls)
	}
}

// TestErasedBeforeItWasMade: a dataset that never was in the cluster gets no receipt, so
// its row is finished here.
func TestErasedBeforeItWasMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, p := w.service(uploads.Options{}), w.person()
	w.away = true
	d := create(t, s, p)
	if _, err := s.Erase(t.Context(), p, d.ID, false); err != nil {
		t.Fatal(err)
	}
	w.away = false
	if _, err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if view, err := s.Get(t.Context(), p, d.ID); err != nil || !view.ErasedAt.IsZero() {
		t.Errorf("shown as erased while another replica may still make it: %+v, %v", view, err)
	}
	w.clock.Advance(2 * time.Minute)
	if _, err := s.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	view, err := s.Get(t.Context(), p, d.ID)
	if err != nil || view.ErasedAt.IsZero() || len(w.objects) > 0 {
		t.Errorf("%+v, %v, %d objects", view, err, len(w.objects))
	}
}
