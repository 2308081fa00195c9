package receiptcheck

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/words"
)

// Describe writes what each receipt says, and behind several what they say together.
func Describe(out io.Writer, verdicts []Verdict) error {
	var text strings.Builder
	for i, v := range verdicts {
		if i > 0 {
			text.WriteString("\n")
		}
		describe(&text, v)
	}
	if len(verdicts) > 1 {
		text.WriteString("\n" + together(verdicts) + "\n")
	}
	if _, err := io.WriteString(out, text.String()); err != nil {
		return fmt.Errorf("write receipts: %w", err)
	}
	return nil
}

func describe(text *strings.Builder, v Verdict) {
	r := v.Receipt
	line := func(name, value string) {
		if name != "" {
			name += ":"
		}
		fmt.Fprintf(text, "%-13s%s\n", name, value)
	}
	line("Receipt", v.Name)
	if v.Err != nil {
		line("Verdict", "NOT VALID: "+v.Err.Error())
		return
	}
	line("Verdict", "valid, signed with key "+v.KeyID)
	line("Erased", fmt.Sprintf("%s %s in namespace %s", whose(r), r.UID, r.Namespace))
	line("Because", because(r))
	line("Began", stamp(r.StartTime))
	line("Ended", fmt.Sprintf("%s (after %s)", stamp(r.EndTime), words.Duration(r.EndTime.Sub(r.StartTime))))
	line("Held", held(r))
	line("Found", fmt.Sprintf("%s (%s) and %s, all removed", words.Count(r.Versions, "object version"), words.Bytes(r.VersionBytes),
		words.Count(r.Uploads, "unfinished upload")))
	if r.KeyDestroyedTime != nil {
		line("Key", fmt.Sprintf("%s, destroyed at %s", r.KeyID, stamp(*r.KeyDestroyedTime)))
	}
	for i, method := range r.Methods {
		line(either(i == 0, "How", ""), how(method))
	}
	line("Place", fmt.Sprintf("%s/%s in store %s", r.Bucket, r.Prefix, r.Store))
	for i, sentence := range r.NotCovered {
		line(either(i == 0, "Not covered", ""), sentence)
	}
	line("Chain", chain(v))
	line("Digest", v.Digest)
}

func whose(r objectkey.EraseReceipt) string {
	if r.Resource == objectkey.ResourceRun {
		return "the artifacts of run"
	}
	return "the data of dataset"
}

func because(r objectkey.EraseReceipt) string {
	switch r.Trigger {
	case objectkey.TriggerDeleted:
		return "somebody deleted it before its time was over"
	case objectkey.TriggerExpired:
		return "its time was over"
	case objectkey.TriggerOrphaned:
		return "its object had gone behind the operator's back, and the sweeper found the data"
	}
	return r.Trigger
}

func held(r objectkey.EraseReceipt) string {
	if r.ManifestDigest == "" {
		return "it has no manifest, so there is no list of what it held"
	}
	return fmt.Sprintf("%s, %s, by the manifest %s", words.Count(r.Objects, "file"), words.Bytes(r.ObjectBytes), r.ManifestDigest)
}

func how(method string) string {
	switch method {
	case objectkey.MethodKeyDestroyed:
		return "the only key of the data was destroyed"
	case objectkey.MethodObjectsRemoved:
		return "every version, delete marker and unfinished upload was removed, and a listing with other credentials was empty"
	}
	return method
}

func chain(v Verdict) string {
	r := v.Receipt
	switch {
	case r.Sequence == 1:
		return "number 1, the first"
	case v.Follows != "":
		return fmt.Sprintf("number %d, follows %s", r.Sequence, v.Follows)
	}
	return fmt.Sprintf("number %d, after %s, which is not among these files", r.Sequence, r.Previous)
}

// together says of several files what they are as a chain.
func together(verdicts []Verdict) string {
	places := map[int64]bool{}
	bad := 0
	for _, v := range verdicts {
		if v.Err != nil {
			bad++
			continue
		}
		places[v.Receipt.Sequence] = true
	}
	if bad > 0 {
		return fmt.Sprintf("Of %s, %d can not be relied on.", words.Count(int64(len(verdicts)), "receipt"), bad)
	}
	sorted := slices.Sorted(maps.Keys(places))
	first, last := sorted[0], sorted[len(sorted)-1]
	missing := last - first + 1 - int64(len(sorted))
	switch {
	case first == last:
		return fmt.Sprintf("All are the same receipt, number %d of the chain.", first)
	case missing > 0:
		return fmt.Sprintf("All are valid. Between numbers %d and %d of the chain, %s not among these files.",
			first, last, either(missing == 1, "1 receipt is", fmt.Sprintf("%d receipts are", missing)))
	}
	return fmt.Sprintf("All are valid, and an unbroken chain from number %d to number %d.", first, last)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

func either(first bool, one, other string) string {
	if first {
		return one
	}
	return other
}
