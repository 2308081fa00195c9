package objectkey_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lethe-dev/lethe/api/objectkey"
)

// signer is a key that is the same each time, and public to all the world.
func signer(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func keys(numbers ...byte) []ed25519.PublicKey {
	all := []ed25519.PublicKey{}
	for _, n := range numbers {
		all = append(all, ed25519.PublicKey(signer(n)[ed25519.SeedSize:]))
	}
	return all
}

// seal makes an envelope around any payload by other code than the package's.
func seal(n byte, payloadType string, payload []byte) []byte {
	key := signer(n)
	message := "DSSEv1 " + fmt.Sprint(len(payloadType)) + " " + payloadType + " " + fmt.Sprint(len(payload)) + " " + string(payload)
	public, _ := key.Public().(ed25519.PublicKey)
	der, _ := x509.MarshalPKIXPublicKey(public)
	id := sha256.Sum256(der)
	return fmt.Appendf(nil, `{"payload":"%s","payloadType":"%s","signatures":[{"keyid":"%s","sig":"%s"}]}`,
		base64.StdEncoding.EncodeToString(payload), payloadType, hex.EncodeToString(id[:16]),
		base64.StdEncoding.EncodeToString(ed25519.Sign(key, []byte(message))))
}

func signed(t testing.TB) []byte {
	t.Helper()
	data, _, err := objectkey.Sign(signer(1), receipt())
	if err != nil {
		t.Fatalf("sign: %v", err)
	}
	return data
}

func payload(t testing.TB) []byte {
	t.Helper()
	var e struct{ Payload []byte }
	if err := json.Unmarshal(signed(t), &e); err != nil {
		t.Fatalf("decode: %v", err)
	}
	return e.Payload
}

func TestSignedReceiptIsThatOfTheGoldenFiles(t *testing.T) {
	t.Parallel()
	wantGolden(t, "receipt.payload.json", payload(t))
	wantGolden(t, "receipt.dsse.json", signed(t))
	wantGolden(t, "receipt.key.pem", objectkey.EncodePublicKey(keys(1)[0]))
	_, digest, err := objectkey.Sign(signer(1), receipt())
	if want := objectkey.Digest(signed(t)); err != nil || digest != want {
		t.Errorf("digest is %s, %v; want %s", digest, err, want)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	got, err := objectkey.Verify(signed(t), keys(3, 1, 2))
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	if diff := cmp.Diff(normal(), got); diff != "" {
		t.Errorf("receipt (-want +got):\n%s", diff)
	}
	again, _, err := objectkey.Sign(signer(1), got)
	if err != nil || !bytes.Equal(again, signed(t)) {
		t.Errorf("signed again it is another one: %v", err)
	}
	if by, err := objectkey.SignedBy(signed(t)); err != nil || by != objectkey.KeyID(keys(1)[0]) {
		t.Errorf("signed by %s, %v", by, err)
	}
}

func TestVerifyTakesWhatOtherCodeSigns(t *testing.T) {
	t.Parallel()
	other := seal(1, objectkey.ReceiptPayloadType, payload(t))
	if diff := cmp.Diff(string(signed(t)), string(other)); diff != "" {
		t.Errorf("envelope (-ours +the test's):\n%s", diff)
	}
}

// TestVerifyRefuses: each case is properly signed unless it says so.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	sealed := func(old, replacement string) []byte {
		body := string(payload(t))
		if !strings.Contains(body, old) {
			t.Fatalf("the receipt does not hold %q", old)
		}
		return seal(1, objectkey.ReceiptPayloadType, []byte(strings.Replace(body, old, replacement, 1)))
	}
	changed := func(old, replacement string) []byte {
		body := string(signed(t))
		if !strings.Contains(body, old) {
			t.Fatalf("the envelope does not hold %q", old)
		}
		return []byte(strings.Replace(body, old, replacement, 1))
	}
	type testCase struct {
		data []byte
		want error
	}
	cases := map[string]testCase{
		"nothing":                                {nil, objectkey.ErrBadReceipt},
		"a receipt that is not signed":           {payload(t), objectkey.ErrBadReceipt},
		"another type that is signed":            {seal(1, "application/json", payload(t)), objectkey.ErrBadReceipt},
		"another type named after it was signed": {changed(objectkey.ReceiptPayloadType, "application/json"), objectkey.ErrBadReceipt},
		"a signature by a key not given":         {seal(3, objectkey.ReceiptPayloadType, payload(t)), objectkey.ErrUnknownKey},
		"a signature by a key not named":         {changed(objectkey.KeyID(keys(1)[0]), objectkey.KeyID(keys(2)[0])), objectkey.ErrBadSignature},
		"no signature":                           {changed(string(signed(t)[bytes.Index(signed(t), []byte(`{"keyid`)):]), "]}"), objectkey.ErrBadReceipt},
		"an empty signature":                     {[]byte(string(signed(t)[:bytes.LastIndex(signed(t), []byte(`"sig":"`))]) + `"sig":""}]}`), objectkey.ErrBadSignature},
		"two signatures":                         {changed(`"signatures":[`, `"signatures":[{"keyid":"","sig":""},`), objectkey.ErrBadReceipt},
		"more than an envelope":                  {append(signed(t), '\n'), objectkey.ErrBadReceipt},
		"two envelopes":                          {append(signed(t), signed(t)...), objectkey.ErrBadReceipt},
		"half an envelope":                       {signed(t)[:len(signed(t))/2], objectkey.ErrBadReceipt},
		"an envelope without end":                {append(signed(t), bytes.Repeat([]byte(" "), objectkey.MaxReceiptSize)...), objectkey.ErrBadReceipt},
		"an envelope with white space":           {changed(`{"payload"`, `{ "payload"`), objectkey.ErrBadReceipt},
		"an envelope with another field":         {changed(`{"payload"`, `{"note":"","payload"`), objectkey.ErrBadReceipt},
		"an envelope with a field twice":         {changed(`{"payload"`, `{"payload":"","payload"`), objectkey.ErrBadReceipt},
		"a line end within base64":               {changed(`{"payload":"`, `{"payload":"\n`), objectkey.ErrBadReceipt},
		"an envelope with a field in capitals":   {changed(`{"payload"`, `{"Payload"`), objectkey.ErrBadReceipt},
		"white space":                            {sealed(`{`, `{ `), objectkey.ErrBadReceipt},
		"something behind it":                    {seal(1, objectkey.ReceiptPayloadType, append(payload(t), "{}"...)), objectkey.ErrBadReceipt},
		"another field":                          {sealed(`{`, `{"a":1,`), objectkey.ErrBadReceipt},
		"a field twice":                          {sealed(`"bucket":`, `"bucket":"other","bucket":`), objectkey.ErrBadReceipt},
		"a field in capitals":                    {sealed(`"bucket"`, `"Bucket"`), objectkey.ErrBadReceipt},
		"a number with a fraction":               {sealed(`"sequence":7`, `"sequence":7.0`), objectkey.ErrBadReceipt},
		"a number with an exponent":              {sealed(`"sequence":7`, `"sequence":7e0`), objectkey.ErrBadReceipt},
		"a string escaped without need":          {sealed(`"ns"`, `"\u006es"`), objectkey.ErrBadReceipt},
		"a time with fractions":                  {sealed(`:05Z"`, `:05.0Z"`), objectkey.ErrBadReceipt},
		"a time elsewhere":                       {sealed(`:05Z"`, `:05+00:00"`), objectkey.ErrBadReceipt},
		"an empty field that is left out":        {sealed(`"previous":"`, `"keyID2":"","previous":"`), objectkey.ErrBadReceipt},
		"a list that is null":                    {sealed(`"notCovered":[`, `"notCovered":null,"x":[`), objectkey.ErrBadReceipt},
		"a receipt that does not make sense":     {sealed(`"namespace":"ns"`, `"namespace":"nt"`), objectkey.ErrBadReceipt},
		"another version":                        {sealed(`receipt/v1`, `receipt/v2`), objectkey.ErrBadReceipt},
		"a list":                                 {seal(1, objectkey.ReceiptPayloadType, []byte(`[]`)), objectkey.ErrBadReceipt},
		"null":                                   {seal(1, objectkey.ReceiptPayloadType, []byte(`null`)), objectkey.ErrBadReceipt},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := objectkey.Verify(c.data, keys(1, 2))
			if !errors.Is(err, c.want) {
				t.Errorf("got error %v, want %v", err, c.want)
			}
			if diff := cmp.Diff(objectkey.EraseReceipt{}, got); diff != "" {
				t.Errorf("and a receipt:\n%s", diff)
			}
		})
	}
}

