package checks

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

const path = "github.com/meetbot-dev/meetbot/sdk-go"

// published is the module as the proxy would give it: a folder that is a proxy of its own.
func published(t *testing.T, version string) string {
	t.Helper()
	proxy := t.TempDir()
	folder := filepath.Join(proxy, filepath.FromSlash(path), "@v")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	packed := must(os.Create(filepath.Join(folder, version+".zip")))(t)
	if err := zip.CreateFromDir(packed, module.Version{Path: path, Version: version}, ".."); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	mod := must(os.ReadFile("../go.mod"))(t)
	info := fmt.Sprintf(`{"Version":%q,"Time":%q}`, version, time.Now().UTC().Format(time.RFC3339))
	for name, text := range map[string]string{version + ".mod": string(mod), version + ".info": info, "list": version + "\n"} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return proxy
}

func TestTheModuleIsFitForTheProxyAndIsAddedToAnEmptyProjectOffline(t *testing.T) {
	t.Parallel()
	const version = "v0.1.0"
	checked := must(zip.CheckDir(".."))(t)
	if err := checked.Err(); err != nil {
		t.Fatal(err)
	}
	for _, file := range checked.Valid {
		if strings.HasPrefix(file, "checks/") || strings.Contains(file, "generate/") {
			t.Errorf("%s is in the module", file)
		}
	}
	if mod := string(must(os.ReadFile("../go.mod"))(t)); strings.Contains(mod, "require") {
		t.Error("the SDK requires something:", mod)
	}
	if _, err := os.Stat("../go.sum"); err == nil {
		t.Error("the SDK has a go.sum")
	}
	project, proxy := t.TempDir(), published(t, version)
	program := `package main

import (
	"fmt"

	meetbot "github.com/meetbot-dev/meetbot/sdk-go"
	"github.com/meetbot-dev/meetbot/sdk-go/webhook"
)

func main() {
	mb, err := meetbot.NewClient(meetbot.WithAPIKey("mb_test_0123456789"))
	fmt.Println(mb, err)
	_, err = webhook.Unwrap(nil, nil, "whsec_dGVzdA==")
	fmt.Println(err != nil)
}
`
	if err := os.WriteFile(filepath.Join(project, "main.go"), []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(arguments ...string) string {
		command := exec.Command("go", arguments...)
		command.Dir = project
		command.Env = append(os.Environ(), "GOPROXY=file://"+filepath.ToSlash(proxy), "GOSUMDB=off", "GOFLAGS=-modcacherw", "GOMODCACHE="+filepath.Join(project, "cache"))
		said, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("go %v: %v: %s", arguments, err, said)
		}
		return string(said)
	}
	run("mod", "init", "example.com/project")
	run("get", path+"@"+version)
	if said := run("run", "."); said != "meetbot.Client(https://api.meetbot.dev) <nil>\ntrue\n" {
		t.Error(said)
	}
	// The copy's own tests run too, and say what they cannot see.
	if said := run("test", "-count=1", "-v", "-run", "TestEveryVectorHolds", path); !strings.Contains(said, "*** the API's vectors are not run") {
		t.Error(said)
	}
}
