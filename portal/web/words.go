package web

import (
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/lethe-dev/lethe/portal"
)

// templateFuncs are what templates may call.
func templateFuncs(a *assets) template.FuncMap {
	return template.FuncMap{
		"asset":       a.path,
		"country":     country,
		"day":         day,
		"exact":       exact,
		"field":       newField,
		"objectcount": func(n int64) string { return countOf(n, "object", "objects") },
		"lasting":     lasting,
		"fileSize":    fileSize,
		"thousands":   thousands,
		"figure":      figure,
		"method":      methodWords,
		"trigger":     triggerWords,
		"filesize":    fileSize,
		"filecount":   func(n int64) string { return countOf(n, "file", "files") },
		"gpuHours":    gpuHours,
		"happens":     happens,
		"icon":        icon,
		"plural":      plural,
		"role":        roleName,
		"scope":       scopeWords,
		"stamp":       stamp,
		"utc":         utc,
		"waiting":     waiting,
	}
}

// utc and stamp are a moment for people and for programs; lethe.js shows it in local time.
func utc(t time.Time) string   { return t.UTC().Format("2 Jan 2006, 15:04") + " UTC" }
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
func day(t time.Time) string   { return t.UTC().Format("2 January 2006") }

var regions = display.English.Regions()

// country names a country by its ISO 3166-1 code.
func country(code string) string {
	if code == "" || code == portal.UnknownCountry {
		return "Unknown country"
	}
	region, err := language.ParseRegion(code)
	if err != nil || !region.IsCountry() {
		return "Unknown country"
	}
	return regions.Name(region)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// roleName is a role for people.
func roleName(r portal.Role) string {
	if r == "" {
		return ""
	}
	return strings.ToUpper(string(r[:1])) + string(r[1:])
}

// happenings say what each kind of event is, to the person whose account it is. grave ones
// are marked.
var happenings = map[portal.EventKind]struct {
	Words string
	Grave bool
}{
	portal.EventSignUp:           {"Account created", false},
	portal.EventEmailVerified:    {"Email address confirmed", false},
	portal.EventSignIn:           {"Signed in", false},
	portal.EventSignInFailed:     {"Sign-in failed", true},
	portal.EventSignOut:          {"Signed out", false},
	portal.EventThrottled:        {"Sign-in slowed down after many failures", true},
	portal.EventStepUp:           {"Confirmed that it is you", false},
	portal.EventStepUpFailed:     {"Confirming that it is you failed", true},
	portal.EventNewDevice:        {"Signed in from a new browser", false},
	portal.EventPasswordChanged:  {"Password changed", false},
	portal.EventResetAsked:       {"Password reset asked for", false},
	portal.EventPasswordReset:    {"Password reset", false},
	portal.EventEmailAsked:       {"Change of email address asked for", false},
	portal.EventEmailChanged:     {"Email address changed", false},
	portal.EventEmailUndone:      {"Change of email address undone", true},
	portal.EventTOTPEnrolled:     {"Two-factor sign-in turned on", false},
	portal.EventTOTPRemoved:      {"Two-factor sign-in turned off", true},
	portal.EventTOTPFailed:       {"Wrong code", true},
	portal.EventTOTPReplayed:     {"Code used a second time", true},
	portal.EventRecoveryUsed:     {"Recovery code used", true},
	portal.EventRecoveryRenewed:  {"New recovery codes made", false},
	portal.EventSessionEnded:     {"Session ended", false},
	portal.EventTokenCreated:     {"API token made", false},
	portal.EventTokenUsed:        {"API token used", false},
	portal.EventTokenRefused:     {"API token refused", true},
	portal.EventTokenRevoked:     {"API token revoked", false},
	portal.EventAccountDisabled:  {"Account disabled by our staff", true},
	portal.EventAccountEnabled:   {"Account enabled by our staff", false},
	portal.EventRoleChanged:      {"Role changed", true},
	portal.EventAccessDenied:     {"A page was refused", true},
	portal.EventCrossSiteRefused: {"A request from another site was refused", true},
}

// happens says what an event was.
func happens(kind portal.EventKind) (string, error) {
	h, ok := happenings[kind]
	if !ok {
		return "", fmt.Errorf("no words for event kind %q", kind)
	}
	return h.Words, nil
}

// scopeWords say what a token with a scope may do.
func scopeWords(scope portal.Scope) (string, error) {
	words, ok := map[portal.Scope]string{
		portal.ScopeAccountRead:   "Read your account",
		portal.ScopeEventsRead:    "Read your security history",
		portal.ScopeSessionWrite:  "See and end your sessions",
		portal.ScopeDatasetsRead:  "Read your datasets and receipts",
		portal.ScopeDatasetsWrite: "Upload, seal and erase datasets",
		portal.ScopeRunsRead:      "Read your runs, their logs and artifacts",
		portal.ScopeRunsWrite:     "Start, stop and delete runs",
	}[scope]
	if !ok {
		return "", fmt.Errorf("no words for scope %q", scope)
	}
	return words, nil
}

// scopeGroup is the heading that a scope stands under.
func scopeGroup(scope portal.Scope) string {
	noun, _, _ := strings.Cut(string(scope), ":")
	switch noun {
	case "datasets":
		return "Datasets"
	case "runs":
		return "Runs"
	default:
		return "Your account"
	}
}

// Field is an input with its label, for the part "field".
type Field struct {
	Name, Label, Hint, Type, Value, Problem string
	Autocomplete, InputMode, Pattern        string
	MaxLength                               int
	Focus                                   bool
}

// newField makes a Field out of pairs of a key and a value, with the problem that the page
// has for it.
func newField(page pageData, name, label string, pairs ...any) (Field, error) {
	f := Field{Name: name, Label: label, Type: "text", Problem: page.shell().Problem(name)}
	if len(pairs)%2 != 0 {
		return f, errors.New("a field needs pairs of a key and a value")
	}
	for pair := range slices.Chunk(pairs, 2) {
		if err := f.set(pair[0], pair[1]); err != nil {
			return f, err
		}
	}
	return f, nil
}

func (f *Field) set(key, value any) error {
	switch key {
	case "focus":
		f.Focus, _ = value.(bool)
		return nil
	case "maxlength":
		f.MaxLength, _ = value.(int)
		return nil
	}
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("field %s: the value of %v is %T", f.Name, key, value)
	}
	switch key {
	case "hint":
		f.Hint = text
	case "type":
		f.Type = text
	case "value":
		f.Value = text
	case "autocomplete":
		f.Autocomplete = text
	case "inputmode":
		f.InputMode = text
	case "pattern":
		f.Pattern = text
	default:
		return fmt.Errorf("field %s: no key %v", f.Name, key)
	}
	return nil
}

