package broker

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// question is one way to ask the broker.
type question func(ctx context.Context, c *brokerclient.Client) error

func askStageIn(ctx context.Context, c *brokerclient.Client) error {
	_, err := c.Stage(ctx, staging.StepStageIn)
	return err
}

func askStageOut(ctx context.Context, c *brokerclient.Client) error {
	_, err := c.Stage(ctx, staging.StepStageOut)
	return err
}

func askTrainer(ctx context.Context, c *brokerclient.Client) error {
	_, err := c.Trainer(ctx)
	return err
}

func askUpload(ctx context.Context, c *brokerclient.Client) error {
	_, err := c.Upload(ctx, namespace, "digits")
	return err
}

func askArtifacts(ctx context.Context, c *brokerclient.Client) error {
	_, err := c.Artifacts(ctx, namespace, "run-a")
	return err
}

type refusalCase struct {
	change func(*world)
	ask    question
	reason string
	status int
	// says is a part of the words for people.
	says string
}

func setPodUser(change func(*authenticationv1.UserInfo)) func(*world) {
	return func(w *world) {
		user := podUser()
		change(&user)
		w.tokens.known[podToken] = knownToken{audiences: []string{staging.Audience}, user: user}
	}
}

func failReadOf(kind client.Object) func(*world) {
	return func(w *world) {
		w.failRead = func(_ client.ObjectKey, object client.Object) error {
			if reflect.TypeOf(object) == reflect.TypeOf(kind) {
				return errBroken
			}
			return nil
		}
	}
}