// TestVerifyRefusesEveryChange flips each bit in turn.
func TestVerifyRefusesEveryChange(t *testing.T) {
	t.Parallel()
	data := signed(t)
	for i := range data {
		for bit := range 8 {
			bad := bytes.Clone(data)
			bad[i] ^= 1 << bit
			if _, err := objectkey.Verify(bad, keys(1)); err == nil {
				t.Fatalf("verified with bit %d of byte %d changed", bit, i)
			}
		}
	}
	for i := range data {
		if _, err := objectkey.Verify(data[:i], keys(1)); err == nil {
			t.Fatalf("verified the first %d bytes", i)
		}
	}
}

// badSigner is a key whose signatures, or whose public key, are not what they are to be.
type badSigner struct {
	public crypto.PublicKey
	sig    []byte
	err    error
}

func (s badSigner) Public() crypto.PublicKey { return s.public }
func (s badSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return s.sig, s.err
}

func TestSignWithWhatCanNot(t *testing.T) {
	t.Parallel()
	elliptic256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the token is not plugged in")
	for name, c := range map[string]struct {
		signer crypto.Signer
		want   error
	}{
		"another kind of key":         {elliptic256, nil},
		"a signer that fails":         {badSigner{public: keys(1)[0], err: broken}, broken},
		"another key's signature":     {badSigner{public: keys(1)[0], sig: make([]byte, ed25519.SignatureSize)}, objectkey.ErrBadSignature},
		"a signature that is missing": {badSigner{public: keys(1)[0]}, nil},
		"a public key that is short":  {badSigner{public: keys(1)[0][:5], sig: make([]byte, ed25519.SignatureSize)}, objectkey.ErrUnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, digest, err := objectkey.Sign(c.signer, receipt())
			if err == nil || data != nil || digest != "" || (c.want != nil && !errors.Is(err, c.want)) {
				t.Errorf("got %d bytes, digest %q, error %v; want %v", len(data), digest, err, c.want)
			}
		})
	}
}

