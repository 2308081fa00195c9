package auth

import (
	"context"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/lethe-dev/lethe/portal"
)

// Argon2 are the parameters of Argon2id (RFC 9106).
type Argon2 struct {
	// MemoryKiB is per hash.
	MemoryKiB, Time uint32
	Threads         uint8
}

// Bounds of what is accepted: the floor of OWASP for what we make, and a ceiling for what
// we find, so that a row of the database can't ask for all memory.
const (
	floorMemoryKiB = 19 << 10
	floorTime      = 2
	ceilMemoryKiB  = 1 << 20
	ceilTime       = 64
	ceilThreads    = 16

	saltBytes = 16
	hashBytes = 32
)

func (p Argon2) check() error {
	if p.MemoryKiB < floorMemoryKiB || p.Time < floorTime || p.Threads < 1 {
		return fmt.Errorf("argon2 memory of %d KiB, time %d, %d threads is too weak: at least %d, %d, 1", p.MemoryKiB, p.Time, p.Threads, floorMemoryKiB, floorTime)
	}
	if p.MemoryKiB > ceilMemoryKiB || p.Time > ceilTime || p.Threads > ceilThreads {
		return fmt.Errorf("argon2 memory of %d KiB, time %d, %d threads is too much: at most %d, %d, %d", p.MemoryKiB, p.Time, p.Threads, ceilMemoryKiB, ceilTime, ceilThreads)
	}
	return nil
}

// phc is a hash with all that is needed to compute it again, in PHC string format:
// $argon2id$v=19$m=65536,t=3,p=1,keyid=azE$<salt>$<hash>. Keyid names the pepper's key.
type phc struct {
	Argon2
	keyID      string
	salt, hash []byte
}

var b64 = base64.RawStdEncoding.Strict()

func (p phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d,keyid=%s$%s$%s", argon2.Version,
		p.MemoryKiB, p.Time, p.Threads, b64.EncodeToString([]byte(p.keyID)), b64.EncodeToString(p.salt), b64.EncodeToString(p.hash))
}

var errPHC = errors.New("not a password hash of ours")

// parsePHC takes only what String makes.
func parsePHC(text string) (phc, error) {
	part := strings.Split(text, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v="+strconv.Itoa(argon2.Version) {
		return phc{}, errPHC
	}
	param := strings.Split(part[3], ",")
	if len(param) != 4 {
		return phc{}, errPHC
	}
	m, err1 := number(param[0], "m=", 32)
	t, err2 := number(param[1], "t=", 32)
	p, err3 := number(param[2], "p=", 8)
	keyText, ok := strings.CutPrefix(param[3], "keyid=")
	keyID, err4 := b64.DecodeString(keyText)
	salt, err5 := b64.DecodeString(part[4])
	hash, err6 := b64.DecodeString(part[5])
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil || !ok {
		return phc{}, errPHC
	}
	out := phc{Argon2: Argon2{MemoryKiB: uint32(m), Time: uint32(t), Threads: uint8(p)}, keyID: string(keyID), salt: salt, hash: hash} //nolint:gosec // number has bounded them.
	if out.check() != nil || len(salt) != saltBytes || len(hash) != hashBytes || out.String() != text {
		return phc{}, errPHC
	}
	return out, nil
}

func number(text, prefix string, bits int) (uint64, error) {
	digits, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return 0, errPHC
	}
	return strconv.ParseUint(digits, 10, bits)
}

// hasher computes password hashes, a bounded number at a time.
type hasher struct {
	keys   Keys
	random io.Reader
	params Argon2
	// slots are the hashes at work; queue is these and those that wait.
	slots, queue chan struct{}
	wait         time.Duration
	// dummy is what is computed when there is no account: the same work with no success.
	dummy phc
}

func newHasher(keys Keys, random io.Reader, o Options) (*hasher, error) {
	if err := o.Argon2.check(); err != nil {
		return nil, err
	}
	if o.HashSlots < 1 || o.HashQueue < 1 || o.HashWait < 0 {
		return nil, errors.New("hash slots, queue and wait are more than nothing")
	}
	h := &hasher{
		keys: keys, random: random, params: o.Argon2, wait: o.HashWait,
		slots: make(chan struct{}, o.HashSlots), queue: make(chan struct{}, o.HashSlots+o.HashQueue),
	}
	h.dummy = phc{Argon2: o.Argon2, salt: h.newSalt()}
	// A key file without its current key is found out now, not by the first person.
	if _, err := keys.Pepper(keys.Current(), nil); err != nil {
		return nil, fmt.Errorf("pepper a password: %w", err)
	}
	return h, nil
}

func (h *hasher) newSalt() []byte {
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(h.random, salt); err != nil {
		panic(fmt.Sprintf("read randomness: %v", err)) // as portal.NewSecret does
	}
	return salt
}

// slot is the right to compute hashes, one after the other.
type slot struct {
	h       *hasher
	release func()
}

// take waits for a slot. Who is refused has cost no memory and is counted nowhere.
func (h *hasher) take(ctx context.Context) (slot, error) {
	busy := &portal.Error{Kind: portal.KindUnavailable, RetryAfter: h.wait, Message: "Too many people are signing in right now. Try again in a few seconds."}
	select {
	case h.queue <- struct{}{}:
	default:
		return slot{}, busy
	}
	patience := time.NewTimer(h.wait)
	defer patience.Stop()
	select {
	case h.slots <- struct{}{}:
	case <-patience.C:
		<-h.queue
		return slot{}, busy
	case <-ctx.Done():
		<-h.queue
		return slot{}, fmt.Errorf("wait to hash a password: %w", ctx.Err())
	}
	open := true
	return slot{h: h, release: func() {
		if open {
			open = false
			<-h.slots
			<-h.queue
		}
	}}, nil
}

// compute is the only place where Argon2 runs.
func (s slot) compute(p phc, password string) ([]byte, error) {
	peppered, err := s.h.keys.Pepper(p.keyID, []byte(password))
	if err != nil {
		return nil, fmt.Errorf("pepper a password: %w", err)
	}
	return argon2.IDKey(peppered, p.salt, p.Time, p.MemoryKiB, p.Threads, hashBytes), nil
}

// hash makes a new hash of a password in normal form.
func (s slot) hash(password string) (string, error) { return s.hashWith(s.h.newSalt(), password) }

func (s slot) hashWith(salt []byte, password string) (string, error) {
	p := phc{Argon2: s.h.params, keyID: s.h.keys.Current(), salt: salt}
	var err error
	if p.hash, err = s.compute(p, password); err != nil {
		return "", err
	}
	return p.String(), nil
}

// match compares a password in normal form with a kept hash. It always computes one hash:
// for no hash, one that is not ours, and one whose pepper was retired, it is the dummy's.
func (s slot) match(kept, password string) (bool, error) {
	want, err := parsePHC(kept)
	usable := err == nil
	if usable {
		if got, err := s.compute(want, password); err == nil {
			return subtle.ConstantTimeCompare(got, want.hash) == 1, nil
		}
	}
	dummy := s.h.dummy
	dummy.keyID = s.h.keys.Current() // keys may have been added and retired since
	_, err = s.compute(dummy, password)
	return false, err
}

// stale reports whether a hash that matched is to be made anew: other parameters, or a
// pepper under a key that is not the current one.
func (h *hasher) stale(kept string) bool {
	p, err := parsePHC(kept)
	return err != nil || p.Argon2 != h.params || p.keyID != h.keys.Current()
}
