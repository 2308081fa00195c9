package lifecycle

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/lethe-dev/lethe/hack/lab/components"
	"github.com/lethe-dev/lethe/hack/lab/site"
	"github.com/lethe-dev/lethe/hack/lab/store"
)

// row is one line of the status table.
type row struct {
	name, state, pid, since, address, problem string
}

// Status writes a table of all parts and returns whether all are well.
func (l *Lab) Status(ctx context.Context, out io.Writer) (bool, error) {
	if !l.IsUp() {
		_, _ = fmt.Fprintln(out, "The lab is down.")
		return false, nil
	}
	all, _, err := l.list()
	if err != nil {
		return false, err
	}
	names := slices.Sorted(maps.Keys(l.services()))
	rows := make([]row, len(all)+len(names))
	var wait sync.WaitGroup
	for i, c := range all {
		wait.Go(func() { rows[i] = l.componentRow(ctx, c) })
	}
	for i, name := range names {
		wait.Go(func() { rows[len(all)+i] = serviceRow(name, l.services()[name](ctx)) })
	}
	wait.Wait()
	return writeTable(out, rows), nil
}

func (l *Lab) componentRow(ctx context.Context, c components.Component) row {
	r := row{name: c.Name, state: "stopped", pid: "-", since: "-", address: c.Address, problem: "lab start " + c.Name}
	record, known, err := l.keeper().Record(c.Name)
	switch {
	case err != nil:
		r.state, r.problem = "unknown", err.Error()
		return r
	case known && !record.Alive():
		r.state, r.problem = "crashed", "see "+c.Log
		return r
	case !known:
		return r
	}
	r.pid = strconv.Itoa(record.PID)
	r.since = l.Now().Sub(record.Started).Round(time.Second).String()
	r.state, r.problem = "healthy", ""
	if err := c.Healthy(ctx); err != nil {
		r.state, r.problem = "unhealthy", err.Error()
	}
	return r
}

func serviceRow(name string, err error) row {
	r := row{name: name, state: "healthy", pid: "-", since: "-"}
	if err != nil {
		r.state, r.problem = "unhealthy", err.Error()
	}
	return r
}

func writeTable(out io.Writer, rows []row) (well bool) {
	well = true
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "COMPONENT\tSTATE\tPID\tFOR\tADDRESS\tPROBLEM")
	for _, r := range rows {
		well = well && r.state == "healthy"
		problem, _, _ := strings.Cut(r.problem, "\n")
		_, _ = fmt.Fprintln(table, strings.Join([]string{r.name, r.state, r.pid, r.since, r.address, problem}, "\t"))
	}
	_ = table.Flush()
	return well
}

// Stop ends one component until Start or Up.
func (l *Lab) Stop(ctx context.Context, name string) error {
	c, err := l.component(name)
	if err != nil {
		return err
	}
	return l.Console.Step(c.Name, func() (string, error) { return "stopped", l.keeper().Stop(ctx, c.Name) })
}

// Start runs one component and waits for its health.
func (l *Lab) Start(ctx context.Context, name string) error {
	c, err := l.component(name)
	if err != nil {
		return err
	}
	return l.ensure(ctx, []components.Component{c})
}

func (l *Lab) component(name string) (components.Component, error) {
	if err := l.RequireUp(); err != nil {
		return components.Component{}, err
	}
	all, _, err := l.list()
	if err != nil {
		return components.Component{}, err
	}
	found := pick(all, []string{name})
	if len(found) != 1 {
		names := make([]string, len(all))
		for i, c := range all {
			names[i] = c.Name
		}
		return components.Component{}, fmt.Errorf("no component %q; there are: %s", name, strings.Join(names, " "))
	}
	return found[0], nil
}

// Env returns what tests and people need to reach the lab, as NAME=value. The
// store's keys are MinIO's root's: they are for looking, not for the operator;
// before the first start there are none.
func (l *Lab) Env(path string) ([]string, error) {
	env := []string{
		"PATH=" + l.Site.CacheBin() + ":" + path,
		"KUBEBUILDER_ASSETS=" + l.Site.CacheBin(),
		"KUBECONFIG=" + l.Site.Admin(),
	}
	if !l.IsUp() {
		return env, nil
	}
	creds, err := store.LoadCredentials(l.Site.Path("credentials.json"))
	if err != nil {
		return nil, err
	}
	return append(env,
		"LETHE_S3_ENDPOINT="+site.StoreURL,
		"LETHE_S3_ACCESS_KEY="+creds.RootUser,
		"LETHE_S3_SECRET_KEY="+creds.RootPassword,
		"LETHE_S3_CA="+l.Site.CA(),
	), nil
}
