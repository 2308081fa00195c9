package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/staging"
)

func receiptSigner(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

// signedReceipt is one by key 1.
func signedReceipt(t *testing.T, place int64, previous []byte) []byte {
	t.Helper()
	uid := fmt.Sprintf("6f9619ff-8b86-4011-b42d-%012x", place)
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	r := objectkey.EraseReceipt{
		Resource: objectkey.ResourceDataset, Namespace: "team", UID: uid,
		Store: "00112233445566778899aabbccddeeff", Bucket: "lethe-datasets", Prefix: objectkey.OwnerPrefix("team", uid),
		Trigger: objectkey.TriggerDeleted, Methods: []string{objectkey.MethodObjectsRemoved},
		StartTime: start, EndTime: start.Add(time.Minute), Sequence: place,
	}
	if previous != nil {
		r.Previous = objectkey.Digest(previous)
	}
	data, _, err := objectkey.Sign(receiptSigner(1), r)
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	return data
}

func TestReceiptVerify(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pem := func(n byte) []byte {
		return objectkey.EncodePublicKey(ed25519.PublicKey(receiptSigner(n)[ed25519.SeedSize:]))
	}
	first := signedReceipt(t, 1, nil)
	second := signedReceipt(t, 2, first)
	file("1.json", first)
	file("2.json", second)
	file("2-line.json", append(second[:len(second):len(second)], "\r\n"...))
	file("2-other.json", signedReceipt(t, 2, second))
	file("2-bad.json", bytes.Replace(second, []byte(`"sig":"`), []byte(`"sig":"AAAA`), 1))
	file("long.json", bytes.Repeat([]byte(" "), objectkey.MaxReceiptSize+10))
	file("keys.pem", append(pem(2), pem(1)...))
	file("other.pem", pem(2))
	file("junk.pem", []byte("junk"))
	for name, c := range map[string]struct {
		args  string // of verify; files lie in the folder
		stdin []byte
		code  int
		out   []string
		err   string
	}{
		"one":                      {args: "1.json --key keys.pem", out: []string{"Verdict:     valid", "number 1, the first"}},
		"a chain":                  {args: "1.json 2.json --key keys.pem", out: []string{"number 2, follows", "an unbroken chain from number 1 to number 2"}},
		"with a line end":          {args: "1.json 2-line.json --key keys.pem", out: []string{"an unbroken chain", objectkey.Digest(second)}},
		"from the standard input":  {args: "1.json - --key keys.pem", stdin: append(second[:len(second):len(second)], '\n'), out: []string{"(standard input)", "an unbroken chain"}},
		"a chain that is broken":   {args: "1.json 2-other.json --key keys.pem", code: exitFailed, out: []string{"NOT VALID", "Of 2 receipts, 1 can not be relied on"}, err: "does not follow"},
		"one that was changed":     {args: "2-bad.json --key keys.pem", code: exitFailed, err: "it was changed after it was signed"},
		"one that is long":         {args: "long.json --key keys.pem", code: exitFailed, err: "it is longer than 65536 bytes"},
		"nothing":                  {args: "- --key keys.pem", code: exitFailed, err: "not a valid erase receipt"},
		"a key that is missing":    {args: "1.json --key other.pem", code: exitFailed, err: "get all public keys with: kubectl -n kube-public get configmap lethe-receipts"},
		"no key":                   {args: "1.json", code: staging.ExitUsage, err: `-o jsonpath='{.data.keys\.pem}' > lethe-receipts.pem`},
		"a key file that is junk":  {args: "1.json --key junk.pem", code: staging.ExitUsage, err: "use --key"},
		"no key file":              {args: "1.json --key none.pem", code: staging.ExitUsage, err: "read --key"},
		"no such receipt":          {args: "1.json none.json --key keys.pem", code: staging.ExitUsage, err: "none.json"},
		"no receipt at all":        {args: "--key keys.pem", code: staging.ExitUsage, err: "receipt verify --help"},
		"the standard input twice": {args: "- - --key keys.pem", code: staging.ExitUsage, err: "named twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := strings.Fields("receipt verify " + c.args)
			for i, arg := range args {
				if strings.Contains(arg, ".") {
					args[i] = filepath.Join(dir, arg)
				}
			}
			var out, errOut bytes.Buffer
			streams := genericiooptions.IOStreams{In: bytes.NewReader(c.stdin), Out: &out, ErrOut: &errOut}
			root := newRoot(streams, genericclioptions.NewConfigFlags(true), func() (*session, error) {
				t.Error("it asks the cluster")
				return nil, errors.New("there is no cluster")
			})
			root.SetArgs(args)
			if code := report(&errOut, root.ExecuteContext(t.Context())); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.out {
				if !strings.Contains(out.String(), want) {
					t.Errorf("output lacks %q:\n%s", want, out.String())
				}
			}
			if !strings.Contains(errOut.String(), c.err) || (c.err == "") != (errOut.Len() == 0) || strings.Count(errOut.String(), "\n") > 1 {
				t.Errorf("error is %q, want one line with %q", errOut.String(), c.err)
			}
			if c.out == nil && out.Len() > 0 {
				t.Errorf("there is output in spite of the error:\n%s", out.String())
			}
		})
	}
}
