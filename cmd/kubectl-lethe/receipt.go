package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/cmd/kubectl-lethe/internal/receiptcheck"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
)

// standardInput names it on the command line, and in what is written about it.
const (
	standardInput     = "-"
	standardInputName = "(standard input)"
)

// maxKeyFile bounds a file of public keys, in bytes.
const maxKeyFile = 1 << 20

// getKeys is how one comes by the public keys.
var getKeys = fmt.Sprintf("kubectl -n %s get configmap %s -o jsonpath='{.data.%s}' > %s.pem",
	receipts.PublicNamespace, receipts.PublicName, strings.ReplaceAll(receipts.PublicKeys, ".", `\.`), receipts.PublicName)

func newReceipt(streams genericiooptions.IOStreams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "receipt",
		Short: "Check receipts for erased data",
		Args:  usageArgs(cobra.NoArgs),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newReceiptVerify(streams))
	return cmd
}

func newReceiptVerify(streams genericiooptions.IOStreams) *cobra.Command {
	var keyFile string
	cmd := &cobra.Command{
		Use:   "verify FILE... --key FILE",
		Short: "Verify receipts, offline",
		Long: "Says what receipts state if they are signed with one of the keys, and whether those that are neighbours in\n" +
			"the chain fit to each other. Nothing is asked of the cluster. A file named - is the standard input.\n\n" +
			"The public keys, also those of receipts that are old, are published in the cluster:\n\n" +
			"  " + getKeys + "\n\n" +
			"To hold the cluster against its word later, keep a copy of them, and of the receipts, elsewhere.",
		Example: "  kubectl lethe receipt verify receipt.json --key " + receipts.PublicName + ".pem\n" +
			"  kubectl lethe receipt verify chain/*.json --key " + receipts.PublicName + ".pem",
		Args: usageArgs(cobra.MinimumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error { return verifyReceipts(streams, args, keyFile) },
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "file with the public keys (PEM) that are believed")
	return cmd
}

func verifyReceipts(streams genericiooptions.IOStreams, names []string, keyFile string) error {
	keys, err := readKeys(keyFile)
	if err != nil {
		return usageError{err}
	}
	files, err := readReceipts(streams.In, names)
	if err != nil {
		return usageError{err}
	}
	verdicts := receiptcheck.Check(files, keys)
	failure := receiptcheck.Failure(verdicts)
	if errors.Is(failure, objectkey.ErrUnknownKey) {
		failure = hintError{failure, "get all public keys with: " + getKeys}
	}
	if len(verdicts) == 1 && failure != nil {
		return failure // It says all there is to say.
	}
	if err := receiptcheck.Describe(streams.Out, verdicts); err != nil {
		return err
	}
	return failure
}

func readKeys(name string) ([]ed25519.PublicKey, error) {
	if name == "" {
		return nil, errors.New("--key must name a file with the public keys; get them with: " + getKeys)
	}
	data, err := readSome(name, maxKeyFile)
	if err != nil {
		return nil, fmt.Errorf("read --key: %w", err)
	}
	keys, err := objectkey.ParsePublicKeys(data)
	if err != nil {
		return nil, fmt.Errorf("use --key: %w; get the keys with: %s", err, getKeys)
	}
	return keys, nil
}

func readReceipts(in io.Reader, names []string) ([]receiptcheck.File, error) {
	files := make([]receiptcheck.File, 0, len(names))
	piped := false
	for _, name := range names {
		f := receiptcheck.File{Name: name}
		var err error
		switch {
		case name != standardInput:
			f.Data, err = readSome(name, objectkey.MaxReceiptSize)
		case piped:
			err = errors.New("the standard input holds one receipt, and was named twice")
		default:
			piped, f.Name = true, standardInputName
			f.Data, err = some(in, objectkey.MaxReceiptSize)
		}
		if err != nil {
			return nil, fmt.Errorf("read receipt: %w", err)
		}
		f.Data = withoutLineEnd(f.Data)
		files = append(files, f)
	}
	return files, nil
}

// withoutLineEnd takes away what editors and shells add to the end of a file. It is
// no part of a receipt.
func withoutLineEnd(data []byte) []byte {
	return bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
}

func readSome(name string, limit int64) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := some(file, limit)
	return data, errors.Join(err, file.Close())
}

// some reads a little more than the limit, so that what is too long shows.
func some(in io.Reader, limit int64) ([]byte, error) {
	return io.ReadAll(io.LimitReader(in, limit+int64(len("\r\n"))+1))
}
