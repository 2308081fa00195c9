package web

import (
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/portal"
)

// runInput is the start form as it was filled in. Fields of the form have the names that
// problems of the cluster have too.
type runInput struct {
	Draft, Name, Dataset               string
	Image, OwnImage                    string
	Command, Args, Env                 string
	Product, GPUs, Nodes, CPU, Memory  string
	Sharded                            bool
	MaxDuration, MaxGPU                string // hours, GPU-hours
	StartWithin, StalledAfter          string // hours, minutes
	Retries, CheckpointEvery, KeepLast string // minutes
	ResumeFrom                         string
}

// readRunInput takes what was posted.
func readRunInput(f fields) runInput {
	return runInput{
		Draft: f.one("draft"), Name: f.trimmed("name"), Dataset: f.one("dataset"),
		Image: f.trimmed("image"), OwnImage: f.trimmed("image_own"),
		Command: f.one("command"), Args: f.one("args"), Env: f.one("env"),
		Product: f.one("product"), GPUs: f.trimmed("gpus"), Nodes: f.trimmed("nodes"),
		CPU: f.trimmed("cpu"), Memory: f.trimmed("memory"), Sharded: f.one("sharded") != "",
		MaxDuration: f.trimmed("max_duration"), MaxGPU: f.trimmed("max_gpu_seconds"),
		StartWithin: f.trimmed("start_within"), StalledAfter: f.trimmed("stalled_after"),
		Retries: f.trimmed("retries"), CheckpointEvery: f.trimmed("checkpoint_every"), KeepLast: f.trimmed("keep_last"),
		ResumeFrom: f.one("resume_from"),
	}
}

// runInputOf fills the form with a spec. An image that is not on the list is one's own.
func runInputOf(form portal.RunForm) runInput {
	spec := form.Spec
	in := runInput{
		Draft: string(form.Draft), Name: form.Name, Dataset: string(form.Dataset),
		Command: joinWords(spec.Command), Args: joinWords(spec.Args), Env: envText(spec.Env),
		Product: spec.Product, GPUs: strconv.Itoa(spec.GPUs), Nodes: strconv.Itoa(max(spec.Nodes, 1)),
		CPU: spec.CPU, Memory: spec.Memory, Sharded: spec.Sharded,
		MaxDuration: inUnits(spec.MaxDuration, time.Hour), MaxGPU: inUnits(time.Duration(spec.MaxGPUSeconds)*time.Second, time.Hour),
		StartWithin: inUnits(spec.StartWithin, time.Hour), StalledAfter: inUnits(spec.StalledAfter, time.Minute),
		Retries: strconv.Itoa(spec.Retries), CheckpointEvery: inUnits(spec.CheckpointEvery, time.Minute),
		ResumeFrom: string(spec.ResumeFrom),
	}
	if spec.KeepLast > 0 {
		in.KeepLast = strconv.Itoa(spec.KeepLast)
	}
	if slices.Contains(form.Images, spec.Image) {
		in.Image = spec.Image
	} else {
		in.OwnImage = spec.Image
	}
	return in
}

// spec makes the run that was asked for, and says what can't be read. Whether it can be
// had is the use case's to say.
func (in runInput) spec() (portal.RunSpec, []Problem) {
	p := runParser{}
	spec := portal.RunSpec{
		Image: in.OwnImage, Command: p.words("command", in.Command), Args: p.words("args", in.Args), Env: p.env(in.Env),
		CPU: in.CPU, Memory: in.Memory, Product: in.Product, Sharded: in.Sharded,
		Nodes: max(p.number("nodes", in.Nodes), 1), GPUs: p.number("gpus", in.GPUs),
		MaxDuration: p.span("max_duration", in.MaxDuration, time.Hour), MaxGPUSeconds: int64(p.span("max_gpu_seconds", in.MaxGPU, time.Hour) / time.Second),
		StartWithin: p.span("start_within", in.StartWithin, time.Hour), StalledAfter: p.span("stalled_after", in.StalledAfter, time.Minute),
		Retries: p.number("retries", in.Retries), CheckpointEvery: p.span("checkpoint_every", in.CheckpointEvery, time.Minute),
		KeepLast: p.number("keep_last", in.KeepLast), ResumeFrom: portal.RunID(in.ResumeFrom),
	}
	if in.OwnImage == "" {
		spec.Image = in.Image
	}
	return spec, p.problems
}

// runParser gathers what can't be read.
type runParser struct{ problems []Problem }

func (p *runParser) wrong(field, message string) {
	p.problems = append(p.problems, Problem{field, message})
}

func (p *runParser) words(field, text string) []string {
	words, err := splitWords(text)
	if err != nil {
		p.wrong(field, "This can't be split into words: "+err.Error()+".")
	}
	return words
}

// number reads a whole number; "" is 0.
func (p *runParser) number(field, text string) int {
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 1_000_000 {
		p.wrong(field, "Enter a whole number.")
		return 0
	}
	return n
}

// spanForm is a number of hours or minutes; some people write a comma.
var spanForm = regexp.MustCompile(`^[0-9]{1,6}([.,][0-9]{1,4})?$`)

// span reads a number of units, to the second; "" is 0.
func (p *runParser) span(field, text string, unit time.Duration) time.Duration {
	if text == "" {
		return 0
	}
	wrong := "Enter a number, such as 4 or 0.5."
	if !spanForm.MatchString(text) {
		p.wrong(field, wrong)
		return 0
	}
	number, ok := new(big.Rat).SetString(strings.Replace(text, ",", ".", 1))
	if !ok {
		p.wrong(field, wrong)
		return 0
	}
	seconds := number.Mul(number, big.NewRat(int64(unit/time.Second), 1))
	whole, err := strconv.ParseInt(seconds.FloatString(0), 10, 64)
	if err != nil || whole == 0 && number.Sign() > 0 {
		p.wrong(field, "This is less than a second. Enter more, or nothing.")
		return 0
	}
	return time.Duration(whole) * time.Second
}

// inUnits writes a span as a number of units, with as many decimals as bring the same
// second back; "" for none.
func inUnits(d, unit time.Duration) string {
	if d == 0 {
		return ""
	}
	text := big.NewRat(int64(d/time.Second), int64(unit/time.Second)).FloatString(4)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// env reads lines of NAME=value.
func (p *runParser) env(text string) map[string]string {
	env := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if name = strings.TrimSpace(name); !ok || name == "" {
			p.wrong("env", "Write one variable on each line, as NAME=value.")
			return nil
		}
		if _, twice := env[name]; twice {
			p.wrong("env", "The variable "+name+" is there twice.")
			return nil
		}
		env[name] = value
	}
	if len(env) == 0 {
		return nil
	}
	return env
}

// envText writes variables in the order of their names. One with a line break in its value
// can't be written in the form; the API takes those.
func envText(env map[string]string) string {
	var lines []string
	for name, value := range env {
		lines = append(lines, name+"="+value)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
