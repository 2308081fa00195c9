package trainingrun

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/controllers/staging"
)

func TestLastBytesCutsBetweenCharacters(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text  string
		limit int
		want  string
	}{
		"a text that fits":            {text: "abc", limit: 3, want: "abc"},
		"one byte too many":           {text: "abcd", limit: 3, want: "bcd"},
		"a cut in a wide character":   {text: "aé€", limit: 4, want: "€"},
		"a cut before one":            {text: "aé€", limit: 5, want: "é€"},
		"no room at all":              {text: "€", limit: 0, want: ""},
		"a character without room":    {text: "€", limit: 2, want: ""},
		"the end of text is kept too": {text: "a\n", limit: 1, want: "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := lastBytes(c.text, c.limit); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestOutOfGPUMemory(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tail string
		want bool
	}{
		"PyTorch":              {"RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", true},
		"PyTorch since 2.5":    {"torch.OutOfMemoryError: HIP out of memory", true},
		"PyTorch before":       {"torch.cuda.OutOfMemoryError: ...", true},
		"the driver":           {"failed call to cuInit: CUDA_ERROR_OUT_OF_MEMORY", true},
		"JAX":                  {"XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate", true},
		"memory of the host":   {"MemoryError: Unable to allocate 3 GiB for an array", false},
		"gRPC's own exhausted": {"RESOURCE_EXHAUSTED: message larger than max", false},
		"nothing":              {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := outOfGPUMemory(c.tail); got != c.want {
				t.Errorf("got %t, want %t", got, c.want)
			}
		})
	}
}

// FuzzFailure gives the containers of a Pod any last words. Whatever they are, what gets
// into a status fits there, is plain, and has nothing of the trainer's own message.
func FuzzFailure(f *testing.F) {
	secret := "tHe-trainers-0wn-w0rds"
	f.Add(reported(staging.Report{Step: staging.StepStageIn, Message: "object 7 differs\x1b[31m"}), reported(staging.Report{Step: staging.StepStageOut, LogTail: strings.Repeat("€\x00", 2000)}), int32(65), int32(1), "Evicted")
	f.Add(`{"step":"stage-out","logTail":"\u202e\ud800CUDA out of memory","objects":-1}`, `{"step":"stage-out","logTail":"CUDA out of memory\u009b"}`, int32(0), int32(137), "")
	f.Add(`[[[[`, "\xff\xfe", int32(-1), int32(-9), "\x1b]0;")
	f.Add("", `{"step":"stage-in","logTail":"x"}`, int32(0), int32(0), "OOMKilled")
	f.Fuzz(func(t *testing.T, first, last string, inCode, trainerCode int32, reason string) {
		pod := makePod(ends(staging.ContainerStageIn, inCode, reason, first),
			ends(staging.ContainerTrainer, trainerCode, reason, secret), ends(staging.ContainerStageOut, inCode, reason, last),
			func(p *corev1.Pod) { p.Status.Reason = reason }, node(last))
		v := failure(observed{Run: makeRun(), Job: failedBecause(reason, first), Pods: []corev1.Pod{pod}})
		if v.Reason == "" || v.Blame == "" || v.Hint == "" || advices[v.Reason].hint == "" {
			t.Errorf("not explained: %+v", v)
		}
		if len(v.LogTail) > staging.MaxLogTail || !utf8.ValidString(v.LogTail) || strings.ContainsFunc(v.LogTail, odd) {
			t.Errorf("the tail of %d bytes is not plain: %q", len(v.LogTail), v.LogTail)
		}
		for _, text := range []string{v.summary(), clip(v.Message)} {
			if utf8.RuneCountInString(text) > maxMessage || !utf8.ValidString(text) || strings.ContainsFunc(text, odd) {
				t.Errorf("%q is not plain", text)
			}
			if strings.Contains(text, secret) || strings.Contains(v.LogTail, secret) && !strings.Contains(last, secret) {
				t.Errorf("%+v repeats the trainer's own words", v)
			}
		}
		if v.Node != nil && *v.Node < 0 {
			t.Errorf("node %d", *v.Node)
		}
	})
}

// odd says that a character has no place in a status.
func odd(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r))
}
