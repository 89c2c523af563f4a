package meetbot

import (
	"encoding/json"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/exchange"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/signature"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/sse"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/wire"
)

// seeds are the answers that the vectors show; none where this is a copy of the module alone.
func seeds(f *testing.F) {
	f.Add([]byte(`{"id":"job_1","status":"queued","metadata":{"n":1e400}}`))
	for _, name := range []string{"models", "answers", "recorded_answers"} {
		text, err := os.ReadFile("../spec/vectors/" + name + ".json")
		if err != nil {
			continue
		}
		var found struct{ Cases, Answers []modelVector }
		if err := json.Unmarshal(text, &found); err != nil {
			f.Fatal(err)
		}
		for _, one := range append(found.Cases, found.Answers...) {
			f.Add([]byte(one.JSON))
		}
	}
}

// FuzzAnswers: an answer is read or is an error, whatever it is, and what was read is written so that it reads as the same.
func FuzzAnswers(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		for model, read := range readers {
			found, err := read(body)
			if err != nil {
				continue
			}
			written, err := json.Marshal(found)
			if err != nil {
				t.Fatalf("%s: %v", model, err)
			}
			again, err := read(written)
			if err != nil {
				t.Fatalf("%s: %v\n%s", model, err, written)
			}
			if rewritten, err := json.Marshal(again); err != nil || string(rewritten) != string(written) {
				t.Errorf("%s: %v\n%s\n%s", model, err, written, rewritten)
			}
		}
		answerError(400, nil, body, time.Time{})
	})
}

// FuzzEvents: a stream gives the same events in whatever pieces it comes.
func FuzzEvents(f *testing.F) {
	for _, stream := range []string{
		"retry: 5\nid: 1\nevent: a\ndata: {\"x\":\ndata: 1}\n\n: a comment\n\nid: 2\r\ndata:two\r\n\r\ndata: torn", "data: a\rdata: b\r\rid: 7\r\rdata\n\n", "\xef\xbb\xbfdata: \xff\n\n", "id: a\x00b\ndata: 1\n\n\r\n\r",
	} {
		for cut := range 4 {
			f.Add([]byte(stream), uint8(cut))
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, cut uint8) {
		var whole, pieces sse.Parser
		expected, wrong := whole.Feed(stream)
		var found []string
		for rest := stream; len(rest) > 0; {
			n := min(int(cut)+1, len(rest))
			events, err := pieces.Feed(rest[:n])
			if err != nil {
				return
			}
			found, rest = append(found, events...), rest[n:]
		}
		if wrong == nil && (!reflect.DeepEqual(found, expected) || whole.LastID != pieces.LastID) {
			t.Errorf("%q %q, %q %q", found, pieces.LastID, expected, whole.LastID)
		}
	})
}

// FuzzRetryAfter: a wait is none, or no less than nothing and of some length.
func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{"", "0", "7", "1.5", "-1", "-0", "1e400", "nan", "inf", "0x10", "1_0", "+3", "Mon, 23 Nov 2026 10:00:30 GMT", "Monday, 23-Nov-26 10:00:30 GMT", "Mon Nov 23 10:00:30 2026", "Fri, 32 Nov 1994 08:49:37 GMT"} {
		f.Add(header)
	}
	now := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		if wait := exchange.RetryAfter(header, now); wait < -1 {
			t.Error(wait)
		}
	})
}

// FuzzSignatures: nothing but a signature made with the secret is one.
func FuzzSignatures(f *testing.F) {
	f.Add([]byte("{}"), "sha256=00850923c6e3021c39db699664a5fbda4d62d6fb12a06566cda33074bfac21b1", "whsec_dGVzdA==")
	f.Add([]byte(""), "v1, v1,AAAA", "whsec_")
	f.Add([]byte("x"), " sha256=", " whsec_dGVzdA==\n")
	f.Fuzz(func(t *testing.T, body []byte, header, text string) {
		secret, err := signature.Parse(text)
		if (err != nil) != (CheckWebhookSecret(text) != nil) {
			t.Error(err)
		}
		if err != nil {
			if VerifyWebhookSignature(body, header, text) {
				t.Error("it is no secret")
			}
			return
		}
		if !secret.Verify(body, secret.Sign(body)) || !secret.VerifyStandard("a", "1", body, header+" "+secret.SignStandard("a", "1", body)) {
			t.Error("a signature is refused")
		}
		if secret.VerifyStandard("a", "1", body, header) != secret.VerifyStandard("a", "1", body, header+" v1,AAAA") {
			t.Error("one that does not fit is of no matter")
		}
	})
}

// FuzzTimes: a time that is read is written so that it reads as the same.
func FuzzTimes(f *testing.F) {
	for _, text := range []string{"2026-05-15T14:00:00Z", "2026-05-15t14:00:00.123456z", "2026-06-30T23:59:60Z", "2026-05-15T14:00:00+02:00", "2026-05-15 14:00:00Z", "2026-05-15T14:00:00", "2026-05-15T14:00:00,5Z", "0000-01-01T00:00:00+23:59"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at, err := wire.ParseTime(text)
		if err != nil || at.Year() < 0 || at.Year() > 9999 {
			return
		}
		if again, err := wire.ParseTime(wire.FormatTime(at)); err != nil || !again.Equal(at) {
			t.Errorf("%v %v %v", at, again, err)
		}
	})
}
