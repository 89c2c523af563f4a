package meetbot_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
)

// lie is a case of spec/vectors/lies.json.
type lie struct {
	Name, Answer, Then, Flood string
	MaxRetries                int
	TimeoutMs                 int64
	Expect                    struct {
		Kind             string
		Attempts, Status int
		Body             string
	}
}

// reply is what the server does.
func (l lie) reply() scriptedReply {
	if l.Then == "floods" {
		return floods(l.Answer, l.Flood)
	}
	return says(l.Answer, l.Then)
}

func TestAnInvalidAnswerGivesTheDocumentedError(t *testing.T) {
	written, err := os.ReadFile("../spec/vectors/lies.json")
	if err != nil {
		t.Skip("*** skipped: the scripts are in ../spec of meetbot's repository, and this is a copy of the module alone ***")
	}
	var vectors struct{ Cases []lie }
	if err := json.Unmarshal(written, &vectors); err != nil {
		t.Fatal(err)
	}
	// What not every language's HTTP shows.
	more := func(name, then, answer, flood, kind string, status int) {
		one := lie{Name: name, Then: then, Answer: answer, Flood: flood}
		one.Expect.Kind, one.Expect.Attempts, one.Expect.Status = kind, 1, status
		vectors.Cases = append(vectors.Cases, one)
	}
	more("a flood of answers before the answer", "floods", "", "HTTP/1.1 100 Continue\n\n", "connection", 0)
	more("another protocol", "hangs", "HTTP/1.1 101 Switching Protocols\nConnection: upgrade\nUpgrade: x\n\n", "", "unexpected_status", 101)
	for _, lie := range vectors.Cases {
		t.Run(lie.Name, func(t *testing.T) {
			if testing.Short() && lie.Name == "a body without an end" {
				t.Skip("it is the same with the race detector, for much longer: run it without -short")
			}
			t.Parallel()
			server := scripted(t, lie.reply())
			options := []meetbot.Option{meetbot.WithMaxRetries(lie.MaxRetries)}
			if lie.TimeoutMs != 0 {
				options = append(options, meetbot.WithTimeout(time.Duration(lie.TimeoutMs)*time.Millisecond))
			}
			_, err := client(t, server.url, options...).GetBot(t.Context(), jobID)
			e, expect := as(t, err), lie.Expect
			if e.Kind.Error() != "meetbot: "+expect.Kind || e.Attempts != expect.Attempts || e.Status != expect.Status || string(e.Body) != expect.Body {
				t.Errorf("%v %d %d %q: %v", e.Kind, e.Attempts, e.Status, e.Body, err)
			}
			if strings.Contains(err.Error()+fmt.Sprintf("%+v %#v", e, e.Err), meetbottest.Key) || strings.Contains(err.Error(), "x=1") {
				t.Error(err)
			}
			requests, _ := server.heard(t)
			for _, request := range requests {
				if "http://"+request["host"] != server.url || request["authorization"] != "Bearer "+meetbottest.Key {
					t.Errorf("%v", request)
				}
			}
			if len(requests) != expect.Attempts {
				t.Errorf("%d requests", len(requests))
			}
		})
	}
}

func TestTheAnswerToAHEADHasALengthAndNoBody(t *testing.T) {
	server := scripted(t, says("HTTP/1.1 200 OK\nContent-Length: 5000\n\n", "stays"))
	answer, err := client(t, server.url).Request(t.Context(), http.MethodHead, "/api/v1/jobs", nil)
	if err != nil || len(answer.Body) != 0 || answer.Header.Get("Content-Length") != "5000" {
		t.Errorf("%v %+v", err, answer)
	}
}

