package portaltest

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/keyring"
	"github.com/lethe-dev/lethe/portal/sqlstore"
)

// Start is when a Clock begins.
var Start = time.Date(2026, time.March, 2, 9, 0, 0, 0, time.UTC)

// Store is a fresh, migrated SQLite store in a folder of the test's own.
func Store(t testing.TB) portal.Store { return SQLite(t) }

// SQLite is the same as Store, with the methods that only package sqlstore has.
func SQLite(t testing.TB) *sqlstore.Store {
	t.Helper()
	return open(t, filepath.Join(t.TempDir(), "portal.db"))
}

// open opens a store, migrates it, and closes it when the test ends.
func open(t testing.TB, dsn string) *sqlstore.Store {
	t.Helper()
	store, err := sqlstore.Open(t.Context(), dsn, sqlstore.Options{NoSync: true})
	if err != nil {
		t.Fatalf("open a store: %v", err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the store: %v", err)
		}
	})
	if err := store.Migrate(t.Context()); err != nil {
		t.Fatalf("migrate the store: %v", err)
	}
	return store
}

// Keys is a key ring with one key, the same in every test.
func Keys(t testing.TB) *keyring.Ring {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := keyring.Create(path, Random(1)); err != nil {
		t.Fatalf("create keys: %v", err)
	}
	keys, err := keyring.Load(path)
	if err != nil {
		t.Fatalf("load keys: %v", err)
	}
	return keys
}

// Clock stands still until it is told otherwise. Its zero value shows Start; many may use
// it at once.
type Clock struct{ past atomic.Int64 }

// Now is the time it shows.
func (c *Clock) Now() time.Time { return Start.Add(time.Duration(c.past.Load())) }

// Advance moves it on, or back.
func (c *Clock) Advance(d time.Duration) { c.past.Add(int64(d)) }

// Set makes it show a time.
func (c *Clock) Set(now time.Time) { c.past.Store(int64(now.Sub(Start))) }

// Random gives the same bytes for the same seed. Many may read it at once.
func Random(seed uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &random{source: rand.NewChaCha8(key)}
}

type random struct {
	mutex  sync.Mutex
	source *rand.ChaCha8
}

func (r *random) Read(p []byte) (int, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return r.source.Read(p)
}

var people atomic.Uint64

// Account is a verified person's who is nobody else's: each call gives another ID and
// address. It is not in any store yet.
func Account(mods ...func(*portal.Account)) portal.Account {
	n := people.Add(1)
	email := portal.Email(fmt.Sprintf("Person.%d@example.org", n))
	account := portal.Account{
		ID:                portal.NewID[portal.AccountID](Random(n)),
		Email:             email,
		EmailKey:          email.Key(),
		EmailVerifiedAt:   Start,
		PasswordHash:      "$argon2id$v=19$m=19456,t=2,p=1,keyid=azE$none$none",
		PasswordChangedAt: Start,
		Role:              portal.RoleUser,
		CreatedAt:         Start,
	}
	for _, mod := range mods {
		mod(&account)
	}
	return account
}

// WithRole makes an account one of the staff.
func WithRole(role portal.Role) func(*portal.Account) {
	return func(a *portal.Account) { a.Role = role }
}

// WithEmail gives an account an address.
func WithEmail(email portal.Email) func(*portal.Account) {
	return func(a *portal.Account) { a.Email, a.EmailKey = email, email.Key() }
}

// Client is a browser at an address (IP).
func Client(ip string) portal.Client {
	return portal.Client{
		IP:        netip.MustParseAddr(ip),
		UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
		Country:   portal.UnknownCountry,
		RequestID: "request-of-" + ip,
	}
}
