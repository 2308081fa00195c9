package staging_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/controllers/staging"
)

func TestReportsComeBackAsTheyWere(t *testing.T) {
	t.Parallel()
	cases := map[string]staging.Report{
		"staged in": {Step: staging.StepStageIn, ManifestDigest: "sha256:" + strings.Repeat("1", 64), Objects: 3, Bytes: 1 << 40},
		"published": {Step: staging.StepStageOut, Published: true, ManifestDigest: "sha256:" + strings.Repeat("1", 64)},
		"failed":    {Step: staging.StepStageOut, Message: "the store is full; \"free\" some <room>\n"},
		"resumed":   {Step: staging.StepStageIn, Checkpoint: "0001-000002", Objects: 3},
		"the trainer failed": {
			Step: staging.StepStageOut, LogTail: "Traceback (most recent call last):\n\tRuntimeError\n",
		},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := want.Encode()
			if err != nil {
				t.Fatal(err)
			}
			got, ok := staging.ParseReport(string(data))
			if diff := cmp.Diff(want, got); diff != "" || !ok {
				t.Errorf("ok = %v, report (-want +got):\n%s", ok, diff)
			}
		})
	}
}

func TestLongMessagesAreCutSoThatTheReportFits(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"letters":             strings.Repeat("x", 10_000),
		"letters of 2 bytes":  "x" + strings.Repeat("ü", 10_000),
		"escaped characters":  strings.Repeat("<", 10_000),
		"control characters":  strings.Repeat("\x01", 10_000),
		"bytes of no letters": strings.Repeat("\xff", 10_000),
	}
	for name, message := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := staging.Report{
				Step: staging.StepStageOut, Message: message, Published: true, LogTail: message + "the end",
				ManifestDigest: "sha256:" + strings.Repeat("f", 64), Objects: 1 << 62, Bytes: 1 << 62,
			}
			data, err := r.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if len(data) > staging.MaxReport {
				t.Errorf("report has %d bytes, more than %d", len(data), staging.MaxReport)
			}
			got, ok := staging.ParseReport(string(data))
			if !ok || got.Bytes != r.Bytes || !utf8.ValidString(got.Message) || strings.ContainsRune(got.Message, utf8.RuneError) {
				t.Errorf("ok = %v, bytes = %d, message = %.40q", ok, got.Bytes, got.Message)
			}
			if !utf8.ValidString(got.LogTail) || len(got.LogTail) > staging.MaxLogTail || !strings.HasSuffix(got.LogTail, "the end") {
				t.Errorf("the end of the log is %d bytes that end with %.20q", len(got.LogTail), got.LogTail[max(0, len(got.LogTail)-10):])
			}
		})
	}
}

func TestOtherTextIsNoReport(t *testing.T) {
	t.Parallel()
	cases := map[string]string{
		"nothing":                  "",
		"the tail of a log":        "Traceback (most recent call last):",
		"JSON without a step":      `{"message":"hello"}`,
		"a trainer's progress":     `{"step":100,"loss":0.3}`,
		"a step that nobody knows": `{"step":"warmup"}`,
		"another type":             `["stage-in"]`,
		"a report with more":       `{"step":"stage-in"} and more`,
	}
	for name, message := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, ok := staging.ParseReport(message); ok {
				t.Errorf("was taken for %+v", got)
			}
		})
	}
}
