package audit

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/lethe-dev/lethe/controllers/objectstore"
)

const (
	// maxPages bounds the listing of a bucket's uploads.
	maxPages = 1000
	// pageSize of the listings, in entries.
	pageSize = 1000
)

// entry is whatever is listed.
type entry struct {
	Key      string
	Prefix   string
	UploadID string `xml:"UploadId"`
}

// page is the answer to any of the listings. Pointers tell what was said from what
// was not.
type page struct {
	XMLName      xml.Name
	Name, Bucket string
	Prefix       *string
	EncodingType string
	IsTruncated  *bool

	Versions       []entry `xml:"Version"`
	Markers        []entry `xml:"DeleteMarker"`
	Contents       []entry `xml:"Contents"`
	Uploads        []entry `xml:"Upload"`
	CommonPrefixes []entry `xml:"CommonPrefixes"`

	NextKeyMarker      string
	NextUploadIDMarker string `xml:"NextUploadIdMarker"`
}

// check makes sure that the page answers what was asked.
func (p *page) check(root, bucket, prefix string) error {
	name, said := p.Name+p.Bucket, ""
	if p.Prefix != nil {
		said = p.decoded(*p.Prefix)
	}
	switch {
	case p.XMLName.Local != root:
		return fmt.Errorf("%w: the answer is no %s", objectstore.ErrUnavailable, root)
	case name != bucket || said != prefix:
		return fmt.Errorf("%w: the answer is about another bucket or prefix", objectstore.ErrUnavailable)
	case p.IsTruncated == nil:
		return fmt.Errorf("%w: the answer does not say whether it is whole", objectstore.ErrUnavailable)
	}
	return nil
}

// decoded gives a key as it is: it comes encoded, since XML can not express all.
func (p *page) decoded(key string) string {
	if !strings.EqualFold(p.EncodingType, "url") {
		return key
	}
	if plain, err := url.QueryUnescape(key); err == nil {
		return plain
	}
	return key
}

// entries of a page, of any kind.
func (p *page) entries() []entry {
	var all []entry
	for _, some := range [][]entry{p.Versions, p.Markers, p.Contents, p.Uploads, p.CommonPrefixes} {
		all = append(all, some...)
	}
	return all
}

// any says whether the page shows anything. One that has more to come and shows
// nothing now is an error: nobody knows what it would show.
func (p *page) any() (bool, error) {
	if len(p.entries()) > 0 {
		return true, nil
	}
	if *p.IsTruncated {
		return false, fmt.Errorf("%w: the listing says that there is more and shows nothing", objectstore.ErrUnavailable)
	}
	return false, nil
}

func (a *Auditor) versions(ctx context.Context, bucket, prefix string) (bool, error) {
	p, err := a.list(ctx, "ListVersionsResult", bucket, prefix, url.Values{"versions": {""}, "max-keys": {"1"}})
	if err != nil {
		return false, fmt.Errorf("list versions: %w", err)
	}
	return p.any()
}

func (a *Auditor) objects(ctx context.Context, bucket, prefix string) (bool, error) {
	p, err := a.list(ctx, "ListBucketResult", bucket, prefix, url.Values{"list-type": {"2"}, "max-keys": {"1"}})
	if err != nil {
		return false, fmt.Errorf("list objects: %w", err)
	}
	return p.any()
}

func (a *Auditor) uploads(ctx context.Context, bucket, prefix string) (bool, error) {
	p, err := a.list(ctx, "ListMultipartUploadsResult", bucket, prefix, url.Values{"uploads": {""}, "max-uploads": {"1"}})
	if err != nil {
		return false, fmt.Errorf("list uploads: %w", err)
	}
	return p.any()
}

// allUploads goes through those of the whole bucket.
func (a *Auditor) allUploads(ctx context.Context, bucket, prefix string) (bool, error) {
	query := url.Values{"uploads": {""}, "max-uploads": {strconv.Itoa(pageSize)}}
	for range maxPages {
		p, err := a.list(ctx, "ListMultipartUploadsResult", bucket, "", query)
		if err != nil {
			return false, fmt.Errorf("list all uploads: %w", err)
		}
		for _, e := range p.entries() {
			if strings.HasPrefix(p.decoded(e.Key+e.Prefix), prefix) {
				return true, nil
			}
		}
		if !*p.IsTruncated {
			return false, nil
		}
		key, id := p.decoded(p.NextKeyMarker), p.NextUploadIDMarker
		if key == query.Get("key-marker") && id == query.Get("upload-id-marker") {
			return false, fmt.Errorf("list all uploads: %w: the listing does not go on", objectstore.ErrUnavailable)
		}
		query.Set("key-marker", key)
		query.Set("upload-id-marker", id)
	}
	return false, fmt.Errorf("list all uploads: %w: there are more than %d pages", objectstore.ErrUnavailable, maxPages)
}

// checkHidden looks for a version or marker whose key is the prefix without its
// slash; it is the first of all keys that start so.
func (a *Auditor) checkHidden(ctx context.Context, bucket, prefix string) error {
	name, ok := strings.CutSuffix(prefix, "/")
	if !ok || name == "" {
		return nil
	}
	query := url.Values{"versions": {""}, "delimiter": {"/"}, "max-keys": {"1"}}
	p, err := a.list(ctx, "ListVersionsResult", bucket, name, query)
	if err != nil {
		return fmt.Errorf("list versions: %w", err)
	}
	for _, e := range p.entries() {
		if p.decoded(e.Key) == name {
			return objectstore.ErrHidden
		}
	}
	_, err = p.any()
	return err
}
