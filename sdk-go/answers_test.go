package meetbot

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// readers read an answer of each kind, and write it as JSON again.
var readers = map[string]func([]byte) (any, error){
	"job":              reader(read[Job]),
	"control_result":   reader(read[ControlResult]),
	"manifest":         reader(read[Manifest]),
	"delivery":         reader(read[Delivery]),
	"timeline_event":   reader(read[TimelineEvent]),
	"webhook_event":    reader(read[WebhookEvent]),
	"deletion_receipt": reader(read[DeletionReceipt]),
	"erasure_receipt":  reader(read[ErasureReceipt]),
	"host":             reader(read[Host]),
	"usage":            reader(read[Usage]),
	"platform":         reader(read[PlatformAvailability]),
	"job_page":         pageReader(elements[Job]),
	"event_page":       pageReader(elements[TimelineEvent]),
	"delivery_page":    pageReader(elements[Delivery]),
	"platform_page":    pageReader(elements[PlatformAvailability]),
}

func reader[T any](read func([]byte) (*T, error)) func([]byte) (any, error) {
	return func(body []byte) (any, error) {
		value, err := read(body)
		return value, err
	}
}

func pageReader[T any](read func([]byte) ([]*T, string, error)) func([]byte) (any, error) {
	return func(body []byte) (any, error) {
		data, next, err := read(body)
		return map[string]any{"data": data, "nextCursor": next}, err
	}
}

func readAs(t testing.TB, model string, body []byte) (any, error) {
	t.Helper()
	read, known := readers[model]
	if !known {
		t.Fatalf("nothing reads the model %q", model)
	}
	value, err := read(body)
	if err != nil {
		return nil, err
	}
	written, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return decode[any](t, written), nil
}

// holds says whether all that expected holds is in found, which may hold more fields. A text that is not there reads as the empty one.
func holds(found, expected any) bool {
	switch expected := expected.(type) {
	case map[string]any:
		fields, ok := found.(map[string]any)
		for name, value := range expected {
			ok = ok && holds(fields[name], value)
		}
		return ok
	case []any:
		list, ok := found.([]any)
		ok = ok && len(list) == len(expected)
		for i := range expected {
			ok = ok && holds(list[i], expected[i])
		}
		return ok
	case json.Number:
		number, ok := found.(json.Number)
		return ok && (number == expected || equalNumbers(number, expected))
	case string:
		return found == expected || expected == "" && found == nil
	case nil:
		return found == nil || found == ""
	}
	return found == expected
}

func equalNumbers(a, b json.Number) bool {
	first, wrong := a.Float64()
	second, also := b.Float64()
	return wrong == nil && also == nil && first == second && len(a) < 16
}

type modelVector struct {
	Name, Model string
	JSON        json.RawMessage
	Reads       any
	Error       bool
	Final       bool
	Extra       map[string]any
}

func answersHold(t *testing.T) {
	for _, c := range vectors[struct{ Cases []modelVector }](t, "answers").Cases {
		found, err := readAs(t, c.Model, c.JSON)
		switch {
		case (err != nil) != c.Error:
			t.Errorf("%s: %v", c.Name, err)
		case err == nil && !holds(found, c.Reads):
			t.Errorf("%s:\n%v\n%v", c.Name, found, c.Reads)
		}
	}
}

func recordedAnswersHold(t *testing.T) {
	for _, c := range vectors[struct{ Answers []modelVector }](t, "recorded_answers").Answers {
		found, err := readAs(t, c.Model, c.JSON)
		if expected := decode[any](t, c.JSON); err != nil || !holds(found, expected) {
			t.Errorf("%s: %v\n%v\n%v", c.Model, err, found, expected)
		}
	}
}

