package meetbot_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
)

const stream = "HTTP/1.1 200 OK\nContent-Type: text/event-stream; charset=utf-8\nConnection: close\n\n"

func event(sequence int, status meetbot.JobStatus) string {
	return fmt.Sprintf("id: %d\nevent: job.status_changed\ndata: {\"id\":\"evt_%d\",\"event\":\"job.status_changed\",\ndata: \"data\":{\"sequence\":%d,\"status\":%q}}\n\n", sequence, sequence, sequence, status)
}

// watched are the sequences of the events that come, and the error that ends them.
func watched(ctx context.Context, mb *meetbot.Client, most int) (sequences []int64, err error) {
	for event, wrong := range mb.Watch(ctx, jobID) {
		if wrong != nil {
			return sequences, wrong
		}
		if sequences = append(sequences, event.Data.Sequence); len(sequences) == most {
			break
		}
	}
	return sequences, nil
}

func TestAWatchGoesOnWhereAConnectionBrokeAndEndsWithTheJob(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mb, server := inMemory(t, []reply{
			cut(stream + event(1, "joining") + event(2, "in_call") + "id: 2\x01\n\nid: 3\ndata: {\"torn"),
			cut(""),
			text(withBody("503 Unavailable", page)),
			hang(stream + ": a sign of life\n\n"),
			cut(stream + event(3, "recording") + event(4, "completed") + event(5, "completed")),
		})
		began := time.Now()
		sequences, err := watched(t.Context(), mb, 0)
		if err != nil || !slices.Equal(sequences, []int64{1, 2, 3, 4, 5}) {
			t.Error(sequences, err)
		}
		var ids []string
		for _, request := range server.heard() {
			ids = append(ids, request.Header.Get("Last-Event-ID"))
		}
		if !slices.Equal(ids, []string{"", "2", "2", "2", "2"}) {
			t.Errorf("%q", ids)
		}
		// The fourth connection was silent for 45 seconds.
		if took := time.Since(began); took < 45*time.Second || took > time.Minute {
			t.Error(took)
		}
	})
}

func TestAWatchReconnectsWithoutALimitWhileItReceivesData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alive := cut(stream + ": a sign of life\n\n")
		mb, _ := inMemory(t, []reply{alive, alive, alive, alive, alive, alive, cut(stream + event(1, "failed"))}, meetbot.WithMaxRetries(1))
		if sequences, err := watched(t.Context(), mb, 0); err != nil || len(sequences) != 1 {
			t.Error(sequences, err)
		}
		mb, server := inMemory(t, []reply{cut("")}, meetbot.WithMaxRetries(1))
		if _, err := watched(t.Context(), mb, 0); !errors.Is(err, meetbot.ErrConnection) || as(t, err).Attempts != 2 || len(server.heard()) != 2 {
			t.Error(err)
		}
	})
}

