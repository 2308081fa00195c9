package broker

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	authorizationv1 "k8s.io/api/authorization/v1"

	"github.com/lethe-dev/lethe/controllers/objectstore"
	"github.com/lethe-dev/lethe/controllers/staging"
)

// Receipts gives the signed receipt for an erase, and its digest; receipts.Book is one. The
// error wraps objectstore.ErrNotFound when there is none; all others are internal.
type Receipts interface {
	Read(ctx context.Context, namespace, uid string) (envelope []byte, digest string, err error)
}

// receipt answers staging.PathReceipt. The object is gone when there is a receipt, and its
// name may be another's by now, so the right to it is one to all receipts of a namespace.
func (s *Server) receipt(ctx context.Context, r *http.Request) (any, error) {
	var ask staging.ReceiptRequest
	caller, err := s.person(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := decode(r, &ask); err != nil {
		return nil, err
	}
	if !namespacePattern.MatchString(ask.Namespace) || !uidPattern.MatchString(ask.UID) {
		return nil, malformed("namespace and uid are those of an object that was in the cluster")
	}
	access := authorizationv1.ResourceAttributes{
		Verb: "get", Resource: "datasetretentions", Subresource: "receipt", Namespace: ask.Namespace,
	}
	if err := s.reviewAccess(ctx, caller, access); err != nil {
		return nil, err
	}
	if s.receipts == nil {
		return nil, notFound("this operator gives no receipts; whoever runs it can read them in the store")
	}
	envelope, digest, err := s.receipts.Read(ctx, ask.Namespace, ask.UID)
	switch {
	case errors.Is(err, objectstore.ErrNotFound):
		return nil, notFound("there is no receipt for this object; it is written when the erase is over")
	case err != nil:
		return nil, fmt.Errorf("read the receipt of %s/%s: %w", ask.Namespace, ask.UID, err)
	}
	return staging.ReceiptAnswer{Envelope: envelope, Digest: digest}, nil
}
