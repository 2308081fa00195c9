package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
	"github.com/lethe-dev/lethe/controllers/staging/discovery"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/cluster"
)

// broker speaks to the operator's endpoint for the portal: it is found where the operator
// published it, and asked with the portal's own token for the cluster.
type broker struct {
	cluster *cluster.Client
	token   func() (string, error)
	// url is the broker's, if it is set; otherwise what was published.
	url string

	mu     sync.Mutex
	client *brokerclient.Client
	// readAt is when the published words were read.
	readAt time.Time
	now    func() time.Time
}

// lookAgain is how long what was published counts: the operator renews its authority days
// before the old one ends.
const lookAgain = 10 * time.Minute

// tokenOf gives the bearer token of a connection to the cluster: the portal shows the
// broker the same one.
func tokenOf(config *rest.Config) (func() (string, error), error) {
	switch {
	case config.BearerTokenFile != "":
		source := transport.NewCachedFileTokenSource(config.BearerTokenFile)
		return func() (string, error) {
			token, err := source.Token()
			if err != nil {
				return "", fmt.Errorf("read the token: %w", err)
			}
			return token.AccessToken, nil
		}, nil
	case config.BearerToken != "":
		return func() (string, error) { return config.BearerToken, nil }, nil
	default:
		return nil, errors.New("the kubeconfig has no token: the portal needs one of its service account, since the broker knows no certificates")
	}
}

// reach gives a client of the broker.
func (b *broker) reach(ctx context.Context) (*brokerclient.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client != nil && b.now().Sub(b.readAt) < lookAgain {
		return b.client, nil
	}
	published, err := b.cluster.ConfigMap(ctx, discovery.Namespace, discovery.ConfigMapName)
	if err != nil {
		if b.client != nil { // What was published is still good.
			return b.client, nil
		}
		return nil, unavailable(fmt.Errorf("find the broker: %w", err))
	}
	address := b.url
	if address == "" {
		address = published[discovery.KeyURL]
	}
	client, err := brokerclient.New(address, []byte(published[discovery.KeyCA]), b.token)
	if err != nil {
		return nil, unavailable(fmt.Errorf("find the broker: %w", err))
	}
	b.client, b.readAt = client, b.now()
	return client, nil
}

// UploadGrant gives the place of a dataset, to write to.
func (b *broker) UploadGrant(ctx context.Context, namespace, object string) (portal.Grant, error) {
	client, err := b.reach(ctx)
	if err != nil {
		return portal.Grant{}, err
	}
	grant, err := client.Upload(ctx, namespace, object)
	return grantOf(grant), brokerProblem(err)
}

// ArtifactsGrant gives the place of a run's results, to read from.
func (b *broker) ArtifactsGrant(ctx context.Context, namespace, object string) (portal.Grant, error) {
	client, err := b.reach(ctx)
	if err != nil {
		return portal.Grant{}, err
	}
	grant, err := client.Artifacts(ctx, namespace, object)
	return grantOf(grant), brokerProblem(err)
}

// Receipt gives the envelope of an erase's receipt; portal.ErrNotFound until it is there.
func (b *broker) Receipt(ctx context.Context, namespace, uid string) ([]byte, error) {
	client, err := b.reach(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := client.Receipt(ctx, namespace, uid)
	return answer.Envelope, brokerProblem(err)
}

// ReceiptKeys are the public keys that receipts are verified with, PEM.
func (b *broker) ReceiptKeys(ctx context.Context) ([]byte, error) {
	published, err := b.cluster.ConfigMap(ctx, receipts.PublicNamespace, receipts.PublicName)
	if err != nil {
		return nil, err
	}
	return []byte(published[receipts.PublicKeys]), nil
}

func grantOf(g staging.StoreGrant) portal.Grant {
	return portal.Grant{
		Endpoint: g.Endpoint, CABundle: g.CABundle, Region: g.Region, Bucket: g.Bucket, Prefix: g.Prefix,
		AccessKeyID: g.AccessKeyID, SecretAccessKey: g.SecretAccessKey, SessionToken: g.SessionToken,
		IssuedAt: g.IssuedAt, ExpiresAt: g.ExpiresAt, Key: g.EncryptionKey, InsecurePlaintext: g.InsecurePlaintext,
	}
}

// notYet is when what is too new for the broker is asked for again.
const notYet = 2 * time.Second

// brokerProblem turns a refusal into words for the person whose act it was.
func brokerProblem(err error) error {
	var refusal *brokerclient.ProblemError
	if err == nil || !errors.As(err, &refusal) {
		return unavailable(err)
	}
	retry := max(refusal.RetryAfter, notYet)
	switch refusal.Problem.Status {
	case http.StatusNotFound:
		return &portal.Error{Kind: portal.KindNotFound, Message: portal.ErrNotFound.Message, Err: err}
	case http.StatusGone:
		return &portal.Error{Kind: portal.KindConflict, Message: goneWords(refusal.Problem.Reason), Err: err}
	case http.StatusConflict:
		return &portal.Error{Kind: portal.KindUnavailable, Message: "The cluster is not that far yet. Try again in a moment.", RetryAfter: retry, Err: err}
	case http.StatusTooManyRequests:
		return &portal.Error{Kind: portal.KindTooMany, Message: "Too much at once. Wait for a moment and try again.", RetryAfter: retry, Err: err}
	case http.StatusUnauthorized, http.StatusForbidden:
		// The portal's own rights, which no person can mend.
		return fmt.Errorf("ask the broker: %w", err)
	default:
		return unavailable(err)
	}
}

func goneWords(reason string) string {
	switch reason {
	case staging.ProblemSealed:
		return "This dataset takes no files any more. Upload changed data as a new one."
	case staging.ProblemDatasetErasing:
		return "This dataset is being erased."
	default:
		return "This is over, or being deleted."
	}
}

// unavailable is for what is worth another try; nil stays nil.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	return &portal.Error{Kind: portal.KindUnavailable, Message: "The cluster does not answer just now. Try again in a moment.", RetryAfter: notYet, Err: err}
}