func TestAFailedWatchReturnsItsError(t *testing.T) {
	for name, lie := range map[string]struct {
		reply scriptedReply
		kind  error
	}{
		"no such job":      {says(withBody("404 Not Found", `{"error":"not_found"}`), "stays"), meetbot.ErrNotFound},
		"no stream":        {says(json200(`{"data":[]}`), "stays"), meetbot.ErrDecode},
		"no event":         {says(stream+"data: {\n\n", "closes"), meetbot.ErrDecode},
		"an endless line":  {floods(stream, "xxxx"), meetbot.ErrDecode},
		"an endless event": {floods(stream, "data: x\n"), meetbot.ErrDecode},
		"a redirect":       {says("HTTP/1.1 302 Found\nLocation: http://evil.example/\nContent-Length: 0\n\n", "stays"), meetbot.ErrUnexpectedStatus},
	} {
		server := scripted(t, lie.reply)
		_, err := watched(t.Context(), client(t, server.url), 0)
		if requests, _ := server.heard(t); !errors.Is(err, lie.kind) || as(t, err).Attempts != 1 || len(requests) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestALoopThatIsLeftClosesItsConnection(t *testing.T) {
	server := scripted(t, says(stream+event(1, "joining"), "hangs"))
	if sequences, err := watched(t.Context(), client(t, server.url), 1); err != nil || len(sequences) != 1 {
		t.Error(sequences, err)
	}
	select {
	case <-server.hungUp:
	case <-time.After(time.Minute):
		t.Error("the connection is still open")
	}
}

func TestAWaitListensToTheJobsEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		serve := func(conn net.Conn, request *http.Request) bool {
			since := time.Since(began)
			if strings.HasSuffix(request.URL.Path, "/events") {
				text(stream+event(1, "joining"))(conn, request)
				time.Sleep(time.Hour - since)
				return cut(event(2, "completed"))(conn, request)
			}
			status := meetbot.StatusRecording
			if since >= time.Hour {
				status = meetbot.StatusCompleted
			}
			return text(json200(fmt.Sprintf(`{"id":"job_1","status":%q}`, status)))(conn, request)
		}
		// Signs of life are not sent here, so the stream is taken up again every 45 seconds.
		mb, server := inMemory(t, []reply{serve})
		job, err := mb.WaitForBot(t.Context(), jobID)
		if took := time.Since(began); err != nil || job.Status != meetbot.StatusCompleted || took > time.Hour+time.Second {
			t.Error(job, err, took)
		}
		mb.CloseIdleConnections()
		_ = server
	})
}

const content = "0123456789abcdefghijklmnopqrstuvwxyz"

func manifestFile(content string) meetbot.ManifestFile {
	sum, size := sha256.Sum256([]byte(content)), int64(len(content))
	return meetbot.ManifestFile{Name: "audio.webm", Bytes: &size, SHA256: hex.EncodeToString(sum[:])}
}

func TestADownloadIsTakenUpWhereItBrokeAndIsChecked(t *testing.T) {
	ranged := func(request *http.Request) string {
		var from int
		if _, err := fmt.Sscanf(request.Header.Get("Range"), "bytes=%d-", &from); err != nil {
			return withBody("200 OK", content)
		}
		return fmt.Sprintf("HTTP/1.1 206 Partial\nContent-Range: bytes %d-%d/%d\nContent-Length: %d\n\n%s", from, len(content)-1, len(content), len(content)-from, content[from:])
	}
	rest := func(conn net.Conn, request *http.Request) bool { return text(ranged(request))(conn, request) }
	// breaks lets the answer break after so many bytes of its text.
	breaks := func(before int) reply {
		return func(conn net.Conn, request *http.Request) bool {
			answer := ranged(request)
			body := strings.Index(answer, "\n\n") + 2
			return cut(answer[:body+before])(conn, request)
		}
	}
	other := strings.ToUpper(content)
	for name, lie := range map[string]struct {
		replies []reply
		kind    error
	}{
		"whole":                          {[]reply{rest}, nil},
		"many breaks that move forward":  {[]reply{breaks(5), breaks(5), breaks(1), breaks(1), breaks(1), breaks(9), rest}, nil},
		"silence":                        {[]reply{hang("HTTP/1.1 200 OK\nContent-Length: 36\n\n0123"), rest}, nil},
		"an end without a length":        {[]reply{cut("HTTP/1.1 200 OK\n\n0123"), rest}, nil},
		"a server without ranges":        {[]reply{breaks(7), text(withBody("200 OK", content))}, nil},
		"a proxy in between":             {[]reply{breaks(7), text(withBody("502 Bad Gateway", page)), rest}, nil},
		"breaks that do not":             {[]reply{breaks(5), breaks(0)}, meetbot.ErrConnection},
		"another file":                   {[]reply{text(withBody("200 OK", other))}, meetbot.ErrDecode},
		"another file without ranges":    {[]reply{breaks(20), text(withBody("200 OK", other))}, meetbot.ErrDecode},
		"another range":                  {[]reply{breaks(5), text("HTTP/1.1 206 P\nContent-Range: bytes 3-35/36\nContent-Length: 2\n\nab")}, meetbot.ErrDecode},
		"a range that is none":           {[]reply{breaks(5), text("HTTP/1.1 206 P\nContent-Range: all\nContent-Length: 2\n\nab")}, meetbot.ErrDecode},
		"another protocol":               {[]reply{hang("HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: x\n\n")}, meetbot.ErrUnexpectedStatus},
		"too much":                       {[]reply{text(withBody("200 OK", content+"!"))}, meetbot.ErrDecode},
		"no such file":                   {[]reply{text(withBody("404 Not Found", `{"error":"not_found"}`))}, meetbot.ErrNotFound},
		"a file that has become shorter": {[]reply{breaks(20), text(withBody("416 Range", ""))}, meetbot.ErrDecode},
		"redirects without an end":       {[]reply{text("HTTP/1.1 302 Found\nLocation: /again\nContent-Length: 0\n\n")}, meetbot.ErrUnexpectedStatus},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mb, _ := inMemory(t, lie.replies, meetbot.WithTimeout(5*time.Second))
				var body bytes.Buffer
				var last meetbot.Progress
				size, err := mb.DownloadArtifact(t.Context(), jobID, "audio.webm", &body, meetbot.WithExpected(manifestFile(content)),
					meetbot.WithOnProgress(func(progress meetbot.Progress) { last = progress }))
				switch {
				case lie.kind != nil:
					if !errors.Is(err, lie.kind) || as(t, err).Attempts == 0 {
						t.Error(err)
					}
				case err != nil || body.String() != content || size != int64(len(content)) || last != (meetbot.Progress{Name: "audio.webm", Received: 36, Total: 36}):
					t.Errorf("%q %d %v %+v", body.String(), size, err, last)
				}
				mb.CloseIdleConnections()
			})
		})
	}
}

