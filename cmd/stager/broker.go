package main

import (
	"bytes"
	"context"
	"os"
	"sync"

	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/brokerclient"
)

// broker asks the broker with the token and the certificates of the moment: the
// kubelet renews both files while the pod runs.
type broker struct {
	url, tokenFile, caFile string

	mu     sync.Mutex
	ca     []byte
	client *brokerclient.Client
}

// Stage implements agent.Broker.
func (b *broker) Stage(ctx context.Context, step staging.Step) (staging.StageGrant, error) {
	client, err := b.current()
	if err != nil {
		return staging.StageGrant{}, err
	}
	return client.Stage(ctx, step)
}

// Trainer implements agent.Broker.
func (b *broker) Trainer(ctx context.Context) (staging.TrainerStatus, error) {
	client, err := b.current()
	if err != nil {
		return staging.TrainerStatus{}, err
	}
	return client.Trainer(ctx)
}

// Gang implements agent.Broker.
func (b *broker) Gang(ctx context.Context) (staging.GangStatus, error) {
	client, err := b.current()
	if err != nil {
		return staging.GangStatus{}, err
	}
	return client.Gang(ctx)
}

// Progress implements agent.Broker.
func (b *broker) Progress(ctx context.Context, told staging.ProgressRequest) error {
	client, err := b.current()
	if err != nil {
		return err
	}
	return client.Progress(ctx, told)
}

// Checkpoint implements agent.Broker.
func (b *broker) Checkpoint(ctx context.Context, stored staging.CheckpointRequest) error {
	client, err := b.current()
	if err != nil {
		return err
	}
	return client.Checkpoint(ctx, stored)
}

// Log implements agent.Broker.
func (b *broker) Log(ctx context.Context, asked staging.LogRequest) (staging.LogAnswer, error) {
	client, err := b.current()
	if err != nil {
		return staging.LogAnswer{}, err
	}
	return client.Log(ctx, asked)
}

func (b *broker) current() (*brokerclient.Client, error) {
	ca, err := os.ReadFile(b.caFile)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client != nil && bytes.Equal(ca, b.ca) {
		return b.client, nil
	}
	client, err := brokerclient.New(b.url, ca, b.token)
	if err != nil {
		return nil, err
	}
	b.client, b.ca = client, ca
	return client, nil
}

func (b *broker) token() (string, error) {
	token, err := os.ReadFile(b.tokenFile)
	return string(token), err
}
