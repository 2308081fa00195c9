package portal

import "time"

// runRunning is v1alpha1.RunRunning.
const runRunning = "Running"

// GPUsInAll is how many a run has on all of its nodes.
func (s RunSpec) GPUsInAll() int64 { return int64(max(s.GPUs, 0)) * int64(max(s.Nodes, 1)) }

// GPUSecondsUsed is what a run has used up to now. The cluster counts an attempt when it
// ends; what the one that trains has used is reckoned: up to now, or to when the run was
// gone from the cluster, which nobody tells the end of.
func (r Run) GPUSecondsUsed(now time.Time) int64 {
	used := r.Seen.GPUSeconds
	if !r.GoneAt.IsZero() && r.GoneAt.Before(now) {
		now = r.GoneAt
	}
	if n := len(r.Seen.Attempts); n > 0 && r.Seen.State == runRunning && !r.Seen.Finished() {
		if last := r.Seen.Attempts[n-1]; !last.StartedAt.IsZero() && last.EndedAt.IsZero() && now.After(last.StartedAt) {
			used += int64(now.Sub(last.StartedAt)/time.Second) * r.Spec.GPUsInAll()
		}
	}
	return used
}

// CostSoFar is what a run has cost up to now; false when its GPUs have no price. A run on
// any kind of GPU is reckoned at the dearest price: the cluster doesn't tell which it got.
func CostSoFar(r Run, prices []Price, currency string, now time.Time) (RunCost, bool) {
	price, ok := PriceOf(prices, r.Spec.Product)
	if r.Spec.Product == "" {
		price, ok = DearestPrice(prices)
	}
	gpus := r.Spec.GPUsInAll()
	if !ok && gpus > 0 {
		return RunCost{}, false
	}
	money := func(gpuSeconds int64) Money { return Money{Micros: Cost(gpuSeconds, price), Currency: currency} }
	return RunCost{
		Spent: money(r.GPUSecondsUsed(now)), Lost: money(r.Seen.LostGPUSeconds),
		Cap: money(max(r.Spec.MaxGPUSeconds, 0)), PerHour: money(gpus * int64(time.Hour/time.Second)),
	}, true
}

// DearestPrice is the highest of the prices for one GPU and hour; false when there is none.
func DearestPrice(prices []Price) (microsPerHour int64, ok bool) {
	for _, p := range prices {
		microsPerHour, ok = max(microsPerHour, p.MicrosPerHour), true
	}
	return microsPerHour, ok
}