// icons are drawn with the text's colour, 24 by 24.
var icons = map[string]string{
	"check":    `<path d="m5 12.5 4.5 4.5L19 7.5"/>`,
	"alert":    `<path d="M12 8v5m0 3.5v.01M10.3 4.2 2.9 17a2 2 0 0 0 1.7 3h14.8a2 2 0 0 0 1.7-3L13.7 4.2a2 2 0 0 0-3.4 0Z"/>`,
	"key":      `<circle cx="8" cy="15" r="4"/><path d="m11 12 8.5-8.5M16 7l3 3"/>`,
	"shield":   `<path d="M12 3 5 6v5.5c0 4.4 2.9 7.9 7 9.5 4.1-1.6 7-5.1 7-9.5V6z"/><path d="m9 12 2.2 2.2L15.2 10"/>`,
	"mail":     `<rect x="3" y="5" width="18" height="14" rx="2.5"/><path d="m4 7.5 8 6 8-6"/>`,
	"device":   `<rect x="3" y="4.5" width="18" height="12" rx="2"/><path d="M9 20h6m-3-3.5V20"/>`,
	"clock":    `<circle cx="12" cy="12" r="8.5"/><path d="M12 7v5l3.5 2"/>`,
	"plug":     `<path d="M9 3v5m6-5v5M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0zM12 17v4"/>`,
	"lock":     `<rect x="5" y="10.5" width="14" height="10" rx="2.5"/><path d="M8 10.5V7.5a4 4 0 0 1 8 0v3"/>`,
	"wave":     `<path d="M3 9c3-3 6-3 9 0s6 3 9 0M3 15c3-3 6-3 9 0s6 3 9 0"/>`,
	"eye":      `<path d="M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12Z"/><circle cx="12" cy="12" r="3"/>`,
	"arrow":    `<path d="M5 12h14m-6-6 6 6-6 6"/>`,
	"pause":    `<path d="M9 6v12m6-12v12"/>`,
	"stop":     `<rect x="6" y="6" width="12" height="12" rx="2"/>`,
	"upload":   `<path d="M12 15V4m-5 5 5-5 5 5M5 20h14"/>`,
	"download": `<path d="M12 4v11m-5-5 5 5 5-5M5 20h14"/>`,
}

// icon draws one, hidden from screen readers: beside it there is always a text.
func icon(name string) (template.HTML, error) {
	shape, ok := icons[name]
	if !ok {
		return "", fmt.Errorf("no icon %q", name)
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false">` + shape + `</svg>`), nil //nolint:gosec // Constants of ours.
}