func podRefusals() map[string]refusalCase {
	unauthenticated := func(change func(*world)) refusalCase {
		return refusalCase{change, askStageIn, staging.ProblemUnauthenticated, http.StatusUnauthorized, "token"}
	}
	notOfRun := func(change func(*world)) refusalCase {
		return refusalCase{change, askStageIn, staging.ProblemForbidden, http.StatusForbidden, "TrainingRun"}
	}
	unbound := func(change func(*world)) refusalCase {
		return refusalCase{change, askStageIn, staging.ProblemForbidden, http.StatusForbidden, "not bound to a pod"}
	}
	ended := func(says string, change func(*world)) refusalCase {
		return refusalCase{change, askStageOut, staging.ProblemRunEnded, http.StatusGone, says}
	}
	leavingToo := func(says string, change func(*world)) refusalCase {
		return refusalCase{change, askStageIn, staging.ProblemRunEnded, http.StatusGone, says}
	}
	erasing := func(change func(*world)) refusalCase {
		return refusalCase{change, askStageIn, staging.ProblemDatasetErasing, http.StatusGone, "erased"}
	}
	notYet := func(change func(*world)) refusalCase {
		return refusalCase{change, askStageIn, staging.ProblemNotYet, http.StatusConflict, "try again"}
	}
	return map[string]refusalCase{
		"no token":                          unauthenticated(func(w *world) { w.token = "" }),
		"an unknown token":                  unauthenticated(func(w *world) { w.token = "forged" }),
		"a pod's token for the API server":  unauthenticated(func(w *world) { w.token = humanToken }),
		"a token without its audience":      unauthenticated(func(w *world) { w.tokens.blind = true }),
		"a token of nobody":                 unauthenticated(setPodUser(func(u *authenticationv1.UserInfo) { u.Username = "" })),
		"a user who is no service account":  unbound(setPodUser(func(u *authenticationv1.UserInfo) { u.Username = "ada" })),
		"a service account without a name":  unbound(setPodUser(func(u *authenticationv1.UserInfo) { u.Username = "system:serviceaccount:" + namespace })),
		"a service account of no namespace": unbound(setPodUser(func(u *authenticationv1.UserInfo) { u.Username = "system:serviceaccount::default" })),
		"a token that is bound to no pod":   unbound(setPodUser(func(u *authenticationv1.UserInfo) { u.Extra = nil })),
		"a token that is bound to two pods": unbound(setPodUser(func(u *authenticationv1.UserInfo) { u.Extra[extraPodUID] = []string{podUID, "other"} })),

		"a pod that is gone":                            ended("pod", func(w *world) { w.absent = []client.Object{w.pod} }),
		"another pod of the name":                       ended("pod", func(w *world) { w.pod.UID = "other" }),
		"a pod that is being deleted":                   leavingToo("pod", func(w *world) { deleted(w.pod) }),
		"a pod that succeeded":                          ended("pod", func(w *world) { w.pod.Status.Phase = corev1.PodSucceeded }),
		"a pod that failed":                             ended("pod", func(w *world) { w.pod.Status.Phase = corev1.PodFailed }),
		"a Job that is gone":                            ended("Job", func(w *world) { w.absent = []client.Object{w.job} }),
		"another Job of the name":                       ended("Job", func(w *world) { w.job.UID = "other" }),
		"a Job that is being deleted":                   leavingToo("Job", func(w *world) { deleted(w.job) }),
		"a run that is gone":                            ended("run", func(w *world) { w.absent = []client.Object{w.run} }),
		"another run of the name":                       ended("run", func(w *world) { w.run.UID = "other" }),
		"a run that is being deleted":                   ended("deleted", func(w *world) { deleted(w.run) }),
		"a run that succeeded":                          ended("ended", func(w *world) { w.run.Status.State = v1alpha1.RunSucceeded }),
		"a run that failed":                             ended("ended", func(w *world) { w.run.Status.State = v1alpha1.RunFailed }),
		"a pod of nobody":                               notOfRun(func(w *world) { w.pod.OwnerReferences = nil }),
		"a pod of a ReplicaSet":                         notOfRun(func(w *world) { w.pod.OwnerReferences[0].Kind = "ReplicaSet" }),
		"a pod of another group's Job":                  notOfRun(func(w *world) { w.pod.OwnerReferences[0].APIVersion = "volcano.sh/v1" }),
		"a pod of an unreadable owner":                  notOfRun(func(w *world) { w.pod.OwnerReferences[0].APIVersion = "a/b/c" }),
		"a pod that a Job only owns":                    notOfRun(func(w *world) { w.pod.OwnerReferences[0].Controller = nil }),
		"a Job of nobody":                               notOfRun(func(w *world) { w.job.OwnerReferences = nil }),
		"a Job of another group's run":                  notOfRun(func(w *world) { w.job.OwnerReferences[0].APIVersion = "kubeflow.org/v1" }),
		"a Job beside the run's own":                    notOfRun(func(w *world) { w.job.OwnerReferences[0].Name = "run-b" }),
		"a Job with the number of another attempt":      notOfRun(func(w *world) { w.job.Spec.Template = templateOf(2) }),
		"a dataset that is gone":                        erasing(func(w *world) { w.absent = []client.Object{w.dataset} }),
		"a dataset that was replaced":                   erasing(func(w *world) { w.dataset.UID = "other" }),
		"a dataset that is being erased":                erasing(func(w *world) { deleted(w.dataset) }),
		"a dataset without a place":                     notYet(func(w *world) { w.dataset.Status.Location = nil }),
		"a dataset without a key":                       notYet(unkeyed),
		"a dataset with a key that is not recorded yet": notYet(func(w *world) { w.dataset.Status.KeyID = "" }),
		"a dataset whose key is destroyed": {
			func(w *world) { w.absent = []client.Object{w.secret} },
			askStageIn, staging.ProblemDatasetErasing, http.StatusGone, "key is destroyed",
		},
		"a dataset whose key is being destroyed": {
			func(w *world) { deleted(w.secret) },
			askStageIn, staging.ProblemDatasetErasing, http.StatusGone, "key is destroyed",
		},
		"a step that nobody knows": {
			ask: func(ctx context.Context, c *brokerclient.Client) error {
				_, err := c.Stage(ctx, "stage-sideways")
				return err
			},
			reason: staging.ProblemMalformed, status: http.StatusBadRequest, says: "stage-in",
		},
		"a pod of nobody's Job that waits for a trainer": {
			func(w *world) { w.job.OwnerReferences = nil },
			askTrainer, staging.ProblemForbidden, http.StatusForbidden, "TrainingRun",
		},
		"another pod of the name that waits for a trainer": {
			func(w *world) { w.pod.UID = "other" },
			askTrainer, staging.ProblemRunEnded, http.StatusGone, "pod",
		},
		"a pod of nobody that waits for a trainer": {
			func(w *world) { w.pod.OwnerReferences = nil },
			askTrainer, staging.ProblemForbidden, http.StatusForbidden, "TrainingRun",
		},
		"an unknown token that waits for a trainer": {
			func(w *world) { w.token = "forged" },
			askTrainer, staging.ProblemUnauthenticated, http.StatusUnauthorized, "audience",
		},
		"no token that waits for a trainer": {
			func(w *world) { w.token = "" },
			askTrainer, staging.ProblemUnauthenticated, http.StatusUnauthorized, "Authorization",
		},
	}
}

