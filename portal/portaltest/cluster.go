package portaltest

import (
	"context"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Tenant is an account's place in the cluster, seen to be ready. It is not in any store yet.
func Tenant(a portal.Account, mods ...func(*portal.Tenant)) portal.Tenant {
	tenant := portal.Tenant{
		Account: a.ID, Namespace: portal.NewNamespace(Random(people.Add(1))), CreatedAt: Start, ReadyAt: Start,
	}
	for _, mod := range mods {
		mod(&tenant)
	}
	return tenant
}

// Dataset is a tenant's that was made in the cluster and is open: each call gives another
// ID. It is not in any store yet.
func Dataset(tenant portal.Tenant, mods ...func(*portal.Dataset)) portal.Dataset {
	id := portal.NewID[portal.DatasetID](Random(people.Add(1)))
	dataset := portal.Dataset{
		ID: id, Account: tenant.Account, Namespace: tenant.Namespace, Name: "Speech, second try", UID: "uid-of-" + id.Object(),
		AfterTraining: 24 * time.Hour, MaxAge: 30 * 24 * time.Hour,
		Wish: portal.WishOpen, CreatedAt: Start, WishedAt: Start,
	}
	for _, mod := range mods {
		mod(&dataset)
	}
	return dataset
}

// Run is one on a dataset that was made in the cluster, of which nothing has been seen:
// each call gives another ID. It is not in any store yet.
func Run(dataset portal.Dataset, mods ...func(*portal.Run)) portal.Run {
	id := portal.NewID[portal.RunID](Random(people.Add(1)))
	run := portal.Run{
		ID: id, Account: dataset.Account, Namespace: dataset.Namespace, Name: "Baseline", Dataset: dataset.ID,
		UID: "uid-of-" + id.Object(), Wish: portal.WishRun, CreatedAt: Start, WishedAt: Start,
		Spec: portal.RunSpec{
			Image: "registry.example.org/trainer:1", Command: []string{"train", "--epochs=3"}, Nodes: 1, GPUs: 1,
			MaxDuration: time.Hour, CheckpointEvery: 10 * time.Minute, KeepLast: 2,
		},
	}
	for _, mod := range mods {
		mod(&run)
	}
	return run
}

// AddTenant puts a new account with a tenant into a store: what datasets and runs need.
func AddTenant(t testing.TB, s portal.Store, mods ...func(*portal.Account)) (portal.Account, portal.Tenant) {
	t.Helper()
	account := Account(mods...)
	tenant := Tenant(account)
	add(t, s, func(ctx context.Context, tx portal.Tx) error {
		if err := tx.CreateAccount(ctx, account); err != nil {
			return err
		}
		return tx.CreateTenant(ctx, tenant)
	})
	return account, tenant
}

// AddDataset puts a new dataset into a store that has its tenant.
func AddDataset(t testing.TB, s portal.Store, tenant portal.Tenant, mods ...func(*portal.Dataset)) portal.Dataset {
	t.Helper()
	dataset := Dataset(tenant, mods...)
	add(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateDataset(ctx, dataset) })
	return dataset
}

// AddRun puts a new run into a store that has its dataset.
func AddRun(t testing.TB, s portal.Store, dataset portal.Dataset, mods ...func(*portal.Run)) portal.Run {
	t.Helper()
	run := Run(dataset, mods...)
	add(t, s, func(ctx context.Context, tx portal.Tx) error { return tx.CreateRun(ctx, run) })
	return run
}

func add(t testing.TB, s portal.Store, f func(context.Context, portal.Tx) error) {
	t.Helper()
	if err := s.Write(t.Context(), f); err != nil {
		t.Fatalf("write to the store: %v", err)
	}
}
