package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/keyring"
)

// liveKeys are those of the key file, also after it was rotated while we run.
type liveKeys struct{ *reloaded[*keyring.Ring] }

func openLiveKeys(path string, now func() time.Time, log *slog.Logger) (*liveKeys, error) {
	r, err := newReloaded(&reloaded[*keyring.Ring]{
		what: "the key file", paths: []string{path}, now: now, log: log,
		read: func() (*keyring.Ring, error) { return keyring.Load(path) },
	})
	if err != nil {
		return nil, fmt.Errorf("%w; \"portal keys create\" makes a key file", err)
	}
	return &liveKeys{r}, nil
}

// Seal, Open, MAC, Pepper and Current are keyring.Ring's.
func (k *liveKeys) Seal(plain, context []byte) (portal.Sealed, error) {
	return k.get().Seal(plain, context)
}

// Open opens what Seal sealed.
func (k *liveKeys) Open(sealed portal.Sealed, context []byte) ([]byte, error) {
	return k.get().Open(sealed, context)
}

// MAC is a keyed hash that stays the same while keys are added.
func (k *liveKeys) MAC(purpose string, data []byte) [32]byte { return k.get().MAC(purpose, data) }

// Pepper is a keyed hash under the key with that id.
func (k *liveKeys) Pepper(keyID string, data []byte) ([]byte, error) {
	return k.get().Pepper(keyID, data)
}

// Current names the newest key.
func (k *liveKeys) Current() string { return k.get().Current() }

func createKeys(_ context.Context, i *invocation) error {
	if err := keyring.Create(i.config.keyFile, rand.Reader); err != nil {
		return err
	}
	i.say("A key was made in %s. Keep a copy of that file apart from copies of the database: without it nobody can sign in, with both much can be opened.", i.config.keyFile)
	return nil
}

func rotateKeys(_ context.Context, i *invocation) error {
	if err := keyring.Rotate(i.config.keyFile, rand.Reader); err != nil {
		return err
	}
	ring, err := keyring.Load(i.config.keyFile)
	if err != nil {
		return err
	}
	i.say("%s is the newest key now. Portals that read this file use it within seconds.", ring.Current())
	i.say("Next: give every replica the new file, then \"portal keys reseal\"; then \"portal keys retire\" for the old one.")
	return nil
}

func resealKeys(ctx context.Context, i *invocation) error {
	core, err := i.openCore(ctx)
	if err != nil {
		return err
	}
	defer core.close(i.log)
	count, err := core.auth.Reseal(ctx)
	if err != nil {
		return err
	}
	i.say("%d seeds of authenticator apps are sealed under %s.", count, core.keys.Current())
	return nil
}

func (i *invocation) forceSetting() []setting {
	return []setting{{name: "force", boolean: true, help: "retire the key though passwords still need it; their owners have to reset them", set: boolean(&i.force)}}
}

// retireKey removes a key that nothing needs. A seed that can't be opened locks its owner
// out, so that can't be forced; a password can be reset.
func retireKey(ctx context.Context, i *invocation) error {
	core, err := i.openCore(ctx)
	if err != nil {
		return err
	}
	defer core.close(i.log)
	id := i.args[0]
	if !slices.Contains(core.keys.get().IDs(), id) {
		return &usageError{fmt.Errorf("there is no key %q; the file has %s", id, strings.Join(core.keys.get().IDs(), ", "))}
	}
	use, err := usesOfKey(ctx, core.store, id)
	if err != nil {
		return err
	}
	if use.seeds > 0 {
		return fmt.Errorf("%d seeds of authenticator apps are still sealed under %s: \"portal keys reseal\" first", use.seeds, id)
	}
	if use.passwords > 0 && !i.force {
		return fmt.Errorf("%d passwords still need %s; each moves to the newest key when its owner signs in. With --force the rest has to be reset by mail", use.passwords, id)
	}
	if err := keyring.Retire(i.config.keyFile, id); err != nil {
		return err
	}
	i.say("%s is gone. Counts of failed sign-ins begin anew if it was the oldest key.", id)
	return nil
}

// keyUse is what still needs a key.
type keyUse struct{ seeds, passwords int }

// usesOfKey looks at all seeds and password hashes. Passwords name their key as PHC
// strings do: keyid=, in base64.
func usesOfKey(ctx context.Context, store portal.Store, id string) (keyUse, error) {
	var use keyUse
	mark := ",keyid=" + base64.RawStdEncoding.EncodeToString([]byte(id)) + "$"
	err := store.Read(ctx, func(ctx context.Context, tx portal.Tx) error {
		use = keyUse{}
		err := tx.EachTOTP(ctx, func(t portal.TOTP) error {
			if t.Seed.KeyID == id {
				use.seeds++
			}
			return nil
		})
		if err != nil {
			return err
		}
		use.passwords, err = countPasswords(ctx, tx, mark)
		return err
	})
	if err != nil {
		return keyUse{}, fmt.Errorf("see what needs the key: %w", err)
	}
	return use, nil
}

// countPasswords counts the accounts whose password hash has a mark. It asks by the first
// character of the address, so that not all accounts are in memory at once.
func countPasswords(ctx context.Context, accounts portal.Accounts, mark string) (int, error) {
	count := 0
	for first := '!'; first <= '~'; first++ {
		some, err := accounts.FindAccounts(ctx, string(first), math.MaxInt32)
		if err != nil {
			return 0, err
		}
		for _, account := range some {
			if strings.Contains(account.PasswordHash, mark) {
				count++
			}
		}
	}
	return count, nil
}
