package meetbot_test

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestMain fails where a test leaves a goroutine behind: one of the SDK's, or of a connection that nobody closed.
func TestMain(m *testing.M) {
	code := m.Run()
	if started != nil {
		if err := started.end(); err != nil {
			fmt.Println("the scripted server:", err)
			code = 1
		}
	}
	if left := leftBehind(); code == 0 && left != "" {
		fmt.Printf("goroutines are left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

// leftBehind gives the goroutines that are still there when all should have ended, after some time to do so.
func leftBehind() string {
	stacks := make([]byte, 4<<20)
	var left []string
	for range 6000 {
		left = nil
		for one := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			ours := strings.Contains(one, "meetbot") || strings.Contains(one, "net/http.(*persistConn)")
			if ours && !strings.Contains(one, "TestMain") {
				left = append(left, one)
			}
		}
		if left == nil {
			return ""
		}
		time.Sleep(10 * time.Millisecond)
	}
	return strings.Join(left, "\n\n")
}
