package web

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/portal"
)

func TestEachKindOfEventHasWords(t *testing.T) {
	t.Parallel()
	said := map[string]portal.EventKind{}
	for _, kind := range portal.EventKinds() {
		words, err := happens(kind)
		if err != nil {
			t.Error(err)
		}
		if other, taken := said[words]; taken {
			t.Errorf("%s and %s have the same words", kind, other)
		}
		said[words] = kind
	}
	if len(happenings) != len(portal.EventKinds()) {
		t.Errorf("%d kinds have words, there are %d", len(happenings), len(portal.EventKinds()))
	}
	if _, err := happens("unheard-of"); err == nil {
		t.Error("a kind that is none has words")
	}
}

func TestEachScopeHasWords(t *testing.T) {
	t.Parallel()
	for _, scope := range portal.Scopes() {
		if _, err := scopeWords(scope); err != nil {
			t.Error(err)
		}
	}
	if _, err := scopeWords("everything"); err == nil {
		t.Error("a scope that is none has words")
	}
}

func TestScopesOfOneNounStandTogether(t *testing.T) {
	t.Parallel()
	s, _ := fakeServer(t)
	page := s.tokenPage(s.newRequest(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/account/tokens/new", nil)), "", nil, 0)
	var names []string
	var scopes []portal.Scope
	for _, group := range page.Groups {
		names = append(names, group.Name)
		for _, scope := range group.Scopes {
			scopes = append(scopes, scope.Scope)
		}
	}
	if diff := cmp.Diff([]string{"Your account", "Datasets", "Runs"}, names); diff != "" {
		t.Errorf("groups (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(portal.Scopes(), scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
}

func TestEachOptionalMailHasWords(t *testing.T) {
	t.Parallel()
	for _, kind := range portal.OptionalMails() {
		if optionalMails[kind] == "" {
			t.Errorf("no words for %s", kind)
		}
	}
	if len(optionalMails) != len(portal.OptionalMails()) {
		t.Errorf("%d kinds have words, there are %d", len(optionalMails), len(portal.OptionalMails()))
	}
}

func TestCountries(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		"DE": "Germany", "FR": "France", "CI": "Côte d’Ivoire", "ZZ": "Unknown country", "": "Unknown country",
		"<b>": "Unknown country", "EU": "Unknown country", "D": "Unknown country",
	} {
		if got := country(code); got != want {
			t.Errorf("country(%q) = %q, want %q", code, got, want)
		}
	}
}

func TestFieldsOfTemplatesAreChecked(t *testing.T) {
	t.Parallel()
	page := &signUpPage{}
	page.Problems = []Problem{{"email", "No."}}
	got, err := newField(page, "email", "Email", "type", "email", "focus", true, "maxlength", 9)
	if diff := cmp.Diff(Field{Name: "email", Label: "Email", Type: "email", Problem: "No.", Focus: true, MaxLength: 9}, got); diff != "" || err != nil {
		t.Errorf("error %v (-want +got):\n%s", err, diff)
	}
	for name, pairs := range map[string][]any{"no value": {"type"}, "no such key": {"colour", "red"}, "not a text": {"type", 3}} {
		if _, err := newField(page, "email", "Email", pairs...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
