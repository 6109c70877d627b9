package adamem_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// matcher compares answers with what is expected, by the rules of tests/contract/matching.py.
type matcher struct {
	// variables are what cases have bound.
	variables map[string]any
	// present are the scalars that say something with their default value too.
	present map[string]bool
}

// missing stands for a field that is not there.
type missing struct{}

func newMatcher(t *testing.T) *matcher {
	t.Helper()
	var names []string
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(contractFolder, "present.json")))(t), &names); err != nil {
		t.Fatal(err)
	}
	m := &matcher{variables: map[string]any{}, present: map[string]bool{}}
	for _, name := range names {
		m.present[name] = true
	}
	return m
}

// filled is a request with its variables and repeated texts in it, and the name of a variable that is not bound.
func (m *matcher) filled(value any) (any, string) {
	switch value := value.(type) {
	case []any:
		items := make([]any, len(value))
		for n, item := range value {
			filled, unbound := m.filled(item)
			if unbound != "" {
				return nil, unbound
			}
			items[n] = filled
		}
		return items, ""
	case map[string]any:
		if name, ok := value["$ref"].(string); ok {
			bound, ok := m.variables[name]
			if !ok {
				return nil, name
			}
			return bound, ""
		}
		if repeat, ok := value["$repeat"].([]any); ok {
			return strings.Repeat(repeat[0].(string), int(number(repeat[1]))), ""
		}
		fields := map[string]any{}
		for key, each := range value {
			filled, unbound := m.filled(each)
			if unbound != "" {
				return nil, unbound
			}
			fields[key] = filled
		}
		return fields, ""
	}
	return value, ""
}

// differences is what is not as expected, a line each; what is bound becomes a variable.
func (m *matcher) differences(expected, actual any) []string {
	return m.compare(expected, actual, "", false)
}

func (m *matcher) compare(expected, actual any, path string, exact bool) []string {
	if name, argument, ok := matching(expected); ok {
		return m.match(name, argument, actual, path, exact)
	}
	if _, ok := actual.(missing); ok {
		return []string{fmt.Sprintf("%s: is missing, %v is expected", path, expected)}
	}
	switch expected := expected.(type) {
	case map[string]any:
		if actual, ok := actual.(map[string]any); ok {
			return m.compareFields(expected, actual, path, exact)
		}
	case []any:
		if actual, ok := actual.([]any); ok {
			if len(expected) != len(actual) {
				return []string{fmt.Sprintf("%s: has %d items, %d are expected: %v", path, len(actual), len(expected), actual)}
			}
			var found []string
			for n := range expected {
				found = append(found, m.compare(expected[n], actual[n], fmt.Sprintf("%s[%d]", path, n), exact)...)
			}
			return found
		}
	default:
		if equal(expected, actual, exact) {
			return nil
		}
	}
	return []string{fmt.Sprintf("%s: is %v, %v is expected", path, actual, expected)}
}

