package meetbot_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
)

func TestCancellingEndsACallAtOnceInEveryPhase(t *testing.T) {
	half := "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nContent-Length: 999\n\n: here\n"
	artifact := func(ctx context.Context, mb *meetbot.Client) error {
		_, err := mb.Artifact(ctx, jobID, "a")
		return err
	}
	get := func(ctx context.Context, mb *meetbot.Client) error { _, err := mb.GetBot(ctx, jobID); return err }
	watch := func(ctx context.Context, mb *meetbot.Client) (err error) {
		for _, err = range mb.Watch(ctx, jobID) {
		}
		return err
	}
	wait := func(ctx context.Context, mb *meetbot.Client) error { _, err := mb.WaitForBot(ctx, jobID); return err }
	later := text("HTTP/1.1 503 Unavailable\nRetry-After: 60\nContent-Length: 0\n\n")
	dispatch := func(ctx context.Context, mb *meetbot.Client) error {
		_, err := mb.DispatchBot(ctx, meetbot.DispatchBotParams{MeetingURL: "https://m.example/1", Metadata: map[string]any{"much": strings.Repeat("x", 16<<10)}})
		return err
	}
	list := func(ctx context.Context, mb *meetbot.Client) (err error) {
		for _, err = range mb.AllBots(ctx, meetbot.ListBotsParams{}) {
		}
		return err
	}
	files := func(ctx context.Context, mb *meetbot.Client) error {
		_, err := mb.DownloadArtifacts(ctx, jobID, t.TempDir())
		return err
	}
	pending := text(json200(`{"jobId":"job_1","mixed":{"state":"pending"}}`))
	for name, phase := range map[string]struct {
		reply reply
		url   string
		call  func(context.Context, *meetbot.Client) error
	}{
		"while it connects":                {nil, "http://meetbot.test", get},
		"in the TLS handshake":             {hang(""), "https://meetbot.test", get},
		"while it sends":                   {nil, "http://unread.test", dispatch},
		"while it waits for an answer":     {hang(""), "http://meetbot.test", get},
		"within the headers":               {hang("HTTP/1.1 200 OK\n"), "http://meetbot.test", get},
		"within the body":                  {hang(half), "http://meetbot.test", get},
		"in a pause between tries":         {later, "http://meetbot.test", get},
		"a watch that waits for an answer": {hang(""), "http://meetbot.test", watch},
		"a watch that waits for an event":  {hang(half), "http://meetbot.test", watch},
		"a watch in a pause":               {later, "http://meetbot.test", watch},
		"a download within the body":       {hang(half), "http://meetbot.test", artifact},
		"a download in a pause":            {later, "http://meetbot.test", artifact},
		"all files while the mix is made":  {pending, "http://meetbot.test", files},
		"a list in a pause":                {later, "http://meetbot.test", list},
		"a wait":                           {hang(""), "http://meetbot.test", wait},
		"a wait in a pause":                {later, "http://meetbot.test", wait},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &memory{replies: []reply{phase.reply}}
				dial := func(ctx context.Context, network, address string) (net.Conn, error) {
					ours, theirs := net.Pipe()
					switch phase.url {
					case "http://unread.test":
						return ours, nil
					case "https://meetbot.test":
						server.working.Go(func() { _, _ = io.Copy(io.Discard, theirs) })
						return ours, nil
					}
					if phase.reply == nil {
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return server.dial(ctx, network, address)
				}
				transport := &http.Transport{DialContext: dial}
				mb := client(t, phase.url, meetbot.WithHTTPClient(&http.Client{Transport: transport}))
				ctx, cancel := context.WithCancel(t.Context())
				var cancelled time.Time
				time.AfterFunc(10*time.Second, func() { cancelled = time.Now(); cancel() })
				err := phase.call(ctx, mb)
				if took := time.Since(cancelled); cancelled.IsZero() || took > 50*time.Millisecond {
					t.Errorf("it ended %v after that: %v", took, err)
				}
				if !errors.Is(err, context.Canceled) || !errors.Is(err, meetbot.ErrConnection) || as(t, err).Transient {
					t.Errorf("%#v", err)
				}
				transport.CloseIdleConnections()
				server.working.Wait()
			})
		})
	}
}