func TestADownloadFollowsRedirectsWithoutTheKey(t *testing.T) {
	for _, where := range []string{"http://store.example/bucket?signature=1", "/elsewhere"} {
		synctest.Test(t, func(t *testing.T) {
			mb, server := inMemory(t, []reply{text("HTTP/1.1 307 Temporary\nLocation: " + where + "\nContent-Length: 0\n\n"), cut(withBody("200 OK", content)[:60]), text("HTTP/1.1 307 Temporary\nLocation: " + where + "\nContent-Length: 0\n\n"), text(withBody("200 OK", content))})
			body, err := mb.Artifact(t.Context(), jobID, "audio.webm", meetbot.WithHeader("X-Team", "a"))
			if err != nil || string(body) != content {
				t.Errorf("%q %v", body, err)
			}
			for i, request := range server.heard() {
				for _, name := range []string{"Authorization", "X-Team"} {
					if value := request.Header.Get(name); (value != "") != (i%2 == 0) {
						t.Errorf("%d: %s: %q", i, name, value)
					}
				}
				if (request.Header.Get("Range") != "") != (i > 1) {
					t.Errorf("%d: %v", i, request.Header)
				}
			}
			mb.CloseIdleConnections()
		})
	}
}

func TestTheErrorOfTheWriterIsTheCauseOfAFileError(t *testing.T) {
	server := meetbottest.NewServer(t)
	server.AnswerNext(200, content, nil)
	full := errors.New("the disk is full")
	_, err := server.Client().DownloadArtifact(t.Context(), jobID, "audio.webm", writer(func([]byte) (int, error) { return 0, full }))
	if !errors.Is(err, full) || !errors.Is(err, meetbot.ErrFile) {
		t.Error(err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(piece []byte) (int, error) { return w(piece) }

func manifest(mix meetbot.MixState, files ...meetbot.ManifestFile) *meetbot.Manifest {
	return &meetbot.Manifest{JobID: jobID, Mixed: meetbot.Mixed{State: mix}, Files: files}
}

func TestAllFilesAreWrittenIntoAFolderOnceTheMixIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server, folder, began := meetbottest.NewServer(t), filepath.Join(t.TempDir(), "a", "b"), time.Now()
		for range 3 {
			server.AnswerNext(200, manifest(meetbot.MixPending), nil)
		}
		server.AnswerNext(200, manifest(meetbot.MixMade, manifestFile(content)), nil)
		server.AnswerNext(200, content, nil)
		server.AnswerNext(200, "{}", nil)
		paths, err := server.Client().DownloadArtifacts(t.Context(), jobID, folder)
		if err != nil || !slices.Equal(paths, []string{filepath.Join(folder, "audio.webm"), filepath.Join(folder, "manifest.json")}) || time.Since(began) != 600*time.Millisecond {
			t.Fatal(paths, err, time.Since(began))
		}
		if found, err := os.ReadFile(paths[0]); err != nil || string(found) != content {
			t.Errorf("%q %v", found, err)
		}
		server.AnswerNext(200, manifest(meetbot.MixPending), nil)
		server.AnswerNext(200, "{}", nil)
		if paths, err = server.Client().DownloadArtifacts(t.Context(), jobID, folder, meetbot.WithoutWaitingForMix()); err != nil || len(paths) != 1 {
			t.Error(paths, err)
		}
	})
}

