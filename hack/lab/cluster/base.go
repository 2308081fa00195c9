package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"text/template"

	"github.com/lethe-dev/lethe/hack/lab/images"
	"github.com/lethe-dev/lethe/hack/lab/site"
)

//go:embed base.yaml
var baseTemplate string

// Corefile: the names of the cluster, and the machine's own name servers for
// the rest where it has any.
const (
	corefileHead = `.:1053 {
    errors
    health :8080 {
        lameduck 1s
    }
    ready :8181
    kubernetes cluster.local in-addr.arpa {
        pods insecure
        ttl 5
    }
`
	corefileForward = "    forward . /etc/resolv.conf\n    cache 5\n"
)

// Base is what every lab's cluster holds before anything is deployed.
type Base struct {
	AccessKey, SecretKey           string
	AuditAccessKey, AuditSecretKey string
	// DNSStamp identifies the build of CoreDNS.
	DNSStamp string
}

// Apply puts the base into the cluster: CoreDNS, the operator's namespace and
// the Secret with its store credentials. Idempotent.
func (b Base) Apply(ctx context.Context, s site.Site) error {
	manifest, err := b.render(s)
	if err != nil {
		return err
	}
	_, err = Kubectl(ctx, s, manifest, "apply", "--server-side", "--force-conflicts", "--field-manager=lethe-lab", "-f", "-")
	return err
}

func (b Base) render(s site.Site) (string, error) {
	ca, err := os.ReadFile(s.CA())
	if err != nil {
		return "", fmt.Errorf("read authority: %w", err)
	}
	resolv, err := os.ReadFile(s.Path("etc", "resolv.conf"))
	if err != nil {
		return "", fmt.Errorf("read name servers: %w", err)
	}
	corefile := corefileHead
	if strings.Contains(string(resolv), "nameserver") {
		corefile += corefileForward
	}
	corefile += "}\n"
	revision := sha256.Sum256([]byte(b.DNSStamp + corefile))
	var out bytes.Buffer
	err = template.Must(template.New("base").Parse(baseTemplate)).Execute(&out, map[string]string{
		"Namespace": site.Namespace, "Endpoint": site.StoreURL,
		"AccessKey": b.AccessKey, "SecretKey": b.SecretKey,
		"AuditAccessKey": b.AuditAccessKey, "AuditSecretKey": b.AuditSecretKey,
		"CA":       base64.StdEncoding.EncodeToString(ca),
		"Corefile": indent(corefile), "DNSIP": site.DNSIP, "DNSImage": images.CoreDNS,
		"Revision": hex.EncodeToString(revision[:8]),
	})
	if err != nil {
		return "", fmt.Errorf("render base: %w", err)
	}
	return out.String(), nil
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n    ")
}
