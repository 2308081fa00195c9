package web

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

// fakeRunServer has a fakeRuns behind it, and ada is signed in.
func fakeRunServer(t *testing.T) (*Server, *fakeRuns) {
	t.Helper()
	runs := newFakeRuns()
	s, auth := fakeServer(t, func(d *Dependencies) { d.Runs = runs })
	auth.person("ada")
	return s, runs
}

// runForm is the form filled in well.
func runForm(pairs ...string) url.Values {
	form := url.Values{
		"draft": {string(idOf[portal.RunID]("f"))}, "name": {"Baseline"}, "dataset": {string(idOf[portal.DatasetID]("d"))},
		"image": {"registry.lethe.example/pytorch:2.11"}, "command": {"python train.py"}, "args": {"--name 'my model' --epochs 3"},
		"env": {"LR=0.001\r\nPATHS=a=b\r\n"}, "product": {"NVIDIA-H200"}, "gpus": {"2"}, "nodes": {"1"}, "memory": {"16Gi"},
		"max_duration": {"1.5"}, "max_gpu_seconds": {"2"}, "stalled_after": {"0,5"}, "retries": {"1"}, "keep_last": {"3"}, "checkpoint_every": {"10"},
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

func TestPagesOfRuns(t *testing.T) {
	t.Parallel()
	failing := func(method string, err error) func(*fakeRuns) {
		return func(f *fakeRuns) { f.errs[method] = err }
	}
	first := strings.Repeat("r", 25) + "b"
	for name, c := range map[string]struct {
		method, target string
		form           url.Values
		with           func(*fakeRuns)
		part           bool
		status         int
		says           []string
	}{
		"the list":                   {target: "/runs", status: 200, says: []string{"Waiting for the cluster", "Training", "62 %", "<dd>2.61</dd>", "€10.4316", "<dd>356.67</dd>", "Saving its results", "Suspended", "Finished", "Failed", "Cancelled", `href="/runs/new"`}},
		"the list with a filter":     {target: "/runs?state=Failed&dataset=" + strings.Repeat("d", 26) + "&text=%3Cb", with: func(f *fakeRuns) { f.list = nil }, status: 200, says: []string{`value="Failed" selected`, `value="&lt;b"`, "No run is like that"}},
		"an empty list":              {target: "/runs", with: func(f *fakeRuns) { f.list = nil }, status: 200, says: []string{"You have no runs"}},
		"a list that goes on":        {target: "/runs?state=Failed", with: func(f *fakeRuns) { f.next = portal.PageCursor{Time: start, ID: strings.Repeat("r", 26)} }, status: 200, says: []string{"Older runs", "state=Failed", "after=1772442000000000."}},
		"a list without prices":      {target: "/runs", with: func(f *fakeRuns) { f.noPrice = true }, status: 200, says: []string{"no price"}},
		"a place that is none":       {target: "/runs?after=yesterday", status: 422, says: []string{"This address leads nowhere"}},
		"a state that is none":       {target: "/runs?state=odd", with: failing("List", portal.Invalid("state", "There is no such state.")), status: 422, says: []string{"#f-state"}},
		"the form":                   {target: "/runs/new", status: 200, says: []string{"NVIDIA-H200, €3.99 an hour", "erased in 26 days", "NVIDIA-B300, no price yet", `name="draft" value="ffff`, "€31.92", `&#39;my model&#39;`, "LR=0.001", `value="24"`}},
		"the form for a dataset":     {target: "/runs/new?dataset=" + strings.Repeat("e", 26), status: 200, says: []string{strings.Repeat("e", 26) + `" selected`}},
		"the form for a checkpoint":  {target: "/runs/new?resume=" + first, status: 200, says: []string{first + `" selected`}},
		"again":                      {target: "/runs/new?again=" + strings.Repeat("r", 25) + "a", status: 200, says: []string{`value="Baseline 1"`}},
		"again somebody else's":      {target: "/runs/new?again=other", status: 404, says: []string{"not yours"}},
		"no datasets":                {target: "/runs/new", with: func(f *fakeRuns) { f.form.Datasets = nil }, status: 200, says: []string{"First, a dataset"}},
		"no images":                  {target: "/runs/new", with: func(f *fakeRuns) { f.form.Images = nil }, status: 200, says: []string{`id="f-image" name="image_own" value="registry`}},
		"the cluster is away":        {target: "/runs/new", with: func(f *fakeRuns) { f.form.Offers, f.form.OffersKnown = nil, false }, status: 200, says: []string{"does not tell its GPUs", `value="NVIDIA-H200" selected`}},
		"a kind that is gone":        {target: "/runs/new", with: func(f *fakeRuns) { f.form.Offers = f.form.Offers[1:] }, status: 200, says: []string{`value="NVIDIA-H200" selected>NVIDIA-H200, not there now`}},
		"a checkpoint of long ago":   {target: "/runs/new?resume=old", status: 200, says: []string{`value="old" selected>An earlier run`}},
		"no cap":                     {target: "/runs/new", with: func(f *fakeRuns) { f.form.Spec.MaxDuration = 0 }, status: 200, says: []string{"No cap is set"}},
		"no GPUs":                    {target: "/runs/new", with: func(f *fakeRuns) { f.form.Spec.GPUs = 0 }, status: 200, says: []string{"No GPUs are used"}},
		"no price":                   {target: "/runs/new", with: func(f *fakeRuns) { f.form.Spec.Product = "NVIDIA-B300" }, status: 200, says: []string{"No price yet"}},
		"the estimate, by htmx":      {method: "POST", target: "/runs/new", form: runForm("max_duration", "3", "gpus", "4"), part: true, status: 200, says: []string{"€47.88", "12 GPU-hours"}},
		"an odd estimate, by htmx":   {method: "POST", target: "/runs/new", form: runForm("gpus", "four"), part: true, status: 200, says: []string{"read yet"}},
		"the YAML, by htmx":          {method: "POST", target: "/runs/new", form: runForm("show", "yaml"), part: true, status: 200, says: []string{"kind: TrainingRun", "name: r-ffff"}},
		"odd YAML, by htmx":          {method: "POST", target: "/runs/new", form: runForm("show", "yaml"), with: failing("YAML", portal.Invalid("memory", "This is not an amount.")), part: true, status: 200, says: []string{"This is not an amount."}},
		"the YAML":                   {method: "POST", target: "/runs/new", form: runForm("show", "yaml"), status: 200, says: []string{"kind: TrainingRun", `value="Baseline"`}},
		"the estimate":               {method: "POST", target: "/runs/new", form: runForm("show", "estimate", "max_duration", "2"), status: 200, says: []string{"€15.96", `value="2"`}},
		"the estimate with mistakes": {method: "POST", target: "/runs/new", form: runForm("show", "estimate"), with: failing("Check", severalProblems()), status: 422, says: []string{"#f-gpus", "#f-image", "at most 8."}},
		"a check that fails":         {method: "POST", target: "/runs/new", form: runForm("show", "estimate"), with: failing("Check", &portal.Error{Kind: portal.KindUnavailable, Message: "Later."}), status: 503, says: []string{"Later."}},
		"a start with mistakes":      {method: "POST", target: "/runs", form: runForm("name", "", "image_own", "x<y"), with: failing("Start", severalProblems()), status: 422, says: []string{"There are problems", "#f-name", "#f-dataset", "#f-image", "#f-gpus", "x&lt;y", `name="draft" value="ffff`}},
		"a start that can't be read": {method: "POST", target: "/runs", form: runForm("command", "a | b", "gpus", "two", "env", "A", "max_duration", "1e9"), status: 422, says: []string{"no shell runs this", "Enter a whole number", "NAME=value", "Enter a number, such as", "a | b"}},
		"a start without a draft":    {method: "POST", target: "/runs", form: runForm("draft", "x"), status: 422, says: []string{"not sent whole"}},
		"a start that is refused":    {method: "POST", target: "/runs", form: runForm(), with: failing("Start", portal.Invalid("image", "No such image.")), status: 422, says: []string{"No such image."}},
		"a start with an old form":   {method: "POST", target: "/runs", form: runForm(), with: failing("Start", portal.ErrConflict), status: 422, says: []string{"has changed in the meantime"}},
		"asking before the cancel":   {target: "/runs/" + first + "/cancel", status: 200, says: []string{"Cancel this run?", "Baseline 2"}},
		"asking before the delete":   {target: "/runs/" + first + "/delete", status: 200, says: []string{"Delete this run?", "for ever"}},
		"asking about nothing":       {target: "/runs/other/delete", status: 404, says: []string{"not yours"}},
		"cancelling too late":        {method: "POST", target: "/runs/" + first + "/cancel", form: url.Values{}, with: failing("Cancel", &portal.Error{Kind: portal.KindConflict, Message: "This run is over already."}), status: 409, says: []string{"over already"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, runs := fakeRunServer(t)
			if c.with != nil {
				c.with(runs)
			}
			method := c.method
			if method == "" {
				method = "GET"
			}
			w := ask(s, method, c.target, "ada", c.form, func(r *http.Request) {
				if c.part {
					r.Header.Set("HX-Request", "true")
				}
			})
			body := w.Body.String()
			if w.Code != c.status {
				t.Fatalf("status %d, want %d:\n%s", w.Code, c.status, body)
			}
			for _, says := range c.says {
				if !strings.Contains(body, says) {
					t.Errorf("the page does not say %q:\n%s", says, body)
				}
			}
			if c.part == strings.Contains(body, "<!doctype html>") {
				t.Error("a whole page instead of a part, or the other way round")
			}
			checkDocument(t, body, !c.part)
		})
	}
}

func TestStartRunReadsTheForm(t *testing.T) {
	t.Parallel()
	s, runs := fakeRunServer(t)
	w := ask(s, "POST", "/runs", "ada", runForm())
	if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "/runs/"+strings.Repeat("f", 26) {
		t.Fatalf("status %d, to %q:\n%s", w.Code, to, w.Body)
	}
	want := portal.RunSpec{
		Image: "registry.lethe.example/pytorch:2.11", Command: []string{"python", "train.py"}, Args: []string{"--name", "my model", "--epochs", "3"},
		Env: map[string]string{"LR": "0.001", "PATHS": "a=b"}, Product: "NVIDIA-H200", GPUs: 2, Nodes: 1, Memory: "16Gi",
		MaxDuration: 90 * time.Minute, MaxGPUSeconds: 7200, StalledAfter: 30 * time.Second, Retries: 1, KeepLast: 3, CheckpointEvery: 10 * time.Minute,
	}
	if diff := cmp.Diff([]portal.RunSpec{want}, runs.started); diff != "" {
		t.Errorf("started (-want +got):\n%s", diff)
	}
}

// TestTheFormBringsBackWhatItShows: a run that is started again from its form is the same.
func TestTheFormBringsBackWhatItShows(t *testing.T) {
	t.Parallel()
	want := portal.RunSpec{
		Image: "own@sha256:x", Command: []string{"sh", "-c", "a && b | c > $D; e"}, Args: []string{"", "it's", `"q"`, `\`, "A=b", "--c=d", "if", "#x", "ü", "two\nlines", "*", "~", "{a,b}"},
		Env: map[string]string{"A": " b=c ", "B": ""}, CPU: "500m", Memory: "1.5Gi", Nodes: 3, GPUs: 0, Product: "P", Sharded: true,
		MaxDuration: 10 * time.Second, MaxGPUSeconds: 1, StartWithin: 87600 * time.Hour, StalledAfter: 31 * time.Second, Retries: 2,
		CheckpointEvery: 61 * time.Second, KeepLast: 1, ResumeFrom: "x",
	}
	got, problems := runInputOf(portal.RunForm{Spec: want}).spec()
	if len(problems) > 0 {
		t.Errorf("problems %v", problems)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"":                            nil,
		"python train.py":             {"python", "train.py"},
		"  a\t'b c'  \"d e\"f \\\n g": {"a", "b c", "d ef", "g"},
		"one\ntwo":                    {"one", "two"},
		"'a\r\nb'":                    {"a\nb"},
		`a\ b "c\"d" 'e\f'`:           {"a b", `c"d`, `e\f`},
		"--lr=1e-3 @x %y":             {"--lr=1e-3", "@x", "%y"},
		"*.csv ~/x {a,b}":             {"*.csv", "~/x", "{a,b}"},
		"sh -c 'a | b > $C'":          {"sh", "-c", "a | b > $C"},
		`"a#b" c#d`:                   {"a#b", "c#d"},
	} {
		got, err := splitWords(text)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", text, err, diff)
		}
	}
	for _, text := range []string{"a | b", "a && b", "a; b", "a > b", "$A", "`a`", "$(a)", `"$A"`, "a &", "A=b c", "'a", "(a)", "! a", "if a; then b; fi", "a # b", "a() { b; }", "<<X\nX", "${A}", "$((1))"} {
		if got, err := splitWords(text); err == nil {
			t.Errorf("%q gave %q", text, got)
		}
	}
}

func FuzzWordsComeBack(f *testing.F) {
	f.Add("a b", "it's", "x=y")
	f.Add("if", "#", "\\")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		if strings.ContainsAny(a+b+c, "\x00\r") || !utf8.ValidString(a) || !utf8.ValidString(b) || !utf8.ValidString(c) {
			return // forms don't carry these
		}
		got, err := splitWords(joinWords([]string{a, b, c}))
		if diff := cmp.Diff([]string{a, b, c}, got); diff != "" || err != nil {
			t.Errorf("%q: %v (-want +got):\n%s", joinWords([]string{a, b, c}), err, diff)
		}
	})
}

