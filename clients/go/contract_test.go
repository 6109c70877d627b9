package adamem_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adamem/adamem/clients/go"
)

// contractFolder is the list of calls and expected answers that all faces of AdaMem replay; README.md there describes it.
const contractFolder = "../../tests/contract"

// contractCase is one call; exactly one of Answer and Error is expected.
type contractCase struct {
	Name    string
	Call    string
	Request any
	Answer  map[string]any
	Error   map[string]any
}

// TestContract replays the list through the client's public methods, and prints how many cases passed.
func TestContract(t *testing.T) {
	paths := must(filepath.Glob(filepath.Join(contractFolder, "cases", "*.json")))(t)
	if len(paths) == 0 {
		t.Skip("there is no list beside the module")
	}
	// What a server archives by itself is a matter of time.
	server := newServer(t, "ADAMEM_ARCHIVE_INTERVAL_S=0")
	client := connect(t, adamem.Config{Endpoint: server.Address()})
	match := newMatcher(t)
	nPassed, nCases := 0, 0
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		t.Run(name, func(t *testing.T) {
			replay := &replay{client: client, files: map[string][]byte{}}
			match.variables = map[string]any{}
			for _, each := range readCases(t, path) {
				nCases++
				if wrong := carryOut(t, replay, match, each); len(wrong) > 0 {
					t.Errorf("%s:\n    %s", each.Name, strings.Join(wrong, "\n    "))
				} else {
					nPassed++
				}
			}
		})
	}
	fmt.Printf("contract: %-13s %d of %d cases\n", "go", nPassed, nCases)
}

// carryOut is what differs from what is expected.
func carryOut(t *testing.T, replay *replay, match *matcher, each contractCase) []string {
	t.Helper()
	request, unbound := match.filled(each.Request)
	if unbound != "" {
		return []string{"needs " + unbound + ", which no case before it has bound"}
	}
	fields, _ := request.(map[string]any)
	answer, err := replay.call(t, each.Call, fields)
	switch {
	case each.Error != nil && err == nil:
		return []string{fmt.Sprintf("is answered: %v", answer)}
	case each.Error != nil:
		return match.differences(each.Error, canonicalError(t, err))
	case err != nil:
		return []string{fmt.Sprintf("is refused: %v", err)}
	}
	return match.differences(each.Answer, answer)
}

func readCases(t *testing.T, path string) []contractCase {
	t.Helper()
	var file struct {
		Templates map[string]any
		Cases     []map[string]any
	}
	// Whole numbers beyond 2**53 stay what they are.
	decoder := json.NewDecoder(bytes.NewReader(must(os.ReadFile(path))(t)))
	decoder.UseNumber()
	if err := decoder.Decode(&file); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	cases := make([]contractCase, len(file.Cases))
	for n, item := range file.Cases {
		expanded := expand(item, file.Templates).(map[string]any)
		each := contractCase{Name: expanded["name"].(string), Call: expanded["call"].(string)}
		each.Request = expanded["request"]
		each.Answer, _ = expanded["answer"].(map[string]any)
		each.Error, _ = expanded["error"].(map[string]any)
		cases[n] = each
	}
	return cases
}

// expand puts the fields of templates where a value names them.
func expand(value any, templates map[string]any) any {
	switch value := value.(type) {
	case []any:
		items := make([]any, len(value))
		for n, item := range value {
			items[n] = expand(item, templates)
		}
		return items
	case map[string]any:
		fields := map[string]any{}
		if name, ok := value["$like"].(string); ok {
			for key, each := range templates[name].(map[string]any) {
				fields[key] = each
			}
		}
		for key, each := range value {
			if key != "$like" {
				fields[key] = expand(each, templates)
			}
		}
		return fields
	}
	return value
}

// TestContractMatching checks the rules of comparing by the pairs that are those of tests/contract/test_matching.py too.
func TestContractMatching(t *testing.T) {
	path := filepath.Join(contractFolder, "matching.json")
	content, err := os.ReadFile(path)
	if err != nil {
		t.Skip("there is no list beside the module")
	}
	var pairs struct{ Same, Different [][2]any }
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&pairs); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, pair := range pairs.Same {
		match := newMatcher(t)
		if wrong := match.differences(pair[0], pair[1]); len(wrong) > 0 {
			t.Errorf("%v: %v", pair, wrong)
		}
	}
	for _, pair := range pairs.Different {
		match := newMatcher(t)
		if len(match.differences(pair[0], pair[1])) == 0 {
			t.Errorf("%v: no difference is seen", pair)
		}
	}
}
