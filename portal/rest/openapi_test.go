package rest_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/portal"
	"github.com/lethe-dev/lethe/portal/rest"
)

// openAPI is openapi.yaml with all references followed.
type openAPI struct {
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	OperationID string              `json:"operationId"`
	Summary     string              `json:"summary"`
	Scope       string              `json:"x-scope"`
	Security    *[]any              `json:"security"`
	Parameters  []parameter         `json:"parameters"`
	Responses   map[string]response `json:"responses"`
	RequestBody *requestBody        `json:"requestBody"`
}

type requestBody struct {
	Required bool             `json:"required"`
	Content  map[string]media `json:"content"`
}

type parameter struct {
	Name, In string
	Required bool
}

type response struct {
	Description string           `json:"description"`
	Headers     map[string]any   `json:"headers"`
	Content     map[string]media `json:"content"`
}

type media struct {
	Schema schema `json:"schema"`
}

type schema = spec.Schema

func loadOpenAPI(t *testing.T) openAPI {
	t.Helper()
	text, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.UnmarshalStrict(text, &tree); err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(resolve(t, tree, tree))
	if err != nil {
		t.Fatal(err)
	}
	var api openAPI
	if err := json.Unmarshal(plain, &api); err != nil {
		t.Fatal(err)
	}
	return api
}

// resolve replaces each {$ref: "#/..."} by what it points to.
func resolve(t *testing.T, root map[string]any, node any) any {
	t.Helper()
	switch node := node.(type) {
	case map[string]any:
		if ref, ok := node["$ref"].(string); ok {
			var target any = root
			for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
				inner, ok := target.(map[string]any)
				if !ok || inner[part] == nil {
					t.Fatalf("the document points to %s, which is not there", ref)
				}
				target = inner[part]
			}
			return resolve(t, root, target)
		}
		out := map[string]any{}
		for key, value := range node {
			out[key] = resolve(t, root, value)
		}
		return out
	case []any:
		out := make([]any, len(node))
		for i, value := range node {
			out[i] = resolve(t, root, value)
		}
		return out
	default:
		return node
	}
}

func TestTheDocumentHasEachRouteAndNoOther(t *testing.T) {
	t.Parallel()
	api := loadOpenAPI(t)
	written := map[string]string{}
	ids := map[string]bool{}
	for path, operations := range api.Paths {
		for method, op := range operations {
			access := op.Scope
			switch {
			case op.Security != nil && len(*op.Security) == 0:
				access = "public"
			case access == "":
				access = "any token"
			}
			written[strings.ToUpper(method)+" "+path] = access
			if op.OperationID == "" || op.Summary == "" || ids[op.OperationID] {
				t.Errorf("%s %s has no id of its own, or no summary", method, path)
			}
			ids[op.OperationID] = true
			checkParameters(t, path, op)
		}
	}
	built := map[string]string{}
	for _, route := range newBench(t).server.Routes() {
		built[route.Method+" "+route.Pattern] = string(route.Access)
	}
	if diff := cmp.Diff(built, written); diff != "" {
		t.Errorf("routes and document differ (-routes +document):\n%s", diff)
	}
}

func checkParameters(t *testing.T, path string, op operation) {
	t.Helper()
	for part := range strings.SplitSeq(path, "/") {
		name := strings.Trim(part, "{}")
		if name == part {
			continue
		}
		if !slices.ContainsFunc(op.Parameters, func(p parameter) bool { return p.Name == name && p.In == "path" && p.Required }) {
			t.Errorf("%s does not describe the parameter %q", path, name)
		}
	}
}