func TestActsOnRuns(t *testing.T) {
	t.Parallel()
	s, runs := fakeRunServer(t)
	id := strings.Repeat("r", 25) + "b"
	for act, to := range map[string]string{"cancel": "/runs/" + id, "suspend": "/runs/" + id, "resume": "/runs/" + id, "delete": "/runs"} {
		w := ask(s, "POST", "/runs/"+id+"/"+act, "ada", url.Values{})
		if w.Code != http.StatusSeeOther || w.Header().Get("Location") != to {
			t.Errorf("%s: status %d, to %q", act, w.Code, w.Header().Get("Location"))
		}
		want := strings.ToUpper(act[:1]) + act[1:] + " " + id
		if last := runs.done[len(runs.done)-1]; last != want {
			t.Errorf("%s did %q", act, last)
		}
	}
	for _, name := range []notice{noticeRunStarted, noticeRunCancelled, noticeRunSuspended, noticeRunResumed, noticeRunDeleted} {
		if notices[name] == "" {
			t.Errorf("no words for %s", name)
		}
	}
}

func TestTheFilterReachesTheStore(t *testing.T) {
	t.Parallel()
	s, runs := fakeRunServer(t)
	ask(s, "GET", "/runs?state=Waiting&dataset=abc&text=+x+", "ada", nil)
	if diff := cmp.Diff(portal.RunFilter{State: portal.RunWaiting, Dataset: "abc", Text: "x"}, runs.filter); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestStatesOfRunsInWords(t *testing.T) {
	t.Parallel()
	for want, run := range map[string]portal.Run{
		"Waiting for the cluster": {Wish: portal.WishRun},
		"Refused":                 {Wish: portal.WishRun, Refused: "No."},
		"Being deleted":           {Wish: portal.WishDeleted, UID: "u"},
		"Deleted":                 {Wish: portal.WishDeleted, GoneAt: start},
		"Being cancelled":         {Wish: portal.WishCancelled, UID: "u", Seen: portal.RunSeen{State: "Running"}},
		"Cancelled":               {Wish: portal.WishCancelled, GoneAt: start},
		"Gone":                    {Wish: portal.WishRun, UID: "u", GoneAt: start, Seen: portal.RunSeen{State: "Running"}},
		"Being suspended":         {Wish: portal.WishSuspended, UID: "u", Seen: portal.RunSeen{State: "Running"}},
		"Going on":                {Wish: portal.WishRun, UID: "u", Seen: portal.RunSeen{State: "Suspended", Suspended: true}},
		"Finished":                {Wish: portal.WishCancelled, UID: "u", Seen: portal.RunSeen{State: "Succeeded", EndedAt: start}},
	} {
		if got := stateOfRun(run).Words; got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for state, words := range runStates {
		if _, err := icon(words.Icon); err != nil || words.Words == "" {
			t.Errorf("%s: %v, %+v", state, err, words)
		}
	}
}

func TestGPUHours(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int64]string{0: "0 GPU-hours", 1: "under 0.01 GPU-hours", 36: "0.01 GPU-hours", 3600: "1 GPU-hour", 5400: "1.50 GPU-hours", 7200: "2 GPU-hours"} {
		if got := gpuHours(seconds); got != want {
			t.Errorf("%d: %q, want %q", seconds, got, want)
		}
	}
}

func TestTheHeaderLeadsEverywhere(t *testing.T) {
	t.Parallel()
	s, _ := fakeRunServer(t)
	for _, target := range []string{"/", "/account", "/runs"} {
		body := ask(s, "GET", target, "ada", nil).Body.String()
		for _, want := range []string{`<a class="button small" href="/runs/new">Start Run</a>`, `<a href="/account"`, `href="/runs"`, "Sign out"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s does not have %s", target, want)
			}
		}
		if strings.Contains(ask(s, "GET", target, "", nil).Body.String(), "Start Run") {
			t.Errorf("%s offers to start a run to nobody", target)
		}
	}
	body := ask(s, "GET", "/runs/new", "ada", nil).Body.String()
	if !strings.Contains(body, `<a href="/runs" aria-current="true">Runs</a>`) {
		t.Errorf("the header does not say where one is:\n%s", body)
	}
	without, auth := fakeServer(t, func(d *Dependencies) { d.Runs = nil })
	auth.person("ada")
	if body := ask(without, "GET", "/account", "ada", nil).Body.String(); strings.Contains(body, "/runs") {
		t.Error("without a cluster there are no runs")
	}
}
