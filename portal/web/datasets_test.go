package web

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

func datasetsServer(t *testing.T) (*Server, *fakeDatasets) {
	t.Helper()
	datasets := newFakeDatasets(t)
	s, auth := fakeServer(t, func(d *Dependencies) { d.Datasets, d.ReceiptKeys = datasets, datasets })
	auth.person("ada")
	return s, datasets
}

// askJSON asks as a script of ours does.
func askJSON(s http.Handler, target, who, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "https://portal.example.org"+target, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if who != "" {
		r.AddCookie(&http.Cookie{Name: cookieSession, Value: secretOf(who)})
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestEveryStateOfADatasetHasAPage(t *testing.T) {
	t.Parallel()
	s, f := datasetsServer(t)
	names := map[string]bool{}
	for _, view := range f.list {
		life := lifeOfDataset(view.Dataset, start)
		names[life.Name] = true
		w := ask(s, "GET", pathDataset(view.ID), "ada", nil)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: status %d", life.Name, w.Code)
		}
		page := w.Body.String()
		for _, words := range []string{life.Name, life.Words} {
			if words == "" || !strings.Contains(page, htmlText(words)) {
				t.Errorf("%s: the page does not say %q", life.Name, words)
			}
		}
		if got := strings.Contains(page, `id="upload"`); got != life.Open {
			t.Errorf("%s: there is a place to upload: %t", life.Name, got)
		}
		if got := strings.Contains(page, "hx-get"); got != life.Moving {
			t.Errorf("%s: the page looks again by itself: %t", life.Name, got)
		}
		if got := strings.Contains(page, pathDataset(view.ID)+"/erase"); got != life.Erasable {
			t.Errorf("%s: it can be erased: %t", life.Name, got)
		}
		if view.ErasedAt.IsZero() && life.Why == "" && life.Erasable {
			t.Errorf("%s: the page does not say when it goes and why", life.Name)
		}
	}
	want := []string{"Being set up", "Open", "Being finished", "Being checked", "Ready", "In use", "Goes soon", "Can't be used", "Being erased", "Erase on hold", "Erased", "Removed"}
	for _, name := range want {
		if !names[name] {
			t.Errorf("no dataset is %q: the test does not have every state", name)
		}
	}
}

// htmlText is a text as templates write it.
func htmlText(text string) string {
	return strings.NewReplacer("'", "&#39;", "&", "&amp;", `"`, "&#34;").Replace(text)
}

func TestDatasetStateInAPart(t *testing.T) {
	t.Parallel()
	s, f := datasetsServer(t)
	part := func(r *http.Request) { r.Header.Set("HX-Request", "true") }
	for _, view := range f.list {
		w := ask(s, "GET", pathDataset(view.ID), "ada", nil, part)
		life := lifeOfDataset(view.Dataset, start)
		if strings.Contains(w.Body.String(), "<html") || !strings.Contains(w.Body.String(), htmlText(life.Name)) {
			t.Errorf("%s: not a part of the page", life.Name)
		}
		if got := w.Header().Get("HX-Refresh") == "true"; got == life.Moving {
			t.Errorf("%s: the page is loaded again: %t", life.Name, got)
		}
	}
}

func TestOnlyOpenDatasetsReachTheStore(t *testing.T) {
	t.Parallel()
	datasets := newFakeDatasets(t)
	s, auth := fakeServer(t, func(d *Dependencies) { d.Datasets = datasets })
	auth.person("ada")
	var err error
	if s.uploadPolicy, err = uploadPolicy([]string{"https://store.example.org:9000"}); err != nil {
		t.Fatal(err)
	}
	for _, view := range datasets.list {
		policy := ask(s, "GET", pathDataset(view.ID), "ada", nil).Header().Get("Content-Security-Policy")
		life := lifeOfDataset(view.Dataset, start)
		if got := strings.Contains(policy, "connect-src 'self' https://store.example.org:9000;"); got != life.Open {
			t.Errorf("%s: %s", life.Name, policy)
		}
		if strings.Contains(policy, "unsafe") {
			t.Errorf("%s: %s", life.Name, policy)
		}
	}
	worker := ask(s, "GET", s.assets.paths[uploadWorker], "", nil).Header().Get("Content-Security-Policy")
	if worker != workerPolicy {
		t.Errorf("the worker's policy is %s", worker)
	}
	for _, wrong := range []string{"store.example.org", "https://store/path", "https://store; script-src *", "ftp://store", "https://*"} {
		if _, err := uploadPolicy([]string{wrong}); err == nil {
			t.Errorf("%q is taken as an origin", wrong)
		}
	}
}

func TestFilesByScript(t *testing.T) {
	t.Parallel()
	s, f := datasetsServer(t)
	at := pathDataset(f.list[1].ID) + "/files"
	tests := map[string]struct {
		path, who, body string
		err             error
		status          int
		want            string
	}{
		"files are told of":     {path: "", who: "ada", body: `{"files":[{"path":"a","size":1,"fingerprint":"f"}]}`, status: 200, want: `"status":"whole"`},
		"requests are signed":   {path: "/sign", who: "ada", body: `{"files":[{"path":"a","parts":[1]}]}`, status: 200, want: `"url":"https://store/a"`},
		"files are finished":    {path: "/finish", who: "ada", body: `{"files":[{"path":"a","sha256":"00"}]}`, status: 200, want: `"complete":true`},
		"nobody":                {path: "", body: `{}`, status: 401, want: `"message":`},
		"what is not JSON":      {path: "", who: "ada", body: `files=a`, status: 422, want: `"message":`},
		"what nobody knows":     {path: "", who: "ada", body: `{"other":1}`, status: 422, want: `"message":`},
		"too much":              {path: "", who: "ada", body: `{"files":[{"path":"` + strings.Repeat("a", maxJSON) + `"}]}`, status: 422, want: "too large"},
		"what has to wait":      {path: "/sign", who: "ada", body: `{}`, err: &portal.Error{Kind: portal.KindUnavailable, Message: "Not yet."}, status: 503, want: `"retryAfter":2`},
		"what is wrong with it": {path: "", who: "ada", body: `{}`, err: portal.Invalid("files", "Too large."), status: 422, want: `"Too large."`},
	}
	for name, tc := range tests {
		f.errs = map[string]error{"AddFiles": tc.err, "Sign": tc.err, "Finish": tc.err}
		w := askJSON(s, at+tc.path, tc.who, tc.body)
		if w.Code != tc.status || !strings.Contains(w.Body.String(), tc.want) || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
}

func TestActsOnDatasets(t *testing.T) {
	t.Parallel()
	s, f := datasetsServer(t)
	open, used := f.list[1].ID, f.list[6].ID
	tests := map[string]struct {
		target string
		form   url.Values
		to     string
		did    string
	}{
		"make":    {"/datasets/new", url.Values{"id": {string(f.NewID())}, "name": {" Faces "}, "after_training": {"1h0m0s"}, "max_age": {"24h0m0s"}}, pathDataset(f.NewID()), "Create Faces 1h0m0s 24h0m0s"},
		"finish":  {pathDataset(open) + "/seal", url.Values{}, pathDataset(open), "Seal"},
		"remove":  {pathDataset(open) + "/remove", url.Values{"path": {"a b"}}, pathDataset(open), "Remove a b"},
		"shorten": {pathDataset(open) + "/retention", url.Values{"after_training": {"0s"}, "max_age": {"72h0m0s"}}, pathDataset(open), "SetRetention 0s 72h0m0s"},
		"erase":   {pathDataset(used) + "/erase", url.Values{"cancel": {"1"}}, pathDataset(used), "Erase true"},
	}
	for name, tc := range tests {
		f.done = nil
		w := ask(s, "POST", tc.target, "ada", tc.form)
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != tc.to {
			t.Errorf("%s: %d, to %s", name, w.Code, w.Header().Get("Location"))
		}
		if diff := cmp.Diff([]string{tc.did}, f.done); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestRefusedActsOnDatasets(t *testing.T) {
	t.Parallel()
	s, f := datasetsServer(t)
	open, used := f.list[1].ID, f.list[6].ID
	inUse := &portal.Error{Kind: portal.KindConflict, Message: "Runs still use it.", Err: &portal.DatasetInUse{Runs: f.list[6].Runs}}
	f.errs = map[string]error{
		"Create": portal.Invalid("name", "Give it a name."), "Seal": portal.Invalid("files", "Not all there."),
		"SetRetention": portal.Invalid("max_age", "Only shorter."), "Erase": inUse,
	}
	for target, want := range map[string][]string{
		"/datasets/new":                   {"Give it a name.", `name="id" value="` + string(f.NewID())},
		pathDataset(open) + "/seal":       {"Not all there.", `href="#f-files"`},
		pathDataset(open) + "/retention":  {"Only shorter.", `href="#f-max_age"`},
		pathDataset(used) + "/erase":      {"Runs still use it.", "Baseline 1", `name="cancel"`},
		pathDataset("nobody's") + "/seal": {"no such thing"},
	} {
		w := ask(s, "POST", target, "ada", url.Values{"id": {"?"}})
		for _, words := range want {
			if w.Code < 400 || !strings.Contains(w.Body.String(), words) {
				t.Errorf("%s: %d, without %q", target, w.Code, words)
			}
		}
	}
}

func TestErasePageNamesRuns(t *testing.T) {
	t.Parallel()
	s, f := datasetsServer(t)
	page := ask(s, "GET", pathDataset(f.list[6].ID)+"/erase", "ada", nil).Body.String()
	for _, words := range []string{"A run uses it", "Baseline 1", "required"} {
		if !strings.Contains(page, words) {
			t.Errorf("the page does not say %q", words)
		}
	}
	if w := ask(s, "GET", pathDataset(f.list[15].ID)+"/erase", "ada", nil); w.Code != http.StatusSeeOther {
		t.Errorf("an erased dataset can be erased: %d", w.Code)
	}
}

func TestListsOfDatasetsAndReceipts(t *testing.T) {
	t.Parallel()
	s, f := datasetsServer(t)
	f.next = portal.PageCursor{Time: start, ID: "next"}
	for target, want := range map[string][]string{
		"/datasets":          {"Speech 5", "in 1 d 2 h", "before=", "60,000 files"},
		"/datasets?erased=1": {"Speech 16", "erased=1&amp;", "/receipts/" + f.receipts[0].UID},
		"/receipts":          {"Speech 16", f.receipts[0].Digest},
		"/datasets/new":      {`value="24h0m0s" selected`, `value="720h0m0s" selected`, "1.0 TiB"},
	} {
		page := ask(s, "GET", target, "ada", nil).Body.String()
		for _, words := range want {
			if !strings.Contains(page, words) {
				t.Errorf("%s does not have %q", target, words)
			}
		}
	}
	f.list, f.receipts = nil, nil
	for _, target := range []string{"/datasets", "/receipts"} {
		if page := ask(s, "GET", target, "ada", nil).Body.String(); !strings.Contains(page, `class="empty"`) {
			t.Errorf("%s says nothing of there being none", target)
		}
	}
}

func TestReceiptPage(t *testing.T) {
	t.Parallel()
	s, f := datasetsServer(t)
	at := "/receipts/" + f.receipts[0].UID
	page := ask(s, "GET", at, "ada", nil).Body.String()
	for _, words := range []string{"has signed this receipt", "Its time was over.", "60,000 files", "41 s", "Backups of the store", "kubectl lethe receipt verify"} {
		if !strings.Contains(page, htmlText(words)) {
			t.Errorf("the page does not say %q", words)
		}
	}
	w := ask(s, "GET", at+"/receipt.json", "ada", nil)
	if w.Body.String() != string(f.receipts[0].Envelope) || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
		t.Errorf("the receipt comes as %s", w.Header().Get("Content-Disposition"))
	}
	if keys := ask(s, "GET", "/receipts/keys.pem", "ada", nil).Body.String(); !strings.Contains(keys, "BEGIN PUBLIC KEY") {
		t.Errorf("the keys are %q", keys)
	}
	f.receipts[0].Envelope = []byte(strings.Replace(string(f.receipts[0].Envelope), "A", "B", 1))
	if page := ask(s, "GET", at, "ada", nil).Body.String(); strings.Contains(page, "has signed this receipt") {
		t.Error("a receipt that was changed counts as signed")
	}
	f.errs["ReceiptKeys"] = &portal.Error{Kind: portal.KindUnavailable, Message: "away"}
	if page := ask(s, "GET", at, "ada", nil).Body.String(); !strings.Contains(page, "was not checked") {
		t.Error("without the keys the page says nothing of it")
	}
}
