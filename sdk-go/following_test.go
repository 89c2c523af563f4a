package meetbot

import (
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/internal/sse"
)

// streamsHold: the same events come of a stream, in whatever pieces it comes.
func streamsHold(t *testing.T) {
	type vector struct {
		Name, Stream, LastID string
		Events               []string
	}
	for _, c := range vectors[struct{ Cases []vector }](t, "streams").Cases {
		for _, size := range []int{1, 2, 3, max(len(c.Stream), 1)} {
			var parser sse.Parser
			found := []string{}
			for rest := []byte(c.Stream); len(rest) > 0; rest = rest[min(size, len(rest)):] {
				events, err := parser.Feed(rest[:min(size, len(rest))])
				if err != nil {
					t.Error(err)
				}
				found = append(found, events...)
			}
			if !reflect.DeepEqual(found, c.Events) || parser.LastID != c.LastID {
				t.Errorf("%s in pieces of %d: %q %q", c.Name, size, found, parser.LastID)
			}
		}
	}
}

func connectionsHold(t *testing.T) {
	type pause struct{ MinMs, MaxMs int64 }
	type vector struct {
		Name       string
		MaxRetries int
		Ends       []struct {
			Gave         string
			Status       *int
			RetryAfterMs *int64
			Pause        *pause
		}
	}
	for _, c := range vectors[struct{ Connections []vector }](t, "streams").Connections {
		least, most := &patience{maxRetries: c.MaxRetries, most: c.MaxRetries}, &patience{maxRetries: c.MaxRetries, most: c.MaxRetries}
		for number, end := range c.Ends {
			for _, p := range []*patience{least, most} {
				switch end.Gave {
				case "nothing":
				case "sign_of_life":
					p.alive()
				case "event":
					p.event()
				default:
					t.Fatal(end.Gave)
				}
			}
			failure := &Error{Kind: ErrConnection, Transient: true}
			if end.Status != nil {
				failure = answerError(*end.Status, http.Header{}, nil, time.Time{})
			}
			if end.RetryAfterMs != nil {
				failure.RetryAfter = time.Duration(*end.RetryAfterMs) * time.Millisecond
			}
			shortest, again := least.again(failure, 0)
			longest, _ := most.again(failure, 1)
			var found *pause
			if again {
				found = &pause{shortest.Milliseconds(), longest.Milliseconds()}
			}
			if !reflect.DeepEqual(found, end.Pause) {
				t.Errorf("%s, connection %d: %+v", c.Name, number, found)
			}
		}
	}
}

func waitsHold(t *testing.T) {
	type vector struct {
		Name      string
		TimeoutMs *int64
		Steps     []struct {
			AtMs      int64
			Live      bool
			Status    JobStatus
			Transient bool
			Outcome   string
			PauseMs   int64
		}
	}
	ms := func(n int64) time.Duration { return time.Duration(n) * time.Millisecond }
	for _, c := range vectors[struct{ Cases []vector }](t, "waits").Cases {
		var w wait
		for _, step := range c.Steps {
			now, left := ms(step.AtMs), time.Duration(-1)
			if c.TimeoutMs != nil {
				left = ms(*c.TimeoutMs) - now
			}
			outcome := "pause"
			switch {
			case step.Status != "":
				if w.answered = now; step.Status.IsFinal() {
					outcome = "ended"
				}
			case !w.mayPass(&Error{Kind: ErrConnection, Transient: step.Transient}, now):
				outcome = "error"
			}
			// The context's end is what ends the wait then.
			if outcome == "pause" && c.TimeoutMs != nil && left <= 0 {
				outcome = "timeout"
			}
			if outcome != step.Outcome || outcome == "pause" && pauseAfter(now, left, step.Live) != ms(step.PauseMs) {
				t.Errorf("%s at %v: %s %v", c.Name, now, outcome, pauseAfter(now, left, step.Live))
			}
		}
	}
}

func tellingHolds(t *testing.T) {
	type vector struct {
		Event EventName
		Tells bool
	}
	for _, c := range vectors[struct{ Events []vector }](t, "waits").Events {
		if changesJob(c.Event) != c.Tells {
			t.Error(c)
		}
	}
}
