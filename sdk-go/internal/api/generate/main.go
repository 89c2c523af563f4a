// Generate writes ../requests.gen.go from the API's document, and the document's SHA-256 into its head, which a test compares.
//
// oapi-codegen's own settings do not fit: without nullable-type a rule of autoLeave that is not set would be sent as null; its readers of answers read event
// streams whole and drop what they do not know; and its run-time packages would be requirements of the SDK. So config.yaml sets what has to be set, overlay.yaml
// takes the answers out of the document, and two templates put small packages of the SDK in the place of the run-time packages.
package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"log"
	"os"
	"os/exec"
)

const (
	document = "../../../../spec/openapi.json"
	made     = "../requests.gen.go"
	head     = "DO NOT EDIT.\n"
)

func main() {
	text, err := os.ReadFile(document)
	check(err)
	generate := exec.Command("go", "tool", "oapi-codegen", "-config", "config.yaml", "-o", made, document)
	generate.Stdout, generate.Stderr = os.Stdout, os.Stderr
	check(generate.Run())
	generated, err := os.ReadFile(made)
	check(err)
	sum := fmt.Sprintf("%s//\n// spec/openapi.json: sha256 %x\n", head, sha256.Sum256(text))
	check(os.WriteFile(made, bytes.Replace(generated, []byte(head), []byte(sum), 1), 0o644))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
