package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/access"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/hack/apitest"
)

func TestMain(m *testing.M) { apitest.Main(m) }

// person runs commands against a real API server with the rights of ClusterRole
// lethe-user in one namespace and no others.
type person struct {
	t         *testing.T
	admin     client.Client
	config    *rest.Config
	namespace string
	// shown is what the command has put out that runs or was the last.
	shown tape
}

// tape is a buffer that can be read while it is written.
type tape struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (t *tape) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.Write(p)
}

func (t *tape) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.String()
}

func (t *tape) reset() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all.Reset()
}

func newPerson(t *testing.T) *person {
	t.Helper()
	server := apitest.Start(t)
	p := &person{t: t, admin: server.Client, namespace: server.Namespace(t)}
	role := userRole(t)
	role.Name += "-of-" + p.namespace
	if err := p.admin.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: "ann"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "ann"}},
	}
	if err := p.admin.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	p.config = rest.CopyConfig(server.Config)
	p.config.Impersonate = rest.ImpersonationConfig{UserName: "ann"}
	p.awaitRights()
	return p
}

// awaitRights waits until the API server knows of the binding.
func (p *person) awaitRights() {
	p.t.Helper()
	c, err := cluster.NewClient(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	err = wait.PollUntilContextTimeout(p.t.Context(), 20*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		return c.List(ctx, &v1alpha1.TrainingRunList{}, client.InNamespace(p.namespace)) == nil, nil
	})
	if err != nil {
		p.t.Fatalf("wait for ann's rights: %v", err)
	}
}

// userRole is the ClusterRole that is installed.
func userRole(t *testing.T) *rbacv1.ClusterRole {
	t.Helper()
	file, err := os.Open("../../config/rbac/user_roles.yaml")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // It was only read.
	documents := utilyaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		var role rbacv1.ClusterRole
		if err := documents.Decode(&role); err != nil {
			t.Fatalf("find ClusterRole %s: %v", access.Role, err)
		}
		if role.Name == access.Role {
			return &role
		}
	}
}

// wants runs a command to its end. It fails unless that ends so and says these texts.
func (p *person) wants(code int, line string, texts ...string) {
	p.t.Helper()
	p.shown.reset()
	streams := genericiooptions.IOStreams{In: strings.NewReader("y\n"), Out: &p.shown, ErrOut: &p.shown}
	screen := terminal.Screen{Out: &p.shown}
	root := newRoot(streams, genericclioptions.NewConfigFlags(true), func() (*session, error) {
		c, err := cluster.NewClient(p.config)
		return &session{
			streams: streams, namespace: p.namespace, config: p.config, client: c, clock: clock.RealClock{},
			stdout: screen, stderr: screen, farewell: &farewell{},
		}, err
	})
	root.SetArgs(strings.Fields(line))
	if got := report(&p.shown, root.ExecuteContext(p.t.Context())); got != code {
		p.t.Errorf("%s: exit code %d, want %d", line, got, code)
	}
	for _, text := range texts {
		if !strings.Contains(p.shown.String(), text) {
			p.t.Errorf("%s: %q is missing:\n%s", line, text, &p.shown)
		}
	}
}

// operate writes a status as the operator would, as soon as the run is there.
func (p *person) operate(ctx context.Context, name string, change func(*v1alpha1.TrainingRun)) error {
	key := client.ObjectKey{Namespace: p.namespace, Name: name}
	return wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		run, err := cluster.GetRun(ctx, p.admin, key)
		if err != nil {
			return false, nil //nolint:nilerr // It is not made yet.
		}
		change(run)
		return true, p.admin.Status().Update(ctx, run)
	})
}

// life is what the operator writes into a run that fails, each time when the watcher
// has shown what was before.
func (p *person) life(ctx context.Context, name string) error {
	for _, step := range []struct {
		shown  string
		change func(*v1alpha1.TrainingRun)
	}{
		{"", func(r *v1alpha1.TrainingRun) {
			r.Status.State, r.Status.Reason, r.Status.Attempt = v1alpha1.RunRunning, v1alpha1.ReasonTraining, 1
			r.Status.Attempts = []v1alpha1.Attempt{{Number: 1}}
		}},
		{"Running", func(r *v1alpha1.TrainingRun) {
			r.Status.Progress = &v1alpha1.Progress{
				Attempt: 1, Step: new(int64(5)), TotalSteps: new(int64(10)), Metrics: []v1alpha1.Metric{{Name: "loss", Value: "0.25"}},
			}
		}},
		{"50%", func(r *v1alpha1.TrainingRun) {
			r.Status.State, r.Status.Reason, r.Status.Message = v1alpha1.RunFailed, v1alpha1.ReasonOOMKilled, "killed"
			r.Status.Attempts[0].Result = v1alpha1.AttemptFailed
			r.Status.Failure = &v1alpha1.RunFailure{Reason: v1alpha1.ReasonOOMKilled, Blame: v1alpha1.BlameUser, Hint: "ask for more", LogTail: "epoch 3\n"}
		}},
	} {
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
			return strings.Contains(p.shown.String(), step.shown), nil
		})
		if err := errors.Join(err, p.operate(ctx, name, step.change)); err != nil {
			return err
		}
	}
	return nil
}

