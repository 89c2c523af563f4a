// One call with resty, for what a program with it costs.
package main

import (
	"fmt"
	"os"

	"resty.dev/v3"
)

func main() {
	client := resty.New()
	defer client.Close()
	var job struct{ ID, Status string }
	if _, err := client.R().SetAuthToken("mb_test_0123456789").SetResult(&job).Get(os.Args[1] + "/api/v1/jobs/job_1"); err != nil {
		panic(err)
	}
	fmt.Println(job.Status)
}
