// One call with the SDK, for what a program with it costs.
package main

import (
	"context"
	"fmt"
	"os"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
)

func main() {
	mb, err := meetbot.NewClient(meetbot.WithAPIKey("mb_test_0123456789"), meetbot.WithBaseURL(os.Args[1]))
	if err != nil {
		panic(err)
	}
	job, err := mb.GetBot(context.Background(), "job_1")
	if err != nil {
		panic(err)
	}
	fmt.Println(job.Status)
}
