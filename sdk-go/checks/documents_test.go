package checks

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
)

var fenced = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")

// snippets are the Go programs of a document, in their order.
func snippets(t *testing.T, document string) []string {
	t.Helper()
	text := must(os.ReadFile(document))(t)
	var found []string
	for _, match := range fenced.FindAllSubmatch(text, -1) {
		found = append(found, string(match[1]))
	}
	return found
}

// built compiles a program of a document, and gives its path.
func built(t *testing.T, source string) string {
	t.Helper()
	folder := t.TempDir()
	sdk := must(filepath.Abs(".."))(t)
	module := "module snippet\n\ngo 1.25.0\n\nrequire github.com/meetbot-dev/meetbot/sdk-go v0.0.0\n\nreplace github.com/meetbot-dev/meetbot/sdk-go => " + sdk + "\n"
	for name, text := range map[string]string{"main.go": source, "go.mod": module} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, arguments := range [][]string{{"vet", "."}, {"build", "-o", "program", "."}} {
		command := exec.Command("go", arguments...)
		command.Dir = folder
		if said, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, said)
		}
	}
	formatted := exec.Command("gofmt", "-l", ".")
	formatted.Dir = folder
	if said, err := formatted.CombinedOutput(); err != nil || len(said) > 0 {
		t.Fatalf("the snippet is not as gofmt has it: %v %s", err, said)
	}
	return filepath.Join(folder, "program")
}

// program is a program of a document that is to run with a server's key.
func program(t *testing.T, source string, server *server, folder string) *exec.Cmd {
	t.Helper()
	command := exec.Command(built(t, source))
	command.Dir = folder
	command.Env = append(os.Environ(), "MEETBOT_API_KEY="+server.Key.Key, "MEETBOT_API_BASE_URL="+server.URL, "MEETBOT_WEBHOOK_SECRET="+server.Key.WebhookSecret)
	return command
}

// ran gives what such a program printed.
func ran(t *testing.T, source string, server *server) (lines []string, folder string) {
	t.Helper()
	folder = t.TempDir()
	said, err := program(t, source, server, folder).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return strings.Split(strings.TrimSpace(string(said)), "\n"), folder
}

func readme(t *testing.T, which int) string {
	t.Helper()
	found := snippets(t, "../README.md")
	if len(found) != 5 {
		t.Fatalf("the README has %d programs", len(found))
	}
	return found[which]
}

func TestTheReadmesFirstProgramEndsWithARecordingOnDisk(t *testing.T) {
	t.Parallel()
	_, server := running(t)
	lines, folder := ran(t, readme(t, 0), server)
	if !strings.Contains(strings.Join(lines, " "), "completed") || lines[len(lines)-1] != filepath.Join("recording", "manifest.json") {
		t.Error(lines)
	}
	if _, err := os.Stat(filepath.Join(folder, "recording", "audio.Alice.webm")); err != nil {
		t.Error(err)
	}
}

func TestExample1OfTheSpecificationDispatchesPollsAndPrintsAManifest(t *testing.T) {
	t.Parallel()
	_, server := running(t)
	lines, _ := ran(t, readme(t, 1), server)
	if !regexp.MustCompile(`^dispatched job_\w{26} → queued$`).MatchString(lines[0]) || lines[len(lines)-2] != "completed" {
		t.Fatal(lines)
	}
	text := must(os.ReadFile(strings.TrimPrefix(lines[len(lines)-1], "manifest: file://")))(t)
	var manifest meetbot.Manifest
	if err := json.Unmarshal(text, &manifest); err != nil || manifest.DisplayName != "Acme Notetaker" || len(manifest.Tracks) < 2 {
		t.Errorf("%v %+v", err, manifest)
	}
}

func TestExample2OfTheSpecificationDispatchesWithATimeAndLeaveRules(t *testing.T) {
	t.Parallel()
	mb, server := running(t)
	lines, _ := ran(t, readme(t, 2), server)
	words := strings.Fields(lines[0])
	// The time lies in the past, which means now: the job has begun, and keeps the time that was asked for.
	if len(lines) != 1 || !strings.HasSuffix(lines[0], " 2026-05-15 14:00:00 +0000 UTC") {
		t.Fatal(lines)
	}
	job := must(mb.GetBot(t.Context(), words[0]))(t)
	rules := job.AutoLeave
	if rules.AfterEntryDelaySeconds != 300 || rules.AfterMaxSeconds != 7200 || !rules.OnBotDetected || job.Metadata["customer_id"] != "cust_4711" || job.Webhooks.OnFinalize != "https://api.acme.example/meetbot/finalize" {
		t.Errorf("%+v", job)
	}
	if err := mb.CancelBot(t.Context(), job.ID); err != nil {
		t.Error(err)
	}
}

// receives starts a receiver of a document at a free port, sends it what the real server sends, and then what nobody signed.
func receives(t *testing.T, source string) {
	t.Helper()
	mb, server := running(t)
	listener := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	if strings.Count(source, "127.0.0.1:8000") != 1 {
		t.Fatal("the receiver listens somewhere else")
	}
	receiver := program(t, strings.Replace(source, "127.0.0.1:8000", address, 1), server, t.TempDir())
	output := must(receiver.StdoutPipe())(t)
	receiver.Stderr = os.Stderr
	if err := receiver.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = receiver.Process.Signal(syscall.SIGKILL)
		_ = receiver.Wait()
	}()
	url := "http://" + address + "/webhook/meetbot"
	job := must(mb.DispatchBot(t.Context(), meetbot.DispatchBotParams{MeetingURL: "https://sandbox.meetbot.dev/two-speakers?seconds=1", OnFinalizeURL: url}))(t)
	line := must(bufio.NewReader(output).ReadString('\n'))(t)
	ended := must(mb.WaitForBot(t.Context(), job.ID))(t)
	if line != fmt.Sprintf("recorded: %s %s\n", job.ID, ended.ManifestURI) {
		t.Errorf("%q", line)
	}
	body, header := meetbottest.SignWebhook(map[string]any{"event": "job.failed"}, server.Key.WebhookSecret, noTime)
	post := func(body string, header http.Header) int {
		request := must(http.NewRequest(http.MethodPost, url, strings.NewReader(body)))(t)
		request.Header = header
		answer := must(http.DefaultClient.Do(request))(t)
		_ = answer.Body.Close()
		return answer.StatusCode
	}
	answers := []int{post(string(body), header), post(string(body)+" ", header), post(string(body), http.Header{})}
	if fmt.Sprint(answers) != "[200 401 401]" {
		t.Error(answers)
	}
}

func TestExample3OfTheSpecificationTakesWhatTheServerSendsAndNothingElse(t *testing.T) {
	t.Parallel()
	receives(t, readme(t, 3))
}

func TestTheReadmesHandlerTakesWhatTheServerSendsAndNothingElse(t *testing.T) {
	t.Parallel()
	receives(t, readme(t, 4))
}
