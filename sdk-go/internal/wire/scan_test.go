package wire

import (
	"encoding/json"
	"strings"
	"testing"
)

// anyObject has no field that is known.
type anyObject struct {
	Extra map[string]json.RawMessage `json:"-"`
}

// FuzzScan: what is read is exactly what encoding/json takes for an object, and the fields are the same.
func FuzzScan(f *testing.F) {
	for _, text := range []string{
		`{}`, ` { "a" : [ 1 , -0.5e+10 , true , false , null , "\u00e9\\\"" , { } ] } `, `{"a":01}`, `{"a":1.}`, `{"a":1e}`, `{"a":-}`, `{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`,
		`{,}`, `[]`, `{"a":[1,]}`, `{"a":[1 2]}`, `{"a" 1}`, `{a:1}`, `{"a":tru}`, `{"a":nul}`, `{} x`, "{\"a\":\"\x01\"}", "{\"\xff\":1}", ``, ` `, `"`, `{"a":1}}`, `{"a":+1}`, `{"a":.5}`, `{"a":"\ud800"}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var read anyObject
		err := Read(body, &read)
		var expected map[string]json.RawMessage
		wrong := json.Unmarshal(body, &expected)
		if wrong == nil && expected == nil {
			// null is no object.
			if err == nil {
				t.Errorf("%q was read", body)
			}
			return
		}
		if (err == nil) != (wrong == nil) {
			t.Fatalf("%q: %v, and encoding/json says %v", body, err, wrong)
		}
		if err != nil {
			return
		}
		if len(read.Extra) != len(expected) {
			t.Errorf("%q: %v, and encoding/json has %v", body, read.Extra, expected)
		}
		for name, value := range read.Extra {
			if string(value) != string(expected[name]) {
				t.Errorf("%q: %s, and encoding/json has %s", name, value, expected[name])
			}
		}
	})
}

func TestDeeplyNestedJSONIsAnErrorAndNoPanic(t *testing.T) {
	var read anyObject
	if err := Read([]byte(`{"a":`+strings.Repeat("[", 10<<20)), &read); err == nil {
		t.Error("it was read")
	}
}
