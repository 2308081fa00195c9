package system_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	nodev1 "k8s.io/api/node/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// The attacks of somebody who has a tenant's kubeconfig. What he tries is in
// attack_attempts_test.go; from inside his trainer: attack_pod_test.go.

const brokerURL = "https://10.77.0.1:30443"

// newTenant is a tenant's namespace that may have so many GPUs, made as an administrator
// makes one, with what was there before it became a tenant.
func newTenant(t *testing.T, gpus int, before ...client.Object) (ns string) {
	t.Helper()
	return newTenantOf(t, "", gpus, before...)
}

// newTenantOf is a tenant of a tier; "": of the default one.
func newTenantOf(t *testing.T, tier string, gpus int, before ...client.Object) (ns string) {
	t.Helper()
	ns = newNamespace(t)
	for _, o := range before {
		o.SetNamespace(ns)
		create(t, o)
	}
	setNamespace(t, ns, fmt.Sprintf(
		`{"metadata":{"labels":{"lethe.dev/tenant":"t-%s"},"annotations":{"lethe.dev/gpu-allowance":"%d","lethe.dev/tier":%q}}}`, ns, gpus, tier))
	eventually(t, ns+" to be a tenant", func(ctx context.Context) (bool, string, error) {
		var namespace corev1.Namespace
		err := lab.kube.Get(ctx, client.ObjectKey{Name: ns}, &namespace)
		_, ready := namespace.Annotations[v1alpha1.AnnotationRuntimeClass]
		return err == nil && ready, fmt.Sprintf("%+v", namespace.Status.Conditions), err
	})
	return ns
}

func setNamespace(t *testing.T, ns, patch string) {
	t.Helper()
	kubectl(t, "patch", "namespace", ns, "--type=merge", "-p", patch)
}

// bind gives an account roles in its own namespace.
func bind(t *testing.T, ns, account string, roles ...string) {
	t.Helper()
	create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: account}})
	for _, role := range roles {
		create(t, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: account + "-" + role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: account}},
		})
	}
}

// accountToken is a token of an account, for an audience ("": the API server) and, if it has a
// name, bound to a Pod.
func accountToken(t *testing.T, ns, account, audience, pod string) string {
	t.Helper()
	ask := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To[int64](3600)}}
	if audience != "" {
		ask.Spec.Audiences = []string{audience}
	}
	if pod != "" {
		ask.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod}
	}
	got, err := lab.core.CoreV1().ServiceAccounts(ns).CreateToken(t.Context(), account, ask, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return got.Status.Token
}

// attacker is somebody with a token of the cluster.
type attacker struct {
	host string
	http *http.Client
}

func newAttacker(t *testing.T, token, impersonate string) attacker {
	t.Helper()
	admin, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := rest.AnonymousClientConfig(admin)
	cfg.BearerToken = token
	cfg.Impersonate.UserName = impersonate
	c, err := rest.HTTPClientFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return attacker{host: cfg.Host, http: c}
}

// refusal is an answer that is not what was asked for.
type refusal struct {
	code int
	text string
}

// Error is the answer.
func (r refusal) Error() string { return fmt.Sprintf("%d: %s", r.code, r.text) }

// contentTypes by verb: those that are no methods of HTTP are kinds of PATCH.
var contentTypes = map[string]string{
	"MERGE": "application/merge-patch+json", "STRATEGIC": "application/strategic-merge-patch+json",
	"JSON": "application/json-patch+json", "APPLY": "application/apply-patch+yaml",
}

// ask asks the API server. The error is its refusal.
func (a attacker) ask(ctx context.Context, verb, path, body string) error {
	method, contentType := verb, "application/yaml"
	if patch, is := contentTypes[verb]; is {
		method, contentType = http.MethodPatch, patch
	}
	return send(ctx, a.http, method, a.host+path, body, http.Header{"Content-Type": {contentType}})
}

func send(ctx context.Context, c *http.Client, method, url, body string, header http.Header) error {
	_, err := fetch(ctx, c, method, url, body, header)
	return err
}

