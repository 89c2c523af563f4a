package checks

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// reference is a page that is made from the code; UPDATE in the environment lets it be written.
const reference = "../../docs/go-reference.md"

func TestTheReferenceIsThatOfTheCode(t *testing.T) {
	t.Parallel()
	page := "# Go SDK: reference\n\nMade from the code with `go doc`, by a test. [The SDK's page](../sdk-go/README.md) has whole programs.\n"
	for _, folder := range []string{".", "webhook", "meetbottest"} {
		command := exec.Command("go", "doc", "-all", "./"+folder)
		command.Dir = ".."
		said, err := command.Output()
		if err != nil {
			t.Fatal(err)
		}
		page += "\n## " + strings.TrimSuffix(path+"/"+folder, "/.") + "\n\n```text\n" + strings.TrimSpace(string(said)) + "\n```\n"
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(reference, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if found, err := os.ReadFile(reference); err != nil || string(found) != page {
		t.Errorf("docs/go-reference.md is not what the code says: run cargo xtask update (%v)", err)
	}
}
