package cluster

// What tests look at from outside.
var (
	TenantObject  = tenantObject
	DatasetObject = datasetObject
	SeenRun       = seenRun
	SeenDataset   = seenDataset
	Problem       = problem
	OffersOf      = offers
)
