package webhook

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/signature"
)

func TestWebhooksAreTakenAndRefusedAsTheVectorsSay(t *testing.T) {
	if _, err := os.Stat("../../spec"); err != nil {
		t.Skip("*** the API's vectors are not run: they lie in ../../spec of meetbot's repository, and this is a copy of the module alone ***")
	}
	text, err := os.ReadFile("../../spec/vectors/webhook_signatures.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Unwrap []struct {
			Name, Body       string
			Headers          map[string]string
			Secrets          []string
			Now              int64
			ToleranceSeconds *int64
			Outcome          string
		}
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors.Unwrap) < 20 {
		t.Fatal(err, len(vectors.Unwrap))
	}
	for _, c := range vectors.Unwrap {
		header, outcome := http.Header{}, "taken"
		for name, value := range c.Headers {
			header.Set(name, value)
		}
		s := settings{ageless: c.ToleranceSeconds == nil}
		if !s.ageless {
			s.tolerance = time.Duration(*c.ToleranceSeconds) * time.Second
		}
		if secrets, err := signature.ParseAll(c.Secrets...); err != nil {
			outcome = "error"
		} else if _, err := s.unwrap([]byte(c.Body), header, secrets, time.Unix(c.Now, 0)); errors.Is(err, meetbot.ErrSignature) {
			outcome = "refused"
		}
		if outcome != c.Outcome {
			t.Errorf("%s: %s", c.Name, outcome)
		}
	}
}