// TestTheDocumentKnowsAllValues compares lists that are in the domain too.
func TestTheDocumentKnowsAllValues(t *testing.T) {
	t.Parallel()
	schemas := loadOpenAPI(t).Components.Schemas
	for name, test := range map[string]struct {
		want []string
		got  schema
	}{
		"event kinds": {texts(portal.EventKinds()), schemas["Event"].Properties["kind"]},
		"roles":       {texts(portal.Roles()), schemas["Account"].Properties["role"]},
		"datasets":    {rest.DatasetStates(), schemas["Dataset"].Properties["state"]},
		"runs":        {rest.RunStates(), schemas["Run"].Properties["state"]},
		"scopes":      {texts(portal.Scopes()), *schemas["Token"].Properties["scopes"].Items.Schema},
	} {
		var got []string
		for _, value := range test.got.Enum {
			got = append(got, fmt.Sprint(value))
		}
		slices.Sort(test.want)
		slices.Sort(got)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-domain +document):\n%s", name, diff)
		}
	}
}

// TestTheDocumentHasEachMember compares members by name, in both directions: no answer that
// a test gets has all of them.
func TestTheDocumentHasEachMember(t *testing.T) {
	t.Parallel()
	schemas := loadOpenAPI(t).Components.Schemas
	for name, value := range map[string]any{
		"Account": rest.Account{}, "Session": rest.Session{}, "Token": rest.Token{}, "Event": rest.Event{}, "Problem": rest.Problem{},
		"Dataset": rest.Dataset{}, "DatasetPage": rest.DatasetPage{}, "UsedBy": rest.UsedBy{},
		"File": rest.File{}, "FilePage": rest.FilePage{}, "FilePlans": rest.FilePlans{}, "FilePlan": portal.FilePlan{}, "SignedParts": rest.SignedParts{},
		"FileResults": rest.FileResults{}, "FileResult": portal.FileResult{}, "Receipt": rest.Receipt{}, "ReceiptPage": rest.ReceiptPage{}, "Facts": objectkey.EraseReceipt{},
		"Offer": rest.Offer{}, "OfferList": rest.OfferList{}, "Money": rest.Money{}, "Estimate": rest.Estimate{},
		"NewRun": rest.NewRun{}, "Run": rest.Run{}, "RunPage": rest.RunPage{}, "Progress": rest.Progress{}, "Attempt": rest.Attempt{},
		"Failure": rest.Failure{}, "Cost": rest.Cost{}, "RunEventList": rest.RunEventList{}, "RunPointList": rest.RunPointList{},
		"RunFile": rest.RunFile{}, "RunFilePage": rest.RunFilePage{}, "LogLines": rest.LogLines{},
	} {
		members := map[string]bool{} // whether it is always there
		for _, field := range reflect.VisibleFields(reflect.TypeOf(value)) {
			if tag, ok := field.Tag.Lookup("json"); ok {
				member, options, _ := strings.Cut(tag, ",")
				members[member] = options == "" && field.Type.Kind() != reflect.Pointer
			}
		}
		written := map[string]bool{}
		for member := range schemas[name].Properties {
			written[member] = slices.Contains(schemas[name].Required, member)
		}
		if diff := cmp.Diff(members, written); diff != "" {
			t.Errorf("%s (-Go +document; whether it is required):\n%s", name, diff)
		}
	}
}

// TestTheDocumentHasEachMemberOfBodies compares by name only.
func TestTheDocumentHasEachMemberOfBodies(t *testing.T) {
	t.Parallel()
	schemas := loadOpenAPI(t).Components.Schemas
	for name, value := range map[string]any{"NewDataset": rest.NewDataset{}, "Retention": rest.Retention{}, "RunSpec": rest.RunSpec{}} {
		var members []string
		for _, field := range reflect.VisibleFields(reflect.TypeOf(value)) {
			member, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			members = append(members, member)
		}
		slices.Sort(members)
		if diff := cmp.Diff(members, slices.Sorted(maps.Keys(schemas[name].Properties))); diff != "" {
			t.Errorf("%s (-Go +document):\n%s", name, diff)
		}
	}
}

