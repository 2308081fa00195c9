package receiptcheck

import (
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// File is a receipt as somebody keeps it.
type File struct {
	Name string
	Data []byte
}

// Verdict is what is known of a file.
type Verdict struct {
	Name string
	// Err says what is wrong with it; the rest is then empty, except for a receipt that
	// is good in itself and does not fit another.
	Err     error
	Receipt objectkey.EraseReceipt
	// Digest is that of the file, and KeyID names the key that has signed it.
	Digest string
	KeyID  string
	// Follows is the file with the receipt before this one in the chain; empty if it is
	// not among the files.
	Follows string
}

// Check verifies each file, then how those that are good fit to each other. The
// verdicts are in the order of the files.
func Check(files []File, keys []ed25519.PublicKey) []Verdict {
	verdicts := make([]Verdict, len(files))
	places := map[int64]*Verdict{} // the first file for each place in the chain
	for i, f := range files {
		v := &verdicts[i]
		*v = verify(f, keys)
		if v.Err != nil {
			continue
		}
		first := places[v.Receipt.Sequence]
		if first == nil {
			places[v.Receipt.Sequence] = v
		} else if first.Digest != v.Digest {
			v.Err = fmt.Errorf("it is signed, but so is another receipt for the same place in the chain, %s", first.Name)
		}
	}
	for i := range verdicts {
		link(&verdicts[i], places)
	}
	return verdicts
}

func verify(f File, keys []ed25519.PublicKey) Verdict {
	v := Verdict{Name: f.Name}
	r, err := objectkey.Verify(f.Data, keys)
	keyID, _ := objectkey.SignedBy(f.Data) // It is empty where Verify fails for the same reason.
	switch {
	case errors.Is(err, objectkey.ErrUnknownKey):
		v.Err = fmt.Errorf("%w: the key is %s", err, keyID)
	case errors.Is(err, objectkey.ErrBadSignature):
		v.Err = fmt.Errorf("%w: it was changed after it was signed", err)
	case err != nil:
		v.Err = err
	default:
		v.Receipt, v.Digest, v.KeyID = r, objectkey.Digest(f.Data), keyID
	}
	return v
}

// link holds a receipt against the one before it, if that is there.
func link(v *Verdict, places map[int64]*Verdict) {
	before := places[v.Receipt.Sequence-1]
	switch {
	case v.Err != nil || before == nil:
	case v.Receipt.Previous != before.Digest:
		v.Err = fmt.Errorf("it is signed, but does not follow %s, the receipt before it: one of the two is not of this chain", before.Name)
	default:
		v.Follows = before.Name
	}
}

// Failure sums up what is wrong in one sentence; nil if nothing is.
func Failure(verdicts []Verdict) error {
	var first *Verdict
	bad := 0
	for i, v := range verdicts {
		if v.Err == nil {
			continue
		}
		bad++
		if first == nil {
			first = &verdicts[i]
		}
	}
	switch bad {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%s can not be relied on: %w", first.Name, first.Err)
	}
	return fmt.Errorf("%d of %d receipts can not be relied on; the first of them is %s: %w", bad, len(verdicts), first.Name, first.Err)
}
