package brokerclient

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/controllers/staging"
)

const (
	// answerTimeout bounds a request that the broker answers at once.
	answerTimeout = 30 * time.Second
	// waitTimeout bounds one that it holds back for up to staging.TrainerWait.
	waitTimeout = staging.TrainerWait + answerTimeout
	// maxAnswer bounds an answer in bytes; most of it is the store's certificates, or a
	// chunk of a log, which is a third longer in JSON.
	maxAnswer = 1<<20 + staging.MaxLogChunk/3*4
)

// ErrToken is wrapped by errors of the caller's token function, which are not
// worth another try.
var ErrToken = errors.New("token for the broker can not be read")

// Client asks a broker. It is safe for concurrent use.
type Client struct {
	base  string
	token func() (string, error)
	http  *http.Client
}

// Option changes how the broker is reached.
type Option func(*http.Transport)

// WithServerName verifies the broker's certificate for this DNS name in place of
// the URL's host, for brokers that are reached through a forwarded port.
func WithServerName(name string) Option {
	return func(t *http.Transport) { t.TLSClientConfig.ServerName = name }
}

// WithDialContext opens connections in another way than by TCP to the URL's host.
func WithDialContext(dial func(ctx context.Context, network, address string) (net.Conn, error)) Option {
	return func(t *http.Transport) { t.DialContext = dial }
}

// New makes a client for the broker at an https URL, verified with the PEM
// certificates in caPEM (empty: the system's). The function token gives the bearer
// token and is called before every request. Nothing is sent yet.
func New(address string, caPEM []byte, token func() (string, error), options ...Option) (*Client, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("parse the broker's URL: %w", err)
	}
	if u.Scheme != "https" || u.Host == "" {
		return nil, errors.New(`parse the broker's URL: it does not have the form "https://host:port"`)
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(caPEM) > 0 {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(caPEM) {
			return nil, errors.New("read the broker's CA: it holds no PEM certificate")
		}
	}
	transport := &http.Transport{
		TLSClientConfig:     config,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		IdleConnTimeout:     time.Minute,
	}
	for _, option := range options {
		option(transport)
	}
	return &Client{
		base:  strings.TrimSuffix(u.String(), "/"),
		token: token,
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// Stage asks for what a step of the calling pod needs. Asking again gives new
// credentials. Errors: *ProblemError when the broker refused, see Retryable for all.
func (c *Client) Stage(ctx context.Context, step staging.Step) (staging.StageGrant, error) {
	var grant staging.StageGrant
	err := c.post(ctx, staging.PathStage, staging.StageRequest{Step: step}, &grant)
	return grant, err
}

// Trainer asks whether the trainer of the calling pod has ended. While it has not,
// the answer takes up to staging.TrainerWait, so the caller asks again at once.
// Errors as with Stage.
func (c *Client) Trainer(ctx context.Context) (staging.TrainerStatus, error) {
	var status staging.TrainerStatus
	err := c.post(ctx, staging.PathTrainer, nil, &status)
	return status, err
}

// Gang asks whether all nodes of the calling pod's run are there. While they are not,
// the answer takes up to staging.TrainerWait, so the caller asks again at once. Errors
// as with Stage.
func (c *Client) Gang(ctx context.Context) (staging.GangStatus, error) {
	var status staging.GangStatus
	err := c.post(ctx, staging.PathGang, nil, &status)
	return status, err
}

// Progress tells what the trainer of the calling pod said of itself. A message whose
// answer was lost is refused as staging.ProblemReplayed when it is sent again: it was
// taken. Errors as with Stage.
func (c *Client) Progress(ctx context.Context, told staging.ProgressRequest) error {
	return c.post(ctx, staging.PathProgress, told, &staging.ProgressAnswer{})
}

// Checkpoint tells that a checkpoint is complete in the store, and returns when that is
// written down. It may be repeated. Errors as with Stage.
func (c *Client) Checkpoint(ctx context.Context, stored staging.CheckpointRequest) error {
	return c.post(ctx, staging.PathCheckpoint, stored, &staging.CheckpointAnswer{})
}

// Log asks for what the trainer of the calling pod has put out. Errors as with Stage.
func (c *Client) Log(ctx context.Context, ask staging.LogRequest) (staging.LogAnswer, error) {
	var answer staging.LogAnswer
	err := c.post(ctx, staging.PathLog, ask, &answer)
	return answer, err
}

// Upload asks for credentials that write to an unsealed dataset. Errors as with Stage.
func (c *Client) Upload(ctx context.Context, namespace, name string) (staging.StoreGrant, error) {
	var grant staging.StoreGrant
	err := c.post(ctx, staging.PathUpload, staging.DatasetRequest{Namespace: namespace, Name: name}, &grant)
	return grant, err
}

// Artifacts asks for credentials that read a run's artifacts. Errors as with Stage.
func (c *Client) Artifacts(ctx context.Context, namespace, name string) (staging.StoreGrant, error) {
	var grant staging.StoreGrant
	err := c.post(ctx, staging.PathArtifacts, staging.RunRequest{Namespace: namespace, Name: name}, &grant)
	return grant, err
}

// Receipt asks for the receipt for the erase of the data of the object of that UID. That
// there is none yet is staging.ProblemNotFound. Errors as with Stage.
func (c *Client) Receipt(ctx context.Context, namespace, uid string) (staging.ReceiptAnswer, error) {
	var answer staging.ReceiptAnswer
	err := c.post(ctx, staging.PathReceipt, staging.ReceiptRequest{Namespace: namespace, UID: uid}, &answer)
	return answer, err
}

// post sends one request; a nil body sends none.
func (c *Client) post(ctx context.Context, path string, body, into any) error {
	timeout := answerTimeout
	if path == staging.PathTrainer || path == staging.PathGang {
		timeout = waitTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := c.request(ctx, path, body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("ask the broker: %w", err)
	}
	defer func() { _ = res.Body.Close() }() // Nothing is left to read from it.
	data, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read the broker's answer: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return problemOf(res, data)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("decode the broker's answer: %w", err)
	}
	return nil
}

func (c *Client) request(ctx context.Context, path string, body any) (*http.Request, error) {
	token, err := c.token()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrToken, err)
	}
	content := []byte{}
	if body != nil {
		if content, err = json.Marshal(body); err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(content))
	if err != nil {
		return nil, fmt.Errorf("build request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(token))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "application/json, application/problem+json")
	return req, nil
}