// fetch gives the answer. The error is a refusal, or says that the test is wrong.
func fetch(ctx context.Context, c *http.Client, method, url, body string, header http.Header) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	req.Header = header
	res, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // read to its end below
	text, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("test: %w", err)
	}
	if res.StatusCode < http.StatusBadRequest {
		return text, nil
	}
	// The API server gives a Status, the broker a Problem.
	var said struct{ Message, Reason, Detail string }
	if err := json.Unmarshal(text, &said); err != nil || said.Message+said.Detail == "" {
		return nil, refusal{res.StatusCode, string(bytes.TrimSpace(text))}
	}
	return nil, refusal{res.StatusCode, said.Reason + ": " + said.Message + said.Detail}
}

// askBroker asks the broker, as everybody can who reaches it.
func askBroker(ctx context.Context, path, token, body string) error {
	_, err := fromBroker(ctx, path, token, body)
	return err
}

func fromBroker(ctx context.Context, path, token, body string) ([]byte, error) {
	c := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // an attacker has nothing to lose
	}}
	header := http.Header{"Content-Type": {"application/json"}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	return fetch(ctx, c, http.MethodPost, brokerURL+path, body, header)
}

// assertRefused wants a refusal that says one of these: of several policies that refuse,
// the API server names one, in no order.
func assertRefused(t *testing.T, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("it was not refused")
		return
	}
	text := err.Error()
	if strings.HasPrefix(text, "test: ") || !slices.ContainsFunc(says, func(one string) bool { return strings.Contains(text, one) }) {
		t.Errorf("it says %q, want %q in it", text, says)
	}
}

// forged is a token that nobody signed, for a Pod that is there.
func forged(ns, pod, uid string) string {
	part := func(v any) string {
		text, err := json.Marshal(v)
		if err != nil {
			panic(err) // maps of strings can be marshalled
		}
		return base64.RawURLEncoding.EncodeToString(text)
	}
	return part(map[string]string{"alg": "none", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "https://kubernetes.default.svc.cluster.local", "aud": []string{staging.Audience}, "exp": 4102444800,
		"sub":           "system:serviceaccount:" + ns + ":default",
		"kubernetes.io": map[string]any{"namespace": ns, "pod": map[string]string{"name": pod, "uid": uid}},
	}) + "."
}

// land is where the attacks happen: the attacker's tenant a, and the other's, b.
type land struct {
	a, b string
	pod  corev1.Pod
	// weak is a RuntimeClass that is there, and not the tier's.
	weak   string
	theirs v1alpha1.TrainingRun
	secret v1alpha1.DatasetRetention
	// attackers by what they may do: "user" has the roles lethe-user and edit in a, "owner"
	// has everything that a RoleBinding there can give, "operator" is the user who says
	// that he were the operator.
	attackers map[string]attacker
	// names stand for what is only known here.
	names *strings.Replacer
}

func newLand(t *testing.T) *land {
	t.Helper()
	if err := loadUnruly(); err != nil {
		t.Fatal(err)
	}
	l := &land{a: newTenant(t, 2, oldDeployment()), b: newTenant(t, 2)}
	upload(t, l.a, "digits")
	l.secret = upload(t, l.b, "secret")
	create(t, unruly(l.b, "theirs", 5, nil, func(r *v1alpha1.TrainingRun) { r.Spec.DatasetRef.Name = "secret" }))
	create(t, unruly(l.a, "mine", 100_000, nil, func(r *v1alpha1.TrainingRun) {
		r.Spec.Limits.MaxGPUSeconds, r.Spec.Limits.MaxDuration = ptr.To[int64](1000), span(time.Hour)
	}))
	waitRun(t, l.a, "mine", v1alpha1.RunRunning)
	l.theirs = waitRun(t, l.b, "theirs", v1alpha1.RunSucceeded)
	pods := podsOf(t, l.a, "mine")
	if len(pods) != 1 {
		t.Fatalf("the run has %d Pods, want 1", len(pods))
	}
	l.pod, l.weak = pods[0], weakRuntime(t, l.a)
	bind(t, l.a, "mallory", "lethe-user", "edit")
	bind(t, l.a, "owner", "cluster-admin")
	user := accountToken(t, l.a, "mallory", "", "")
	l.attackers = map[string]attacker{
		"user":     newAttacker(t, user, ""),
		"owner":    newAttacker(t, accountToken(t, l.a, "owner", "", ""), ""),
		"operator": newAttacker(t, user, v1alpha1.OperatorUser),
	}
	l.names = strings.NewReplacer("{a}", l.a, "{b}", l.b, "{pod}", l.pod.Name, "{job}", l.pod.OwnerReferences[0].Name,
		"{operator-pod}", operatorPod(t), "{weak}", l.weak, "{secret-uid}", string(l.secret.UID))
	return l
}

