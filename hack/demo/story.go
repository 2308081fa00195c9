package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/api/v1alpha1"
	"github.com/lethe-dev/lethe/controllers/datasetkey"
	"github.com/lethe-dev/lethe/controllers/erasure/receipts"
)

const (
	namespace   = "lethe-demo"
	datasetName = "digits"
	runName     = "digits-1"
	// window is the demo's retention window: short enough to wait for, long enough
	// to fetch the artifacts and to look at the store first.
	window = "30s"
	// minAccuracy is what the trained model must reach on held-out digits.
	minAccuracy = "0.93"
	samples     = "config/samples"
)

// datasetFacts is what the demo remembers of the dataset, whose object is gone
// when the store is searched.
type datasetFacts struct {
	bucket, prefix, uid string
}

func (d *demo) namespace(ctx context.Context) error {
	if _, err := d.kubectl(ctx, "get", "namespace", namespace); err != nil {
		if err := d.show(ctx, "kubectl", "create", "namespace", namespace); err != nil {
			return err
		}
	} else {
		d.say("The namespace is there from an earlier demo; its run and dataset go first.")
		if _, err := d.kubectl(ctx, "-n", namespace, "delete", "trainingruns,datasetretentions", "--all", "--timeout=4m"); err != nil {
			return err
		}
	}
	return d.show(ctx, "kubectl", "-n", namespace, "apply", "-f", filepath.Join(samples, "uploader.yaml"))
}

func (d *demo) export(ctx context.Context) error {
	return d.show(ctx, d.tool("digits"), "export", filepath.Join(d.work, "digits"))
}

func (d *demo) upload(ctx context.Context) error {
	err := d.show(ctx, d.tool("kubectl-lethe"), "upload", filepath.Join(d.work, "digits"), datasetName,
		"-n", namespace, "--after-training", window)
	if err != nil {
		return err
	}
	out, err := d.kubectl(ctx, "-n", namespace, "get", "datasetretention", datasetName, "-o", "json")
	if err != nil {
		return err
	}
	var ds v1alpha1.DatasetRetention
	if err := json.Unmarshal([]byte(out), &ds); err != nil {
		return fmt.Errorf("read the dataset: %w", err)
	}
	if ds.Status.Location == nil {
		return errors.New("the dataset has no location after its upload")
	}
	d.data = datasetFacts{bucket: ds.Status.Location.Bucket, prefix: ds.Status.Location.Prefix, uid: string(ds.UID)}
	return d.show(ctx, "kubectl", "-n", namespace, "get", "datasetretentions")
}

func (d *demo) apply(ctx context.Context) error {
	return d.show(ctx, "kubectl", "-n", namespace, "apply", "-f", filepath.Join(samples, "trainingrun.yaml"))
}

func (d *demo) follow(ctx context.Context) error {
	if err := d.show(ctx, d.tool("kubectl-lethe"), "logs", runName, "-n", namespace, "--follow"); err != nil {
		return err
	}
	if err := d.show(ctx, d.tool("kubectl-lethe"), "status", runName, "-n", namespace, "--watch"); err != nil {
		return err
	}
	return d.show(ctx, "kubectl", "-n", namespace, "get", "trainingruns")
}

func (d *demo) artifacts(ctx context.Context) error {
	results := filepath.Join(d.work, "results")
	if err := d.show(ctx, d.tool("kubectl-lethe"), "artifacts", runName, results, "-n", namespace); err != nil {
		return err
	}
	return d.show(ctx, d.tool("digits"), "evaluate", "-model", filepath.Join(results, "model.json"),
		"-data", filepath.Join(d.work, "digits"), "-min", minAccuracy)
}

func (d *demo) before(ctx context.Context) error {
	found, err := d.search(ctx)
	if err != nil {
		return err
	}
	d.say("%s", found)
	if found.versions == 0 {
		return errors.New("the store holds nothing of the dataset before its erase; was the window too short?")
	}
	return nil
}

func (d *demo) waitErased(ctx context.Context) error {
	if err := d.show(ctx, "kubectl", "-n", namespace, "get", "datasetretention", datasetName, "-o", "wide", "--ignore-not-found"); err != nil {
		return err
	}
	return d.show(ctx, "kubectl", "-n", namespace, "wait", "--for=delete", "datasetretention/"+datasetName, "--timeout=3m")
}

func (d *demo) after(ctx context.Context) error {
	found, err := d.search(ctx)
	if err != nil {
		return err
	}
	d.say("%s", found)
	if found != (holdings{bucket: d.data.bucket, prefix: d.data.prefix}) {
		return errors.New("the store still holds data of the dataset")
	}
	return nil
}

// key looks for the key that the data was stored under.
func (d *demo) key(ctx context.Context) error {
	out, err := d.kubectl(ctx, "-n", "lethe-system", "get", "secrets", "-o", "name")
	if err != nil {
		return err
	}
	name := datasetkey.SecretName(types.UID(d.data.uid))
	if strings.Contains(out, name) {
		return fmt.Errorf("the key is still there, in the Secret %s", name)
	}
	d.say("The Secret %s is gone: what a broken drive or a backup of the store may still hold can be read by nobody.", name)
	return nil
}

// receipt keeps the receipt and the public keys, as an auditor would, and verifies
// the one with the other. That needs neither the store nor the cluster.
func (d *demo) receipt(ctx context.Context) error {
	key := objectkey.Receipt(namespace, d.data.uid)
	body, err := d.store.Get(ctx, receiptsBucket, key, 0, -1)
	if err != nil {
		return fmt.Errorf("fetch the receipt: %w", err)
	}
	defer func() { _ = body.Close() }() // read to its end below
	signed, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("read the receipt: %w", err)
	}
	keys, err := d.kubectl(ctx, "-n", receipts.PublicNamespace, "get", "configmap", receipts.PublicName,
		"-o", "go-template={{index .data \""+receipts.PublicKeys+"\"}}")
	if err != nil {
		return err
	}
	receiptFile, keysFile := filepath.Join(d.work, "receipt.json"), filepath.Join(d.work, "keys.pem")
	if err := errors.Join(os.WriteFile(receiptFile, signed, 0o600), os.WriteFile(keysFile, []byte(keys+"\n"), 0o600)); err != nil {
		return fmt.Errorf("keep the receipt: %w", err)
	}
	d.say("s3://%s/%s", receiptsBucket, key)
	return d.show(ctx, d.tool("kubectl-lethe"), "receipt", "verify", receiptFile, "--key", keysFile)
}

func (d *demo) next() {
	fmt.Fprintf(d.out, `
Done in %s. The lab is still up. What to try next:
  eval "$(.cache/bin/lab env)"                      # kubectl, kubectl lethe and the cluster
  kubectl -n %[2]s get trainingruns,datasetretentions -o wide
  kubectl -n %[2]s describe trainingrun %[3]s
  kubectl lethe upload DIR my-data -n %[2]s         # a folder of your own
  kubectl explain trainingrun.spec
  make lab-status
  make demo-down                                    # leaves nothing behind
`, time.Since(d.begun).Round(time.Second), namespace, runName)
}
