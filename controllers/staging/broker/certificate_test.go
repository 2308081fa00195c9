package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const system = "lethe-system"

func today() time.Time { return time.Date(2026, 9, 1, 12, 0, 0, 0, time.UTC) }

func newCAForTest(t *testing.T) (CA, client.Client) {
	t.Helper()
	c := fake.NewClientBuilder().WithScheme(testScheme(t)).Build()
	ca, err := EnsureCA(t.Context(), c, system, today(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ca, c
}

func TestEnsureCAMakesOneAndKeepsIt(t *testing.T) {
	t.Parallel()
	first, c := newCAForTest(t)
	second, err := EnsureCA(t.Context(), c, system, today().Add(time.Hour), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first.Bundle()), string(second.Bundle())); diff != "" {
		t.Errorf("CA changed:\n%s", diff)
	}
	var secret corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: system, Name: CASecret}, &secret); err != nil {
		t.Fatal(err)
	}
	if secret.Type != corev1.SecretTypeTLS || secret.Immutable == nil || !*secret.Immutable {
		t.Errorf("Secret has type %s and can be changed: %v", secret.Type, secret.Immutable)
	}
	if got := first.certificate; !got.IsCA || !got.MaxPathLenZero || got.NotAfter.Sub(today()) != caLife {
		t.Errorf("certificate is a CA: %v, without CAs below: %v, until %v", got.IsCA, got.MaxPathLenZero, got.NotAfter)
	}
}

func TestEnsureCATakesTheCAOfTheReplicaThatWasFirst(t *testing.T) {
	t.Parallel()
	winner, other := newCAForTest(t)
	missed := false
	c := interceptor.NewClient(other.(client.WithWatch), interceptor.Funcs{Get: func(
		ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, o ...client.GetOption,
	) error {
		if !missed {
			missed = true
			return c.Get(ctx, client.ObjectKey{Namespace: system, Name: "not-there-yet"}, object, o...)
		}
		return c.Get(ctx, key, object, o...)
	}})
	got, err := EnsureCA(t.Context(), c, system, today(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if !missed || !bytes.Equal(winner.Bundle(), got.Bundle()) {
		t.Error("two replicas have two CAs")
	}
}

func TestEnsureCADoesNotUseWhatIsWrong(t *testing.T) {
	t.Parallel()
	ca, c := newCAForTest(t)
	leaf, err := NewCertificates(ca, []string{"broker"}, clocktesting.NewFakePassiveClock(today()), rand.Reader).Get(nil)
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := x509.MarshalPKCS8PrivateKey(leaf.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	var good corev1.Secret
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: system, Name: CASecret}, &good); err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		change func(*corev1.Secret)
		now    time.Time
		says   string
	}{
		"an empty Secret":       {func(s *corev1.Secret) { s.Data = nil }, today(), "does not hold"},
		"a key that is missing": {func(s *corev1.Secret) { delete(s.Data, corev1.TLSPrivateKeyKey) }, today(), "does not hold"},
		"a certificate that is no CA's": {func(s *corev1.Secret) {
			s.Data[corev1.TLSCertKey] = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf.Leaf.Raw})
			s.Data[corev1.TLSPrivateKeyKey] = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: leafKey})
		}, today(), "not a CA's"},
		"a CA that has expired": {func(*corev1.Secret) {}, today().Add(caLife + time.Hour), "expired"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			secret := good.DeepCopy()
			tc.change(secret)
			_, err := parseCA(secret, tc.now)
			if err == nil || !strings.Contains(err.Error(), tc.says) || !strings.Contains(err.Error(), "delete it") {
				t.Errorf("error = %v, want %q and what to do", err, tc.says)
			}
		})
	}
}

func TestEnsureCAReportsWhatItCanNotDo(t *testing.T) {
	t.Parallel()
	base := func() client.WithWatch { return fake.NewClientBuilder().WithScheme(testScheme(t)).Build() }
	cases := map[string]interceptor.Funcs{
		"it can not be read": {Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
			return errBroken
		}},
		"it can not be written": {Create: func(context.Context, client.WithWatch, client.Object, ...client.CreateOption) error {
			return errBroken
		}},
	}
	for name, funcs := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := EnsureCA(t.Context(), interceptor.NewClient(base(), funcs), system, today(), rand.Reader); err == nil {
				t.Error("want an error")
			}
		})
	}
	if _, err := EnsureCA(t.Context(), base(), system, today(), bytes.NewReader(nil)); err == nil {
		t.Error("a CA without randomness was made")
	}
}

func TestCertificatesAreGoodForTheirNamesOnly(t *testing.T) {
	t.Parallel()
	ca, _ := newCAForTest(t)
	names := []string{"lethe-broker.lethe-system.svc", "10.0.0.7"}
	got, err := NewCertificates(ca, names, clocktesting.NewFakePassiveClock(today()), rand.Reader).Get(nil)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.Bundle())
	verify := func(name string, at time.Time) error {
		_, err := got.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, CurrentTime: at})
		return err
	}
	for _, name := range names {
		if err := verify(name, today()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if verify("other.lethe-system.svc", today()) == nil {
		t.Error("good for another name")
	}
	if verify(names[0], today().Add(leafLife+time.Minute)) == nil {
		t.Error("good after its end")
	}
	if err := verify(names[0], today().Add(-skew/2)); err != nil {
		t.Errorf("not good for a clock that is behind: %v", err)
	}
}

func TestCertificatesAreRenewedAtHalfOfTheirLife(t *testing.T) {
	t.Parallel()
	ca, _ := newCAForTest(t)
	clk := clocktesting.NewFakePassiveClock(today())
	c := NewCertificates(ca, []string{"broker"}, clk, rand.Reader)
	serial := func() string {
		t.Helper()
		got, err := c.Get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return got.Leaf.SerialNumber.String()
	}
	first := serial()
	clk.SetTime(today().Add(leafLife/2 - time.Second))
	if serial() != first {
		t.Error("renewed too early")
	}
	clk.SetTime(today().Add(leafLife / 2))
	c.random = bytes.NewReader(nil)
	if serial() != first {
		t.Error("the old one does not go on when it can not be renewed")
	}
	clk.SetTime(today().Add(leafLife + time.Second))
	if _, err := c.Get(nil); err == nil {
		t.Error("goes on after its end")
	}
	c.random = rand.Reader
	if serial() == first {
		t.Error("not renewed")
	}
	clk.SetTime(today().Add(caLife - time.Hour))
	if got, err := c.Get(nil); err != nil || got.Leaf.NotAfter.After(ca.certificate.NotAfter) {
		t.Errorf("outlives its CA, or %v", err)
	}
}

func TestDeriveIsTheSameForEveryReplica(t *testing.T) {
	t.Parallel()
	first, c := newCAForTest(t)
	other, _ := newCAForTest(t)
	again, err := EnsureCA(t.Context(), c, system, today(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	derive := func(ca CA, purpose string) string {
		secret, err := ca.Derive(purpose)
		if err != nil {
			t.Fatal(err)
		}
		return secret
	}
	here := derive(first, "path")
	if got := derive(again, "path"); got != here || len(here) != 32 {
		t.Errorf("two replicas derive %q and %q", here, got)
	}
	if here == derive(first, "another") || here == derive(other, "path") {
		t.Error("another purpose, or another CA, derives the same")
	}
}
