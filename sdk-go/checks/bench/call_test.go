// Package bench measures a call of the SDK beside net/http alone and beside resty.
package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"resty.dev/v3"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/internal/api"
	"github.com/meetbot-dev/meetbot/sdk-go/meetbottest"
)

// benchServer is the variable that makes this program the server of the benchmark.
const benchServer = "MEETBOT_BENCH_SERVER"

const jobID = "job_01KAB1CDEFGHJKMNPQRSTVWXYZ"

// TestMain is the server of the benchmark where its variable is set: a process of its own, so that its CPU is not counted.
func TestMain(m *testing.M) {
	if os.Getenv(benchServer) != "" {
		serveJobs()
		return
	}
	m.Run()
}

// serveJobs answers every request with a job, until its input ends.
func serveJobs() {
	body, err := json.Marshal(meetbottest.Job(nil))
	if err != nil {
		panic(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		_ = http.Serve(listener, http.HandlerFunc(func(to http.ResponseWriter, _ *http.Request) {
			to.Header().Set("Content-Type", "application/json")
			_, _ = to.Write(body)
		}))
	}()
	fmt.Println(listener.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// answering starts the server.
func answering(b *testing.B) (url string) {
	b.Helper()
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	server := exec.Command(program)
	server.Env = append(os.Environ(), benchServer+"=1")
	input, wrong := server.StdinPipe()
	output, err := server.StdoutPipe()
	if err := errors.Join(wrong, err, server.Start()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = input.Close()
		_ = server.Wait()
	})
	address, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return "http://" + strings.TrimSpace(address)
}

// cpu is the CPU time that this process has used.
func cpu() time.Duration {
	var used syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// block is how many calls of one client are measured before it is the next one's turn.
const block = 500

// cost is what a call costs: CPU in µs, the server's not included, and allocations.
type cost struct{ cpu, allocations float64 }

// flight makes a block of calls, so many at a time.
func flight(b *testing.B, at int, call func() error) cost {
	b.Helper()
	calls := make(chan struct{}, at)
	var workers sync.WaitGroup
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpu()
	for range at {
		workers.Go(func() {
			for range calls {
				if err := call(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for range block {
		calls <- struct{}{}
	}
	close(calls)
	workers.Wait()
	used := cpu() - began
	runtime.ReadMemStats(&after)
	return cost{float64(used.Nanoseconds()) / block / 1000, float64(after.Mallocs-before.Mallocs) / block}
}

// median is the middle of what a round gave.
func median(costs []cost, of func(cost) float64) float64 {
	var values []float64
	for _, one := range costs {
		values = append(values, of(one))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// job is a job as encoding/json alone reads it.
type job struct {
	ID, ExternalID, MeetingURL, Platform, DisplayName, Status, StatusDetail, LeaveReason, FailureCode, FailureDetail, ManifestURI string
	Recording                                                                                                                     struct {
		State, Permission    string
		StartedAt, DeletedAt *time.Time
		PausedMs             int64
	}
	Webhooks  struct{ OnStatusChange, OnFinalize string }
	Metadata  map[string]any
	AutoLeave struct {
		AfterEntryDelaySeconds, AfterSilenceSeconds, AfterSoloSeconds, AfterMaxSeconds *int64
		OnBotDetected                                                                  bool
	}
	Attempt                                         int
	JoinAt, CreatedAt, UpdatedAt, JoinedAt, EndedAt *time.Time
}

func decoded(response *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	var read job
	return json.Unmarshal(body, &read)
}

// BenchmarkCall measures a call that reads a job: b.N rounds, in each of which every client makes a block of calls.
func BenchmarkCall(b *testing.B) {
	ctx, url := context.Background(), answering(b)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 100
	bare := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	defer transport.CloseIdleConnections()
	generated, err := api.NewClient(url, api.WithHTTPClient(bare))
	if err != nil {
		b.Fatal(err)
	}
	rest := resty.NewWithClient(bare).SetRetryCount(3).SetTimeout(30 * time.Second).SetLoggerWarnLevel(true)
	defer rest.Close()
	mb, err := meetbot.NewClient(meetbot.WithAPIKey(meetbottest.Key), meetbot.WithBaseURL(url))
	if err != nil {
		b.Fatal(err)
	}
	defer mb.CloseIdleConnections()
	clients := []struct {
		name string
		call func() error
	}{
		{"net-http", func() error {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/api/v1/jobs/"+jobID, nil)
			if err != nil {
				return err
			}
			request.Header.Set("Authorization", "Bearer "+meetbottest.Key)
			request.Header.Set("Accept", "application/json")
			return decoded(bare.Do(request))
		}},
		{"resty", func() error {
			var read job
			answer, err := rest.R().SetContext(ctx).SetAuthToken(meetbottest.Key).SetResult(&read).Get(url + "/api/v1/jobs/" + jobID)
			if err == nil && !answer.IsStatusSuccess() {
				err = errors.New(answer.Status())
			}
			return err
		}},
		{"generated", func() error { return decoded(generated.GetJob(ctx, jobID)) }},
		{"meetbot", func() error { _, err := mb.GetBot(ctx, jobID); return err }},
	}
	for _, at := range []int{1, 10, 100} {
		b.Run(strconv.Itoa(at), func(b *testing.B) {
			// In turns, so that what else the machine does meets all alike; the ratio is that of each round.
			rounds := make([][]cost, len(clients))
			for range b.N {
				for i, one := range clients {
					rounds[i] = append(rounds[i], flight(b, at, one.call))
				}
			}
			for i, one := range clients {
				var ratios []cost
				for round, found := range rounds[i] {
					ratios = append(ratios, cost{cpu: found.cpu / rounds[0][round].cpu})
				}
				inCPU := func(of cost) float64 { return of.cpu }
				b.ReportMetric(median(rounds[i], inCPU), one.name+"-µs")
				b.ReportMetric(median(ratios, inCPU), one.name+"-×")
				b.ReportMetric(median(rounds[i], func(of cost) float64 { return of.allocations }), one.name+"-allocs")
			}
		})
	}
}