// takes fails the test when the document would not have a request's body.
func (api openAPI) takes(t *testing.T, method, pattern string, body []byte) {
	t.Helper()
	described := api.Paths[pattern][strings.ToLower(method)].RequestBody
	if described == nil || len(body) == 0 {
		if described != nil || len(body) != 0 {
			t.Errorf("%s %s: the body %q, and the document has one: %t", method, pattern, body, described != nil)
		}
		return
	}
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Fatalf("%v in %q", err, body)
	}
	as := described.Content["application/json"].Schema
	for _, err := range validate.NewSchemaValidator(&as, nil, "", strfmt.Default).Validate(value).Errors {
		t.Errorf("%s %s: the document does not have the body %s: %v", method, pattern, body, err)
	}
}

func texts[T ~string](values []T) []string {
	var out []string
	for _, value := range values {
		out = append(out, string(value))
	}
	return out
}

// conforms fails the test when an answer is not what the document says of the operation.
func (api openAPI) conforms(t *testing.T, method, pattern string, answer *http.Response, body []byte) {
	t.Helper()
	op, ok := api.Paths[pattern][strings.ToLower(method)]
	if !ok {
		t.Fatalf("the document has no %s %s", method, pattern)
	}
	described, ok := op.Responses[strconv.Itoa(answer.StatusCode)]
	if !ok {
		if described, ok = op.Responses["default"]; !ok {
			t.Fatalf("%s %s answered %d, which the document does not have", method, pattern, answer.StatusCode)
		}
	}
	if len(described.Content) == 0 {
		if len(body) != 0 {
			t.Errorf("%s %s: %d has the body %q, want none", method, pattern, answer.StatusCode, body)
		}
		return
	}
	got, _, err := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("%s %s: Content-Type: %v", method, pattern, err)
	}
	as, ok := described.Content[got]
	if !ok {
		t.Fatalf("%s %s: %d is %s, which the document does not have", method, pattern, answer.StatusCode, got)
	}
	var value any = string(body)
	if strings.HasSuffix(got, "json") {
		if err := json.Unmarshal(body, &value); err != nil {
			t.Fatalf("%s %s: %v in %q", method, pattern, err, body)
		}
	}
	for _, err := range validate.NewSchemaValidator(&as.Schema, nil, "", strfmt.Default).Validate(value).Errors {
		t.Errorf("%s %s: %d does not conform: %v\n%s", method, pattern, answer.StatusCode, err, body)
	}
}

func TestConformsCanFail(t *testing.T) {
	t.Parallel()
	account := loadOpenAPI(t).Components.Schemas["Account"]
	for name, text := range map[string]string{
		"a member too many": `{"id":"abcdefghijkmnpqrstuvwxyz23","email":"a@b.org","emailVerified":true,"role":"user","secondFactor":true,"createdAt":"2026-01-01T00:00:00Z","passwordChangedAt":"2026-01-01T00:00:00Z","ip":"x"}`,
		"one too few":       `{"id":"abcdefghijkmnpqrstuvwxyz23"}`,
		"a wrong role":      `{"id":"abcdefghijkmnpqrstuvwxyz23","email":"a@b.org","emailVerified":true,"role":"root","secondFactor":true,"createdAt":"2026-01-01T00:00:00Z","passwordChangedAt":"2026-01-01T00:00:00Z"}`,
		"a wrong id":        `{"id":"ABC","email":"a@b.org","emailVerified":true,"role":"user","secondFactor":true,"createdAt":"2026-01-01T00:00:00Z","passwordChangedAt":"2026-01-01T00:00:00Z"}`,
		"a wrong time":      `{"id":"abcdefghijkmnpqrstuvwxyz23","email":"a@b.org","emailVerified":true,"role":"user","secondFactor":true,"createdAt":"yesterday","passwordChangedAt":"2026-01-01T00:00:00Z"}`,
	} {
		var value any
		if err := json.Unmarshal([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		if validate.NewSchemaValidator(&account, nil, "", strfmt.Default).Validate(value).IsValid() {
			t.Errorf("%s: the validator takes it", name)
		}
	}
}
