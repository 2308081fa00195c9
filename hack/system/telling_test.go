package system_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
)

// What a trainer tells: its progress and its log, and who may tell it.

// TestProgressOfAHostileTrainer: a flood of lines, good and bad ones, changes neither the
// outcome nor how often the status is written.
func TestProgressOfAHostileTrainer(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "loud", 80, told{"DO": "flood", "AT": "20", "LINES": "50000"}))
	waitRun(t, ns, "loud", v1alpha1.RunRunning)
	var seen []time.Time
	var run v1alpha1.TrainingRun
	eventually(t, "the run to end", func(ctx context.Context) (bool, string, error) {
		if err := lab.kube.Get(ctx, client.ObjectKey{Namespace: ns, Name: "loud"}, &run); err != nil {
			return false, "", err
		}
		p := run.Status.Progress
		if p == nil || p.LastUpdateTime == nil {
			return run.Status.State.Finished(), "no progress", nil
		}
		if p.Percent != nil && (*p.Percent < 0 || *p.Percent > 100) || p.Step != nil && *p.Step < 0 || len(p.Metrics) > 16 {
			t.Errorf("the status believes anything: %+v", *p)
		}
		if at := p.LastUpdateTime.Time; len(seen) == 0 || !seen[len(seen)-1].Equal(at) {
			seen = append(seen, at)
		}
		return run.Status.State.Finished(), outline(run.Status), nil
	})
	if run.Status.State != v1alpha1.RunSucceeded {
		t.Errorf("the run ended as %s", outline(run.Status))
	}
	if len(seen) < 2 {
		t.Fatalf("progress was told at %v only", seen)
	}
	// The end may be told at once. Between all others lie ten seconds.
	if length := seen[len(seen)-1].Sub(seen[0]); time.Duration(len(seen)-2)*staging.ProgressInterval > length+staging.ProgressInterval {
		t.Errorf("progress was written %d times in %s: %v", len(seen), length, seen)
	}
}

// TestLogsStay after the run's Pods are gone, with the whole series of its progress.
func TestLogsStay(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	create(t, unruly(ns, "chatty", 12, nil))
	run := waitRun(t, ns, "chatty", v1alpha1.RunSucceeded)
	kubectl(t, "-n", ns, "delete", "pods", "-l", v1alpha1.LabelRun+"=chatty", "--wait", "--timeout=2m")
	log := storedLog(t, run, 1, 0)
	for _, line := range []string{"attempt 1, node 0 of 1:", "step 1 of 12", "step 12 of 12", "done: 12 steps"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q:\n%s", line, log)
		}
	}
	prefix := objectkey.OwnerPrefix(ns, string(run.UID))
	series := readObject(t, artifactsBucket, objectkey.LogPrefix(prefix, 1, 0)+"progress.jsonl")
	lines := bytes.Split(bytes.TrimSpace(series), []byte("\n"))
	for _, line := range lines {
		if !json.Valid(line) {
			t.Errorf("a line of the series is no JSON: %s", line)
		}
	}
	if len(lines) != 12 {
		t.Errorf("the series has %d lines, want one for each of 12 steps", len(lines))
	}
	// Neither is among the artifacts, which are what the user made.
	manifest := readObject(t, artifactsBucket, objectkey.Manifest(prefix))
	_, err := objectkey.ReadManifest(bytes.NewReader(manifest), func(e objectkey.Entry) error {
		if strings.HasPrefix(e.Path, "checkpoints/") || strings.HasPrefix(e.Path, "logs/") {
			t.Errorf("%s is among the artifacts", e.Path)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// teller sends to the broker what a pod's stage-out would.
type teller struct {
	t     *testing.T
	url   string
	token string
	plain *http.Client
}

// newTeller finds the broker as anybody does.
func newTeller(t *testing.T, token string) teller {
	t.Helper()
	var broker corev1.ConfigMap
	if err := lab.kube.Get(t.Context(), client.ObjectKey{Namespace: discovery.Namespace, Name: discovery.ConfigMapName}, &broker); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(broker.Data[discovery.KeyCA])) {
		t.Fatal("the broker's certificate is none")
	}
	return teller{t: t, url: broker.Data[discovery.KeyURL] + staging.PathProgress, token: token, plain: &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}, Timeout: 30 * time.Second,
	}}
}

// once sends a body and gives the answer's status and reason.
func (s teller) once(body string) (int, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.url, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	if s.token != "" {
		request.Header.Set("Authorization", "Bearer "+s.token)
	}
	answer, err := s.plain.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }() // read to its end below
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	var problem staging.Problem
	if answer.StatusCode >= http.StatusBadRequest {
		if err := json.Unmarshal(text, &problem); err != nil {
			s.t.Fatalf("HTTP %d with an answer that is no Problem: %s", answer.StatusCode, text)
		}
	}
	return answer.StatusCode, problem.Reason
}

// send is once, again and again while there were too many.
func (s teller) send(body string) (status int, reason string) {
	s.t.Helper()
	eventually(s.t, "the broker to take another message", func(context.Context) (bool, string, error) {
		status, reason = s.once(body)
		return status != http.StatusTooManyRequests, "too many", nil
	})
	return status, reason
}

// tokenOf makes a token as the kubelet does for a pod; without a pod it is bound to none.
func tokenOf(t *testing.T, ns, audience string, pod *corev1.Pod) string {
	t.Helper()
	life := int64(600)
	ask := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: &life}}
	if pod != nil {
		ask.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID}
	}
	made, err := lab.core.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), "default", ask, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return made.Status.Token
}

