package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// setting is one thing that can be set from outside, under one name in three places: the
// flag --name, the variable LETHE_PORTAL_NAME and the key name of the file.
type setting struct {
	name string
	help string
	// boolean flags need no value.
	boolean bool
	// secret settings may hold a password: not as a flag, which every user of the machine
	// can read in the list of processes.
	secret bool
	set    func(string) error
}

const envPrefix = "LETHE_PORTAL_"

func (s setting) variable() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

// errHelp says that the help was asked for, and printed.
var errHelp = errors.New("help was asked for")

// apply fills the settings: a flag wins over its variable, that over the file, that over
// the default. It gives the arguments that are no flags, and all errors at once.
func apply(settings []setting, args, environ []string, out io.Writer) ([]string, error) {
	flags, rest, err := parseFlags(settings, args, out)
	if err != nil {
		return nil, err
	}
	variables, unknown := splitEnviron(settings, environ)
	path := variables["config"]
	if given, ok := flags["config"]; ok {
		path = given
	}
	file, err := readFile(path)
	errs := []error{err}
	for _, name := range unknown {
		errs = append(errs, fmt.Errorf("%s is not a setting", name))
	}
	for _, key := range sortedKeys(file) {
		if !slices.ContainsFunc(settings, func(s setting) bool { return s.name == key }) {
			errs = append(errs, fmt.Errorf("%s: %q is not a setting", path, key))
		}
	}
	for _, s := range settings {
		errs = append(errs, s.choose(flags, variables, file, path))
	}
	return rest, errors.Join(errs...)
}

// choose takes the value with the highest precedence. The error names where it is from.
func (s setting) choose(flags, variables map[string]string, file map[string]string, path string) error {
	value, ok := flags[s.name]
	source := "--" + s.name
	if ok && s.secret {
		return s.notAsFlag(value)
	}
	if !ok {
		value, ok = variables[s.name]
		source = s.variable()
	}
	if !ok {
		value, ok = file[s.name]
		source = path + ": " + s.name
	}
	if !ok {
		return nil
	}
	if err := s.set(value); err != nil {
		return fmt.Errorf("%s: %w", source, err)
	}
	return nil
}

func (s setting) notAsFlag(value string) error {
	if holdsPassword(value) {
		return fmt.Errorf("--%s holds a password, which every user of this machine could read: set %s, or write it in the file of --config", s.name, s.variable())
	}
	if err := s.set(value); err != nil {
		return fmt.Errorf("--%s: %w", s.name, err)
	}
	return nil
}

func parseFlags(settings []setting, args []string, out io.Writer) (map[string]string, []string, error) {
	given := map[string]string{}
	flags := flag.NewFlagSet("portal", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	for _, s := range settings {
		take := func(value string) error {
			given[s.name] = value
			return nil
		}
		if s.boolean {
			flags.BoolFunc(s.name, s.help, take)
			continue
		}
		flags.Func(s.name, s.help, take)
	}
	rest := []string{}
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				printSettings(out, settings)
				return nil, nil, errHelp
			}
			return nil, nil, fmt.Errorf("%w; \"portal help\" lists the settings", err)
		}
		// Flags may stand before and after the other arguments.
		args = flags.Args()
		if len(args) > 0 {
			rest, args = append(rest, args[0]), args[1:]
		}
	}
	return given, rest, nil
}

// splitEnviron gives our variables by the name of their setting, and the names of those
// that begin like ours and are none.
func splitEnviron(settings []setting, environ []string) (known map[string]string, unknown []string) {
	known = map[string]string{}
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, envPrefix) {
			continue
		}
		at := slices.IndexFunc(settings, func(s setting) bool { return s.variable() == variable })
		if at < 0 {
			unknown = append(unknown, variable)
			continue
		}
		known[settings[at].name] = value
	}
	slices.Sort(unknown)
	return known, unknown
}

// readFile reads a flat YAML file; "" is none.
func readFile(path string) (map[string]string, error) {
	if path == "" {
		return map[string]string{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the settings: %w", err)
	}
	var raw map[string]any
	if err := yaml.UnmarshalStrict(text, &raw); err != nil {
		return nil, fmt.Errorf("read the settings: %s is not YAML of the form \"name: value\": %w", path, err)
	}
	file := map[string]string{}
	var errs []error
	for key, value := range raw {
		word, err := scalar(value)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", path, key, err))
			continue
		}
		file[key] = word
	}
	return file, errors.Join(errs...)
}

// scalar gives a value of YAML as it would be written in a flag.
func scalar(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), nil
	case []any:
		words := make([]string, len(v))
		for i, element := range v {
			word, err := scalar(element)
			if err != nil {
				return "", err
			}
			words[i] = word
		}
		return strings.Join(words, ","), nil
	default:
		return "", errors.New("neither a word, a number, true, false, nor a list of them")
	}
}

func printSettings(out io.Writer, settings []setting) {
	for _, s := range settings {
		fmt.Fprintf(out, "  --%s, %s\n      %s\n", s.name, s.variable(), s.help)
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
