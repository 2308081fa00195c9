package agent

import (
	"fmt"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// ConnectStore makes the client for the place that the broker granted, with this
// many connections at most. It sends nothing; the error says that the grant's
// address or certificates can not be used.
func ConnectStore(grant staging.StoreGrant, credentials CredentialsFunc, connections int) (Store, error) {
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
