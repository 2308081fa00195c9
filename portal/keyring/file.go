package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// maxFile is more than a file with a hundred keys; who names another file by mistake
// hears of it before it is read whole.
const maxFile = 64 << 10

// file is the key file's form.
type file struct {
	Current string            `json:"current"`
	Keys    map[string]string `json:"keys"`
}

var idForm = regexp.MustCompile(`^k[1-9][0-9]{0,5}$`)

// number orders keys by age; the form was checked before.
func number(id string) int {
	n, err := strconv.Atoi(id[1:])
	if err != nil {
		panic(fmt.Sprintf("a key's name that was checked is none: %v", err))
	}
	return n
}

// Load reads a key file. It refuses one that others than its owner may read (of root's, others
// than its group), and one that is not in every detail what Create and Rotate write.
func Load(path string) (*Ring, error) {
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("load keys: %w", err)
	}
	ring, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("load keys from %s: %w", path, err)
	}
	return ring, nil
}

// Create writes a key file with one key. It refuses to replace a file: with the keys all
// TOTP seeds and passwords would be lost.
func Create(path string, random io.Reader) error {
	ring := &Ring{current: "k1", keys: map[string][]byte{"k1": newKey(random)}}
	if err := writeNew(path, ring); err != nil {
		return fmt.Errorf("create a key file: %w", err)
	}
	return syncFolder(path)
}

// Rotate adds a key and makes it the current one. Programs see it when they load the file
// anew.
func Rotate(path string, random io.Reader) error {
	key := newKey(random)
	return change(path, func(r *Ring) error {
		ids := r.IDs()
		next := "k" + strconv.Itoa(number(ids[len(ids)-1])+1)
		if !idForm.MatchString(next) {
			return fmt.Errorf("there is no name left after %s", ids[len(ids)-1])
		}
		r.keys[next] = key
		r.current = next
		return nil
	})
}

// Retire removes a key that is not the current one. Whatever still needs it is lost: seal
// and hash everything under the current key before.
func Retire(path, id string) error {
	return change(path, func(r *Ring) error {
		if _, ok := r.keys[id]; !ok {
			return fmt.Errorf("retire key: %w", ErrUnknownKey)
		}
		if id == r.current {
			return fmt.Errorf("key %s is the current one: rotate before it is retired", id)
		}
		delete(r.keys, id)
		return nil
	})
}

func newKey(random io.Reader) []byte {
	key := make([]byte, keyBytes)
	if _, err := io.ReadFull(random, key); err != nil {
		panic(fmt.Sprintf("read randomness: %v", err)) // as portal.NewSecret does
	}
	return key
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // It was only read.
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("look at the key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	if perm := info.Mode().Perm(); !private(perm, ownerOf(info), os.Geteuid()) {
		return nil, fmt.Errorf("%s may be read or written by others (mode %04o): chmod 600 it, or 640 where root owns it and the portal is not root", path, perm)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the key file: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("%s is too long to be a key file", path)
	}
	return text, nil
}

// private reports whether a file is read by nobody but its owner, root, and this process.
//
// A file of root's may let its group read it, though no more, if we are not root: that we
// could open it says that its group is one of ours, and root reads everything anyway. It is
// PostgreSQL's rule for the keys of its TLS, and the only one that a Secret of Kubernetes can
// meet: its files belong to root and to the group of the Pod, never to the user in it. An
// owner of -1 is not known.
func private(perm fs.FileMode, owner, self int) bool {
	if owner == 0 && self > 0 {
		return perm&^0o640 == 0
	}
	return perm&0o077 == 0
}

// parse takes a file's text. Its errors hold nothing of it but names of keys.
func parse(text []byte) (*Ring, error) {
	var f file
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return nil, errors.New("it is not JSON of the form of a key file")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the JSON object")
	}
	ring := &Ring{current: f.Current, keys: map[string][]byte{}}
	seen := map[string]bool{}
	for id, text := range f.Keys {
		if !idForm.MatchString(id) {
			return nil, errors.New("a key's name is not k and a number")
		}
		key, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(key) != keyBytes {
			return nil, fmt.Errorf("key %s is not %d bytes in base64", id, keyBytes)
		}
		if seen[string(key)] || bytes.Equal(key, make([]byte, keyBytes)) {
			return nil, fmt.Errorf("key %s is another one's copy, or empty", id)
		}
		seen[string(key)] = true
		ring.keys[id] = key
	}
	if _, ok := ring.keys[ring.current]; !ok {
		return nil, errors.New("its current key is not among its keys")
	}
	return ring, nil
}

// change replaces a key file as a whole: a crash leaves the old or the new one. The name
// of the new one is the lock against a second change at the same time.
func change(path string, alter func(*Ring) error) error {
	// A link is followed, so that it stays one.
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("find the key file: %w", err)
	}
	next := path + ".new"
	lock, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%s is there: another change is running, or was cut short. Remove it if none is", next)
	}
	if err != nil {
		return fmt.Errorf("begin to change the key file: %w", err)
	}
	err = replace(path, lock, alter)
	if err != nil {
		return errors.Join(err, lock.Close(), os.Remove(next))
	}
	return syncFolder(path)
}

func replace(path string, next *os.File, alter func(*Ring) error) error {
	ring, err := Load(path)
	if err != nil {
		return err
	}
	if err := alter(ring); err != nil {
		return err
	}
	if err := write(next, ring); err != nil {
		return err
	}
	if err := os.Rename(next.Name(), path); err != nil {
		return fmt.Errorf("put the key file in place: %w", err)
	}
	return next.Close()
}

func writeNew(path string, ring *Ring) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f, ring), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

func write(f *os.File, ring *Ring) error {
	form := file{Current: ring.current, Keys: map[string]string{}}
	for id, key := range ring.keys {
		form.Keys[id] = base64.StdEncoding.EncodeToString(key)
	}
	text, err := json.MarshalIndent(form, "", "  ")
	if err != nil {
		return fmt.Errorf("encode keys: %w", err)
	}
	// A umask may have taken more than the mode says, never less.
	if _, err := f.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("write keys: %w", err)
	}
	if err := f.Sync(); err != nil {
		return fmt.Errorf("write keys to the disk: %w", err)
	}
	return nil
}

// syncFolder makes a new name in a folder survive a crash of the machine.
func syncFolder(path string) error {
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("open the key file's folder: %w", err)
	}
	if err := errors.Join(folder.Sync(), folder.Close()); err != nil {
		return fmt.Errorf("write the key file's folder to the disk: %w", err)
	}
	return nil
}
