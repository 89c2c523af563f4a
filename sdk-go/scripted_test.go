package meetbot_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// octets are bytes as a script has them.
type octets struct {
	Base64 []byte `json:"base64"`
}

// scriptedReply is what a scripted server does with a request, as ../spec/README.md says it.
type scriptedReply struct {
	Answer octets  `json:"answer"`
	Then   string  `json:"then"`
	Flood  *octets `json:"flood,omitempty"`
	Always bool    `json:"always"`
}

// says answers with this text, whose lines end as those of HTTP do, and then does what `then` says.
func says(answer, then string) scriptedReply {
	return scriptedReply{Answer: octets{[]byte(crlf(answer))}, Then: then}
}

// floods answers with this, and then with more than anybody should take.
func floods(answer, more string) scriptedReply {
	reply := says(answer, "floods")
	reply.Flood = &octets{[]byte(crlf(more))}
	return reply
}

func crlf(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")
}

// scriptedServer gives its answers in turn, and the last one from then on.
type scriptedServer struct {
	url    string
	number int
	mutex  sync.Mutex
	opened int
	asked  []map[string]string
	// hungUp receives each time a client hangs up.
	hungUp chan struct{}
}

// scripted starts a server with these answers.
func scripted(t testing.TB, replies ...scriptedReply) *scriptedServer {
	t.Helper()
	program, err := scriptedProgram()
	if err != nil {
		if _, outside := os.Stat("../spec"); outside != nil {
			t.Skip("*** this test needs the scripted server of meetbot's repository, and this is a copy of the module alone ***")
		}
		t.Fatal(err)
	}
	replies[len(replies)-1].Always = true
	var done struct {
		Server int
		URL    string
	}
	program.do(t, map[string]any{"start": map[string]any{"replies": replies}}, &done)
	server := &scriptedServer{url: done.URL, number: done.Server, hungUp: make(chan struct{}, 1000)}
	program.mutex.Lock()
	program.servers[done.Server] = server
	program.mutex.Unlock()
	t.Cleanup(func() { server.stop(t) })
	return server
}

// stop refuses connections from now on, and ends those that are open.
func (s *scriptedServer) stop(t testing.TB) {
	t.Helper()
	if s.number != 0 {
		program, _ := scriptedProgram()
		program.do(t, map[string]any{"stop": map[string]int{"server": s.number}}, nil)
		s.number = 0
	}
}

// heard are the headers of the requests so far, and how many connections there were.
func (s *scriptedServer) heard(t testing.TB) (requests []map[string]string, connections int) {
	t.Helper()
	program, _ := scriptedProgram()
	program.do(t, map[string]any{"flush": map[string]any{}}, nil)
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.asked, s.opened
}

func (s *scriptedServer) happened(report scriptedReport) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	switch report.Happened {
	case "opened":
		s.opened++
	case "asked":
		headers := map[string]string{}
		for _, header := range report.Request.Headers {
			headers[header[0]] = header[1]
		}
		s.asked = append(s.asked, headers)
	case "closed":
		if report.ByClient {
			s.hungUp <- struct{}{}
		}
	}
}

// scriptedReport is a line of the program: what happened at a server, or the answer to a command.
type scriptedReport struct {
	Happened string
	Server   int
	Request  struct{ Headers [][2]string }
	ByClient bool
	Done     json.RawMessage
	Error    string
}

// scriptedProcess is the program that serves all scripts: commands go to its input, answers and reports come from its output.
type scriptedProcess struct {
	command *exec.Cmd
	input   io.WriteCloser
	answers chan scriptedReport
	asking  sync.Mutex
	mutex   sync.Mutex
	servers map[int]*scriptedServer
}

// started is the program, if a test has needed it.
var started *scriptedProcess

// scriptedProgram starts the program where it is first needed. TestMain ends it.
var scriptedProgram = sync.OnceValues(func() (*scriptedProcess, error) {
	path := os.Getenv("MEETBOT_SCRIPTED_SERVER")
	if path == "" {
		path = "../target/debug/scripted-server"
	}
	p := &scriptedProcess{command: exec.Command(path), answers: make(chan scriptedReport, 1), servers: map[int]*scriptedServer{}}
	p.command.Stderr = os.Stderr
	input, err := p.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := p.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.command.Start(); err != nil {
		return nil, fmt.Errorf("%w: cargo build --package meetbot-testkit, or say in MEETBOT_SCRIPTED_SERVER where it is", err)
	}
	p.input, started = input, p
	go p.read(output)
	return p, nil
})

func (p *scriptedProcess) read(output io.Reader) {
	defer close(p.answers)
	for lines := bufio.NewReader(output); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var report scriptedReport
		if err := json.Unmarshal(line, &report); err != nil {
			report.Error = fmt.Sprintf("%v: %s", err, line)
		}
		if report.Happened == "" {
			p.answers <- report
			continue
		}
		p.mutex.Lock()
		server := p.servers[report.Server]
		p.mutex.Unlock()
		server.happened(report)
	}
}

// do carries out a command; what happened before it has been reported by then.
func (p *scriptedProcess) do(t testing.TB, command, done any) {
	t.Helper()
	line, err := json.Marshal(command)
	if err != nil {
		t.Fatal(err)
	}
	p.asking.Lock()
	defer p.asking.Unlock()
	if _, err := p.input.Write(append(line, '\n')); err != nil {
		t.Fatal(err)
	}
	answer, answered := <-p.answers
	if !answered || answer.Error != "" {
		t.Fatalf("%s: %s", line, answer.Error)
	}
	if done != nil {
		if err := json.Unmarshal(answer.Done, done); err != nil {
			t.Fatal(err)
		}
	}
}

// end ends the program.
func (p *scriptedProcess) end() error {
	if err := p.input.Close(); err != nil {
		return err
	}
	for range p.answers {
	}
	return p.command.Wait()
}
