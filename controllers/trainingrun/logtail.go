package trainingrun

import (
	"strings"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"

	"github.com/lethe-dev/lethe/controllers/staging"
)

// logTail is the end of a trainer's output, from the report of its Pod's stage-out
// and from nowhere else: what the trainer leaves as its own termination message is
// never read. What it says is the user's, and hostile; see plain.
func logTail(pod *corev1.Pod) string {
	end := container(pod, staging.ContainerStageOut).Terminated
	if end == nil {
		return ""
	}
	report, ok := staging.ParseReport(end.Message)
	if !ok || report.Step != staging.StepStageOut {
		return ""
	}
	return lastBytes(plain(report.LogTail), staging.MaxLogTail)
}

// plain takes out of a text all that could change how the text around it looks on a
// terminal or a page: control characters but for newlines and tabs, and the invisible
// ones that turn the direction of writing round or hide others. What is not UTF-8 goes
// too.
func plain(text string) string {
	text = strings.ToValidUTF8(text, "")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, text)
}

// plainLine is plain on one line of at most maxMessage characters.
func plainLine(text string) string {
	return clip(strings.Join(strings.Fields(plain(text)), " "))
}

// lastBytes is the end of a text, cut between two characters.
func lastBytes(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	from := len(text) - limit
	for from < len(text) && !utf8.RuneStart(text[from]) {
		from++
	}
	return text[from:]
}

// gpuMemoryErrors are what PyTorch, CUDA and JAX say when a GPU has no memory left.
var gpuMemoryErrors = []string{
	"CUDA out of memory",
	"torch.OutOfMemoryError",
	"torch.cuda.OutOfMemoryError",
	"CUDA_ERROR_OUT_OF_MEMORY",
	"RESOURCE_EXHAUSTED: Out of memory",
}

func outOfGPUMemory(tail string) bool {
	for _, sign := range gpuMemoryErrors {
		if strings.Contains(tail, sign) {
			return true
		}
	}
	return false
}