func progressBody(sequence int64, step int) string {
	return fmt.Sprintf(`{"sequence":%d,"step":%d,"idleSeconds":0}`, sequence, step)
}

// TestProgressEndpointRefuses whatever does not come from a run's own pod, once and in
// its turn. The runs hang, so that nothing but the test tells anything of them.
func TestProgressEndpointRefuses(t *testing.T) {
	t.Parallel()
	ns := journey(t)
	for _, name := range []string{"mine", "theirs"} {
		create(t, unruly(ns, name, 1000, told{"DO": "hang", "AT": "1"}))
	}
	mine, theirs := waitRun(t, ns, "mine", v1alpha1.RunRunning), waitRun(t, ns, "theirs", v1alpha1.RunRunning)
	pod, other := podsOf(t, ns, "mine")[0], podsOf(t, ns, "theirs")[0]
	stranger := lookAlike(t, ns, &pod)

	sequence := time.Now().Add(time.Hour).UnixMilli() // above all that stage-out will send
	good := progressBody(sequence, 7)
	for name, test := range map[string]struct {
		token  string
		status int
		reason string
	}{
		"no token":                      {"", http.StatusUnauthorized, staging.ProblemUnauthenticated},
		"no token of this cluster":      {"e30.e30.e30", http.StatusUnauthorized, staging.ProblemUnauthenticated},
		"a token for the API server":    {tokenOf(t, ns, "https://kubernetes.default.svc.cluster.local", &pod), http.StatusUnauthorized, staging.ProblemUnauthenticated},
		"a token bound to no pod":       {tokenOf(t, ns, staging.Audience, nil), http.StatusForbidden, staging.ProblemForbidden},
		"a pod that looks like a run's": {tokenOf(t, ns, staging.Audience, stranger), http.StatusForbidden, staging.ProblemForbidden},
	} {
		if status, reason := newTeller(t, test.token).send(good); status != test.status || reason != test.reason {
			t.Errorf("%s: HTTP %d %s, want %d %s", name, status, reason, test.status, test.reason)
		}
	}

	own := newTeller(t, tokenOf(t, ns, staging.Audience, &pod))
	for _, step := range []struct {
		name, body string
		status     int
		reason     string
	}{
		{"its own progress", good, http.StatusOK, ""},
		{"the same once more", good, http.StatusGone, staging.ProblemReplayed},
		{"an older one", progressBody(sequence-1, 900), http.StatusGone, staging.ProblemReplayed},
		{"what is too large", `{"sequence":` + fmt.Sprint(sequence+1) + `,"metrics":{"` + strings.Repeat("x", 32<<10) + `":1}}`, http.StatusRequestEntityTooLarge, staging.ProblemMalformed},
		{"what is no JSON", `{"sequence":`, http.StatusBadRequest, staging.ProblemMalformed},
		{"a sequence that is none", progressBody(-1, 1), http.StatusBadRequest, staging.ProblemMalformed},
	} {
		if status, reason := own.send(step.body); status != step.status || reason != step.reason {
			t.Errorf("%s: HTTP %d %s, want %d %s", step.name, status, reason, step.status, step.reason)
		}
	}
	assertFlood(t, own, sequence)
	assertTold(t, mine, theirs, pod, other)
}

// lookAlike is a pod that a tenant makes with all labels of a run's.
func lookAlike(t *testing.T, ns string, of *corev1.Pod) *corev1.Pod {
	t.Helper()
	labels := map[string]string{}
	for name, value := range of.Labels {
		if strings.HasPrefix(name, "lethe.dev/") { // The Job controller's would make it delete the pod.
			labels[name] = value
		}
	}
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "look-alike", Labels: labels, Annotations: of.Annotations},
		Spec: corev1.PodSpec{
			Containers:   []corev1.Container{{Name: "trainer", Image: unrulyImage, ImagePullPolicy: corev1.PullNever}},
			NodeSelector: map[string]string{"lethe.dev/nowhere": "true"},
		},
	}
	create(t, pod)
	return pod
}

// assertFlood wants a pod that tells too much to be slowed down.
func assertFlood(t *testing.T, own teller, sequence int64) {
	t.Helper()
	const many = 20
	for i := range int64(many) {
		if status, reason := own.once(progressBody(sequence+10+i, 8)); status == http.StatusTooManyRequests && reason == staging.ProblemTooMany {
			return
		}
	}
	t.Errorf("%d messages at once were all taken", many)
}

// assertTold wants what the test told to be in its own run's status, by the broker's
// clock, and in no other's.
func assertTold(t *testing.T, mine, theirs v1alpha1.TrainingRun, pod, other corev1.Pod) {
	t.Helper()
	run := waitFor(t, mine.Namespace, mine.Name, "to the step that was told", func(s v1alpha1.TrainingRunStatus) bool {
		return s.Progress != nil && s.Progress.Step != nil && *s.Progress.Step >= 7
	})
	if p := run.Status.Progress; p.PodUID != pod.UID || *p.Step > 8 || p.LastUpdateTime == nil || time.Until(p.LastUpdateTime.Time) > time.Minute {
		t.Errorf("the progress is %+v, want what was told of the pod %s", *p, pod.UID)
	}
	untouched := waitFor(t, theirs.Namespace, theirs.Name, "as it was", func(v1alpha1.TrainingRunStatus) bool { return true })
	if p := untouched.Status.Progress; p != nil && (p.PodUID != other.UID || p.Step != nil && *p.Step > 1) {
		t.Errorf("the other run's progress is %+v, want only what its own pod told", *p)
	}
}
