package overlays_test

import "testing"

// TestDefinitionsCanBeLeftOut by their label, of every overlay, and nothing else goes with
// them: so an older operator comes back without its older definitions (config/README.md).
func TestDefinitionsCanBeLeftOut(t *testing.T) {
	t.Parallel()
	for _, folder := range folders(t) {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			for _, o := range build(t, folder) {
				definition := o.GetKind() == "CustomResourceDefinition"
				if labelled := o.GetLabels()["app.kubernetes.io/component"] == "definitions"; labelled != definition {
					t.Errorf("%s %s is left out: %t, want %t", o.GetKind(), o.GetName(), labelled, definition)
				}
			}
		})
	}
}
