package store

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7/pkg/signer"
	"github.com/secure-io/sio-go"
	"golang.org/x/crypto/argon2"
)

// The access keys of the users, which are the names of their policies too.
const (
	operatorName = "lethe-operator"
	auditorName  = "lethe-auditor"
)

var (
	// operatorPolicy is all that the operator may do: everything but changing the
	// buckets on data; write and read but never delete on receipts and the ledger. That
	// it needs each action of it, controllers/staging/broker tests (life_real_test.go).
	//
	//go:embed operator.json
	operatorPolicy []byte
	// auditorPolicy lets the auditor see what is there, but not what is in it.
	//
	//go:embed auditor.json
	auditorPolicy []byte
)

// EnsureUsers makes the operator's and the auditor's users and policies. Idempotent.
//
// It speaks the three requests of MinIO's admin API itself: the client library
// for it is under the AGPL, and building the mc program would take two minutes.
func (a *Admin) EnsureUsers(ctx context.Context) error {
	for _, u := range []user{
		{operatorName, a.creds.OperatorAccessKey, a.creds.OperatorSecretKey, operatorPolicy},
		{auditorName, a.creds.AuditorAccessKey, a.creds.AuditorSecretKey, auditorPolicy},
	} {
		if err := a.ensureUser(ctx, u); err != nil {
			return fmt.Errorf("make store user %s: %w", u.name, err)
		}
	}
	return nil
}

// user is one user with the policy of the same name.
type user struct {
	name, accessKey, secretKey string
	policy                     []byte
}

func (a *Admin) ensureUser(ctx context.Context, u user) error {
	if err := a.admin(ctx, "add-canned-policy", url.Values{"name": {u.name}}, u.policy); err != nil {
		return err
	}
	account, err := json.Marshal(map[string]string{"secretKey": u.secretKey, "status": "enabled"})
	if err != nil {
		return fmt.Errorf("encode user: %w", err)
	}
	sealed, err := seal(a.creds.RootPassword, account)
	if err != nil {
		return err
	}
	if err := a.admin(ctx, "add-user", url.Values{"accessKey": {u.accessKey}}, sealed); err != nil {
		return err
	}
	attach := url.Values{"policyName": {u.name}, "userOrGroup": {u.accessKey}, "isGroup": {"false"}}
	return a.admin(ctx, "set-user-or-group-policy", attach, nil)
}

// admin sends one signed PUT to MinIO's admin API.
func (a *Admin) admin(ctx context.Context, call string, query url.Values, body []byte) error {
	target := url.URL{Scheme: "https", Host: a.endpoint, Path: "/minio/admin/v3/" + call, RawQuery: query.Encode()}
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, target.String(), bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("store admin call %s: %w", call, err)
	}
	sum := sha256.Sum256(body)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	request = signer.SignV4(*request, a.creds.RootUser, a.creds.RootPassword, "", "us-east-1")
	response, err := (&http.Client{Transport: a.transport}).Do(request)
	if err != nil {
		return fmt.Errorf("store admin call %s: %w", call, err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("store admin call %s: %s: %s", call, response.Status, text)
	}
	return nil
}

// seal encrypts a request's body under a password as MinIO's admin API wants
// it: salt, a byte for the ciphers, nonce, and a stream of sealed fragments.
func seal(password string, plain []byte) ([]byte, error) {
	const argon2idAES256GCM = 0x00
	head := make([]byte, 32+1, 32+1+8)
	_, _ = rand.Read(head[:32]) // Never fails, see crypto/rand.
	head[32] = argon2idAES256GCM
	key := argon2.IDKey([]byte(password), head[:32], 1, 64*1024, 4, 32)
	stream, err := sio.AES_256_GCM.Stream(key)
	if err != nil {
		return nil, fmt.Errorf("seal request: %w", err)
	}
	nonce := make([]byte, stream.NonceSize())
	_, _ = rand.Read(nonce) // Never fails.
	out := bytes.NewBuffer(append(head, nonce...))
	sealed := stream.EncryptWriter(out, nonce, nil)
	if _, err := sealed.Write(plain); err != nil {
		return nil, fmt.Errorf("seal request: %w", err)
	}
	if err := sealed.Close(); err != nil {
		return nil, fmt.Errorf("seal request: %w", err)
	}
	return out.Bytes(), nil
}
