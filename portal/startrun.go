package portal

// RunForm is what the page where runs are started needs.
type RunForm struct {
	// Draft is the ID under which the run will be started.
	Draft RunID
	// Datasets are those of the account that a run may be started on, newest first.
	Datasets []Dataset
	// Offers are the kinds of GPU there are. OffersKnown is false while the cluster does
	// not tell.
	Offers      []RunOffer
	OffersKnown bool
	// Images are those of the allow-list.
	Images   []string
	Currency string
	// Sources are runs with a checkpoint to begin with, newest first.
	Sources []Run
	// Name, Dataset and Spec are the values to begin with.
	Name    string
	Dataset DatasetID
	Spec    RunSpec
}

// RunOffer is a kind of GPU with its price.
type RunOffer struct {
	GPUOffer
	// MicrosPerHour is for one; Priced is false when there is no price.
	MicrosPerHour int64
	Priced        bool
}

// RunEstimate is what a run will cost, as far as can be told before it has run.
type RunEstimate struct {
	Currency string
	// GPUs is how many there are in all; 0 costs nothing.
	GPUs int
	// Priced is false when a price is missing; there are no amounts then.
	Priced bool
	// AnyKind is true when no kind was chosen: the amounts are for the dearest.
	AnyKind bool
	// PerHour is for all GPUs, in micro-units.
	PerHour int64
	// Capped is false when nothing but the trainer ends the run; there is no Maximum then.
	Capped bool
	// Maximum is approximate: a run that is stopped has time for a last checkpoint, which
	// is charged.
	Maximum int64
	// GPUSeconds is what Maximum is for.
	GPUSeconds int64
}

// Rate is PerHour as money.
func (e RunEstimate) Rate() Money { return Money{Micros: e.PerHour, Currency: e.Currency} }

// Most is Maximum as money.
func (e RunEstimate) Most() Money { return Money{Micros: e.Maximum, Currency: e.Currency} }
