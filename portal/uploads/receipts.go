package uploads

import (
	"context"
	"fmt"

	"github.com/lethe-dev/lethe/portal"
)

// Receipts gives a page of the records of the person's erases, newest first, and where the
// next begins (zero: there is none).
func (s *Service) Receipts(
	ctx context.Context, p portal.Principal, after portal.PageCursor,
) ([]portal.Receipt, portal.PageCursor, error) {
	if err := canRead(p); err != nil {
		return nil, portal.PageCursor{}, err
	}
	var list []portal.Receipt
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		found, err := tx.AccountReceipts(ctx, p.Account.ID, after, listLimit+1)
		list = found
		return err
	})
	if err != nil {
		return nil, portal.PageCursor{}, fmt.Errorf("list receipts: %w", err)
	}
	if len(list) <= listLimit {
		return list, portal.PageCursor{}, nil
	}
	last := list[listLimit-1]
	return list[:listLimit], portal.PageCursor{Time: last.ErasedAt, ID: last.UID}, nil
}

// Receipt gives one.
func (s *Service) Receipt(ctx context.Context, p portal.Principal, uid string) (portal.Receipt, error) {
	if err := canRead(p); err != nil {
		return portal.Receipt{}, err
	}
	var receipt portal.Receipt
	err := s.store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		found, err := tx.Receipt(ctx, p.Account.ID, uid)
		receipt = found
		return err
	})
	if err != nil {
		return portal.Receipt{}, fmt.Errorf("get receipt: %w", err)
	}
	return receipt, nil
}
