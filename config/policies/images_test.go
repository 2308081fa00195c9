package policies_test

import (
	"context"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
)

const saysImage = "neither pinned by its digest"

// TestImages asks both judges, the policy and the rules that the webhook and the portal
// use, about the same images.
func TestImages(t *testing.T) {
	t.Parallel()
	l, free := newTenant(t), newLand(t, nil)
	digest := strings.Repeat("0123456789abcdef", 4)
	rule := validation.Images{Registries: []string{allowedRegistry}, Exactly: []string{stagerImage}}
	images := map[string]struct {
		image string
		runs  bool
	}{
		"a digest of any registry":                {"registry.evil/miner@sha256:" + digest, true},
		"a digest and a tag":                      {"registry.evil/miner:v1@sha256:" + digest, true},
		"a digest at Docker's own registry":       {"miner@sha256:" + digest, true},
		"a digest behind a port":                  {"localhost:5000/miner@sha256:" + digest, true},
		"a tag of an allowed registry":            {allowedImage, true},
		"no tag of an allowed registry":           {allowedRegistry + "trainer", true},
		"a folder of an allowed registry":         {allowedRegistry + "a/b-c/d_e/f.g:v1.2-rc_3", true},
		"a digest of an allowed registry":         {allowedRegistry + "trainer@sha256:" + digest, true},
		"the stager":                              {stagerImage, true},
		"another version of the stager":           {"registry.example/lethe/stager:v2", false},
		"more than the stager":                    {stagerImage + "2", false},
		"a tag of any registry":                   {"registry.evil/miner:v1", false},
		"no tag of Docker's own registry":         {"nginx", false},
		"a team that begins alike":                {"registry.example/team-evil/trainer:v1", false},
		"the allowed registry itself":             {"registry.example/team", false},
		"nothing in the allowed registry":         {allowedRegistry, false},
		"a host that begins alike":                {"registry.example.evil/team/trainer:v1", false},
		"another port":                            {"registry.example:8443/team/trainer:v1", false},
		"capitals in the host":                    {"Registry.Example/team/trainer:v1", false},
		"capitals in the path":                    {"registry.example/Team/trainer:v1", false},
		"capitals after the allowed part":         {allowedRegistry + "Trainer:v1", false},
		"a way up":                                {allowedRegistry + "../evil/trainer:v1", false},
		"a way up, encoded":                       {allowedRegistry + "%2e%2e/evil:v1", false},
		"two slashes":                             {allowedRegistry + "/trainer:v1", false},
		"a scheme":                                {"https://" + allowedRegistry + "trainer:v1", false},
		"somebody else's host before":             {"evil.example/" + allowedRegistry + "trainer:v1", false},
		"a user before the host":                  {"evil@" + allowedRegistry + "trainer:v1", false},
		"an image of the node by its id":          {"sha256:" + digest, false},
		"an image of the node by its bare id":     {digest, false},
		"a short digest":                          {"registry.evil/miner@sha256:" + digest[1:], false},
		"a long digest":                           {"registry.evil/miner@sha256:" + digest + "0", false},
		"a digest in capitals":                    {"registry.evil/miner@sha256:" + strings.ToUpper(digest), false},
		"a digest of another kind":                {"registry.evil/miner@md5:" + digest[:32], false},
		"two digests":                             {"registry.evil/miner@sha256:" + digest + "@sha256:" + digest, false},
		"a digest that is only a tag":             {"registry.evil/miner:sha256-" + digest, false},
		"a letter that looks like another":        {"registry.еxample/team/trainer:v1", false},
		"the other judge's separator":             {allowedRegistry + "trainer:v1\\n", false},
		"an allowed name as a tag of a bad one":   {"registry.evil/miner:registry.example.team", false},
		"an allowed name after a digest sign":     {"registry.evil/miner@" + allowedRegistry + "x", false},
		"a very long name, 500 letters of it all": {allowedRegistry + strings.Repeat("a", 478), true},
	}
	for name, c := range images {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := rule.Allows(c.image); got != c.runs {
				t.Errorf("the rule says %v of %q, want %v", got, c.image, c.runs)
			}
			of := run(l.namespace, "asked", c.image)
			check(t, l.as(tenant).Create(t.Context(), of, client.DryRunAll), c.runs)
			p := pod(l.namespace, "asked")
			p.Spec.Containers[0].Image = c.image
			check(t, l.as(jobController).Create(t.Context(), p, client.DryRunAll), c.runs)
			hidden := pod(l.namespace, "asked")
			hidden.Spec.InitContainers[0].Image = c.image
			check(t, l.as(jobController).Create(t.Context(), hidden, client.DryRunAll), c.runs)
			allowed(t, free.as(tenant).Create(t.Context(), run(free.namespace, "asked", c.image), client.DryRunAll))
		})
	}
}

