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
// saw too. resources says whose data lies in a bucket.
func plan(seen observed, before map[place]bool, least int, resources map[string]string) planned {
	p := planned{orphans: map[place]bool{}}
	due := map[string]int{}
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
			due[resources[f.at.bucket]]++
		}
	}
	// Many runs must not make an erase of all datasets look like an accident.
	for resource, n := range due {
		if n > max(least, seen.settled[resource]/breakerShare) {
			p.breaker, p.due = true, nil
		}
	}
	return p
}
