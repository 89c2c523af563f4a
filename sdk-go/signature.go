package meetbot

import "github.com/meetbot-dev/meetbot/sdk-go/internal/signature"

// VerifyWebhookSignature says whether header, the value of X-Meetbot-Signature, is the signature of exactly this body with one of the secrets: several during a
// rotation. It compares in constant time. Give it the raw body: one that was parsed and printed again is another body. White space at the ends of a secret, as
// files have it, is passed over.
//
// It is false for a missing header, and for a secret that cannot be one (empty, without whsec_, not base64), with which no webhook would ever be taken: ask
// [CheckWebhookSecret] when the program starts, or use the package webhook, which gives [ErrConfiguration] then.
func VerifyWebhookSignature(body []byte, header string, secrets ...string) bool {
	parsed, err := signature.ParseAll(secrets...)
	fits := false
	for _, secret := range parsed {
		// All are tried, so that the time taken does not tell which one fits.
		fits = secret.Verify(body, header) || fits
	}
	return err == nil && fits
}

// CheckWebhookSecret gives [ErrConfiguration] for a text that cannot be a webhook secret: it is whsec_ and the base64 of at least one byte, with or without white
// space at its ends. The error shows nothing of it.
func CheckWebhookSecret(secret string) error {
	if _, err := signature.Parse(secret); err != nil {
		return configurationError("%w", err)
	}
	return nil
}