func operatorPod(t *testing.T) string {
	t.Helper()
	var pods corev1.PodList
	if err := lab.kube.List(t.Context(), &pods, client.InNamespace(operatorNamespace), client.MatchingLabels{"app.kubernetes.io/name": "lethe-manager"}); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) == 0 {
		t.Fatal("the operator has no Pod")
	}
	return pods.Items[0].Name
}

// weakRuntime makes a RuntimeClass beside those of the tiers.
func weakRuntime(t *testing.T, ns string) (name string) {
	t.Helper()
	class := &nodev1.RuntimeClass{ObjectMeta: metav1.ObjectMeta{Name: "weak-" + ns}, Handler: "runc"}
	create(t, class)
	t.Cleanup(func() {
		if err := lab.kube.Delete(context.Background(), class); err != nil {
			t.Errorf("delete a RuntimeClass: %v", err)
		}
	})
	return class.Name
}

// oldDeployment is from before the namespace was a tenant.
func oldDeployment() client.Object {
	return deployment("old", 0)
}

// bounds are what holds a tenant, as they are now.
type bounds struct {
	Labels, Annotations map[string]string
	Quota               corev1.ResourceList
	Limits              []corev1.LimitRangeItem
	Policies            map[string]networkingv1.NetworkPolicySpec
}

