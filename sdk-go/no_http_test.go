package meetbot_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
)

func TestAnAnswerThatIsNotHTTPIsShown(t *testing.T) {
	const reached = "is it reached with https://, and not with http://?"
	raw := func(answer string) reply {
		return func(conn net.Conn, _ *http.Request) bool { _, _ = io.WriteString(conn, answer); return false }
	}
	for answer, shown := range map[string]string{
		"\x15\x03\x01\x00\x02\x02\x46":     reached,
		"\x16\x03\x03\x00\x2c\x02\x00\x00": reached,
		"SSH-2.0-OpenSSH_9.7\r\n":          `"SSH-2.0-OpenSSH_9.7"`,
		"\x17\x03\x03\x00\r\n":             `"\x17\x03\x03\x00"`,
		"HTTP/x 200 OK\r\n\r\n":            `"HTTP/x"`,
		"220-" + meetbottest.Key + "-" + strings.Repeat("x", 10_000) + "\r\n": `220-mb_…-xxx`,
	} {
		mb, _ := inMemory(t, []reply{raw(answer)}, meetbot.WithMaxRetries(0))
		_, err := mb.GetBot(t.Context(), "job_1")
		if err == nil || !errors.Is(err, meetbot.ErrConnection) {
			t.Fatalf("%.20q: %v", answer, err)
		}
		message := err.Error()
		if !strings.Contains(message, shown) || strings.Contains(message, reached) != (shown == reached) || len(message) > 600 || strings.Contains(message, meetbottest.Key) {
			t.Errorf("%.20q: %s", answer, message)
		}
	}
}
