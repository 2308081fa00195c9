package datasetretention

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// Limits are the administrator's bounds on what owners may ask for in
// spec.retention. They count for datasets that are there already, too. A time of zero
// is no bound; the CRD's own ten years always count.
type Limits struct {
	// MaxAgeCeiling and AfterTrainingCeiling are the longest that data may stay,
	// whatever its owner asks for.
	MaxAgeCeiling, AfterTrainingCeiling time.Duration
	// MaxAgeFloor and AfterTrainingFloor are the shortest. They hold off the expiry
	// and nothing else: an owner's delete is never held off by them.
	MaxAgeFloor, AfterTrainingFloor time.Duration
}

// validate says whether every pair of bounds leaves something between them.
func (l Limits) validate() error {
	return errors.Join(
		bounds{l.MaxAgeFloor, l.MaxAgeCeiling}.validate("maxAge"),
		bounds{l.AfterTrainingFloor, l.AfterTrainingCeiling}.validate("afterTraining"),
	)
}

// age is the maxAge that counts.
func (l Limits) age(p v1alpha1.RetentionPolicy) time.Duration {
	return bounds{l.MaxAgeFloor, l.MaxAgeCeiling}.clamp(p.Limit())
}

// window is the afterTraining that counts.
func (l Limits) window(p v1alpha1.RetentionPolicy) time.Duration {
	return bounds{l.AfterTrainingFloor, l.AfterTrainingCeiling}.clamp(p.Window())
}

// longest is the longest that data of any owner may stay.
func (l Limits) longest() time.Duration {
	return bounds{ceiling: l.MaxAgeCeiling}.clamp(v1alpha1.MaxRetention)
}

// note says in sentences, each after a space, where a bound counts and not what the
// owner asked for; nothing where there is no such.
func (l Limits) note(p v1alpha1.RetentionPolicy) string {
	return differs("maxAge", p.Limit(), l.age(p)) + differs("afterTraining", p.Window(), l.window(p))
}

func differs(field string, asked, counts time.Duration) string {
	if asked == counts {
		return ""
	}
	return fmt.Sprintf(" The operator's limits make %s %s instead of %s.", field, brief(counts), brief(asked))
}

// brief is "720h" where time.Duration says "720h0m0s".
func brief(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = strings.TrimSuffix(text, zero[1:])
		}
	}
	return text
}

// bounds of one time; zero is none.
type bounds struct{ floor, ceiling time.Duration }

func (b bounds) validate(field string) error {
	switch {
	case b.floor < 0 || b.ceiling < 0:
		return fmt.Errorf("a limit of %s is negative", field)
	case b.ceiling > 0 && b.floor > b.ceiling:
		return fmt.Errorf("the floor of %s is above its ceiling", field)
	case b.floor > v1alpha1.MaxRetention:
		return fmt.Errorf("the floor of %s is above %s, the most that the API takes", field, brief(v1alpha1.MaxRetention))
	}
	return nil
}

func (b bounds) clamp(asked time.Duration) time.Duration {
	if b.ceiling > 0 {
		asked = min(asked, b.ceiling)
	}
	return max(asked, b.floor)
}