func TestAFailedDownloadLeavesNoFileAndNamesCannotLeaveTheFolder(t *testing.T) {
	server, folder := meetbottest.NewServer(t), t.TempDir()
	server.AnswerNext(200, manifest(meetbot.MixMade, manifestFile(content)), nil)
	server.AnswerNext(200, strings.ToUpper(content), nil)
	if _, err := server.Client().DownloadArtifacts(t.Context(), jobID, folder); !errors.Is(err, meetbot.ErrDecode) || !strings.Contains(err.Error(), "SHA-256") {
		t.Error(err)
	}
	for _, name := range []string{"", ".", "..", "../a", "a/b", `a\b`, "/a", "a\x00"} {
		server.AnswerNext(200, manifest(meetbot.MixMade, meetbot.ManifestFile{Name: name}), nil)
		if _, err := server.Client().DownloadArtifacts(t.Context(), jobID, folder); !errors.Is(err, meetbot.ErrDecode) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
	server.AnswerNext(200, manifest(meetbot.MixMade, manifestFile(content)), nil)
	taken := filepath.Join(folder, "taken")
	if err := os.WriteFile(taken, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Client().DownloadArtifacts(t.Context(), jobID, taken); !errors.Is(err, meetbot.ErrFile) {
		t.Error(err)
	}
}

func TestTenThousandCallsWithOneContextLeaveNothingBehind(t *testing.T) {
	answer := func(request *http.Request) (*http.Response, error) {
		body := `{"id":"job_1","status":"queued","data":[]}`
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body)), Request: request}, nil
	}
	mb := client(t, "http://meetbot.test", meetbot.WithHTTPClient(&http.Client{Transport: roundTripper(answer)}))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	call := func(times int) (heap uint64, goroutines int) {
		for range times {
			if _, err := mb.GetBot(ctx, jobID); err != nil {
				t.Fatal(err)
			}
			if _, err := mb.Artifact(ctx, jobID, "a.webm"); err != nil {
				t.Fatal(err)
			}
			for range mb.AllBots(ctx, meetbot.ListBotsParams{}) {
				t.Fatal("there are none")
			}
		}
		runtime.GC()
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		return memory.HeapAlloc, runtime.NumGoroutine()
	}
	before, goroutines := call(500)
	after, then := call(10_000)
	if then > goroutines || after > before+1<<20 {
		t.Errorf("%d goroutines, %d kB; then %d and %d kB", goroutines, before>>10, then, after>>10)
	}
}
