package portal_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

func TestCostSoFar(t *testing.T) {
	t.Parallel()
	begun := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	prices := []portal.Price{{Product: "L4", MicrosPerHour: 3_600_000}, {Product: "H200", MicrosPerHour: 7_200_000}, {Product: portal.AnyProduct, MicrosPerHour: 360_000}}
	eur := func(micros int64) portal.Money { return portal.Money{Micros: micros, Currency: "EUR"} }
	first := []portal.RunAttempt{{Number: 1, StartedAt: begun}}
	trains := portal.Run{
		Spec: portal.RunSpec{GPUs: 2, Nodes: 3, Product: "L4", MaxGPUSeconds: 7200},
		Seen: portal.RunSeen{State: "Running", StartedAt: begun, Attempts: first},
	}
	tests := map[string]struct {
		change func(*portal.Run)
		prices []portal.Price
		want   portal.RunCost
		none   bool
	}{
		"the first attempt counts while it trains": {
			want: portal.RunCost{Spent: eur(6 * 600 * 1000), Lost: eur(0), Cap: eur(7_200_000), PerHour: eur(6 * 3_600_000)},
		},
		"what was counted is added": {
			change: func(r *portal.Run) {
				r.Seen.GPUSeconds, r.Seen.LostGPUSeconds, r.Spec.MaxGPUSeconds = 100, 40, 0
				r.Seen.Attempts = []portal.RunAttempt{{Number: 1, StartedAt: begun.Add(-time.Hour), EndedAt: begun}, first[0]}
			},
			want: portal.RunCost{Spent: eur(3_700_000), Lost: eur(40_000), Cap: eur(0), PerHour: eur(6 * 3_600_000)},
		},
		"a run that is gone costs nothing from then on": {
			change: func(r *portal.Run) { r.GoneAt = begun.Add(time.Minute) },
			want:   portal.RunCost{Spent: eur(6 * 60 * 1000), Lost: eur(0), Cap: eur(7_200_000), PerHour: eur(6 * 3_600_000)},
		},
		"one that stands still costs what was counted": {
			change: func(r *portal.Run) { r.Seen.State, r.Seen.GPUSeconds = "Suspended", 10 },
			want:   portal.RunCost{Spent: eur(10_000), Lost: eur(0), Cap: eur(7_200_000), PerHour: eur(6 * 3_600_000)},
		},
		"any kind is the dearest": {
			change: func(r *portal.Run) { r.Spec.Product = "" },
			want:   portal.RunCost{Spent: eur(7_200_000), Lost: eur(0), Cap: eur(14_400_000), PerHour: eur(6 * 7_200_000)},
		},
		"any kind without a price for all": {
			change: func(r *portal.Run) { r.Spec.Product = "" }, prices: prices[:1],
			want: portal.RunCost{Spent: eur(3_600_000), Lost: eur(0), Cap: eur(7_200_000), PerHour: eur(6 * 3_600_000)},
		},
		"a kind of no price of its own": {
			change: func(r *portal.Run) { r.Spec.Product = "T4" },
			want:   portal.RunCost{Spent: eur(360_000), Lost: eur(0), Cap: eur(720_000), PerHour: eur(6 * 360_000)},
		},
		"no price": {change: func(r *portal.Run) { r.Spec.Product = "T4" }, prices: prices[:2], none: true},
		"no GPUs cost nothing, whatever there is of prices": {
			change: func(r *portal.Run) { r.Spec.GPUs, r.Spec.Product, r.Spec.MaxGPUSeconds = 0, "T4", 0 }, prices: prices[:2],
			want: portal.RunCost{Spent: eur(0), Lost: eur(0), Cap: eur(0), PerHour: eur(0)},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run, list := trains, prices
			if test.change != nil {
				test.change(&run)
			}
			if test.prices != nil {
				list = test.prices
			}
			got, ok := portal.CostSoFar(run, list, "EUR", begun.Add(10*time.Minute))
			if diff := cmp.Diff(test.want, got); diff != "" || ok == test.none {
				t.Errorf("priced %v (-want +got):\n%s", ok, diff)
			}
		})
	}
}