// TestOnAnAPIServer tells the story of runs against the real rules: defaults,
// validation, watches, preconditions, and what a user may do.
func TestOnAnAPIServer(t *testing.T) {
	t.Parallel()
	p := newPerson(t)
	const line = "run digits-1 --dataset digits --image trainer:1 --gpus 2 --nodes 2 --cpu 500m --memory 1.5Gi --max-duration 12h " +
		"--max-gpu-seconds 3600 --retries 2 --checkpoint-interval 90s --env A=b --queue team -- --epochs 3"
	p.wants(0, strings.Replace(line, "run ", "run --dry-run=server -o yaml ", 1), "keepLast: 2\n", "interval: 1m30s\n", "maxDuration: 12h0m0s\n", "- --epochs\n")
	p.wants(staging.ExitUsage, strings.Replace(line, "--gpus 2", "--gpus 99", 1), "gpusPerNode", "less than or equal to 16")
	p.wants(staging.ExitUsage, strings.Replace(line, "500m", "1e3", 1), "cpu is greater than zero and written like 4, 0.5 or 500m")
	p.wants(exitFailed, "watch digits-1", "run digits-1 does not exist")

	lived := make(chan error, 1)
	go func() { lived <- p.life(t.Context(), "digits-1") }()
	p.wants(exitFailed, line, "trainingrun.lethe.dev/digits-1 created\n", "Running (Training)\n", "50%  step 5/10  loss 0.25\n",
		"Failed (OOMKilled): killed\n", "Last lines of the log:\n  epoch 3\n", "error: run digits-1 failed (OOMKilled)")
	if err := <-lived; err != nil {
		t.Fatal(err)
	}
	p.wants(exitFailed, line, "run digits-1 exists already", "or watch that run with")
	p.wants(0, "why digits-1", "  - ask for more\n", "Ask for more --memory")
	p.wants(exitFailed, "cancel digits-1", "has ended (Failed (OOMKilled))")

	p.wants(0, "run --generate-name faces- --dataset faces --image trainer:1 --resume-from digits-1/0001-000500 --detach -o name", "trainingrun.lethe.dev/faces-")
	p.wants(0, "run digits-2 --dataset digits --image trainer:1 --detach", "kubectl lethe watch digits-2")
	if err := p.operate(t.Context(), "digits-2", unschedulable); err != nil {
		t.Fatal(err)
	}
	p.complain("digits-2")
	p.wants(0, "why digits-2", "Starting (Unschedulable)", "which GPUs there are: you have no right to list them")
	p.wants(0, "status digits-2", "Limits:     starts within 1d\n", "1         goes on")
	p.wants(0, "cancel digits-2 --suspend", "Let it go on with")
	p.wants(0, "cancel digits-2 --suspend", "is suspended already")
	p.wants(0, "resume digits-2", "Run digits-2 goes on")
	p.wants(0, "__complete watch digits", "digits-1\ndigits-2\n:4\n")
	p.wants(0, "__complete run x --resume-from f", "faces-")
	p.wants(0, "__complete watch -n ", ":4\n") // Namespaces are none of ann's business.
	p.wants(0, "cancel digits-2", "Delete run digits-2? [y/N] ", "Run digits-2 is being deleted.")
	p.wants(exitFailed, "cancel digits-2 --yes", "run digits-2 does not exist")
}

func unschedulable(r *v1alpha1.TrainingRun) {
	r.Status.State, r.Status.Reason, r.Status.Attempt = v1alpha1.RunStarting, v1alpha1.ReasonUnschedulable, 1
	r.Status.Attempts = []v1alpha1.Attempt{{Number: 1, JobUID: "job"}}
}

// complain makes an event about a run's Job, which only who may list events sees.
func (p *person) complain(name string) {
	p.t.Helper()
	event := &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Namespace: p.namespace, Name: name + ".1"},
		InvolvedObject: corev1.ObjectReference{Kind: "Job", Name: name, Namespace: p.namespace, UID: "job"},
		Type:           corev1.EventTypeWarning, Reason: "FailedCreate", Message: "exceeded quota", LastTimestamp: metav1.Now(), Count: 1,
	}
	if err := p.admin.Create(p.t.Context(), event); err != nil {
		p.t.Fatal(err)
	}
	c, err := cluster.NewClient(p.config)
	if err != nil {
		p.t.Fatal(err)
	}
	want := "FailedCreate"
	if err := c.List(p.t.Context(), &corev1.EventList{}, client.InNamespace(p.namespace)); err != nil {
		want = "events: you have no right to list them"
	}
	p.wants(0, "why "+name, want)
}
