// One call with net/http and encoding/json, for what a program with it costs.
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
)

func main() {
	request, err := http.NewRequest(http.MethodGet, os.Args[1]+"/api/v1/jobs/job_1", nil)
	if err != nil {
		panic(err)
	}
	request.Header.Set("Authorization", "Bearer mb_test_0123456789")
	client := http.Client{}
	response, err := client.Do(request)
	if err != nil {
		panic(err)
	}
	defer response.Body.Close()
	var job struct{ ID, Status string }
	if err := json.NewDecoder(response.Body).Decode(&job); err != nil {
		panic(err)
	}
	fmt.Println(job.Status)
}
