package components

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/site"
)

// probeTimeout bounds one look; a component that takes longer is not well.
const probeTimeout = 2 * time.Second

// health makes probes. It does not verify certificates: what it asks is told
// to anyone, and controller manager and scheduler make their own at start.
type health struct {
	client *http.Client
}

func newHealth(site.Site) *health {
	return &health{client: &http.Client{
		Timeout: probeTimeout,
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // G402: see the type's comment.
			DisableKeepAlives: true,
		},
	}}
}

func (h *health) get(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		response, err := h.client.Do(request)
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		defer func() { _ = response.Body.Close() }()
		if response.StatusCode == http.StatusOK {
			return nil
		}
		body, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
		return fmt.Errorf("probe %s: %s %s", url, response.Status, failedChecks(string(body)))
	}
}

func (*health) dial(socket string) func(context.Context) error {
	return func(ctx context.Context) error {
		dialer := net.Dialer{Timeout: probeTimeout}
		conn, err := dialer.DialContext(ctx, "unix", socket)
		if err != nil {
			return fmt.Errorf("probe: %w", err)
		}
		return conn.Close()
	}
}

// failedChecks keeps the failed lines of a Kubernetes health page.
func failedChecks(page string) string {
	var failed []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, "[-]") {
			failed = append(failed, strings.TrimSpace(line))
		}
	}
	return strings.Join(failed, "; ")
}
