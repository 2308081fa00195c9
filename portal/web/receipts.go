package web

import (
	"context"
	"net/http"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
)

// ReceiptKeys gives the public keys, in PEM, of all who have signed receipts.
type ReceiptKeys interface {
	ReceiptKeys(ctx context.Context) ([]byte, error)
}

type receiptsPage struct {
	Page
	Receipts []portal.Receipt
	// Older leads to the next page; "" on the last.
	Older string
}

func (s *Server) listReceipts(w http.ResponseWriter, r *request) error {
	list, next, err := s.datasets.Receipts(r.Context(), *r.who, cursorOf(r.URL.Query()))
	if err != nil {
		return err
	}
	page := &receiptsPage{Page: s.newPage(r, "Receipts"), Receipts: list}
	if next.ID != "" {
		page.Older = older(pathReceipts, next, nil)
	}
	return s.render(w, r, "receipts", page)
}

type receiptPage struct {
	Page
	portal.Receipt
	// Facts are what the receipt states; nil where it can't be read.
	Facts *objectkey.EraseReceipt
	// Verified reports whether the server found that a key of ours has signed it; browsers
	// find out by themselves.
	Verified bool
	Took     string
}

// Run reports whether it is about a run's artifacts.
func (p *receiptPage) Run() bool { return p.Facts != nil && p.Facts.Resource == objectkey.ResourceRun }

// Size is what was erased.
func (p *receiptPage) Size() string { return fileSize(p.Facts.ObjectBytes) }

// Stored is what the store had of it, with older versions.
func (p *receiptPage) Stored() string { return fileSize(p.Facts.VersionBytes) }

func (s *Server) receipt(w http.ResponseWriter, r *request) error {
	kept, err := s.datasets.Receipt(r.Context(), *r.who, r.PathValue("uid"))
	if err != nil {
		return err
	}
	page := &receiptPage{Page: s.newPage(r, "Receipt"), Receipt: kept}
	// Without the keys the page says so; the receipt can be read all the same.
	if pem, err := s.publicKeys(r); err == nil {
		keys, err := objectkey.ParsePublicKeys(pem)
		if err == nil {
			facts, err := objectkey.Verify(kept.Envelope, keys)
			if page.Verified = err == nil; page.Verified {
				page.Facts = &facts
				page.Took = lasting(facts.EndTime.Sub(facts.StartTime).Round(time.Second))
			}
		}
	}
	return s.render(w, r, "receipt", page)
}

func (s *Server) publicKeys(r *request) ([]byte, error) {
	if s.receiptKeys == nil {
		return nil, portal.ErrNotFound
	}
	return s.receiptKeys.ReceiptKeys(r.Context())
}

func (s *Server) receiptEnvelope(w http.ResponseWriter, r *request) error {
	kept, err := s.datasets.Receipt(r.Context(), *r.who, r.PathValue("uid"))
	if err != nil {
		return err
	}
	attach(w, "receipt-"+kept.UID+".json", "application/json")
	_, _ = w.Write(kept.Envelope) // What goes wrong here is the connection's.
	return nil
}

func (s *Server) receiptPublicKeys(w http.ResponseWriter, r *request) error {
	pem, err := s.publicKeys(r)
	if err != nil {
		return err
	}
	attach(w, "lethe-receipt-keys.pem", "application/x-pem-file")
	_, _ = w.Write(pem) //nolint:gosec // Keys of ours, as a download; what goes wrong here is the connection's.
	return nil
}
