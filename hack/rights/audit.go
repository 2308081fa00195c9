package rights

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Uses are what an account has asked for.
type Uses struct {
	// Allowed by the API server's authorizer; what came of it later does not matter.
	Allowed []Right
	// Denied by it.
	Denied []Right
	// Requests is how many there were, allowed or not.
	Requests int
}

// entry is as much of an audit.k8s.io/v1 Event as is looked at.
type entry struct {
	Verb string
	User struct{ Username string }
	// ImpersonatedUser is whose rights counted, if somebody acted for somebody else.
	ImpersonatedUser *struct{ Username string }
	ObjectRef        *struct{ Resource, Subresource, Namespace, Name, APIGroup string }
	ResponseStatus   *struct{ Code int }
	Annotations      map[string]string
}

// decision is the key under which the authorizer notes what it decided.
const decision = "authorization.k8s.io/decision"

// ReadAudit reads an audit log: JSON, one entry a line. User is the account's name for the
// API server, as system:serviceaccount:NAMESPACE:NAME. Entries of others, and of paths that
// are no resources, are passed over. An entry that can't be read is an error, but for the
// last line: it may be half written.
func ReadAudit(log io.Reader, user string) (Uses, error) {
	var u Uses
	lines := bufio.NewReader(log)
	for n := 1; ; n++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			u.Allowed, u.Denied = distinct(u.Allowed), distinct(u.Denied)
			return u, nil
		}
		if err != nil {
			return Uses{}, fmt.Errorf("read the audit log: %w", err)
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return Uses{}, fmt.Errorf("read line %d of the audit log: %w", n, err)
		}
		if e.by(user) && e.ObjectRef != nil {
			u.note(e)
		}
	}
}

func (e entry) by(user string) bool {
	if e.ImpersonatedUser != nil {
		return e.ImpersonatedUser.Username == user
	}
	return e.User.Username == user
}

func (u *Uses) note(e entry) {
	u.Requests++
	o := e.ObjectRef
	r := Right{Verb: e.Verb, Group: o.APIGroup, Resource: o.Resource, Namespace: o.Namespace, Name: o.Name}
	if o.Subresource != "" {
		r.Resource += "/" + o.Subresource
	}
	if o.Resource == "namespaces" {
		// In the log a Namespace is in itself; for a role it is in none.
		r.Namespace = ""
	}
	if e.Annotations[decision] == "forbid" {
		u.Denied = append(u.Denied, r)
		return
	}
	u.Allowed = append(u.Allowed, r)
	if e.Verb == "patch" && e.ResponseStatus != nil && e.ResponseStatus.Code == http.StatusCreated {
		r.Verb = "create"
		u.Allowed = append(u.Allowed, r)
	}
}

// Merge puts what was read from several files together.
func Merge(all ...Uses) Uses {
	var sum Uses
	for _, u := range all {
		sum.Allowed = append(sum.Allowed, u.Allowed...)
		sum.Denied = append(sum.Denied, u.Denied...)
		sum.Requests += u.Requests
	}
	sum.Allowed, sum.Denied = distinct(sum.Allowed), distinct(sum.Denied)
	return sum
}
