package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// network asks what can be reached from the Pod. Where it is comes from the environment,
// as if somebody had told the intruder.
func network(env func(string) string) map[string]attempt {
	store, bucket, object := env("INTRUDER_STORE"), env("INTRUDER_BUCKET"), env("INTRUDER_OBJECT")
	broker, node, forged := env("INTRUDER_BROKER"), env("INTRUDER_NODE"), env("INTRUDER_TOKEN")
	sts := store + "/?Version=2011-06-15&Action=AssumeRoleWithWebIdentity&DurationSeconds=3600&WebIdentityToken="
	tries := map[string]attempt{
		"store: another's object, as nobody":                         asks(http.MethodGet, store+"/"+bucket+"/"+object, ""),
		"store: a list of all, as nobody":                            asks(http.MethodGet, store+"/"+bucket+"?list-type=2", ""),
		"store: write, as nobody":                                    asks(http.MethodPut, store+"/"+bucket+"/evil", ""),
		"store: another's object, by a path that leads out":          asks(http.MethodGet, store+"/"+bucket+"/%2e%2e/"+bucket+"/"+object, ""),
		"store: its console":                                         asks(http.MethodGet, store+"/minio/admin/v3/info", ""),
		"store: its metrics":                                         asks(http.MethodGet, store+"/minio/v2/metrics/cluster", ""),
		"store: credentials for nothing":                             asks(http.MethodPost, sts, ""),
		"store: credentials for a token that nobody signed":          asks(http.MethodPost, sts+forged, ""),
		"store: another's prefix, with forged credentials":           signed(store, bucket, object, "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMIexample"),
		"store: another's prefix, with what everybody knows":         signed(store, bucket, object, "minioadmin", "minioadmin"),
		"broker: no token":                                           asks(http.MethodPost, broker+"/v1/stage", ""),
		"broker: a forged token":                                     asks(http.MethodPost, broker+"/v1/stage", forged),
		"broker: a forged token, for an upload":                      asks(http.MethodPost, broker+"/v1/upload", forged),
		"broker: its metrics":                                        asks(http.MethodGet, env("INTRUDER_METRICS")+"/metrics", ""),
		"broker: the webhook":                                        asks(http.MethodPost, env("INTRUDER_WEBHOOK")+"/validate", ""),
		"cluster: its namespaces, as nobody":                         asks(http.MethodGet, "https://kubernetes.default.svc/api/v1/namespaces", ""),
		"cluster: its datasets, as nobody":                           asks(http.MethodGet, "https://kubernetes.default.svc/apis/lethe.dev/v1alpha1/datasetretentions", ""),
		"cluster: its secrets, with a forged token":                  asks(http.MethodGet, "https://kubernetes.default.svc/api/v1/secrets", forged),
		"cluster: the kubelet's Pods, as nobody":                     asks(http.MethodGet, "https://"+node+":10250/pods", ""),
		"cluster: a command in another Pod, by the kubelet":          asks(http.MethodPost, "https://"+node+":10250/run/lethe-system/x/manager", ""),
		"cluster: the kubelet's port without locks":                  asks(http.MethodGet, "http://"+node+":10255/pods", ""),
		"cluster: etcd":                                              asks(http.MethodGet, "https://"+node+":2379/version", ""),
		"record: metadata of a cloud (NetworkPolicies hold it back)": asks(http.MethodGet, "http://169.254.169.254/latest/meta-data/", ""),
	}
	return tries
}

var anybody = &http.Client{
	Timeout: 10 * time.Second,
	Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // G402: an intruder has nothing to lose.
	},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// asks is refused by an answer of 400 and more, and where nobody answers.
func asks(method, url, token string) attempt {
	return func() (bool, string) {
		req, err := http.NewRequestWithContext(context.Background(), method, url, strings.NewReader(`{"step":"stage-in"}`))
		if err != nil {
			return false, err.Error() // the attempt is wrong
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		res, err := anybody.Do(req)
		if err != nil {
			return true, "no answer: " + err.Error()
		}
		defer func() { _ = res.Body.Close() }() // only read
		text, _ := io.ReadAll(io.LimitReader(res.Body, 512))
		return res.StatusCode >= http.StatusBadRequest, fmt.Sprintf("%d: %s", res.StatusCode, text)
	}
}

// signed reads, lists and writes with credentials.
func signed(store, bucket, object, id, secret string) attempt {
	return func() (bool, string) {
		c, err := minio.New(strings.TrimPrefix(store, "https://"), &minio.Options{
			Creds: credentials.NewStaticV4(id, secret, ""), Secure: true, Transport: anybody.Transport, Region: "us-east-1",
		})
		if err != nil {
			return false, err.Error() // the attempt is wrong
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		var says []string
		_, err = c.StatObject(ctx, bucket, object, minio.StatObjectOptions{})
		if err == nil {
			return false, "the object is there"
		}
		says = append(says, err.Error())
		for found := range c.ListObjects(ctx, bucket, minio.ListObjectsOptions{MaxKeys: 1}) {
			if found.Err == nil {
				return false, "an object is listed"
			}
			says = append(says, found.Err.Error())
		}
		if _, err := c.PutObject(ctx, bucket, "evil", strings.NewReader("x"), 1, minio.PutObjectOptions{}); err == nil {
			return false, "an object is written"
		}
		return true, strings.Join(says, "; ")
	}
}