func TestAnAnswerThatIsTooLargeIsNotReadToItsEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("it is the same with the race detector, for much longer: run it without -short")
	}
	var bomb bytes.Buffer
	packer := gzip.NewWriter(&bomb)
	if _, err := io.Copy(packer, io.LimitReader(zeros{}, 70<<20)); err != nil {
		t.Fatal(err)
	}
	if err := packer.Close(); err != nil {
		t.Fatal(err)
	}
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n", bomb.Len())
	packed := scriptedReply{Answer: octets{append([]byte(head), bomb.Bytes()...)}, Then: "closes"}
	for name, lie := range map[string]scriptedReply{"a flood": floods("HTTP/1.1 200 OK\n\n", "zzzz"), "a packed one": packed, "one that says so": says("HTTP/1.1 200 OK\nContent-Length: 99000000\n\n", "hangs")} {
		mb := client(t, scripted(t, lie).url)
		_, err := mb.GetBot(t.Context(), jobID)
		if e := as(t, err); e.Kind != meetbot.ErrDecode || e.Attempts != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if name == "one that says so" {
			continue
		}
		// A file is taken as it comes, packed or not.
		file, err := mb.Artifact(t.Context(), jobID, "audio.webm", meetbot.WithMaxRetries(0))
		if (name == "a flood") != errors.Is(err, meetbot.ErrDecode) || name != "a flood" && len(file) != bomb.Len() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type zeros struct{}

func (zeros) Read(to []byte) (int, error) { clear(to); return len(to), nil }

func TestAConnectionThatIsResetIsAConnectionError(t *testing.T) {
	server := scripted(t, says("", "resets"), says("HTTP/1.1 200 OK\nContent-Length: 100\n\n{}", "resets"))
	mb := client(t, server.url)
	for range 2 {
		_, err := mb.GetBot(t.Context(), jobID, meetbot.WithMaxRetries(0))
		if !errors.Is(err, meetbot.ErrConnection) || errors.Is(err, meetbot.ErrTimeout) || !as(t, err).Transient {
			t.Error(err)
		}
	}
	server.stop(t)
	_, err := mb.GetBot(t.Context(), jobID, meetbot.WithMaxRetries(0))
	var operation *net.OpError
	if !errors.Is(err, syscall.ECONNREFUSED) || !errors.As(err, &operation) || !strings.Contains(err.Error(), "refused") {
		t.Error(err)
	}
}

func TestAnErrorHintsAtTheWrongScheme(t *testing.T) {
	plain := httptest.NewServer(http.NotFoundHandler())
	defer plain.Close()
	encrypted := httptest.NewUnstartedServer(http.NotFoundHandler())
	encrypted.Config.ErrorLog = log.New(io.Discard, "", 0)
	encrypted.StartTLS()
	defer encrypted.Close()
	for url, hint := range map[string]string{
		strings.Replace(plain.URL, "http://", "https://", 1):     "is the server reached with http://, and not with https://?",
		strings.Replace(encrypted.URL, "https://", "http://", 1): "is it reached with https://, and not with http://?",
	} {
		_, err := client(t, url, meetbot.WithMaxRetries(0)).GetBot(t.Context(), jobID)
		if err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestAFileThatIsLargerThanTheManifestSaysIsNotReadToItsEnd(t *testing.T) {
	mb := client(t, scripted(t, floods("HTTP/1.1 200 OK\n\n", content)).url)
	if _, err := mb.DownloadArtifact(t.Context(), jobID, "audio.webm", io.Discard, meetbot.WithExpected(manifestFile(content))); !errors.Is(err, meetbot.ErrDecode) {
		t.Error(err)
	}
}

func TestAnAnswerThatWasReadLeavesItsConnectionToTheNextCall(t *testing.T) {
	server := scripted(t,
		says(withBody("503 Unavailable", page), "stays"), says(withBody("404 Not Found", page), "stays"),
		says("HTTP/1.1 302 Found\nLocation: /x\nContent-Length: 3\n\nabc", "stays"), says("HTTP/1.1 204 No Content\n\n", "stays"),
	)
	mb := client(t, server.url)
	for range 20 {
		_ = mb.CancelBot(t.Context(), jobID)
	}
	if requests, connections := server.heard(t); connections != 1 || len(requests) != 21 {
		t.Error(connections, len(requests))
	}
}
