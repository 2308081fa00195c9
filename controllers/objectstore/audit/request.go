package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/lethe-dev/lethe/api/objectkey"
	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const (
	// maxAnswer is how long an answer may be, in bytes. MinIO gives all uploads of a
	// bucket at once, with some 500 bytes for each.
	maxAnswer = 64 << 20
	// maxIdentity is how long the identity may be, in bytes.
	maxIdentity = 4 << 10
)

// Identity reads which store this is from the bucket's objectkey.IdentityKey. A
// missing one is objectstore.ErrNotFound.
func (a *Auditor) Identity(ctx context.Context, bucket string) (string, error) {
	const what = "read the store's identity"
	data, err := a.get(ctx, bucket, url.URL{Path: objectkey.IdentityKey}, maxIdentity)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	var identity objectkey.Identity
	if err := json.Unmarshal(data, &identity); err != nil {
		return "", fmt.Errorf("%s: the object is not JSON", what)
	}
	if identity.Kind != objectkey.IdentityKind || identity.Store == "" {
		return "", fmt.Errorf("%s: the object is not of the kind %s", what, objectkey.IdentityKind)
	}
	return identity.Store, nil
}

// list asks for one page of a listing and checks that it is what was asked for.
func (a *Auditor) list(ctx context.Context, root, bucket, prefix string, query url.Values) (*page, error) {
	query.Set("prefix", prefix)
	query.Set("encoding-type", "url")
	data, err := a.get(ctx, bucket, url.URL{RawQuery: query.Encode()}, maxAnswer)
	if err != nil {
		return nil, err
	}
	p := &page{}
	decoder := xml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(p); err != nil {
		return nil, fmt.Errorf("%w: the answer broke off or is garbled", objectstore.ErrUnavailable)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows the answer", objectstore.ErrUnavailable)
	}
	return p, p.check(root, bucket, prefix)
}

// get sends one signed GET for what is in a bucket and gives the whole body of an
// answer that is 200 OK.
func (a *Auditor) get(ctx context.Context, bucket string, what url.URL, limit int64) ([]byte, error) {
	if strings.Trim(bucket, ".") == "" || strings.ContainsAny(bucket, "/?#%") {
		return nil, errors.New("that is no name of a bucket")
	}
	own, err := a.credentials(ctx)
	if err != nil {
		return nil, fmt.Errorf("get the auditor's credentials: %w", err)
	}
	if own.AccessKeyID == "" || own.SecretAccessKey == "" {
		return nil, errors.New("the auditor's credentials are empty") // It would not be signed.
	}
	target := a.endpoint.JoinPath(bucket, "/"+what.Path)
	target.RawQuery = what.RawQuery
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), http.NoBody)
	if err != nil {
		return nil, errors.New("the question makes no URL")
	}
	nothing := sha256.Sum256(nil)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(nothing[:]))
	request = signer.SignV4(*request, own.AccessKeyID, own.SecretAccessKey, own.SessionToken, a.region)
	answer, err := a.http.Do(request)
	if err != nil {
		return nil, unanswered(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, refused(answer)
	}
	data, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	switch {
	case err != nil:
		return nil, unanswered(ctx, err)
	case int64(len(data)) > limit:
		return nil, fmt.Errorf("the answer is longer than %d bytes", limit)
	}
	return data, nil
}

// unanswered keeps an error's cause and leaves out the URL, which has keys in it.
func unanswered(ctx context.Context, err error) error {
	if ended := ctx.Err(); ended != nil {
		return ended
	}
	var about *url.Error
	if errors.As(err, &about) {
		err = about.Err
	}
	return fmt.Errorf("%w: %s", objectstore.ErrUnavailable, err.Error())
}

// refused makes an error of an answer that is not 200 OK, of which it keeps the
// status and S3's code: the rest has keys in it.
func refused(answer *http.Response) error {
	var text struct{ Code string }
	data, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // The status is enough.
	_ = xml.Unmarshal(data, &text)
	why := fmt.Sprintf("HTTP status %d", answer.StatusCode)
	if isCode(text.Code) {
		why += " " + text.Code
	}
	switch status := answer.StatusCode; {
	case status == http.StatusNotFound:
		return fmt.Errorf("%w (%s)", objectstore.ErrNotFound, why)
	case status == http.StatusUnauthorized || status == http.StatusForbidden || text.Code == "ExpiredToken":
		return fmt.Errorf("%w (%s)", objectstore.ErrDenied, why)
	case status >= http.StatusInternalServerError || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout:
		return fmt.Errorf("%w (%s)", objectstore.ErrUnavailable, why)
	}
	return fmt.Errorf("refused by the store (%s)", why)
}

// isCode says whether this is a word such as NoSuchBucket.
func isCode(word string) bool {
	for _, r := range word {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') {
			return false
		}
	}
	return word != "" && len(word) <= 64
}
