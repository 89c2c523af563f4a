package api

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestTheRequestsAreGeneratedFromTheDocumentAsItIs(t *testing.T) {
	const document = "../../../spec/openapi.json"
	if _, err := os.Stat("../../../spec"); err != nil {
		t.Skip("*** not compared with the API's document: it lies in meetbot's repository, and this is a copy of the module alone ***")
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	generated, err := os.ReadFile("requests.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(generated), "package api")
	if sum := fmt.Sprintf("sha256 %x\n", sha256.Sum256(text)); !strings.Contains(head, sum) {
		t.Errorf("requests.gen.go is made of another %s: run cargo xtask update, or go generate ./internal/api", document)
	}
}
