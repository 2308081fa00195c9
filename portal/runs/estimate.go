package runs

import (
	"context"
	"math"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Estimate says what a run will cost.
func (s *Service) Estimate(ctx context.Context, spec portal.RunSpec) portal.RunEstimate {
	price, ok := s.price(ctx, spec.Product)
	e := estimate(spec, price, ok)
	e.Currency = s.options.Currency
	return e
}

// estimate is pure; price is for one GPU and hour.
func estimate(spec portal.RunSpec, price int64, priced bool) portal.RunEstimate {
	gpus := spec.GPUsInAll()
	e := portal.RunEstimate{GPUs: int(gpus), Priced: priced || gpus == 0, AnyKind: spec.Product == ""}
	if gpus == 0 {
		e.Capped = true
		return e
	}
	e.GPUSeconds, e.Capped = most(spec, gpus)
	if e.Priced {
		e.PerHour = portal.Cost(gpus*int64(time.Hour/time.Second), price)
		e.Maximum = portal.Cost(e.GPUSeconds, price)
	}
	return e
}

// most is how many GPU-seconds the limits let a run use; false when none does.
func most(spec portal.RunSpec, gpus int64) (int64, bool) {
	seconds := int64(math.MaxInt64)
	if spec.MaxGPUSeconds > 0 {
		seconds = spec.MaxGPUSeconds
	}
	if spec.MaxDuration > 0 {
		whole := int64((spec.MaxDuration + time.Second - 1) / time.Second)
		seconds = min(seconds, whole*gpus)
	}
	if seconds == math.MaxInt64 {
		return 0, false
	}
	return seconds, true
}

// price is what one GPU of a kind costs per hour. For any kind it is the dearest that the
// cluster has, or that has a price while the cluster does not tell.
func (s *Service) price(ctx context.Context, product string) (int64, bool) {
	if product != "" {
		return portal.PriceOf(s.options.Prices, product)
	}
	dearest, found := int64(0), false
	offers, known := s.offers(ctx)
	for _, o := range offers {
		if !o.Priced {
			return 0, false
		}
		dearest, found = max(dearest, o.MicrosPerHour), true
	}
	if known && found {
		return dearest, true
	}
	return portal.DearestPrice(s.options.Prices)
}

// Cost is what a run has cost so far; false when there is no price.
func (s *Service) Cost(_ context.Context, run portal.Run) (portal.Money, bool) {
	cost, ok := portal.CostSoFar(run, s.options.Prices, s.options.Currency, s.now())
	return cost.Spent, ok
}
