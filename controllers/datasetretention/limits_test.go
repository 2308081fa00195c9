package datasetretention

import (
	"strings"
	"testing"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

func TestLimitsTellWhereTheyCount(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	policy := newDataset().Spec.Retention
	cases := map[string]struct {
		limits Limits
		want   []string
	}{
		"no limits":                      {Limits{}, nil},
		"limits that are not reached":    {Limits{MaxAgeCeiling: 9999 * hour, AfterTrainingFloor: hour}, nil},
		"a lower ceiling":                {Limits{MaxAgeCeiling: 240 * hour}, []string{"make maxAge 240h instead of 720h."}},
		"a higher floor":                 {Limits{AfterTrainingFloor: 90 * time.Minute * 24}, []string{"make afterTraining 36h instead of 24h."}},
		"both":                           {Limits{MaxAgeCeiling: 10 * hour, AfterTrainingCeiling: 90 * time.Second}, []string{"maxAge 10h", "afterTraining 1m30s"}},
		"a ceiling that is not in hours": {Limits{MaxAgeCeiling: 10 * time.Minute}, []string{"maxAge 10m instead"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := c.limits.note(policy)
			if (got == "") != (len(c.want) == 0) {
				t.Errorf("note %q", got)
			}
			for _, part := range c.want {
				if !strings.Contains(got, part) {
					t.Errorf("note %q does not say %q", got, part)
				}
			}
		})
	}
}

func TestLimitsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	const hour = time.Hour
	cases := map[string]struct {
		limits Limits
		ok     bool
	}{
		"none":                         {Limits{}, true},
		"a ceiling alone":              {Limits{MaxAgeCeiling: hour}, true},
		"a floor at the ceiling":       {Limits{AfterTrainingFloor: hour, AfterTrainingCeiling: hour}, true},
		"a floor above the ceiling":    {Limits{AfterTrainingFloor: 2 * hour, AfterTrainingCeiling: hour}, false},
		"a negative one":               {Limits{MaxAgeCeiling: -hour}, false},
		"a floor that nobody can have": {Limits{MaxAgeFloor: v1alpha1.MaxRetention + hour}, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := c.limits.validate(); (err == nil) != c.ok {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestRecordLastsAsLongAsAnyOwnerMayWish(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		limits Limits
		want   time.Time
	}{
		"without a ceiling, the API's own": {Limits{}, after(v1alpha1.MaxRetention)},
		"with one, that":                   {Limits{MaxAgeCeiling: 2000 * time.Hour}, after(2000 * time.Hour)},
		"a floor above what is asked for":  {Limits{MaxAgeFloor: 2000 * time.Hour}, after(v1alpha1.MaxRetention)},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := recordOf(saw(after(0), newDataset(), under(c.limits)), testStore).EraseBy; !got.Equal(c.want) {
				t.Errorf("erase by %v, want %v", got, c.want)
			}
		})
	}
}
