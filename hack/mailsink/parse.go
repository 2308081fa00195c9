package mailsink

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"regexp"
	"strings"
)

// maxDepth is how deep multiparts may lie in each other.
const maxDepth = 5

var link = regexp.MustCompile(`https?://[^\s<>"]+[^\s<>".,;:!?)]`)

// parse reads a mail: its header, and the first text and HTML part.
func parse(raw []byte) (Mail, error) {
	read, err := mail.ReadMessage(bytes.NewReader(raw))
	if err != nil {
		return Mail{}, fmt.Errorf("read a mail's header: %w", err)
	}
	m := Mail{
		Headers:   read.Header,
		MessageID: strings.Trim(read.Header.Get("Message-Id"), "<> "),
		Raw:       raw,
	}
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(read.Header.Get("Subject")); err != nil {
		m.Subject = read.Header.Get("Subject")
	}
	p := part{
		kind: read.Header.Get("Content-Type"), encoding: read.Header.Get("Content-Transfer-Encoding"), body: read.Body,
	}
	if err := p.into(&m, maxDepth); err != nil {
		return Mail{}, err
	}
	m.Links = link.FindAllString(m.Text, -1)
	return m, nil
}

// part is a part of a mail, or the mail itself.
type part struct {
	kind, encoding string
	body           io.Reader
}

// into puts what the part holds into a mail.
func (p part) into(m *Mail, depth int) error {
	kind, parameters, err := mime.ParseMediaType(p.kind)
	if err != nil {
		kind = "text/plain" // RFC 2045, 5.2
	}
	if strings.HasPrefix(kind, "multipart/") {
		return eachPart(multipart.NewReader(p.body, parameters["boundary"]), m, depth-1)
	}
	text, err := io.ReadAll(decoded(p.encoding, p.body))
	if err != nil {
		return fmt.Errorf("decode a part: %w", err)
	}
	switch {
	case kind == "text/plain" && m.Text == "":
		m.Text = strings.ReplaceAll(string(text), "\r\n", "\n")
	case kind == "text/html" && m.HTML == "":
		m.HTML = strings.ReplaceAll(string(text), "\r\n", "\n")
	}
	return nil
}

func eachPart(parts *multipart.Reader, m *Mail, depth int) error {
	if depth == 0 {
		return errors.New("the parts lie too deep in each other")
	}
	for {
		// A raw part: decoding is ours for all encodings, not the reader's for one.
		next, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read a part: %w", err)
		}
		p := part{
			kind: next.Header.Get("Content-Type"), encoding: next.Header.Get("Content-Transfer-Encoding"), body: next,
		}
		if err := p.into(m, depth); err != nil {
			return err
		}
	}
}

func decoded(encoding string, body io.Reader) io.Reader {
	switch strings.ToLower(encoding) {
	case "quoted-printable":
		return quotedprintable.NewReader(body)
	case "base64":
		return base64.NewDecoder(base64.StdEncoding, body)
	default:
		return body
	}
}
