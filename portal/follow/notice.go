package follow

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/lethe-dev/lethe/portal"
)

// notice is a mail that goes out once for a subject.
type notice struct {
	account portal.AccountID
	subject string
	kind    portal.MailKind
	data    portal.MailData
}

// mail puts a mail into the outbox unless it was there before, or the person doesn't want
// that kind: then the notice is taken all the same, so that it doesn't come later.
func (f *Follower) mail(ctx context.Context, tx portal.Tx, n notice) error {
	now := f.now()
	switch err := tx.TakeNotice(ctx, n.subject, n.kind, now); {
	case portal.KindOf(err) == portal.KindConflict:
		return nil
	case err != nil:
		return fmt.Errorf("take a notice: %w", err)
	}
	unwanted, err := tx.UnwantedMails(ctx, n.account)
	if err != nil {
		return fmt.Errorf("read which mails are wanted: %w", err)
	}
	if slices.Contains(portal.OptionalMails(), n.kind) && slices.Contains(unwanted, n.kind) {
		return nil
	}
	account, err := tx.Account(ctx, n.account)
	if err != nil {
		return fmt.Errorf("read the account: %w", err)
	}
	if account.Disabled() {
		return nil
	}
	n.data.Time = now
	err = tx.AddMail(ctx, portal.Mail{
		ID: portal.NewID[portal.MailID](f.random), Account: account.ID, To: account.Email,
		Kind: n.kind, Data: n.data, CreatedAt: now, DueAt: now,
	})
	if err != nil {
		return fmt.Errorf("add a mail: %w", err)
	}
	return nil
}

// sentence joins texts, each with a capital and a full stop.
func sentence(texts ...string) string {
	var out []string
	for _, text := range texts {
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		text = strings.ToUpper(text[:1]) + text[1:]
		if !strings.HasSuffix(text, ".") {
			text += "."
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return strings.Join(out, " ")
}