func (m *matcher) compareFields(expected, actual map[string]any, path string, exact bool) []string {
	keys := slices.Collect(maps.Keys(expected))
	for key := range actual {
		if _, ok := expected[key]; !ok {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	var found []string
	for _, key := range keys {
		here := strings.TrimPrefix(path+"."+key, ".")
		// The caller's own JSON, and the variables of an error.
		strict := exact || key == "metadata"
		value, there := actual[key]
		if !there {
			value = missing{}
		}
		wanted, named := expected[key]
		switch {
		case !named:
			if exact || !m.isDefault(key, value) {
				found = append(found, fmt.Sprintf("%s: is %v, nothing is expected", here, value))
			}
		case !there && !exact && m.isDefault(key, wanted):
		default:
			found = append(found, m.compare(wanted, value, here, strict)...)
		}
	}
	return found
}

func (m *matcher) match(name string, argument, actual any, path string, exact bool) []string {
	_, isMissing := actual.(missing)
	wrong := []string{fmt.Sprintf("%s: is %v, %s %v is expected", path, actual, name, argument)}
	switch name {
	case "$ref":
		return m.compare(m.variables[argument.(string)], actual, path, exact)
	case "$maybe":
		if isMissing || m.isDefault("", actual) {
			return nil
		}
		return m.compare(argument, actual, path, exact)
	case "$any":
		if isMissing && (argument == "number" || argument == "bool") || !isMissing && kindOf(actual) == argument {
			return nil
		}
		return wrong
	case "$near":
		if isMissing {
			actual = 0.0
		}
		bounds := argument.([]any)
		if kindOf(actual) == "number" && math.Abs(number(actual)-number(bounds[0])) <= number(bounds[1]) {
			return nil
		}
		return wrong
	}
	if isMissing {
		return wrong
	}
	switch name {
	case "$bind":
		m.variables[argument.(string)] = actual
		if actual == "" || actual == nil {
			return wrong
		}
		return nil
	case "$time":
		text, _ := actual.(string)
		if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
			return wrong
		}
		return nil
	case "$exact":
		return m.compare(argument, actual, path, true)
	case "$has":
		fields, ok := actual.(map[string]any)
		if !ok {
			return wrong
		}
		named := map[string]any{}
		for key := range argument.(map[string]any) {
			if value, ok := fields[key]; ok {
				named[key] = value
			}
		}
		return m.compare(argument, named, path, exact)
	}
	return m.inAnyOrder(argument.([]any), actual, path, exact)
}

func (m *matcher) inAnyOrder(expected []any, actual any, path string, exact bool) []string {
	items, ok := actual.([]any)
	if !ok || len(items) != len(expected) {
		return []string{fmt.Sprintf("%s: is %v, %d items are expected", path, actual, len(expected))}
	}
	left := slices.Clone(items)
	for _, each := range expected {
		found := slices.IndexFunc(left, func(item any) bool {
			trial := &matcher{maps.Clone(m.variables), m.present}
			if len(trial.compare(each, item, path, exact)) > 0 {
				return false
			}
			m.variables = trial.variables
			return true
		})
		if found < 0 {
			return []string{fmt.Sprintf("%s: has no item %v: %v", path, each, left)}
		}
		left = slices.Delete(left, found, found+1)
	}
	return nil
}

// matching is the name and the argument of a matcher.
func matching(value any) (string, any, bool) {
	fields, ok := value.(map[string]any)
	if !ok || len(fields) != 1 {
		return "", nil, false
	}
	for name, argument := range fields {
		switch name {
		case "$any", "$bind", "$exact", "$has", "$maybe", "$near", "$ref", "$set", "$time":
			return name, argument, true
		}
	}
	return "", nil, false
}

func (m *matcher) isDefault(key string, value any) bool {
	switch value := value.(type) {
	case nil:
		return true
	case string:
		return value == "" || value == "0s" || strings.HasSuffix(value, "_UNSPECIFIED")
	case bool:
		return !value
	case []any:
		return len(value) == 0
	case map[string]any:
		if _, _, ok := matching(value); ok {
			return false
		}
		for name, each := range value {
			if !m.isDefault(name, each) {
				return false
			}
		}
		return true
	case json.Number, float64:
		return number(value) == 0 && !m.present[key]
	}
	return false
}

func equal(expected, actual any, exact bool) bool {
	if kindOf(expected) == "number" && kindOf(actual) == "number" {
		a, b := number(expected), number(actual)
		if exact || a == math.Trunc(a) && b == math.Trunc(b) {
			return a == b
		}
		return math.Abs(a-b) <= 1e-6*max(1, math.Abs(a))
	}
	return reflect.DeepEqual(expected, actual)
}

func kindOf(value any) string {
	switch value.(type) {
	case string:
		return "string"
	case json.Number, float64:
		return "number"
	case bool:
		return "bool"
	case map[string]any:
		return "object"
	case []any:
		return "list"
	}
	return ""
}

func number(value any) float64 {
	switch value := value.(type) {
	case json.Number:
		parsed, _ := value.Float64()
		return parsed
	case float64:
		return value
	}
	return math.NaN()
}
