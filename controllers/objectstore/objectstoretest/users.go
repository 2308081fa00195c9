package objectstoretest

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"

	"github.com/minio/minio-go/v7/pkg/signer"
	"golang.org/x/crypto/argon2"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

// User makes a user with one policy, a document in JSON. Name is new on this server, and
// of 3 to 20 characters.
//
// It speaks the three requests of MinIO's admin API itself, because the client library for
// it is under the AGPL; so does hack/lab/store, in a module of its own.
func (m *MinIO) User(t testing.TB, name string, policy []byte) objectstore.Credentials {
	t.Helper()
	user := objectstore.Credentials{AccessKeyID: name, SecretAccessKey: rand.Text()}
	account, err := json.Marshal(map[string]string{"secretKey": user.SecretAccessKey, "status": "enabled"})
	if err != nil {
		t.Fatalf("encode a user for MinIO: %v", err)
	}
	sealed, err := sealFor(m.Root.SecretAccessKey, account)
	if err != nil {
		t.Fatalf("seal a user for MinIO: %v", err)
	}
	for _, call := range []struct {
		name  string
		query url.Values
		body  []byte
	}{
		{"add-canned-policy", url.Values{"name": {name}}, policy},
		{"add-user", url.Values{"accessKey": {name}}, sealed},
		{"set-user-or-group-policy", url.Values{"policyName": {name}, "userOrGroup": {name}, "isGroup": {"false"}}, nil},
	} {
		if err := m.administer(t, call.name, call.query, call.body); err != nil {
			t.Fatalf("make a user in MinIO: %v", err)
		}
	}
	return user
}

// administer sends one signed PUT to MinIO's admin API.
func (m *MinIO) administer(t testing.TB, call string, query url.Values, body []byte) error {
	t.Helper()
	target := m.Endpoint + "/minio/admin/v3/" + call + "?" + query.Encode()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, target, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("admin call %s: %w", call, err)
	}
	sum := sha256.Sum256(body)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	request = signer.SignV4(*request, m.Root.AccessKeyID, m.Root.SecretAccessKey, "", "us-east-1")
	response, err := (&http.Client{Transport: m.transport(t)}).Do(request)
	if err != nil {
		return fmt.Errorf("admin call %s: %w", call, err)
	}
	defer func() { _ = response.Body.Close() }() // It is read as far as it matters.
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 1000)) // It only explains.
		return fmt.Errorf("admin call %s: %s: %s", call, response.Status, text)
	}
	return nil
}

// sealFor encrypts a request's body under a password as MinIO's admin API wants it: salt, a
// byte for the ciphers, nonce, and a stream of one sealed fragment, which is the last.
// The stream's is number 1; number 0 authenticates that nothing stands beside it.
func sealFor(password string, plain []byte) ([]byte, error) {
	const saltSize, argon2idAES256GCM, last = 32, 0x00, 0x80
	head := make([]byte, saltSize+1, saltSize+1+8)
	_, _ = rand.Read(head[:saltSize]) // Never fails, see crypto/rand.
	head[saltSize] = argon2idAES256GCM
	block, err := aes.NewCipher(argon2.IDKey([]byte(password), head[:saltSize], 1, 64*1024, 4, 32))
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce[:gcm.NonceSize()-4]) // Never fails.
	out := append(head, nonce[:gcm.NonceSize()-4]...)
	beside := gcm.Seal([]byte{last}, nonce, nil, nil)
	binary.LittleEndian.PutUint32(nonce[gcm.NonceSize()-4:], 1)
	return gcm.Seal(out, nonce, plain, beside), nil
}
