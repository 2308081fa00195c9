package broker

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/lethe-dev/lethe/api/v1alpha1"
)

// TestConfigurationIsACopy: a client decodes the API server's answer into what it
// applies, while the broker goes on to read the message.
func TestConfigurationIsACopy(t *testing.T) {
	t.Parallel()
	at := metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	told := v1alpha1.Progress{
		Attempt: 1, Sequence: 2, Percent: ptr.To[int32](3), Epoch: ptr.To[int64](4), Epochs: ptr.To[int64](5),
		Step: ptr.To[int64](6), TotalSteps: ptr.To[int64](7),
		EstimatedCompletionTime: at.DeepCopy(), LastUpdateTime: at.DeepCopy(), LastActivityTime: at.DeepCopy(),
	}
	before := told.DeepCopy()
	answered := configuration(&v1alpha1.TrainingRun{}, &told, nil).Status.Progress
	*answered.Percent = 0
	for _, n := range []*int64{answered.Epoch, answered.Epochs, answered.Step, answered.TotalSteps} {
		*n = 0
	}
	for _, when := range []*metav1.Time{answered.EstimatedCompletionTime, answered.LastUpdateTime, answered.LastActivityTime} {
		*when = metav1.Time{}
	}
	if diff := cmp.Diff(*before, told); diff != "" {
		t.Errorf("the message changed with the configuration:\n%s", diff)
	}
}
