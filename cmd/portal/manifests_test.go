package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// TestTheManifestsSettingsAreOurs reads the settings of each overlay of config/ as "serve" does
// in the cluster: the file of the ConfigMap, and the variables of the Deployment.
func TestTheManifestsSettingsAreOurs(t *testing.T) {
	t.Parallel()
	const config = "../../config/"
	files, err := filepath.Glob(config + "overlays/*/portal.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("find settings: %v, %v", files, err)
	}
	var deployment appsv1.Deployment
	text, err := os.ReadFile(config + "portal/deployment.yaml")
	if err == nil {
		err = yaml.UnmarshalStrict(text, &deployment)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, config+"portal/portal.yaml") {
		var environ []string
		for _, v := range deployment.Spec.Template.Spec.Containers[0].Env {
			if v.Name == "LETHE_PORTAL_CONFIG" {
				v.Value = file
			}
			environ = append(environ, v.Name+"="+v.Value)
		}
		c := defaults()
		if _, err := apply(c.settings(), nil, environ, os.Stderr); err != nil {
			t.Errorf("%s: %v", file, err)
			continue
		}
		if err := c.validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if !strings.HasPrefix(c.opsListen, ":") || !strings.HasSuffix(c.opsListen, "9090") || !strings.HasSuffix(c.listen, "8443") {
			t.Errorf("%s: serves at %s and %s", file, c.listen, c.opsListen)
		}
	}
}
