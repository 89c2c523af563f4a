package webhook_test

import (
	"net/http"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/signature"
)

// mustSign signs a body with the id and the time of these headers.
func mustSign(body []byte, header http.Header) string {
	parsed, err := signature.Parse(secret)
	if err != nil {
		panic(err)
	}
	return parsed.SignStandard(header.Get("webhook-id"), header.Get("webhook-timestamp"), body)
}