func personRefusals() map[string]refusalCase {
	open := func(change func(*world)) func(*world) {
		return func(w *world) { w.person(); change(w) }
	}
	forbidden := func(ask question, change func(*world)) refusalCase {
		return refusalCase{open(change), ask, staging.ProblemForbidden, http.StatusForbidden, "administers"}
	}
	return map[string]refusalCase{
		"a person without a token": {
			open(func(w *world) { w.token = "" }),
			askUpload, staging.ProblemUnauthenticated, http.StatusUnauthorized, "Authorization",
		},
		"a person with an old token": {
			open(func(w *world) { w.token = "forged" }),
			askUpload, staging.ProblemUnauthenticated, http.StatusUnauthorized, "log in",
		},
		"artifacts for an old token": {
			open(func(w *world) { w.token = "forged" }),
			askArtifacts, staging.ProblemUnauthenticated, http.StatusUnauthorized, "log in",
		},
		"a person who may not upload":         forbidden(askUpload, func(w *world) { w.access.allowed = nil }),
		"a person who is denied":              forbidden(askUpload, func(w *world) { w.access.denied = true }),
		"a person who may not read artifacts": forbidden(askArtifacts, func(w *world) { w.access.allowed = nil }),
		"whether a dataset exists is not told to those who may not": forbidden(askUpload, func(w *world) {
			w.access.allowed = nil
			w.absent = []client.Object{w.dataset}
		}),
		"whether a run exists is not told to those who may not": forbidden(askArtifacts, func(w *world) {
			w.access.allowed = nil
			w.absent = []client.Object{w.run}
		}),
		"a dataset of no possible name": {
			open(func(*world) {}),
			func(ctx context.Context, c *brokerclient.Client) error {
				_, err := c.Upload(ctx, namespace, "../digits")
				return err
			},
			staging.ProblemMalformed, http.StatusBadRequest, "name",
		},
		"a run of no possible namespace": {
			open(func(*world) {}),
			func(ctx context.Context, c *brokerclient.Client) error {
				_, err := c.Artifacts(ctx, "*", "run-a")
				return err
			},
			staging.ProblemMalformed, http.StatusBadRequest, "namespace",
		},
		"no such dataset": {
			open(func(w *world) { w.absent = []client.Object{w.dataset} }),
			askUpload, staging.ProblemNotFound, http.StatusNotFound, "create",
		},
		"no such run": {
			open(func(w *world) { w.absent = []client.Object{w.run} }),
			askArtifacts, staging.ProblemNotFound, http.StatusNotFound, "no such run",
		},
		"a sealed dataset takes no upload": {
			open(func(w *world) { w.dataset.Spec.Sealed = true }),
			askUpload, staging.ProblemSealed, http.StatusGone, "sealed",
		},
		"a dataset that is being erased takes no upload": {
			open(func(w *world) { deleted(w.dataset) }),
			askUpload, staging.ProblemDatasetErasing, http.StatusGone, "erased",
		},
		"a dataset whose time is over takes no upload": {
			open(func(w *world) { w.dataset.Status.ExpiresAt = &metav1.Time{Time: w.clock.Now()} }),
			askUpload, staging.ProblemSealed, http.StatusGone, "time of the dataset is over (status.expiresAt)",
		},
		"a dataset that came back after its erase takes no upload": {
			open(func(w *world) {
				w.dataset.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonErased}}
			}),
			askUpload, staging.ProblemDatasetErasing, http.StatusGone, "erased before",
		},
		"a dataset without a place takes no upload yet": {
			open(func(w *world) { w.dataset.Status.Location = nil }),
			askUpload, staging.ProblemNotYet, http.StatusConflict, "try again",
		},
		"a dataset without a key takes no upload yet": {
			open(unkeyed),
			askUpload, staging.ProblemNotYet, http.StatusConflict, "try again",
		},
		"a dataset whose key is destroyed takes no upload": {
			open(func(w *world) { w.absent = []client.Object{w.secret} }),
			askUpload, staging.ProblemDatasetErasing, http.StatusGone, "key is destroyed",
		},
		"a run that has not begun has nothing to read yet": {
			open(func(w *world) { w.run.Status.Attempt = 0 }),
			askArtifacts, staging.ProblemNotYet, http.StatusConflict, "try again",
		},
		"a run that failed before it began has nothing to read": {
			open(func(w *world) { w.run.Status.State, w.run.Status.Attempt = v1alpha1.RunFailed, 0 }),
			askArtifacts, staging.ProblemRunEnded, http.StatusGone, "before it began",
		},
		"a run that is being deleted gives no artifacts": {
			open(func(w *world) { published(w); deleted(w.run) }),
			askArtifacts, staging.ProblemRunEnded, http.StatusGone, "deleted",
		},
	}
}

