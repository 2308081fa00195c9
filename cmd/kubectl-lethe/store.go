package main

import (
	"fmt"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
	"github.com/lethe-dev/lethe/controllers/staging/agent"
)

// connectStore makes a client for the place that the broker granted.
func connectStore(grant staging.StoreGrant, credentials agent.CredentialsFunc, connections int) (agent.Store, error) {
	store, err := objectstore.New(objectstore.Config{
		Endpoint:       grant.Endpoint,
		CABundle:       []byte(grant.CABundle),
		Region:         grant.Region,
		Credentials:    credentials,
		MaxConnections: connections,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the store: %w", err)
	}
	return store, nil
}
