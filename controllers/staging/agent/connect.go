package agent

import (
	"fmt"
	"strings"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// ConnectStore makes the client for the place that the broker granted, with this
// many connections at most. What it reads and writes is under the grant's key, if
// there is one. It sends nothing; the error says that the grant's address,
// certificates or key can not be used, and is a *Failure where that is the operator's
// to mend.
func ConnectStore(grant staging.StoreGrant, credentials CredentialsFunc, connections int) (Store, error) {
	key, err := keyOf(grant)
	if err != nil {
		return nil, err
	}
	store, err := objectstore.New(objectstore.Config{
		Endpoint:       grant.Endpoint,
		AllowPlaintext: grant.InsecurePlaintext,
		CABundle:       []byte(grant.CABundle),
		Region:         grant.Region,
		Credentials:    credentials,
		MaxConnections: connections,
	})
	if err != nil {
		return nil, fmt.Errorf("connect to the store: %w", err)
	}
	return store.UnderKey(key), nil
}

// keyOf gives the grant's key, the zero one if it has none.
func keyOf(grant staging.StoreGrant) (objectstore.Key, error) {
	if len(grant.EncryptionKey) == 0 {
		return objectstore.Key{}, nil
	}
	if !strings.HasPrefix(strings.ToLower(grant.Endpoint), "https://") {
		return objectstore.Key{}, fail(staging.ExitUsage, nil, "The dataset has a key of its own, which must not cross "+
			"the network in the clear, but the store has no TLS. Give the store a certificate, or use a dataset "+
			"with encryption Bucket.")
	}
	key, err := objectstore.NewKey(grant.EncryptionKey)
	if err != nil {
		return objectstore.Key{}, fail(staging.ExitDenied, err, "The operator gave a key that can not be used. "+
			"Check that the operator and this program are of the same version.")
	}
	return key, nil
}
