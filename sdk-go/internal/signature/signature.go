// Package signature makes and checks the signatures of webhooks, in both schemes.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/pasted"
)

// Why a text cannot be a webhook secret. None shows anything of the text but a character that no secret has.
var (
	errEmpty  = errors.New("the webhook secret is empty: is the variable or the file that should hold it there?")
	errPrefix = errors.New("the webhook secret does not begin with whsec_: is it an API key, or in quotes?")
	errBase64 = errors.New("what follows whsec_ in the webhook secret is not base64: was it copied whole, and is it a single secret?")
)

// Secret is a webhook secret.
type Secret struct {
	// whole is without what a file or a variable adds at its ends; bytes is what its base64 stands for.
	whole, bytes []byte
}

// Parse reads a secret: whsec_ and the base64 of at least one byte.
func Parse(text string) (Secret, error) {
	text = pasted.Trim(text)
	if stranger := pasted.Stranger(text); stranger != "" {
		return Secret{}, fmt.Errorf("the webhook secret holds %s, which no secret has and which may not show: remove it, or copy the secret again", stranger)
	}
	digits, found := strings.CutPrefix(text, "whsec_")
	decoded, err := base64.StdEncoding.DecodeString(digits)
	switch {
	case text == "":
		return Secret{}, errEmpty
	case !found:
		return Secret{}, errPrefix
	// The decoder passes over line breaks, and over bits beyond the last byte.
	case err != nil, len(decoded) == 0, base64.StdEncoding.EncodeToString(decoded) != digits:
		return Secret{}, errBase64
	}
	return Secret{whole: []byte(text), bytes: decoded}, nil
}

// ParseAll reads several secrets, each of which has to be one.
func ParseAll(texts ...string) ([]Secret, error) {
	if len(texts) == 0 {
		return nil, errEmpty
	}
	var secrets []Secret
	for _, text := range texts {
		secret, err := Parse(text)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

func sum(key []byte, parts ...string) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)
}

// Sign is the value of X-Meetbot-Signature.
func (s Secret) Sign(body []byte) string {
	return "sha256=" + hex.EncodeToString(sum(s.whole, string(body)))
}

// Verify says whether header, the value of X-Meetbot-Signature, is the signature of exactly this body, in constant time.
func (s Secret) Verify(body []byte, header string) bool {
	digits, found := strings.CutPrefix(strings.TrimSpace(header), "sha256=")
	signature, err := hex.DecodeString(digits)
	return found && err == nil && hmac.Equal(signature, sum(s.whole, string(body)))
}

// SignStandard is one signature of the header webhook-signature of Standard Webhooks; timestamp is in seconds.
func (s Secret) SignStandard(id, timestamp string, body []byte) string {
	return "v1," + base64.StdEncoding.EncodeToString(s.standard(id, timestamp, body))
}

// VerifyStandard says whether one of the signatures in header, the value of webhook-signature, is right. The caller bounds the age of timestamp.
func (s Secret) VerifyStandard(id, timestamp string, body []byte, header string) bool {
	expected, fits := s.standard(id, timestamp, body), false
	for _, signature := range strings.Fields(header) {
		text, found := strings.CutPrefix(signature, "v1,")
		given, err := base64.StdEncoding.Strict().DecodeString(text)
		// All are compared, so that the time taken does not tell which one fits.
		fits = found && err == nil && hmac.Equal(given, expected) || fits
	}
	return fits
}

func (s Secret) standard(id, timestamp string, body []byte) []byte {
	return sum(s.bytes, id, ".", timestamp, ".", string(body))
}
