package certs

import (
	"encoding/base64"
	"fmt"
	"os"
	"strings"

	"github.com/lethe-dev/lethe/hack/lab/files"
)

const kubeconfigTemplate = `apiVersion: v1
kind: Config
clusters:
- name: lethe-lab
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: %[3]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
contexts:
- name: lethe-lab
  context: {cluster: lethe-lab, user: "%[3]s"}
current-context: lethe-lab
`

// WriteKubeconfig writes a kubeconfig for the client certificate of that name.
// It holds the credentials themselves, so it can be used from anywhere.
func (a *Authority) WriteKubeconfig(path, server, name string) error {
	var encoded [3]string
	for i, file := range []string{a.CertFile("ca"), a.CertFile(name), a.KeyFile(name)} {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read credentials of %s: %w", name, err)
		}
		encoded[i] = base64.StdEncoding.EncodeToString(data)
	}
	user := strings.ReplaceAll(name, ":", "-")
	content := fmt.Sprintf(kubeconfigTemplate, server, encoded[0], user, encoded[1], encoded[2])
	return files.WriteSecret(path, []byte(content))
}
