package rest

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

// ReceiptKeys gives the public keys, in PEM, of all who have signed receipts.
type ReceiptKeys interface {
	ReceiptKeys(ctx context.Context) ([]byte, error)
}

// Receipt is the record of an erase.
type Receipt struct {
	UID      string    `json:"uid"`
	Name     string    `json:"name"`
	Digest   string    `json:"digest"`
	ErasedAt time.Time `json:"erasedAt"`
	// Facts are what it states; only of one receipt, and only when a key of ours was found
	// to have signed it just now.
	Facts *objectkey.EraseReceipt `json:"facts,omitempty"`
}

// ReceiptPage is the answer to GET /api/v1/receipts, newest first.
type ReceiptPage struct {
	Receipts []Receipt `json:"receipts"`
	Next     string    `json:"next,omitempty"`
}

func receiptOf(r portal.Receipt) Receipt {
	return Receipt{UID: r.UID, Name: r.Name, Digest: r.Digest, ErasedAt: r.ErasedAt.UTC()}
}

// listReceipts handles GET /api/v1/receipts.
func (s *Server) listReceipts(r *request) (any, error) {
	after, err := pageCursor(r)
	if err != nil {
		return nil, err
	}
	list, next, err := s.Datasets.Receipts(r.Context(), r.who, after)
	if err != nil {
		return nil, err
	}
	page := ReceiptPage{Receipts: make([]Receipt, len(list)), Next: cursorText(next)}
	for i, one := range list {
		page.Receipts[i] = receiptOf(one)
	}
	return page, nil
}

// receipt handles GET /api/v1/receipts/{uid}.
func (s *Server) receipt(r *request) (any, error) {
	kept, err := s.Datasets.Receipt(r.Context(), r.who, r.PathValue("uid"))
	if err != nil {
		return nil, err
	}
	answer := receiptOf(kept)
	answer.Facts = s.facts(r, kept)
	return answer, nil
}

// facts are nil where the keys can't be had now, or none of them has signed it. The
// envelope can be had all the same.
func (s *Server) facts(r *request, kept portal.Receipt) *objectkey.EraseReceipt {
	pem, err := s.publicKeys(r)
	if err != nil {
		return nil
	}
	keys, err := objectkey.ParsePublicKeys(pem)
	if err != nil {
		return nil
	}
	facts, err := objectkey.Verify(kept.Envelope, keys)
	if err != nil {
		return nil
	}
	return &facts
}

func (s *Server) publicKeys(r *request) ([]byte, error) {
	if s.ReceiptKeys == nil {
		return nil, portal.ErrNotFound
	}
	return s.ReceiptKeys.ReceiptKeys(r.Context())
}

// receiptEnvelope handles GET /api/v1/receipts/{uid}/envelope: to the last byte as it was
// signed.
func (s *Server) receiptEnvelope(r *request) (any, error) {
	kept, err := s.Datasets.Receipt(r.Context(), r.who, r.PathValue("uid"))
	if err != nil {
		return nil, err
	}
	return asIs("application/json", json.RawMessage(kept.Envelope)), nil
}

// receiptPublicKeys handles GET /api/v1/receipts/keys.pem.
func (s *Server) receiptPublicKeys(r *request) (any, error) {
	pem, err := s.publicKeys(r)
	if err != nil {
		return nil, err
	}
	return asIs("application/x-pem-file", pem), nil
}

// asIs sends bytes as they are.
func asIs(mediaType string, body []byte) stream {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", mediaType)
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(body) // What goes wrong here is the connection's.
	}
}
