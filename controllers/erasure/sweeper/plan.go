package sweeper

// planned is what a sweep is going to do.
type planned struct {
	// late is erased at once, marks are written to the ledger, due is erased.
	late, marks, due []finding
	// orphans are all that were found, for the next sweep.
	orphans map[place]bool
	// breaker: more was due than one sweep may erase, so due is empty.
	breaker bool
}

// plan decides what is done, from what was seen now and which orphans the sweep before
// saw too.
func plan(seen observed, before map[place]bool, opts Options) planned {
	p := planned{orphans: map[place]bool{}}
	for _, f := range seen.findings {
		if f.has(KindOrphan) {
			p.orphans[f.at] = true
		}
		switch {
		case f.act == mark:
			p.marks = append(p.marks, f)
		case f.act == eraseLate:
			p.late = append(p.late, f)
		case f.act == eraseOrphan && before[f.at]:
			p.due = append(p.due, f)
		}
	}
	if len(p.due) > max(opts.BreakerMin, seen.active/breakerShare) {
		p.breaker, p.due = true, nil
	}
	return p
}
