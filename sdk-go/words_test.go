package meetbot

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strconv"
	"testing"
)

func TestTheWordsAreThoseOfTheDocument(t *testing.T) {
	document := decode[struct {
		Components struct {
			Schemas map[string]struct{ Enum []string }
		}
	}](t, specification(t, "openapi.json"))
	file, err := parser.ParseFile(token.NewFileSet(), "words.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ours := map[string][]string{}
	for _, declaration := range file.Decls {
		constants, ok := declaration.(*ast.GenDecl)
		if !ok || constants.Tok != token.CONST {
			continue
		}
		for _, one := range constants.Specs {
			value := one.(*ast.ValueSpec)
			word, err := strconv.Unquote(value.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			name := value.Type.(*ast.Ident).Name
			ours[name] = append(ours[name], word)
		}
	}
	// Codes of errors are plain texts here, and the kind of a track too. The scopes of keys and the words of a login are those of calls that no SDK has.
	others := []string{"ErrorCode", "MediaKind", "KeyScope", "Decision", "World"}
	for name, schema := range document.Components.Schemas {
		if len(schema.Enum) > 0 && !slices.Contains(others, name) && !slices.Equal(ours[name], schema.Enum) {
			t.Errorf("%s: %v, and the document has %v", name, ours[name], schema.Enum)
		}
	}
}

func TestAFieldNameIsTakenInItsExactSpellingAlone(t *testing.T) {
	job, err := read[Job]([]byte(`{"id": "job_1", "status": "queued", "displayname": "a", "DISPLAYNAME": 7, "Id": null}`))
	if err != nil || job.DisplayName != "" || len(job.Extra) != 3 {
		t.Errorf("%+v %v", job, err)
	}
}

func TestUnknownFieldsAreKeptInJSON(t *testing.T) {
	const text = `{"id":"job_1","status":"resting","recording":{"quality":"high"},"cost":{"cents":5},"big":12345678901234567890.5,"metadata":{"n":12345678901234567890,"<":"&"}}`
	var job Job
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	written, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	if again := decode[any](t, written); !holds(again, decode[any](t, []byte(text))) {
		t.Errorf("%s", written)
	}
	if number := job.Metadata["n"]; number != json.Number("12345678901234567890") {
		t.Errorf("%v", number)
	}
}

func TestAnUnknownEventKeepsItsFields(t *testing.T) {
	var event WebhookEvent
	if err := json.Unmarshal([]byte(`{"event":"bot.danced","data":{"jobId":"job_1","style":"tango"}}`), &event); err != nil {
		t.Fatal(err)
	}
	if event.Data.Details != nil || string(event.Data.Extra["style"]) != `"tango"` || event.Data.Event != "bot.danced" {
		t.Errorf("%+v", event)
	}
	written, err := json.Marshal(event)
	if err != nil || !holds(decode[any](t, written), decode[any](t, []byte(`{"event":"bot.danced","data":{"jobId":"job_1","style":"tango"}}`))) {
		t.Errorf("%s %v", written, err)
	}
}

func TestTheLastOfDuplicateFieldsCounts(t *testing.T) {
	manifest, err := read[Manifest]([]byte(`{"jobId":"a","jobId":"job_1","files":[{"name":"a"}],"files":[{"name":"b"}],"mixed":{"file":"x"},"mixed":{"state":"made"}}`))
	if err != nil || manifest.JobID != "job_1" || len(manifest.Files) != 1 || manifest.Files[0].Name != "b" || manifest.Mixed.File != "" {
		t.Errorf("%+v %v", manifest, err)
	}
}