func boundsOf(t *testing.T, ns string) bounds {
	t.Helper()
	var namespace corev1.Namespace
	var quota corev1.ResourceQuota
	var limits corev1.LimitRange
	var policies networkingv1.NetworkPolicyList
	ours := client.ObjectKey{Namespace: ns, Name: "lethe"}
	for _, err := range []error{
		lab.kube.Get(t.Context(), client.ObjectKey{Name: ns}, &namespace),
		lab.kube.Get(t.Context(), ours, &quota), lab.kube.Get(t.Context(), ours, &limits),
		lab.kube.List(t.Context(), &policies, client.InNamespace(ns)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b := bounds{namespace.Labels, namespace.Annotations, quota.Spec.Hard, limits.Spec.Limits, map[string]networkingv1.NetworkPolicySpec{}}
	for _, p := range policies.Items {
		b.Policies[p.Name] = p.Spec
	}
	return b
}

// TestAttackWithTenantsKubeconfig tries everything once, in real and not as a dry run. In
// the end all is as it was.
//
//nolint:tparallel // what is looked at in the end is what all attempts left
func TestAttackWithTenantsKubeconfig(t *testing.T) {
	t.Parallel()
	l := newLand(t)
	before := boundsOf(t, l.a)
	refused := 0
	for _, name := range slices.Sorted(maps.Keys(attempts)) {
		try := attempts[name]
		t.Run(name, func(t *testing.T) {
			who, there := l.attackers[try.as]
			if !there {
				t.Fatalf("nobody is %q", try.as)
			}
			err := who.ask(t.Context(), try.verb, l.names.Replace(try.path), l.names.Replace(try.body))
			says := []string{l.names.Replace(try.says)}
			if strings.HasPrefix(name, "pod: ") {
				says = append(says, byOperator) // no Pod of a tenant's own would be taken
			}
			assertRefused(t, err, says...)
		})
	}
	for _, tries := range []map[string]struct {
		try  func(*testing.T) error
		says string
	}{brokerAttempts(t, l), patientAttempts(l)} {
		refused += len(tries)
		for _, name := range slices.Sorted(maps.Keys(tries)) {
			t.Run(name, func(t *testing.T) { assertRefused(t, tries[name].try(t), tries[name].says) })
		}
	}
	t.Logf("%d attempts", refused+len(attempts))
	if diff := cmp.Diff(before, boundsOf(t, l.a)); diff != "" {
		t.Errorf("the tenant's bounds have changed:\n%s", diff)
	}
	waitRun(t, l.a, "mine", v1alpha1.RunRunning)
	pods := podsOf(t, l.a, "mine")
	if len(pods) != 1 || pods[0].UID != l.pod.UID || len(pods[0].Spec.EphemeralContainers) > 0 {
		t.Errorf("the run's Pods are not what they were: %+v", pods)
	}
	if got := dataset(t, l.b, "secret"); !got.DeletionTimestamp.IsZero() || got.Generation != l.secret.Generation {
		t.Errorf("the other tenant's dataset was touched: %+v", got)
	}
}

// brokerAttempts ask the broker for credentials of the store.
func brokerAttempts(t *testing.T, l *land) map[string]struct {
	try  func(*testing.T) error
	says string
} {
	t.Helper()
	ask := func(path, token, body string) func(*testing.T) error {
		return func(t *testing.T) error {
			t.Helper()
			return askBroker(t.Context(), path, token, l.names.Replace(body))
		}
	}
	const stage, theirs, run = `{"step":"stage-in"}`, `{"namespace":"{b}","name":"secret"}`, `{"namespace":"{b}","name":"theirs"}`
	user, right := accountToken(t, l.a, "mallory", "", ""), accountToken(t, l.a, "mallory", staging.Audience, "")
	wrong := accountToken(t, l.a, "default", "sts.min.io", l.pod.Name)
	api := accountToken(t, l.a, "default", "", l.pod.Name)
	// A Pod that an administrator made, and that is no run's.
	stray := plainPod(l.a, "stray")
	create(t, stray)
	other := accountToken(t, l.a, "default", staging.Audience, stray.Name)
	noAccess := "ask who administers it"
	return map[string]struct {
		try  func(*testing.T) error
		says string
	}{
		"broker: no token":                                        {ask(staging.PathStage, "", stage), "send a token"},
		"broker: a token that is none":                            {ask(staging.PathStage, "x", stage), "not valid for the audience"},
		"broker: a token that nobody signed":                      {ask(staging.PathStage, forged(l.a, l.pod.Name, string(l.pod.UID)), stage), "not valid for the audience"},
		"broker: a token for the API server":                      {ask(staging.PathStage, user, stage), "not valid for the audience"},
		"broker: a Pod's token for the API server":                {ask(staging.PathStage, api, stage), "not valid for the audience"},
		"broker: a Pod's token for the store":                     {ask(staging.PathStage, wrong, stage), "not valid for the audience"},
		"broker: a token that is no Pod's":                        {ask(staging.PathStage, right, stage), "not bound to a pod"},
		"broker: the token of a Pod that is no run's":             {ask(staging.PathStage, other, stage), "Forbidden"},
		"broker: the log of a run, with the token of another Pod": {ask(staging.PathLog, other, `{}`), "Forbidden"},
		"broker: a checkpoint, with the token of another Pod": {
			ask(staging.PathCheckpoint, other, `{"id":"0001-000001","digest":"sha256:00","step":1,"objects":1,"bytes":1}`), "Forbidden",
		},
		"broker: upload into another tenant's dataset":               {ask(staging.PathUpload, right, theirs), noAccess},
		"broker: upload into another tenant's dataset, API token":    {ask(staging.PathUpload, user, theirs), noAccess},
		"broker: upload into a dataset by a path":                    {ask(staging.PathUpload, right, `{"namespace":"{a}","name":"../{b}/secret"}`), "Malformed"},
		"broker: upload into a dataset by its UID":                   {ask(staging.PathUpload, right, `{"namespace":"{a}","name":"{secret-uid}"}`), "no such dataset"},
		"broker: upload into a dataset that is sealed":               {ask(staging.PathUpload, right, `{"namespace":"{a}","name":"digits"}`), "sealed"},
		"broker: another tenant's artifacts":                         {ask(staging.PathArtifacts, right, run), noAccess},
		"broker: artifacts of a run that is not there, of another":   {ask(staging.PathArtifacts, right, `{"namespace":"{b}","name":"guess"}`), noAccess},
		"broker: artifacts, with a run's Pod as the one who asks":    {ask(staging.PathArtifacts, other, `{"namespace":"{a}","name":"mine"}`), noAccess},
		"broker: a path that is not there, with somebody's passwd":   {ask("/v1/../../etc/passwd", right, `{}`), "no such path"},
		"broker: a request that says more than one can say, further": {ask(staging.PathUpload, right, `{"namespace":"{a}","name":"digits","prefix":"{b}/"}`), "Malformed"},
	}
}

// slip is a Pod that an administrator makes in a tenant's namespace, whom nothing else
// stops.
func slip(l *land, change func(*corev1.PodSpec)) func(*testing.T) error {
	return func(t *testing.T) error {
		t.Helper()
		p := plainPod(l.a, "slip")
		change(&p.Spec)
		return lab.kube.Create(t.Context(), p, client.DryRunAll)
	}
}

// patientAttempts are taken by the API server, and come to nothing: what the attacker
// wants is not his, so that in his own namespace it is not there.
func patientAttempts(l *land) map[string]struct {
	try  func(*testing.T) error
	says string
} {
	user := l.attackers["user"]
	// comes makes a run, and gives what becomes of it.
	comes := func(name, dataset, more string) func(*testing.T) error {
		return func(t *testing.T) error {
			t.Helper()
			if err := user.ask(t.Context(), http.MethodPost, l.names.Replace(runsIn("{a}")), l.names.Replace(runYAML(name, dataset, more))); err != nil {
				return err
			}
			var run v1alpha1.TrainingRun
			eventually(t, "the run "+name+" to say something", func(ctx context.Context) (bool, string, error) {
				err := lab.kube.Get(ctx, client.ObjectKey{Namespace: l.a, Name: name}, &run)
				return run.Status.Reason != "", outline(run.Status), err
			})
			if run.Status.State != v1alpha1.RunPending && run.Status.State != v1alpha1.RunFailed {
				return nil
			}
			return refusal{http.StatusOK, run.Status.Reason + ": " + run.Status.Message}
		}
	}
	return map[string]struct {
		try  func(*testing.T) error
		says string
	}{
		"data: another tenant's dataset by its name":        {comes("by-name", "secret", ""), v1alpha1.ReasonDatasetNotFound},
		"data: another tenant's dataset by its UID":         {comes("by-uid", "{secret-uid}", ""), v1alpha1.ReasonDatasetNotFound},
		"data: another tenant's dataset by its name in DNS": {comes("by-dns", "secret.{b}", ""), v1alpha1.ReasonDatasetNotFound},
		"data: resume from another tenant's run": {
			comes("resumes", "digits", "  checkpoint: {resume: From, from: {runName: theirs}}\n"), v1alpha1.ReasonCheckpointNotFound,
		},
		"runtime: another, by an administrator's slip": {slip(l, func(spec *corev1.PodSpec) { spec.RuntimeClassName = &l.weak }), "RuntimeClass of its tier"},
		"disk: an image to write into, by an administrator's slip": {
			slip(l, func(spec *corev1.PodSpec) { spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem = nil }), "do not write into their images",
		},
		"data: a dataset that has another's UID and place": {func(t *testing.T) error {
			t.Helper()
			at, err := json.Marshal(l.secret.Status)
			if err != nil {
				return err
			}
			body := fmt.Sprintf("{apiVersion: lethe.dev/v1alpha1, kind: DatasetRetention, metadata: {name: twin, uid: %s}, spec: {retention: {maxAge: 1h}}, status: %s}",
				l.secret.UID, at)
			if err := user.ask(t.Context(), http.MethodPost, l.names.Replace("/apis/lethe.dev/v1alpha1/namespaces/{a}/datasetretentions"), body); err != nil {
				return err
			}
			twin := waitDataset(t, l.a, "twin", "has a place", func(ds v1alpha1.DatasetRetention) bool { return ds.Status.Location != nil })
			if twin.UID == l.secret.UID || *twin.Status.Location == *l.secret.Status.Location || apimeta.IsStatusConditionTrue(twin.Status.Conditions, "Sealed") {
				return nil
			}
			return refusal{http.StatusOK, "it has a UID and a place of its own"}
		}, "of its own"},
	}
}
