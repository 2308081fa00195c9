package cluster_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/cluster"
)

// every act, as the use cases call them.
func acts(c *cluster.Client) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"EnsureTenant": func(ctx context.Context) error { return c.EnsureTenant(ctx, portal.TenantOrder{Namespace: namespace}) },
		"CreateDataset": func(ctx context.Context) error {
			_, err := c.CreateDataset(ctx, portal.DatasetOrder{Namespace: namespace, Object: dataName})
			return err
		},
		"SealDataset":   func(ctx context.Context) error { return c.SealDataset(ctx, namespace, dataName) },
		"SetRetention":  func(ctx context.Context) error { return c.SetRetention(ctx, namespace, dataName, time.Hour, time.Hour) },
		"DeleteDataset": func(ctx context.Context) error { return c.DeleteDataset(ctx, namespace, dataName, "u") },
		"CreateRun":     func(ctx context.Context) error { _, err := c.CreateRun(ctx, least()); return err },
		"CheckRun":      func(ctx context.Context) error { return c.CheckRun(ctx, least()) },
		"SuspendRun":    func(ctx context.Context) error { return c.SuspendRun(ctx, namespace, runName, true) },
		"CancelRun":     func(ctx context.Context) error { return c.CancelRun(ctx, namespace, runName, "u") },
		"DeleteRun":     func(ctx context.Context) error { return c.DeleteRun(ctx, namespace, runName, "u") },
		"RunEvents":     func(ctx context.Context) error { _, err := c.RunEvents(ctx, namespace, runName); return err },
		"Logs":          func(ctx context.Context) error { _, err := c.Logs(ctx, namespace, runName, time.Time{}); return err },
		"Offers":        func(ctx context.Context) error { _, err := c.Offers(ctx); return err },
		"Answers":       c.Answers,
	}
}

func TestEveryActEndsWhenTheAPIServerIsAway(t *testing.T) {
	t.Parallel()
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // else the server does not see that the caller went
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "etcd has no leader", http.StatusServiceUnavailable)
	}))
	t.Cleanup(failing.Close)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for how, host := range map[string]string{"it does not answer": silent.URL, "it fails": failing.URL, "nothing listens": gone.URL} {
		c := newClient(t, &rest.Config{Host: host}, cluster.Options{Timeout: 500 * time.Millisecond})
		for name, act := range acts(c) {
			t.Run(name+" when "+how, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				err := act(ctx)
				isKind(t, err, portal.KindUnavailable, "")
				var told *portal.Error
				if errors.As(err, &told) && told.RetryAfter <= 0 {
					t.Error("it does not say when to come again")
				}
				if ctx.Err() != nil {
					t.Error("it took as long as it was let")
				}
			})
		}
	}
}

// kubelet plays an API server that has Pods and gives their logs.
type kubelet struct {
	pods []corev1.Pod
	// asked are the logs that were asked for.
	asked []string
}

func (k *kubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	base := "/api/v1/namespaces/" + namespace + "/pods"
	w.Header().Set("Content-Type", "application/json")
	switch {
	case r.URL.Path == base && r.URL.Query().Get("labelSelector") == v1alpha1.LabelRun+"="+runName:
		_ = json.NewEncoder(w).Encode(corev1.PodList{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "PodList"}, Items: k.pods,
		})
	case strings.HasPrefix(r.URL.Path, base+"/") && strings.HasSuffix(r.URL.Path, "/log"):
		k.asked = append(k.asked, r.URL.Path[len(base)+1:]+"?"+r.URL.RawQuery)
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, "2026-11-24T12:00:00.5Z step 1")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func pod(name, attempt, index string, state corev1.ContainerState) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelAttempt: attempt}}}
	if index != "" {
		p.Annotations = map[string]string{"batch.kubernetes.io/job-completion-index": index}
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "stage-out", State: state}, {Name: "trainer", State: state}}
	return p
}

func TestWhoseLogIsTheRuns(t *testing.T) {
	t.Parallel()
	runs := corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	over := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	waits := corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{}}
	cases := map[string]struct {
		pods []corev1.Pod
		want string // "": there is none
	}{
		"no Pod":                                {},
		"a trainer that runs":                   {[]corev1.Pod{pod("a", "1", "", runs)}, "a"},
		"a trainer that has ended":              {[]corev1.Pod{pod("a", "1", "", over)}, "a"},
		"a trainer that waits to start":         {[]corev1.Pod{pod("a", "1", "", waits)}, ""},
		"the newest attempt counts":             {[]corev1.Pod{pod("a", "9", "", over), pod("b", "10", "", runs)}, "b"},
		"also when it has not begun":            {[]corev1.Pod{pod("a", "9", "", over), pod("b", "10", "", waits)}, ""},
		"of several nodes the first":            {[]corev1.Pod{pod("a", "1", "1", runs), pod("b", "1", "0", runs), pod("c", "1", "2", runs)}, "b"},
		"other nodes of a newer attempt do not": {[]corev1.Pod{pod("a", "2", "1", runs)}, ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			api := &kubelet{pods: tc.pods}
			server := httptest.NewServer(api)
			t.Cleanup(server.Close)
			c := newClient(t, &rest.Config{Host: server.URL}, cluster.Options{Timeout: 5 * time.Second})
			log, err := c.Logs(t.Context(), namespace, runName, noon)
			if tc.want == "" {
				isKind(t, err, portal.KindNotFound, "")
				return
			}
			must(t, err)
			line := make([]byte, len("2026-11-24T12:00:00.5Z step 1\n"))
			if _, err := io.ReadFull(log, line); err != nil || !strings.HasSuffix(string(line), "step 1\n") {
				t.Errorf("the log has %q, %v", line, err)
			}
			must(t, log.Close())
			asked := strings.Join(api.asked, " ")
			for _, part := range []string{tc.want + "/log", "container=trainer", "follow=true", "timestamps=true", "sinceTime=2026-11-24T12%3A00%3A00Z"} {
				if !strings.Contains(asked, part) {
					t.Errorf("asked for %s, want %s in it", asked, part)
				}
			}
		})
	}
}
