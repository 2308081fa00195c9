package uploads

import "time"

// SetPatience sets for how long a store may be silent.
func (s *S3) SetPatience(d time.Duration) { s.patience = d }
