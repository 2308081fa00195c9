package validation

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Images says which images run in tenants' namespaces: those that are pinned by their
// digest, those of some registries, and some by name. The zero value takes digests only.
// config/policies/images.yaml says the same to the API server; a test there holds the two
// together.
type Images struct {
	// Registries are the starts of names, each up to a slash; see ParseRegistries.
	Registries []string
	// Exactly are names that are taken as they are: the stager's.
	Exactly []string
}

// imageName is what an image is called, in the container runtime's own grammar: host and
// port, path in lower case, tag, digest. Nothing else is taken, so that a name means to
// the runtime what it looked like here.
var imageName = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?/)?` +
	`[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)*` +
	`(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[a-f0-9]{64})?$`)

var imageDigest = regexp.MustCompile(`@sha256:[a-f0-9]{64}$`)

// Allows says whether an image may run.
func (i Images) Allows(image string) bool {
	if slices.Contains(i.Exactly, image) {
		return true
	}
	return imageName.MatchString(image) &&
		(pinned(image) || slices.ContainsFunc(i.Registries, func(r string) bool { return strings.HasPrefix(image, r) }))
}

func pinned(image string) bool { return imageDigest.MatchString(image) }

// refusal says why an image may not run, and what to do.
func (i Images) refusal() string {
	text := "is neither pinned by its digest (name@sha256:…) nor from a registry that is allowed here"
	if len(i.Registries) > 0 {
		text += ": " + strings.Join(i.Registries, ", ")
	}
	return text
}

// registry is a host with a dot, a port, or the name localhost, and perhaps a path. Without
// those it would be part of a name at Docker's own registry.
var registry = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+(:[0-9]{1,5})?|[a-z0-9]([a-z0-9-]*[a-z0-9])?:[0-9]{1,5}|localhost)` +
	`(/[a-z0-9]+(([.]|_|__|-+)[a-z0-9]+)*)*/?$`)

// errRegistry says how a registry is written.
var errRegistry = errors.New("is not a registry: write the host, and a path if you like, in lower case, as in registry.example.com/team")

// ParseRegistries reads a list of registries, separated by commas, each with a path or
// without. Each ends in a slash in what it returns, so that "example.com/team" does not
// let "example.com/team-b" through.
func ParseRegistries(list string) ([]string, error) {
	var all []string
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		if !registry.MatchString(one) {
			return nil, fmt.Errorf("%q %w", one, errRegistry)
		}
		all = append(all, strings.TrimSuffix(one, "/")+"/")
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}
