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

// project is a module of these files, which is vetted and as gofmt has it.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	sdk := must(filepath.Abs(".."))(t)
	files["go.mod"] = "module snippet\n\ngo 1.25.0\n\nrequire github.com/meetbot-dev/meetbot/sdk-go v0.0.0\n\nreplace github.com/meetbot-dev/meetbot/sdk-go => " + sdk + "\n"
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, arguments := range [][]string{{"go", "vet", "."}, {"gofmt", "-l", "."}} {
		command := exec.Command(arguments[0], arguments[1:]...)
		command.Dir = folder
		if said, err := command.CombinedOutput(); err != nil || len(said) > 0 {
			t.Fatalf("%v: %v: %s", arguments, err, said)
		}
	}
	return folder
}

// built compiles a program of a document, and gives its path.
func built(t *testing.T, source string) string {
	t.Helper()
	folder := project(t, map[string]string{"main.go": source})
	command := exec.Command("go", "build", "-o", "program", ".")
	command.Dir = folder
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
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

func TestExample3OfTheSpecificationAcceptsOnlyWebhooksOfTheServer(t *testing.T) {
	t.Parallel()
	receives(t, readme(t, 3))
}

func TestTheReadmesHandlerAcceptsOnlyWebhooksOfTheServer(t *testing.T) {
	t.Parallel()
	receives(t, readme(t, 4))
}

func TestTheQuickstartInGoEndsWithARecordingOnDisk(t *testing.T) {
	t.Parallel()
	_, server := running(t)
	found := snippets(t, "../../docs/quickstart.md")
	if len(found) != 1 {
		t.Fatal("the quickstart has one Go program")
	}
	lines, folder := ran(t, found[0], server)
	said := strings.Join(lines, "\n")
	for _, wanted := range []string{`(?m)^completed meeting_ended file://`, `(?m)^Alice audio\.Alice\.webm (19|20)\.\d s$`, `(?m)^recording$`} {
		if !regexp.MustCompile(wanted).MatchString(said) {
			t.Errorf("%s is not in\n%s", wanted, said)
		}
	}
	if _, err := os.Stat(filepath.Join(folder, "recording", "manifest.json")); err != nil {
		t.Error(err)
	}
}

const judge = `package receiver

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
)

func TestTheFunctionsOfThePageAcceptOnlySignedWebhooks(t *testing.T) {
	const secret = "whsec_dGVzdA=="
	body, header := meetbottest.SignWebhook(map[string]any{"event": "job.finalized", "manifestUri": "file:///m.json"}, secret, time.Time{})
	if !isFromMeetbot(body, header, secret) || isFromMeetbot(append(body, ' '), header, secret) || isFromMeetbot(body, http.Header{}, secret) || isFromMeetbot(body, header, "") {
		t.Error("isFromMeetbot")
	}
	if said, err := whatMeetbotSays(body, header, secret); said != "recorded: file:///m.json" || err != nil {
		t.Error(said, err)
	}
	if said, err := whatMeetbotSays(append(body, ' '), header, secret); !strings.HasPrefix(said, "401 ") || err != nil {
		t.Error(said, err)
	}
	if _, err := whatMeetbotSays(body, header, "whsec"); err == nil {
		t.Error("that is no secret")
	}
	body, header = meetbottest.SignWebhook(map[string]any{}, secret, time.Now().Add(-301*time.Second))
	if said, err := whatMeetbotSays(body, header, secret); !strings.HasPrefix(said, "401 ") || err != nil {
		t.Error(said, err)
	}
}
`

func TestTheWebhooksPageVerifiesInGo(t *testing.T) {
	t.Parallel()
	found := snippets(t, "../../docs/webhooks.md")
	if len(found) != 2 {
		t.Fatal("the page has two Go snippets")
	}
	folder := project(t, map[string]string{"plain.go": found[0], "fresh.go": found[1], "judge_test.go": judge})
	command := exec.Command("go", "test", "-count=1", ".")
	command.Dir = folder
	if said, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
}

func TestTheProjectsReadmeRecordsInGo(t *testing.T) {
	t.Parallel()
	_, server := running(t)
	found := snippets(t, "../../README.md")
	if len(found) != 1 {
		t.Fatal("the README has one Go snippet")
	}
	lines := strings.ReplaceAll(strings.TrimSpace(found[0]), "\n", "\n\tcheck(err)\n\t")
	source := "package main\n\nimport (\n\t\"context\"\n\t\"fmt\"\n\n\tmeetbot \"github.com/meetbot-dev/meetbot/sdk-go\"\n)\n\nfunc main() {\n\tctx := context.Background()\n\t" + lines +
		"\n\tcheck(err)\n\tfmt.Println(paths)\n}\n\nfunc check(err error) {\n\tif err != nil {\n\t\tpanic(err)\n\t}\n}\n"
	if said, _ := ran(t, source, server); !strings.Contains(said[0], filepath.Join("recording", "audio.Alice.webm")) {
		t.Error(said)
	}
}
