package broker

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares a policy with the one that was reviewed.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".json")
	var indented strings.Builder
	enc := json.NewEncoder(&indented)
	enc.SetIndent("", "  ")
	if err := enc.Encode(json.RawMessage(got)); err != nil {
		t.Fatalf("policy is not JSON: %v", err)
	}
	if *update {
		if err := os.WriteFile(file, []byte(indented.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), indented.String()); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
}

func TestPlacesTakeNoNameThatMeansMoreThanItself(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 65)
	cases := map[string][3]string{
		"no bucket":                       {"", "ns", "uid"},
		"a bucket with a wildcard":        {"data*", "ns", "uid"},
		"a bucket with a slash":           {"data/other", "ns", "uid"},
		"no namespace":                    {"data", "", "uid"},
		"a namespace of all":              {"data", "*", "uid"},
		"a namespace with a variable":     {"data", "${aws:username}", "uid"},
		"a namespace of one letter":       {"data", "?", "uid"},
		"a namespace with a slash":        {"data", "ns/other", "uid"},
		"a namespace that goes up":        {"data", "..", "uid"},
		"a namespace with a line's end":   {"data", "ns\n", "uid"},
		"a namespace too long":            {"data", long, "uid"},
		"no UID":                          {"data", "ns", ""},
		"a UID of all":                    {"data", "ns", "*"},
		"a UID with a variable":           {"data", "ns", "${jwt:sub}"},
		"a UID with a slash":              {"data", "ns", "uid/.."},
		"a UID that goes up":              {"data", "ns", ".."},
		"a UID with a quotation mark":     {"data", "ns", `u"d`},
		"a UID that is not in ASCII":      {"data", "ns", "ü"},
		"a UID too long":                  {"data", "ns", long},
		"a UID that starts with a hyphen": {"data", "ns", "-uid"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := newPlace(tc[0], tc[1], tc[2]); !errors.Is(err, errUnsafe) {
				t.Errorf("error = %v, want errUnsafe", err)
			}
		})
	}
}

// matches is the least matcher of policy resources: "*" is any text, "?" is any
// one character, all else is itself.
func matches(pattern, name string) bool {
	quoted := regexp.QuoteMeta(pattern)
	quoted = strings.ReplaceAll(quoted, `\*`, `(?s:.*)`)
	quoted = strings.ReplaceAll(quoted, `\?`, `(?s:.)`)
	return regexp.MustCompile(`\A` + quoted + `\z`).MatchString(name)
}

func reaches(t *testing.T, policy, bucket, key string) bool {
	t.Helper()
	var document policyDocument
	if err := json.Unmarshal([]byte(policy), &document); err != nil {
		t.Fatalf("policy is not JSON: %v", err)
	}
	for _, statement := range document.Statement {
		for _, resource := range statement.Resource {
			if matches(resource, "arn:aws:s3:::"+bucket+"/"+key) {
				return true
			}
		}
	}
	return false
}

func uploadUntil(at place) (string, error) { return uploadPolicy(at, today(), false) }

func uploadUnderKey(at place) (string, error) { return uploadPolicy(at, today(), true) }

func resumeFirst(at place) (string, error) { return resumePolicy(at, "0001-000001") }

func FuzzPoliciesReachTheirOwnKeysOnly(f *testing.F) {
	f.Add("team-a", datasetUID, "datasets", "team-a/"+datasetUID+"/data/x")
	f.Add("team-a", datasetUID, "datasets", "team-a/"+runUID+"/data/x")
	f.Add("team-a", datasetUID, "artifacts", "team-a/"+datasetUID+"/data/x")
	f.Add("team-a", datasetUID, "datasets", "team-a/"+datasetUID+"/manifest.jsonl")
	f.Add("team-a", datasetUID, "datasets", "team-a/"+datasetUID+"/manifest.jsonl.x")
	f.Add("team-a", datasetUID, "datasets", "team-a/"+datasetUID)
	f.Add("a", "A", "datasets", "a/A/\n")
	f.Add("a", "A", "datasets", "a/A/checkpoints/0001-000001/node-0/data/x")
	f.Add("a", "A", "datasets", "a/A/checkpoints/0001-0000012")
	f.Add("*", "?", "datasets", "team-a/x/y")
	f.Add("a", "${x}", "datasets", "a/x/y")
	f.Fuzz(func(t *testing.T, namespace, uid, bucket, key string) {
		at, err := newPlace("datasets", namespace, uid)
		if err != nil {
			return
		}
		prefix := namespace + "/" + uid + "/"
		own := bucket == "datasets" && strings.HasPrefix(key, prefix)
		files := own && (strings.HasPrefix(key, prefix+"data/") || key == prefix+"manifest.jsonl")
		for name, tc := range map[string]struct {
			build func(place) (string, error)
			want  bool
		}{
			"read": {readPolicy, own}, "write": {writePolicy, own}, "upload": {uploadUntil, files},
			"upload under a key": {uploadUnderKey, files},
			"gather":             {gatherPolicy, own},
			"resume":             {resumeFirst, own && strings.HasPrefix(key, prefix+"checkpoints/0001-000001/")},
		} {
			policy, err := tc.build(at)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(policy) > maxPolicy || strings.Contains(policy, "$") || strings.Contains(policy, "?") {
				t.Errorf("%s policy is too long or has a variable in it: %s", name, policy)
			}
			if got := reaches(t, policy, bucket, key); got != tc.want {
				t.Errorf("%s policy reaches %q in %q: %v, want %v", name, key, bucket, got, tc.want)
			}
		}
	})
}

func TestTheLongestPolicyFits(t *testing.T) {
	t.Parallel()
	at, err := newPlace(strings.Repeat("b", 63), strings.Repeat("n", 63), strings.Repeat("u", 64))
	if err != nil {
		t.Fatal(err)
	}
	if policy, err := uploadUnderKey(at); err != nil || len(policy) > maxPolicy {
		t.Errorf("policy of %d bytes: %v", len(policy), err)
	}
	if policy, err := gatherPolicy(at); err != nil || len(policy) > maxPolicy {
		t.Errorf("policy of %d bytes: %v", len(policy), err)
	}
	if _, err := encodePolicy(writeActions(), at, strings.Repeat("k", maxPolicy)); err == nil {
		t.Error("a policy that STS would refuse was made")
	}
}
