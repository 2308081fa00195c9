package mail

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Keys are keys that are not in the database. Open wants the context that Seal had.
type Keys interface {
	Seal(plain, context []byte) (portal.Sealed, error)
	Open(sealed portal.Sealed, context []byte) ([]byte, error)
}

// Sealed is a store in which links wait sealed: a copy of the database (a backup, a
// replica, a log of writes) that is made while mails wait opens no account. Whoever writes
// mails and whoever sends them have to use it.
func Sealed(store portal.Store, keys Keys) portal.Store { return sealedStore{store, keys} }

type sealedStore struct {
	portal.Store
	keys Keys
}

// Write is the store's.
func (s sealedStore) Write(ctx context.Context, f func(context.Context, portal.Tx) error) error {
	return s.Store.Write(ctx, func(ctx context.Context, tx portal.Tx) error { return f(ctx, sealedTx{tx, s.keys}) })
}

type sealedTx struct {
	portal.Tx
	keys Keys
}

// sealedMark begins what is sealed; no path does. A key's name and the box follow.
const sealedMark = "sealed:"

// errStillSealed is for a link whose key is not here, or not yet: another replica may have
// been given a new key file first.
var errStillSealed = errors.New("the key that the link is sealed under is not in the key file")

// AddMail is the transaction's.
func (t sealedTx) AddMail(ctx context.Context, m portal.Mail) error {
	if m.Data.Link != "" {
		sealed, err := t.keys.Seal([]byte(m.Data.Link), sealedContext(m))
		if err != nil {
			return fmt.Errorf("seal a link: %w", err)
		}
		m.Data.Link = sealedMark + sealed.KeyID + ":" + base64.RawURLEncoding.EncodeToString(sealed.Box)
	}
	return t.Tx.AddMail(ctx, m)
}

// ClaimMails is the transaction's. A link that can't be opened stays as it is.
func (t sealedTx) ClaimMails(ctx context.Context, now, until time.Time, limit int) ([]portal.Mail, error) {
	mails, err := t.Tx.ClaimMails(ctx, now, until, limit)
	for i, m := range mails {
		keyID, text, _ := strings.Cut(strings.TrimPrefix(m.Data.Link, sealedMark), ":")
		box, err := base64.RawURLEncoding.DecodeString(text)
		if err != nil || !stillSealed(m) {
			continue
		}
		if link, err := t.keys.Open(portal.Sealed{KeyID: keyID, Box: box}, sealedContext(m)); err == nil {
			mails[i].Data.Link = string(link)
		}
	}
	return mails, err
}

func stillSealed(m portal.Mail) bool { return strings.HasPrefix(m.Data.Link, sealedMark) }

// sealedContext binds a link to its mail and to who gets it.
func sealedContext(m portal.Mail) []byte {
	return []byte("mail\x00" + string(m.ID) + "\x00" + string(m.To))
}