func modelsHold(t *testing.T) {
	for _, c := range vectors[struct{ Cases []modelVector }](t, "models").Cases {
		found, err := readAs(t, c.Model, c.JSON)
		if c.Error {
			if err == nil {
				t.Errorf("%s: it was read", c.Name)
			}
			continue
		}
		// What is read writes itself as it came.
		if expected := decode[any](t, c.JSON); err != nil || !holds(found, expected) || !holds(expected, found) {
			t.Errorf("%s: %v\n%v\n%v", c.Name, err, found, expected)
		}
		if c.Model != "job" {
			continue
		}
		job, err := read[Job](c.JSON)
		if err != nil {
			t.Fatal(err)
		}
		extra := map[string]any{}
		for name, value := range job.Extra {
			extra[name] = decode[any](t, value)
		}
		if job.Status.IsFinal() != c.Final || !reflect.DeepEqual(extra, c.Extra) {
			t.Errorf("%s: %v %v", c.Name, job.Status.IsFinal(), extra)
		}
	}
}

// without takes from an answer what fate says of each of its fields in turn: 0 keeps it, 1 removes it, 2 makes it null. It says whether anything required was
// among it.
func without(value any, path string, required map[string]bool, fate func() int) (any, bool) {
	lacks := false
	switch value := value.(type) {
	case map[string]any:
		if strings.HasSuffix(path, "metadata") {
			return value, false
		}
		left := map[string]any{}
		for _, name := range sortedKeys(value) {
			inner := strings.TrimPrefix(path+"."+name, ".")
			switch fate() {
			case 0:
				kept, missing := without(value[name], inner, required, fate)
				left[name], lacks = kept, lacks || missing
			case 1:
				lacks = lacks || required[inner]
			default:
				left[name], lacks = nil, lacks || required[inner]
			}
		}
		return left, lacks
	case []any:
		left := []any{}
		for _, one := range value {
			kept, missing := without(one, path+"[]", required, fate)
			left, lacks = append(left, kept), lacks || missing
		}
		return left, lacks
	}
	return value, false
}

func TestAnyAnswerReadsWithoutAnyOfItsFieldsButThoseThatAreRequired(t *testing.T) {
	if testing.Short() {
		t.Skip("it is the same with the race detector, for much longer: run it without -short")
	}
	required := map[string]map[string]bool{}
	for model, paths := range vectors[struct{ Required map[string][]string }](t, "answers").Required {
		required[model] = map[string]bool{}
		for _, path := range paths {
			required[model][path] = true
		}
	}
	shown := vectors[struct{ Cases []modelVector }](t, "models").Cases
	shown = append(shown, vectors[struct{ Answers []modelVector }](t, "recorded_answers").Answers...)
	pages := map[string][]any{}
	for _, c := range shown {
		if !c.Error {
			pages[c.Model] = append(pages[c.Model], decode[any](t, c.JSON))
		}
	}
	for of, page := range map[string]string{"job": "job_page", "timeline_event": "event_page", "delivery": "delivery_page", "platform": "platform_page"} {
		pages[page] = []any{map[string]any{"data": pages[of][:2], "nextCursor": "next"}}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for model, answers := range pages {
		for _, answer := range answers {
			fields := 0
			without(answer, "", required[model], func() int { fields++; return 0 })
			read := 0
			judge := func(fate func() int) {
				left, lacks := without(answer, "", required[model], fate)
				body, err := json.Marshal(left)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := readAs(t, model, body); (err != nil) != lacks {
					t.Fatalf("%s: %v: %s", model, err, body)
				} else if err == nil {
					read++
				}
			}
			for one := range fields {
				for fate := 1; fate <= 2; fate++ {
					at := -1
					judge(func() int {
						if at++; at == one {
							return fate
						}
						return 0
					})
				}
			}
			for range 50 {
				judge(func() int { return max(random.IntN(8)-5, 0) })
			}
			if read < fields {
				t.Errorf("%s: only %d were read", model, read)
			}
		}
	}
}

func sortedKeys(fields map[string]any) []string { return slices.Sorted(maps.Keys(fields)) }
