package runs

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

// auditPolicy records who writes what, of the operator only.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users: ["` + operatorUser + `"]
  verbs: [create, update, patch, delete, deletecollection]
- level: None
`

// write is a kind of write.
type write struct{ Verb, Resource, Namespace string }

// writes counts those that changed something, or had no effect; not those that were refused.
type writes struct {
	by map[write]int
	// jobs counts the successful creations by name of the Job.
	jobs map[string]int
	// failed are those that the API server refused.
	failed int
}

func (w writes) of(namespace, verb, resource string) int {
	return w.by[write{verb, resource, namespace}]
}

// total of a namespace, without events.
func (w writes) total(namespace string) (n int) {
	for kind, count := range w.by {
		if kind.Namespace == namespace && kind.Resource != "events" {
			n += count
		}
	}
	return n
}

// record is the part of an audit event that is needed.
type record struct {
	Stage, Verb string
	ObjectRef   struct{ Resource, Subresource, Namespace, Name string }
	// ResponseStatus of a request that was answered.
	ResponseStatus struct{ Code int }
}

func (r record) resource() string {
	if r.ObjectRef.Subresource == "" {
		return r.ObjectRef.Resource
	}
	return r.ObjectRef.Resource + "/" + r.ObjectRef.Subresource
}

// readAudit counts what an audit log tells. A last line that is being written is left
// out.
func readAudit(in io.Reader) (writes, error) {
	w := writes{by: map[write]int{}, jobs: map[string]int{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return w, nil
		}
		if err != nil {
			return w, fmt.Errorf("read the audit log: %w", err)
		}
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			return w, fmt.Errorf("understand the audit log: %w", err)
		}
		w.take(r)
	}
}

func (w *writes) take(r record) {
	if r.Stage != "ResponseComplete" {
		return
	}
	if r.ResponseStatus.Code >= http.StatusBadRequest {
		w.failed++
		return
	}
	w.by[write{r.Verb, r.resource(), r.ObjectRef.Namespace}]++
	if r.Verb == "create" && r.resource() == "jobs" {
		w.jobs[r.ObjectRef.Namespace+"/"+r.ObjectRef.Name]++
	}
}

// audit reads the log of a plane, which may have been cut into several files.
func (p *plane) audit() (writes, error) {
	names, err := filepath.Glob(filepath.Join(p.dir, "audit*.log"))
	if err != nil {
		return writes{}, fmt.Errorf("find the audit log: %w", err)
	}
	all := make([]io.Reader, 0, len(names))
	for _, name := range names {
		file, err := os.Open(name)
		if err != nil {
			return writes{}, fmt.Errorf("open the audit log: %w", err)
		}
		defer func() { _ = file.Close() }() // It was only read.
		all = append(all, file)
	}
	return readAudit(io.MultiReader(all...))
}
