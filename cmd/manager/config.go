package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/api/v1alpha1/validation"
	"github.com/lethe-dev/lethe/controllers/datasetretention"
	"github.com/lethe-dev/lethe/controllers/erasure/sweeper"
	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging/broker"
)

// config is everything that can be set from outside. A flag wins over its
// environment variable.
type config struct {
	// namespace that the operator itself runs in.
	namespace string
	// metricsAddress, healthAddress, brokerAddress and webhookAddress are listened on.
	metricsAddress string
	healthAddress  string
	brokerAddress  string
	webhookAddress string
	// brokerURL is how pods reach the broker, brokerPublicURL how people do.
	brokerURL       string
	brokerPublicURL string
	// stagerImage runs beside every trainer.
	stagerImage string
	// allowedRegistries are those whose images run in tenants' namespaces by any name,
	// each up to a slash.
	allowedRegistries []string
	// storeDir holds endpoint, accessKey, secretKey and ca.crt of the store, as a
	// mounted Secret does.
	storeDir string
	// region of the store.
	region string
	// plaintextStore allows an http:// endpoint of the store.
	plaintextStore bool
	// datasets, artifacts, receipts and ledger are the buckets.
	datasets, artifacts, receipts, ledger string
	// limits are the administrator's bounds on how long data stays.
	limits datasetretention.Limits
	// eraseRate is how many objects a second one erase removes at most; 0 for no limit.
	eraseRate float64
	// eraseFast allows MinIO's removal of a whole prefix by one request.
	eraseFast bool
	// sweep is how the sweeper looks for data without its object.
	sweep sweepConfig
	// credentialLife is how long brokered credentials of the store live.
	credentialLife time.Duration
	// billingGrace is how long runs go on whose tenant does not pay.
	billingGrace time.Duration
	tenants      tenantsConfig
	leaderElect  bool
	// logLevel is debug, info or error.
	logLevel string
}

// sweepConfig is how the sweeper works.
type sweepConfig struct {
	interval, grace time.Duration
	breaker         int
	dryRun          bool
	unrecorded      bool
}

