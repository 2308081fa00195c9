package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/access"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/cluster"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/progress"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/runlog"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/terminal"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/transfer"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// session is what a command works with.
type session struct {
	streams   genericiooptions.IOStreams
	namespace string
	// config is the connection as the kubeconfig describes it.
	config  *rest.Config
	client  client.WithWatch
	openLog runlog.OpenFunc
	connect transfer.ConnectFunc
	clock   clock.WithTickerAndDelayedExecution
	// stdout and stderr are where the streams lead to.
	stdout, stderr terminal.Screen
	// journals gives the folder of the uploads' journals.
	journals func() (string, error)
	// farewell is said when the program is told to end at once.
	farewell *farewell
}

// follower waits for changes.
func (s *session) follower() cluster.Follower {
	return cluster.Follower{Client: s.client, Clock: s.clock}
}

// key names an object in the namespace of the session.
func (s *session) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: s.namespace, Name: name}
}

// say writes to the standard output. That nobody reads it any more is no reason
// to fail.
func (s *session) say(format string, args ...any) { _, _ = fmt.Fprintf(s.streams.Out, format, args...) }

// note writes what is not the result, so that the output can be piped.
func (s *session) note(format string, args ...any) {
	_, _ = fmt.Fprintf(s.streams.ErrOut, format+"\n", args...)
}

// display shows a transfer.
func (s *session) display(verb string) *progress.Display {
	return &progress.Display{Out: s.streams.ErrOut, Width: s.stderr.Width, Verb: verb, Clock: s.clock}
}

// brokerFlags say how the broker is reached.
type brokerFlags struct {
	url            string
	caFile         string
	serviceAccount string
}

func (f *brokerFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.url, "broker-url", "", "URL of the operator's broker, instead of the one that it has published")
	flags.StringVar(&f.caFile, "broker-ca", "", "file with the certificates to verify the broker with (PEM), instead of the published ones")
	flags.StringVar(&f.serviceAccount, "service-account", access.DefaultServiceAccount,
		"service account of the namespace to act as where the kubeconfig has no token")
}

// broker finds the broker and makes sure that there is a token for it, so that a
// login that does not work shows before anything was made.
func (s *session) broker(ctx context.Context, f brokerFlags) (transfer.Broker, error) {
	override := access.Endpoint{URL: f.url}
	if f.caFile != "" {
		ca, err := os.ReadFile(f.caFile)
		if err != nil {
			return nil, usageError{fmt.Errorf("read --broker-ca: %w", err)}
		}
		override.CA = ca
	}
	endpoint, err := access.Discover(ctx, s.client, override)
	if err != nil {
		return nil, err
	}
	tokens := access.Tokens{Config: s.config, Client: s.client, Account: s.key(f.serviceAccount)}
	_, lent, err := tokens.Token(ctx)
	if err != nil {
		return nil, err
	}
	c, err := brokerclient.New(endpoint.URL, endpoint.CA, func() (string, error) {
		token, _, err := tokens.Token(ctx)
		return token, err
	})
	if err != nil {
		return nil, err
	}
	return access.Broker{Client: c, Grant: tokens.Grant(lent)}, nil
}

// podLogs opens logs through the API server.
func podLogs(core typedcorev1.PodsGetter) runlog.OpenFunc {
	return func(ctx context.Context, namespace, pod string, options *corev1.PodLogOptions) (io.ReadCloser, error) {
		return core.Pods(namespace).GetLogs(pod, options).Stream(ctx)
	}
}