func internalRefusals() map[string]refusalCase {
	unavailable := func(ask question, change func(*world)) refusalCase {
		return refusalCase{change, ask, staging.ProblemUnavailable, http.StatusServiceUnavailable, "request number"}
	}
	person := func(change func(*world)) func(*world) {
		return func(w *world) { w.person(); change(w) }
	}
	return map[string]refusalCase{
		"the API server does not review tokens":  unavailable(askStageIn, func(w *world) { w.tokens.err = errBroken }),
		"the API server does not review people":  unavailable(askUpload, func(w *world) { w.tokens.err = errBroken }),
		"the API server does not review access":  unavailable(askUpload, person(func(w *world) { w.access.err = errBroken })),
		"a pod can not be read":                  unavailable(askStageIn, failReadOf(&corev1.Pod{})),
		"a Job can not be read":                  unavailable(askStageIn, func(w *world) { failReadOf(w.job)(w) }),
		"a run can not be read":                  unavailable(askStageIn, failReadOf(&v1alpha1.TrainingRun{})),
		"a dataset can not be read":              unavailable(askStageIn, failReadOf(&v1alpha1.DatasetRetention{})),
		"a dataset can not be read for a person": unavailable(askUpload, person(failReadOf(&v1alpha1.DatasetRetention{}))),
		"a run can not be read for a person":     unavailable(askArtifacts, person(failReadOf(&v1alpha1.TrainingRun{}))),
		"the cache does not work":                unavailable(askTrainer, func(w *world) { w.failCache = errBroken }),
		"the store gives nothing for stage-in":   unavailable(askStageIn, func(w *world) { w.sts.err = errBroken }),
		"the store gives nothing for stage-out":  unavailable(askStageOut, func(w *world) { w.sts.err = errBroken }),
		"a key can not be read":                  unavailable(askStageIn, failReadOf(&corev1.Secret{})),
		"a key can not be read for a person":     unavailable(askUpload, person(failReadOf(&corev1.Secret{}))),
		"a key is malformed":                     unavailable(askStageIn, func(w *world) { w.secret.Data["key"] = []byte(canary[:31]) }),
		"a key is not the one that was recorded": unavailable(askStageIn, func(w *world) {
			w.secret.Data["key"] = []byte("Another-canary-of-just-32-bytes!")
		}),
		"a recorded key is not the one that is there": unavailable(askUpload, person(func(w *world) {
			w.dataset.Status.KeyID = strings.Repeat("0", 32)
		})),
		"a bug": unavailable(askStageIn, func(w *world) { w.tokens.blow = true }),
		"a status that points into another bucket": unavailable(askStageIn, func(w *world) {
			w.dataset.Status.Location.Bucket = "receipts"
		}),
		"a status that points to another dataset": unavailable(askUpload, person(func(w *world) {
			w.dataset.Status.Location.Prefix = namespace + "/" + runUID + "/"
		})),
		"a run's status that points to a dataset": unavailable(askArtifacts, person(func(w *world) {
			published(w)
			w.run.Status.Artifacts.Location = *w.dataset.Status.Location
		})),
		"a UID that would match more than itself": unavailable(askStageOut, func(w *world) {
			w.run.UID, w.job.OwnerReferences[0].UID = "*", "*"
		}),
	}
}