func parseConfig(args []string, env func(string) string, out io.Writer) (config, error) {
	var c config
	flags := flag.NewFlagSet("manager", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.StringVar(&c.namespace, "namespace", env("POD_NAMESPACE"), "namespace of the operator (POD_NAMESPACE)")
	flags.StringVar(&c.metricsAddress, "metrics-bind-address", ":8443", "address of the metrics endpoint (HTTPS, authorised); 0 for none")
	flags.StringVar(&c.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz")
	flags.StringVar(&c.brokerAddress, "broker-bind-address", ":9443", "address of the broker (HTTPS)")
	flags.StringVar(&c.brokerURL, "broker-url", "https://lethe-broker.lethe-system.svc", "URL of the broker for pods")
	flags.StringVar(&c.brokerPublicURL, "broker-public-url", "", "URL of the broker for people; the one for pods if not set")
	flags.StringVar(&c.webhookAddress, "webhook-bind-address", ":9444", "address of the admission webhooks (HTTPS); 0 for none")
	flags.Func("allowed-registries", "registries whose images run in tenants' namespaces without a digest, with commas between them, each a host and perhaps a path (registry.example.com/team); none if not set", func(list string) (err error) {
		c.allowedRegistries, err = validation.ParseRegistries(list)
		return err
	})
	flags.StringVar(&c.stagerImage, "stager-image", "", "image of the stager (required)")
	flags.StringVar(&c.storeDir, "store-dir", "/etc/lethe/store", "folder with endpoint, accessKey, secretKey and ca.crt of the object store")
	flags.StringVar(&c.region, "store-region", "us-east-1", "region of the object store")
	flags.StringVar(&c.datasets, "datasets-bucket", "lethe-datasets", "bucket of the datasets")
	flags.StringVar(&c.artifacts, "artifacts-bucket", "lethe-artifacts", "bucket of the runs' artifacts")
	flags.StringVar(&c.receipts, "receipts-bucket", "lethe-receipts", "bucket of the erase receipts; should have object lock")
	flags.StringVar(&c.ledger, "ledger-bucket", "lethe-ledger", "bucket of the ledger: one small record for each dataset and run")
	flags.BoolVar(&c.plaintextStore, "insecure-store-without-tls", false, "take an http:// endpoint of the store: data and credentials then cross the network in the clear, and only datasets with encryption Bucket can be kept")
	flags.DurationVar(&c.limits.MaxAgeCeiling, "max-age-ceiling", 0, "the longest that a dataset may stay in all, whatever it asks for; 0 for the ten years of the API")
	flags.DurationVar(&c.limits.AfterTrainingCeiling, "after-training-ceiling", 0, "the longest that a dataset may stay after its last training, whatever it asks for; 0 for the ten years of the API")
	flags.DurationVar(&c.limits.MaxAgeFloor, "max-age-floor", 0, "the least time that a dataset stays, used or not, unless somebody deletes it")
	flags.DurationVar(&c.limits.AfterTrainingFloor, "after-training-floor", 0, "the least time that a dataset stays after its last training, unless somebody deletes it")
	flags.Float64Var(&c.eraseRate, "erase-rate", 0, "how many objects a second one erase removes at most; 0 for no limit")
	flags.BoolVar(&c.eraseFast, "erase-fast-path", true, "remove a dataset by one request where the store is MinIO and the bucket's settings allow it; what is left is verified either way")
	flags.DurationVar(&c.sweep.interval, "sweep-interval", time.Hour, "time between two walks of the store in search of data without its object; 0 for none")
	flags.DurationVar(&c.sweep.grace, "orphan-grace", 24*time.Hour, "how long data without its object is only reported, before it is erased")
	flags.IntVar(&c.sweep.breaker, "sweep-breaker", sweeper.DefaultBreakerMin, "how many datasets, or runs, without their object one sweep erases at most, or 1 % of those that are in order if that is more; with more of them it erases none and raises an alarm")
	flags.BoolVar(&c.sweep.unrecorded, "sweep-erase-unrecorded", false, "erase also data that the ledger does not know, after the grace; otherwise it is only reported, because a lost ledger would make all data such")
	flags.BoolVar(&c.sweep.dryRun, "sweep-dry-run", false, "report what the sweeper finds and erase nothing of it")
	flags.DurationVar(&c.credentialLife, "credential-life", broker.DefaultCredentialLife, "life of the store credentials that the broker gives out; twice the outage of the operator that running uploads should survive")
	flags.DurationVar(&c.billingGrace, "billing-grace", 24*time.Hour, "how long runs go on after their tenant's billing was suspended, before they are stopped at a checkpoint; publish it")
	flags.StringVar(&c.tenants.file, "tenant-config", "", "file with the tiers of tenants, their amounts and their network; the defaults if not set")
	flags.Var(&c.tenants.storeCIDRs, "tenant-egress-store-cidr", "network where tenants' pods find the object store, or several with commas; needed, here or in --tenant-config, where the store's endpoint is a host name")
	flags.BoolVar(&c.leaderElect, "leader-elect", false, "reconcile in one replica at a time")
	flags.StringVar(&c.logLevel, "log-level", "info", "debug, info or error")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unexpected argument %q; all settings are flags", flags.Arg(0))
	}
	if c.brokerPublicURL == "" {
		c.brokerPublicURL = c.brokerURL
	}
	return c, c.validate()
}

func (c config) validate() error {
	var errs []error
	for _, required := range []struct{ flag, value string }{
		{"namespace", c.namespace},
		{"stager-image", c.stagerImage},
		{"store-dir", c.storeDir},
		{"datasets-bucket", c.datasets},
		{"artifacts-bucket", c.artifacts},
		{"receipts-bucket", c.receipts},
		{"ledger-bucket", c.ledger},
	} {
		if required.value == "" {
			errs = append(errs, fmt.Errorf("--%s is required", required.flag))
		}
	}
	buckets := []string{c.datasets, c.artifacts, c.receipts, c.ledger}
	slices.Sort(buckets)
	if len(slices.Compact(buckets)) < 4 {
		errs = append(errs, errors.New("datasets, artifacts, receipts and ledger each need a bucket of their own"))
	}
	if c.eraseRate < 0 || c.sweep.interval < 0 {
		errs = append(errs, errors.New("--erase-rate and --sweep-interval are not negative"))
	}
	if c.sweep.grace <= 0 || c.sweep.breaker <= 0 {
		errs = append(errs, errors.New("--orphan-grace and --sweep-breaker are greater than zero"))
	}
	errs = append(errs, checkURL("broker-url", c.brokerURL), checkURL("broker-public-url", c.brokerPublicURL))
	if c.credentialLife < objectstore.MinSessionLife {
		errs = append(errs, fmt.Errorf("--credential-life is at least %s, the shortest that STS gives", objectstore.MinSessionLife))
	}
	if c.billingGrace < 0 || c.billingGrace > v1alpha1.MaxBillingGrace {
		errs = append(errs, fmt.Errorf("--billing-grace is not within 0 and %s", v1alpha1.MaxBillingGrace))
	}
	if !strings.Contains(" debug info error ", " "+c.logLevel+" ") {
		errs = append(errs, fmt.Errorf("--log-level %q is not debug, info or error", c.logLevel))
	}
	return errors.Join(errs...)
}

func checkURL(flag, value string) error {
	if parsed, err := url.Parse(value); err != nil || parsed.Scheme != "https" || parsed.Hostname() == "" {
		return fmt.Errorf("--%s must be an https URL", flag)
	}
	return nil
}

// brokerHosts are the names and addresses that the broker's certificate is for.
func (c config) brokerHosts() []string {
	var hosts []string
	for _, raw := range []string{c.brokerURL, c.brokerPublicURL} {
		parsed, err := url.Parse(raw)
		if err != nil {
			continue // validate has refused it
		}
		if host := parsed.Hostname(); len(hosts) == 0 || hosts[0] != host {
			hosts = append(hosts, host)
		}
	}
	return hosts
}
