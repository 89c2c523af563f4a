package bench

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// BenchmarkProgram runs a program that makes one call: its size, its time from start to end, and the CPU of that.
func BenchmarkProgram(b *testing.B) {
	url, folder := answering(b), b.TempDir()
	for _, name := range []string{"nethttp", "resty", "meetbot"} {
		program := filepath.Join(folder, name)
		if said, err := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "./"+name).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, said)
		}
		built, err := os.Stat(program)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			var used time.Duration
			for range b.N {
				run := exec.Command(program, url)
				if said, err := run.Output(); err != nil || string(said) != "queued\n" {
					b.Fatalf("%v: %s", err, said)
				}
				used += run.ProcessState.UserTime() + run.ProcessState.SystemTime()
			}
			b.ReportMetric(float64(used.Microseconds())/float64(b.N), "cpu-µs/op")
			b.ReportMetric(float64(built.Size())/1e6, "MB")
		})
	}
}
