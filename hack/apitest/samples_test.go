package apitest_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/hack/apitest"
)

// TestSamplesAreAccepted applies every sample as `kubectl apply` would: unknown
// fields are errors.
func TestSamplesAreAccepted(t *testing.T) {
	t.Parallel()
	cluster := apitest.Start(t)
	files, err := filepath.Glob("../../config/samples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	applied := 0
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		namespace := cluster.Namespace(t)
		documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
		for {
			var sample unstructured.Unstructured
			err := documents.Decode(&sample)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			sample.SetNamespace(namespace)
			options := &client.CreateOptions{Raw: &metav1.CreateOptions{FieldValidation: metav1.FieldValidationStrict}}
			if err := cluster.Client.Create(t.Context(), &sample, options); err != nil {
				t.Errorf("%s: %v", file, err)
			}
			applied++
		}
	}
	if want := 5; applied != want {
		t.Errorf("applied %d samples, want the %d of config/samples", applied, want)
	}
}
