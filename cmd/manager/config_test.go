package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseConfig(t *testing.T) {
	t.Parallel()
	required := []string{"--namespace=lethe-system", "--stager-image=stager:1"}
	tests := map[string]struct {
		args    []string
		env     map[string]string
		wantErr string
	}{
		"needs the namespace":                {args: []string{"--stager-image=s"}, wantErr: "--namespace is required"},
		"takes the namespace from the pod":   {args: []string{"--stager-image=s"}, env: map[string]string{"POD_NAMESPACE": "n"}},
		"needs the stager's image":           {args: []string{"--namespace=n"}, wantErr: "--stager-image is required"},
		"has defaults for all else":          {args: required},
		"refuses a plain broker URL":         {args: append(required, "--broker-url=http://broker"), wantErr: "--broker-url must be an https URL"},
		"refuses one bucket for two things":  {args: append(required, "--receipts-bucket=lethe-datasets"), wantErr: "bucket of their own"},
		"refuses the ledger among receipts":  {args: append(required, "--ledger-bucket=lethe-receipts"), wantErr: "bucket of their own"},
		"refuses to sweep without a grace":   {args: append(required, "--orphan-grace=0s"), wantErr: "--orphan-grace"},
		"refuses a breaker that is shut":     {args: append(required, "--sweep-breaker=0"), wantErr: "--sweep-breaker"},
		"refuses a negative rate":            {args: append(required, "--erase-rate=-1"), wantErr: "--erase-rate"},
		"refuses a life that STS can't give": {args: append(required, "--credential-life=1m"), wantErr: "at least 15m0s"},
		"refuses a grace without end":        {args: append(required, "--billing-grace=721h"), wantErr: "--billing-grace"},
		"refuses an empty network":           {args: append(required, "--tenant-egress-store-cidr=10.0.0.0/8,"), wantErr: "a network is empty"},
		"refuses an unknown log level":       {args: append(required, "--log-level=loud"), wantErr: `"loud"`},
		"refuses a registry without a host":  {args: append(required, "--allowed-registries=library"), wantErr: "registry.example.com/team"},
		"takes several registries":           {args: append(required, "--allowed-registries=ghcr.io/team, localhost:5000")},
		"refuses arguments":                  {args: append(required, "now"), wantErr: `unexpected argument "now"`},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := parseConfig(tc.args, func(k string) string { return tc.env[k] }, io.Discard)
			switch {
			case tc.wantErr == "" && err != nil:
				t.Fatalf("got %v, want no error", err)
			case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
				t.Fatalf("got %v, want an error with %q", err, tc.wantErr)
			}
		})
	}
}

func TestBrokerHosts(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		pods, people string
		want         []string
	}{
		"one URL for both gives one host": {"https://broker.svc", "https://broker.svc", []string{"broker.svc"}},
		"two URLs give two hosts":         {"https://broker.svc:9443", "https://10.0.0.1:30443", []string{"broker.svc", "10.0.0.1"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config{brokerURL: tc.pods, brokerPublicURL: tc.people, credentialLife: time.Hour}
			if diff := cmp.Diff(tc.want, c.brokerHosts()); diff != "" {
				t.Errorf("hosts (-want +got):\n%s", diff)
			}
		})
	}
}
