package runs

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// Bounds of api/v1alpha1, which the cluster's own schema has too.
const (
	maxNodes    = 64
	maxGPUs     = 16
	maxAllGPUs  = 256
	maxImage    = 512
	maxCommand  = 64
	maxArgs     = 256
	maxWord     = 4096
	maxEnv      = 64
	maxEnvValue = 8192
	maxRetries  = 10
	maxKeepLast = 16
	longest     = 87600 * time.Hour
	seldomest   = 168 * time.Hour // checkpoints
)

var (
	cpuForm     = regexp.MustCompile(`^[0-9]{1,6}([.][0-9]{1,3}|m)?$`)
	memoryForm  = regexp.MustCompile(`^[0-9]{1,15}([.][0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?$`)
	someDigit   = regexp.MustCompile(`[1-9]`)
	envForm     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	productForm = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$`)
)

// faults gathers what is wrong.
type faults []error

// when notes a fault of a field.
func (f *faults) when(wrong bool, name, message string) {
	if wrong {
		*f = append(*f, portal.Invalid(name, message))
	}
}

// checkSpec says what is wrong with the values by themselves. It is pure.
func checkSpec(spec portal.RunSpec) []error {
	var f faults
	f.when(spec.Image == "", "image", "Choose an image.")
	f.when(len(spec.Image) > maxImage, "image", fmt.Sprintf("The image's name is too long: at most %d characters.", maxImage))
	f.words("command", spec.Command, maxCommand)
	f.words("args", spec.Args, maxArgs)
	f.env(spec.Env)
	f.when(spec.CPU != "" && (!cpuForm.MatchString(spec.CPU) || !someDigit.MatchString(spec.CPU)), "cpu", "Write the CPU cores like 4, 0.5 or 500m.")
	f.when(spec.Memory != "" && (!memoryForm.MatchString(spec.Memory) || !someDigit.MatchString(spec.Memory)), "memory", "Write the memory like 512Mi or 16Gi.")
	f.hardware(spec)
	f.limits(spec)
	return f
}

func (f *faults) words(name string, words []string, most int) {
	f.when(len(words) > most, name, fmt.Sprintf("These are too many words: at most %d.", most))
	f.when(slices.ContainsFunc(words, func(w string) bool { return len(w) > maxWord }), name, fmt.Sprintf("One of the words is too long: at most %d bytes.", maxWord))
	f.when(slices.ContainsFunc(words, func(w string) bool { return strings.ContainsRune(w, 0) }), name, "A word can't have a zero byte in it.")
}

func (f *faults) env(env map[string]string) {
	f.when(len(env) > maxEnv, "env", fmt.Sprintf("These are too many variables: at most %d.", maxEnv))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		f.when(!envForm.MatchString(name) || len(name) > 256, "env", "Names of variables have letters, digits and underscores, and begin with no digit.")
		f.when(strings.HasPrefix(name, "LETHE_"), "env", "Names that start with LETHE_ are set by the cluster. Choose others.")
		f.when(len(value) > maxEnvValue, "env", fmt.Sprintf("The value of %s is too long: at most %d bytes.", name, maxEnvValue))
	}
}

func (f *faults) hardware(spec portal.RunSpec) {
	f.when(spec.Nodes < 0 || spec.Nodes > maxNodes, "nodes", fmt.Sprintf("A run has 1 to %d nodes.", maxNodes))
	f.when(spec.GPUs < 0 || spec.GPUs > maxGPUs, "gpus", fmt.Sprintf("A node has 0 to %d GPUs.", maxGPUs))
	f.when(max(spec.Nodes, 1)*spec.GPUs > maxAllGPUs, "gpus", fmt.Sprintf("A run has at most %d GPUs in all. Take fewer nodes, or fewer GPUs on each.", maxAllGPUs))
	f.when(spec.Product != "" && (len(spec.Product) > 63 || !productForm.MatchString(spec.Product)), "product", "There is no such kind of GPU. Choose one from the list.")
}

func (f *faults) limits(spec portal.RunSpec) {
	span := func(name string, d, from, to time.Duration, words string) {
		f.when(d != 0 && (d < from || d > to), name, words)
	}
	span("max_duration", spec.MaxDuration, 10*time.Second, longest, "A run may train from 10 seconds to 87600 hours.")
	span("start_within", spec.StartWithin, 10*time.Second, longest, "A run may wait from 10 seconds to 87600 hours.")
	span("stalled_after", spec.StalledAfter, 30*time.Second, longest, "A run may be silent from 30 seconds to 87600 hours.")
	span("checkpoint_every", spec.CheckpointEvery, 10*time.Second, seldomest, "Checkpoints are kept every 10 seconds at most and every 168 hours at least.")
	f.when(spec.MaxGPUSeconds < 0, "max_gpu_seconds", "GPU-hours can't be less than none.")
	f.when(spec.Retries < 0 || spec.Retries > maxRetries, "retries", fmt.Sprintf("A run may be tried again 0 to %d times.", maxRetries))
	f.when(spec.KeepLast < 0 || spec.KeepLast > maxKeepLast, "keep_last", fmt.Sprintf("1 to %d checkpoints are kept.", maxKeepLast))
}

// checkOffers says what the cluster has not got. It is pure.
func checkOffers(spec portal.RunSpec, offers []portal.RunOffer) []error {
	if spec.GPUs <= 0 {
		return nil
	}
	perNode, total, kinds := 0, 0, 0
	for _, o := range offers {
		if spec.Product == "" || o.Product == spec.Product {
			perNode, total, kinds = max(perNode, o.PerNode), total+o.Total, kinds+1
		}
	}
	var f faults
	switch {
	case kinds == 0 && spec.Product == "":
		f.when(true, "gpus", "There are no GPUs in the cluster now. Set GPUs per node to 0 to train on CPUs, or try again later.")
	case kinds == 0:
		f.when(true, "product", "The cluster has no GPUs of this kind any more. Choose another one.")
	default:
		f.when(spec.GPUs > perNode, "gpus", fmt.Sprintf("No node has that many GPUs of this kind: at most %d.", perNode))
		f.when(max(spec.Nodes, 1)*spec.GPUs > total, "nodes", fmt.Sprintf("The cluster has %d GPUs of this kind in all. Take fewer nodes, or fewer GPUs on each.", total))
	}
	return f
}
