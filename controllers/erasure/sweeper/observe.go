package sweeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/erasure"
	"github.com/lethe-dev/lethe/controllers/erasure/ledger"
)

// inLedger stands for the ledger's bucket where foreign keys are counted.
const inLedger = "(ledger)"

// observed is what a sweep has seen.
type observed struct {
	// identities of the stores, by bucket.
	identities map[string]string
	// foreign counts what is in no owner's place, by bucket.
	foreign map[string]int
	// active counts the records whose data was not erased.
	active int
	// settled counts those of them by resource that are neither retained nor orphans:
	// what an orphan is compared with.
	settled map[string]int
	// findings are confirmed, and in the order of their places.
	findings []finding
}

// finding is an owner that something is to be said of.
type finding struct {
	at place
	judgement
	account account
	// object is nil for one that is gone.
	object *Object
	// store is what the bucket's store calls itself now.
	store string
	// failed is why an erase was not finished.
	failed error
}

// observe compares the two sides. Nothing is written before it is complete.
func (s *Sweeper) observe(ctx context.Context) (observed, error) {
	identities, err := s.identities(ctx)
	if err != nil {
		return observed{}, err
	}
	// The store comes first: no byte enters it before its record is in the ledger, so
	// a record that is missing afterwards was missing before.
	o := &observation{sweeper: s, observed: observed{identities: identities, foreign: map[string]int{}, settled: map[string]int{}}}
	if err := o.listStore(ctx); err != nil {
		return observed{}, err
	}
	if err := o.walkLedger(ctx); err != nil {
		return observed{}, err
	}
	if err := o.judgeRest(ctx); err != nil {
		return observed{}, err
	}
	if err := o.confirm(ctx); err != nil {
		return observed{}, err
	}
	return o.observed, nil
}

// identities makes sure that there is a ledger and that there are stores to compare it
// with, which it gives by bucket.
func (s *Sweeper) identities(ctx context.Context) (map[string]string, error) {
	if _, err := s.identity(ctx, s.opts.LedgerBucket); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, bucket := range []string{s.opts.DatasetsBucket, s.opts.ArtifactsBucket} {
		id, err := s.identity(ctx, bucket)
		if err != nil {
			return nil, err
		}
		out[bucket] = id
	}
	return out, nil
}

// identity gives a bucket's, or an error if it has none.
func (s *Sweeper) identity(ctx context.Context, bucket string) (string, error) {
	id, err := s.opts.Engine.Identity(ctx, bucket)
	if err == nil && id == "" {
		err = erasure.ErrUnknownStore
	}
	if err != nil {
		return "", fmt.Errorf("identify the store of %s: %w", bucket, err)
	}
	return id, nil
}

func (s *Sweeper) rules(now time.Time) rules {
	return rules{
		now: now, grace: s.opts.Grace, eraseUnrecorded: s.opts.EraseUnrecorded,
		resources: resourcesOf(s.opts.DatasetsBucket, s.opts.ArtifactsBucket),
	}
}

// look takes the census of a namespace. That one can not be read ends nothing for the
// others.
func (s *Sweeper) look(ctx context.Context, namespace string) (Census, error) {
	census, err := s.opts.Objects.Look(ctx, namespace)
	if errors.Is(err, ErrUnreadable) {
		s.opts.Log.Error(err, "Nothing is done about the data of a namespace whose objects can not be read", "namespace", namespace)
		return Census{unreadable: true}, nil
	}
	if err != nil {
		return Census{}, fmt.Errorf("look at the objects of namespace %s: %w", namespace, err)
	}
	return census, nil
}

// observation is an observed in the making.
type observation struct {
	observed
	sweeper *Sweeper
	// stored are the owners with data that the ledger has not accounted for yet.
	stored map[place]struct{}
	// suspects look as if something was wrong with them.
	suspects []suspect
	// census is the last that was taken, of a namespace.
	census    Census
	namespace string
}

type suspect struct {
	at        place
	data      bool
	suspicion judgement
}

// listStore notes who has data.
func (o *observation) listStore(ctx context.Context) error {
	o.stored = map[place]struct{}{}
	names := map[string]string{} // So that owners of a namespace share one string.
	for bucket := range o.identities {
		for key, err := range o.sweeper.opts.Store.ListOwners(ctx, bucket) {
			if err != nil {
				return fmt.Errorf("list the owners of %s: %w", bucket, err)
			}
			one, ok := parseOwner(key)
			switch {
			case key == objectkey.IdentityKey:
				continue
			case !ok:
				o.foreign[bucket]++ // Its key may be the name of somebody's file.
				continue
			}
			if _, known := names[one.namespace]; !known {
				names[one.namespace] = one.namespace
			}
			one.namespace = names[one.namespace]
			o.stored[place{bucket, one}] = struct{}{}
		}
	}
	return nil
}

// walkLedger judges every account by what the listings say. One that can not be read
// keeps nobody from judging the others.
func (o *observation) walkLedger(ctx context.Context) error {
	for read, err := range o.sweeper.opts.Ledger.All(ctx) {
		if err != nil && !errors.Is(err, ledger.ErrMalformed) {
			return fmt.Errorf("walk the ledger: %w", err)
		}
		a := account{Account: read, malformed: err != nil}
		one, ok := newOwner(read.Namespace, read.UID)
		if !ok {
			o.foreign[inLedger]++
			continue
		}
		o.count(a)
		at := o.placeOf(one, a)
		_, data := o.stored[at]
		delete(o.stored, at)
		if err := o.judge(ctx, facts{at: at, account: a, data: data}); err != nil {
			return err
		}
	}
	return nil
}

func (o *observation) count(a account) {
	if a.malformed || a.erased() {
		return
	}
	o.active++
	if a.Record != nil && !a.retained() && !a.orphaned() {
		o.settled[a.Record.Resource]++
	}
}