func limitRefusals() map[string]refusalCase {
	tooMany := func(ask question, change func(*world)) refusalCase {
		return refusalCase{change, ask, staging.ProblemTooMany, http.StatusTooManyRequests, "wait"}
	}
	twice := func(ask question) question {
		return func(ctx context.Context, c *brokerclient.Client) error {
			if err := ask(ctx, c); err != nil {
				return err
			}
			return ask(ctx, c)
		}
	}
	one := func(w *world) { w.options = func(o *Options) { o.Burst = 1 } }
	return map[string]refusalCase{
		"a pod that asks too often":    tooMany(twice(askStageIn), one),
		"a person who asks too often":  tooMany(twice(askUpload), func(w *world) { w.person(); one(w) }),
		"a pod that waits too often":   tooMany(twice(askTrainer), func(w *world) { trainerEnds(w.pod, 0); one(w) }),
		"a pod whose namespace is out": tooMany(askBoth(askStageIn, askStageOut), one),
	}
}

func askBoth(a, b question) question {
	return func(ctx context.Context, c *brokerclient.Client) error {
		if err := a(ctx, c); err != nil {
			return err
		}
		return b(ctx, c)
	}
}

func allRefusals() map[string]refusalCase {
	all := map[string]refusalCase{}
	for _, group := range []map[string]refusalCase{podRefusals(), personRefusals(), internalRefusals(), limitRefusals(), resumeRefusals()} {
		for name, tc := range group {
			all[name] = tc
		}
	}
	return all
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range allRefusals() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld()
			if tc.change != nil {
				tc.change(w)
			}
			err := tc.ask(t.Context(), w.start(t))
			var got *brokerclient.ProblemError
			if !errors.As(err, &got) {
				t.Fatalf("error = %v, want a refusal", err)
			}
			if got.Problem.Reason != tc.reason || got.Problem.Status != tc.status {
				t.Errorf("got %d %s, want %d %s", got.Problem.Status, got.Problem.Reason, tc.status, tc.reason)
			}
			if !strings.Contains(got.Problem.Detail, tc.says) {
				t.Errorf("detail %q does not say %q", got.Problem.Detail, tc.says)
			}
			if strings.Contains(got.Problem.Detail, errBroken.Error()) {
				t.Errorf("detail %q tells what is inside", got.Problem.Detail)
			}
		})
	}
}

// TestEveryProblemIsProduced keeps the protocol and the broker together: a reason
// that no case gets from the broker is either dead or not tested.
func TestEveryProblemIsProduced(t *testing.T) {
	t.Parallel()
	produced := map[string]bool{}
	for _, tc := range allRefusals() {
		produced[tc.reason] = true
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../protocol.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Problem") {
			return true
		}
		found++
		reason, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil || !produced[reason] {
			t.Errorf("no case gets %s from the broker", spec.Names[0].Name)
		}
		return true
	})
	if found == 0 {
		t.Error("the protocol has no Problem constant; is it still in ../protocol.go?")
	}
}