func check(t *testing.T, err error, runs bool) {
	t.Helper()
	if runs {
		allowed(t, err)
	} else {
		refused(t, err, "lethe-images", saysImage)
	}
}

// TestImagesOfPodsThatAreThere asks as somebody whom the other policies let through.
func TestImagesOfPodsThatAreThere(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	p := pod(l.namespace, "digits-1-x")
	l.must(l.as(jobController).Create(t.Context(), p))
	swapped := p.DeepCopy()
	swapped.Spec.Containers[0].Image = "registry.evil/miner:v1"
	refused(t, l.as(staff).Patch(t.Context(), swapped, client.MergeFrom(p), client.DryRunAll), "lethe-images", "registry.evil/miner:v1")
	kube, err := kubernetes.NewForConfig(l.configOf(staff))
	l.must(err)
	spied := func(image string) error {
		more := p.DeepCopy()
		spy := corev1.EphemeralContainer{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
			Name: "spy", Image: image, SecurityContext: p.Spec.Containers[0].SecurityContext, TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		}}
		more.Spec.EphemeralContainers = append(more.Spec.EphemeralContainers, spy)
		_, err := kube.CoreV1().Pods(l.namespace).UpdateEphemeralContainers(t.Context(), p.Name, more, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		return err
	}
	refused(t, spied("registry.evil/shell:v1"), "lethe-images", "registry.evil/shell:v1")
	allowed(t, spied(allowedRegistry+"shell:v1"))
}

// TestImagesOfARunDoNotChange also tries to apply a run that is not there.
func TestImagesOfARunDoNotChange(t *testing.T) {
	t.Parallel()
	l := newTenant(t)
	of := run(l.namespace, "digits-1", allowedImage)
	l.must(l.as(tenant).Create(t.Context(), of))
	after := of.DeepCopy()
	after.Spec.Trainer.Image = "registry.evil/miner:v1"
	if err := l.as(tenant).Patch(t.Context(), after, client.MergeFrom(of)); err == nil {
		t.Error("a run got another image")
	}
	applied := run(l.namespace, "applied", "registry.evil/miner:v1")
	applied.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("TrainingRun"))
	//nolint:staticcheck // a client that applies objects is what is tried here
	err := l.as(tenant).Patch(t.Context(), applied, client.Apply, client.FieldOwner("mallory"), client.ForceOwnership)
	refused(t, err, "lethe-images", saysImage)
}

// TestImagesBeforeTheOperatorHasSpoken binds the policy once more, to settings of its own.
func TestImagesBeforeTheOperatorHasSpoken(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		settings *corev1.ConfigMap
		// says is what a tag of an allowed registry is refused with, and digest whether a
		// digest is taken.
		says   string
		digest bool
	}{
		"an empty ConfigMap": {settings: &corev1.ConfigMap{}, says: saysImage, digest: true},
		"nonsense in it":     {settings: &corev1.ConfigMap{Data: map[string]string{"registries": "registry.example/team\n\n", "images": "\n"}}, says: saysImage, digest: true},
		"no ConfigMap":       {says: "no params found"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newTenant(t)
			if c.settings != nil {
				c.settings.Namespace, c.settings.Name = systemNamespace, l.namespace
				l.must(l.cluster.Client.Create(t.Context(), c.settings))
			}
			l.must(l.cluster.Client.Create(t.Context(), &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
				ObjectMeta: metav1.ObjectMeta{Name: "images-of-" + l.namespace},
				Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
					PolicyName: "lethe-images", ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
					ParamRef: &admissionregistrationv1.ParamRef{
						Name: l.namespace, Namespace: systemNamespace, ParameterNotFoundAction: ptr.To(admissionregistrationv1.DenyAction),
					},
					MatchResources: &admissionregistrationv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{
						MatchLabels: map[string]string{corev1.LabelMetadataName: l.namespace},
					}},
				},
			}))
			ask := func(image string) error {
				return l.as(tenant).Create(t.Context(), run(l.namespace, "asked", image), client.DryRunAll)
			}
			var last error
			if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(context.Context) (bool, error) {
				last = ask(allowedImage)
				return last != nil && strings.Contains(last.Error(), c.says), nil
			}); err != nil {
				t.Fatalf("a tag: %v", last)
			}
			if err := ask(pinned); (err == nil) != c.digest {
				t.Errorf("a digest: %v, want that it is taken: %v", err, c.digest)
			}
		})
	}
}