// placeOf is where an account says that its data lies. For one that does not say it,
// that is wherever there is some.
func (o *observation) placeOf(one owner, a account) place {
	at := place{owner: one}
	if a.Record != nil {
		at.bucket = a.Record.Bucket
		return at
	}
	for bucket := range o.identities {
		if _, there := o.stored[place{bucket, one}]; there {
			at.bucket = bucket
		}
	}
	return at
}

// judgeRest judges the data that no account has claimed.
func (o *observation) judgeRest(ctx context.Context) error {
	rest := make([]place, 0, len(o.stored))
	for at := range o.stored {
		rest = append(rest, at)
	}
	slices.SortFunc(rest, comparePlaces)
	for _, at := range rest {
		if err := o.judge(ctx, facts{at: at, data: true}); err != nil {
			return err
		}
	}
	o.stored = nil
	return nil
}

// judge makes a suspect of whom something is found of. A census of the namespace that
// is some minutes old will do for that.
func (o *observation) judge(ctx context.Context, f facts) error {
	if o.namespace != f.at.namespace {
		census, err := o.sweeper.look(ctx, f.at.namespace)
		if err != nil {
			return err
		}
		o.namespace, o.census = f.at.namespace, census
	}
	rules := o.sweeper.rules(o.sweeper.opts.Clock.Now())
	fill(&f, rules, o.census, o.identities)
	if j := rules.judge(f); !j.nothing() {
		o.suspects = append(o.suspects, suspect{at: f.at, data: f.data, suspicion: j})
	}
	return nil
}

// fill adds what a census and the identities say.
func fill(f *facts, r rules, census Census, identities map[string]string) {
	f.namespaceGone, f.unreadable = census.Gone, census.unreadable
	f.object = census.object(r.resources[f.at.bucket], f.at.uid())
	f.identity = identities[f.at.bucket]
}

// confirm looks at every suspect again, a namespace at a time.
func (o *observation) confirm(ctx context.Context) error {
	slices.SortFunc(o.suspects, func(a, b suspect) int { return comparePlaces(a.at, b.at) })
	for len(o.suspects) > 0 {
		n := slices.IndexFunc(o.suspects, func(s suspect) bool { return s.at.namespace != o.suspects[0].at.namespace })
		if n < 0 {
			n = len(o.suspects)
		}
		findings, err := o.sweeper.confirm(ctx, o.identities, o.suspects[:n])
		if err != nil {
			return err
		}
		o.findings = append(o.findings, findings...)
		o.suspects = o.suspects[n:]
	}
	return nil
}

// confirm looks at suspects of one namespace again: first for their data, then for
// their objects, then into the ledger. A regular erase takes the data first, then
// writes to the ledger, then lets the object go. So who has no object now and is
// active in the ledger afterwards is an orphan, and whoever had data, an object or
// neither of them in the listings too, has nothing regular going on; see confirmed.
func (s *Sweeper) confirm(ctx context.Context, identities map[string]string, suspects []suspect) ([]finding, error) {
	refused := make([]error, len(suspects))
	for i := range suspects {
		data, err := s.dataOf(ctx, suspects[i], identities)
		switch {
		case errors.Is(err, erasure.ErrRefused):
			refused[i] = err // This one can not be helped; the others can.
		case err != nil:
			return nil, fmt.Errorf("look for the data of %s: %w", suspects[i].at.uid(), err)
		default:
			suspects[i].data = data
		}
	}
	census, err := s.look(ctx, suspects[0].at.namespace)
	if err != nil {
		return nil, err
	}
	var findings []finding
	for i, one := range suspects {
		f, err := s.lookAgain(ctx, identities, census, one)
		if err != nil {
			return nil, err
		}
		if f.failed = refused[i]; f.failed != nil {
			f.kinds, f.act = append(f.kinds, KindEraseFailed), leave
		}
		if !f.nothing() {
			findings = append(findings, f)
		}
	}
	return findings, nil
}

// lookAgain judges a suspect by a fresh census and a fresh account.
func (s *Sweeper) lookAgain(ctx context.Context, identities map[string]string, census Census, one suspect) (finding, error) {
	read, err := s.opts.Ledger.Read(ctx, one.at.namespace, string(one.at.uid()))
	malformed := errors.Is(err, ledger.ErrMalformed)
	if err != nil && !malformed {
		return finding{}, fmt.Errorf("read the account of %s: %w", one.at.uid(), err)
	}
	rules := s.rules(s.opts.Clock.Now())
	f := facts{at: one.at, account: account{Account: read, malformed: malformed}, data: one.data}
	fill(&f, rules, census, identities)
	return finding{
		at: one.at, judgement: confirmed(one.suspicion, rules.judge(f)),
		account: f.account, object: f.object, store: f.identity,
	}, nil
}

// dataOf looks for data again where that decides something. For the others it is
// enough that the listing had it.
func (s *Sweeper) dataOf(ctx context.Context, one suspect, identities map[string]string) (bool, error) {
	if !one.suspicion.has(KindLateData) && !one.suspicion.has(KindDataMissing) {
		return one.data, nil
	}
	empty, err := s.opts.Engine.Verify(ctx, target(one.at, identities[one.at.bucket]))
	return !empty && err == nil, err
}

func target(at place, store string) erasure.Target {
	return erasure.Target{Bucket: at.bucket, Prefix: at.prefix(), UID: string(at.uid()), Store: store}
}

func comparePlaces(a, b place) int {
	return cmp.Or(cmp.Compare(a.namespace, b.namespace), slices.Compare(a.id[:], b.id[:]), cmp.Compare(a.bucket, b.bucket))
}
