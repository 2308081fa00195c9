package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"time"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// maxPolicy is the most bytes that STS takes as an inline session policy.
const maxPolicy = 2048

// What may stand in a policy. Everything that has a meaning in its patterns ("*",
// "?", "${") is outside of these, so a name can never widen what it names.
var (
	namespacePattern = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	uidPattern       = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9]{0,63}$`)
	bucketPattern    = regexp.MustCompile(`^[a-z0-9][-.a-z0-9]{1,61}[a-z0-9]$`)
)

// errUnsafe is wrapped by errors about names that may not stand in a policy.
var errUnsafe = errors.New("name may not stand in a policy")

// place is where one object's data lies: a bucket, and the prefix that is derived
// from the object's namespace and UID.
type place struct {
	bucket string
	prefix string
}

// newPlace derives the place; the error wraps errUnsafe.
func newPlace(bucket, namespace, uid string) (place, error) {
	switch {
	case !bucketPattern.MatchString(bucket):
		return place{}, fmt.Errorf("%w: bucket %q", errUnsafe, bucket)
	case !namespacePattern.MatchString(namespace):
		return place{}, fmt.Errorf("%w: namespace %q", errUnsafe, namespace)
	case !uidPattern.MatchString(uid):
		return place{}, fmt.Errorf("%w: UID %q", errUnsafe, uid)
	}
	return place{bucket: bucket, prefix: objectkey.OwnerPrefix(namespace, uid)}, nil
}

// readPolicy reads every object of the place whose key is known. There is no
// listing: the manifest names all keys.
func readPolicy(p place) (string, error) {
	return encodePolicy([]string{"s3:GetObject"}, p, p.prefix+"*")
}

// writePolicy writes every object of the place, in one piece or in parts. It
// neither reads, lists nor deletes.
func writePolicy(p place) (string, error) {
	return encodePolicy(writeActions(), p, p.prefix+"*")
}

// gatherPolicy is writePolicy and reads the checkpoints beside it: where every node
// writes a part of them, one must see that the others have.
func gatherPolicy(p place) (string, error) {
	return encodeStatements(
		policyStatement{Effect: "Allow", Action: writeActions(), Resource: keysOf(p, p.prefix+"*")},
		policyStatement{
			Effect: "Allow", Action: []string{"s3:GetObject"},
			Resource: keysOf(p, objectkey.CheckpointsPrefix(p.prefix)+"*"),
		},
	)
}

// resumePolicy reads one checkpoint. The error wraps errUnsafe.
func resumePolicy(p place, id string) (string, error) {
	if !objectkey.ValidCheckpointID(id) {
		return "", fmt.Errorf("%w: checkpoint %q", errUnsafe, id)
	}
	return encodePolicy([]string{"s3:GetObject"}, p, objectkey.CheckpointPrefix(p.prefix, id)+"*")
}

// uploadPolicy writes the files and the manifest of a dataset, and nothing that
// the operator itself may keep beside them, by requests that begin before the whole
// second of until. STS gives no life as short as uploads may have, so the policy
// ends it.
//
// For a dataset with a key of its own, what is written must be under a key (SSE-C): a
// client that forgot the key would leave data that outlives it. Which key it is a
// policy can not say; the operator reads the manifest under the dataset's own before
// any run may use it.
func uploadPolicy(p place, until time.Time, underKey bool) (string, error) {
	where := keysOf(p, objectkey.DataPrefix(p.prefix)+"*", objectkey.Manifest(p.prefix))
	inTime := map[string]map[string]string{
		"DateLessThan": {"aws:CurrentTime": until.UTC().Format(time.RFC3339)},
	}
	if !underKey {
		return encodeStatements(policyStatement{
			Effect: "Allow", Action: writeActions(), Resource: where, Condition: inTime,
		})
	}
	encrypted := maps.Clone(inTime)
	encrypted["StringEquals"] = map[string]string{"s3:x-amz-server-side-encryption-customer-algorithm": "AES256"}
	return encodeStatements(
		policyStatement{Effect: "Allow", Action: []string{actionPut}, Resource: where, Condition: encrypted},
		// Other requests about parts carry no key.
		policyStatement{Effect: "Allow", Action: partActions(), Resource: where, Condition: inTime},
	)
}

const actionPut = "s3:PutObject"

func partActions() []string {
	return []string{"s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"}
}

func writeActions() []string { return append([]string{actionPut}, partActions()...) }

type policyDocument struct {
	Version   string
	Statement []policyStatement
}

type policyStatement struct {
	Effect    string
	Action    []string
	Resource  []string
	Condition map[string]map[string]string `json:",omitempty"`
}

func encodePolicy(actions []string, p place, keys ...string) (string, error) {
	return encodeStatements(policyStatement{Effect: "Allow", Action: actions, Resource: keysOf(p, keys...)})
}

func keysOf(p place, keys ...string) []string {
	all := make([]string, 0, len(keys))
	for _, key := range keys {
		all = append(all, "arn:aws:s3:::"+p.bucket+"/"+key)
	}
	return all
}

func encodeStatements(statements ...policyStatement) (string, error) {
	data, err := json.Marshal(policyDocument{Version: "2012-10-17", Statement: statements})
	if err != nil {
		return "", fmt.Errorf("encode session policy: %w", err)
	}
	if len(data) > maxPolicy {
		return "", fmt.Errorf("session policy has %d bytes, more than the %d that STS takes", len(data), maxPolicy)
	}
	return string(data), nil
}