func TestParsePublicKeys(t *testing.T) {
	t.Parallel()
	one, two := objectkey.EncodePublicKey(keys(1)[0]), objectkey.EncodePublicKey(keys(2)[0])
	elliptic256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	otherDER, err := x509.MarshalPKIXPublicKey(elliptic256.Public())
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}) }
	private, err := x509.MarshalPKCS8PrivateKey(signer(1))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		file []byte
		want []ed25519.PublicKey // nil: refused
	}{
		"one key":                          {one, keys(1)},
		"two keys with text between":       {append(append(one[:len(one):len(one)], "the next:\n"...), two...), keys(1, 2)},
		"nothing":                          {nil, nil},
		"no PEM":                           {[]byte("a key"), nil},
		"a private key":                    {block("PRIVATE KEY", private), nil},
		"another kind of key":              {block("PUBLIC KEY", otherDER), nil},
		"garbage":                          {block("PUBLIC KEY", []byte("garbage")), nil},
		"a key that is cut off":            {one[:len(one)-10], nil},
		"a key, and one that is cut off":   {append(one[:len(one):len(one)], two[:len(two)-10]...), nil},
		"a key and something of another's": {append(one[:len(one):len(one)], block("CERTIFICATE", nil)...), nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := objectkey.ParsePublicKeys(c.file)
			if (err != nil) != (c.want == nil) {
				t.Errorf("error is %v", err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

func seed(f *testing.F, files ...string) {
	f.Helper()
	for _, name := range files {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatalf("read the golden file: %v", err)
		}
		f.Add(data)
		f.Add(data[:len(data)/2])
		f.Add(append(data[:len(data):len(data)], data...))
	}
}

// FuzzVerify: what verifies is what the key has signed, to the last byte.
func FuzzVerify(f *testing.F) {
	seed(f, "receipt.dsse.json", "receipt.payload.json")
	f.Add([]byte(`{"payload":"","payloadType":"","signatures":[{"keyid":"","sig":""}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = objectkey.SignedBy(data)
		r, err := objectkey.Verify(data, keys(1))
		if err != nil {
			return
		}
		again, _, err := objectkey.Sign(signer(1), r)
		if err != nil || !bytes.Equal(again, data) {
			t.Errorf("it was verified, but is not what the key signs: %v", err)
		}
	})
}

// FuzzPayload signs anything at all: what is taken has one form and makes sense.
func FuzzPayload(f *testing.F) {
	seed(f, "receipt.payload.json")
	f.Fuzz(func(t *testing.T, payload []byte) {
		envelope := seal(1, objectkey.ReceiptPayloadType, payload)
		r, err := objectkey.Verify(envelope, keys(1))
		if err != nil {
			return
		}
		if err := r.Validate(); err != nil {
			t.Errorf("verified, but: %v", err)
		}
		again, _, err := objectkey.Sign(signer(1), r)
		if err != nil || !bytes.Equal(again, envelope) {
			t.Errorf("it was verified, but has another form: %v", err)
		}
	})
}
