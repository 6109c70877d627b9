package adamem

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// Filter is a condition on slots, in the style of MongoDB:
//
//	{"user_id": "u1"}                                       equal
//	{"user_id": "u1", "importance": {"$gte": 0.5}}          both
//	{"created_at": {"$gte": start, "$lt": end}}             both conditions on one field
//	{"metadata.lang": {"$in": []string{"en", "ru"}}}        a key of the metadata; nested keys joined by dots
//	{"$or": []adamem.Filter{{"kind": "fact"}, {"tags": "work"}}}   tags and lists of metadata: contains
//	{"$not": adamem.Filter{"role": "assistant"}}
//	{"expires_at": {"$exists": false}}
//
// Operators are $eq $ne $lt $lte $gt $gte $in $nin $exists and $not on a field, $and $or $not around filters. Inner ones may
// be Filter or map[string]any, lists also []any. What cannot be translated is an ErrInvalidArgument that names the place.
type Filter map[string]any

var filterFields = []string{
	"id", "kind", "user_id", "agent_id", "conversation_id", "role", "tags", "importance", "created_at", "updated_at",
	"expires_at", "recalled_from", "sources",
}

var comparisons = map[string]pb.Operator{
	"$eq":  pb.Operator_OPERATOR_EQ,
	"$ne":  pb.Operator_OPERATOR_NE,
	"$lt":  pb.Operator_OPERATOR_LT,
	"$lte": pb.Operator_OPERATOR_LE,
	"$gt":  pb.Operator_OPERATOR_GT,
	"$gte": pb.Operator_OPERATOR_GE,
}

var fieldOperators = []string{"$eq", "$ne", "$lt", "$lte", "$gt", "$gte", "$in", "$nin", "$exists", "$not"}

// maxFilterDepth keeps a filter that holds itself from being followed for ever; the server takes fewer levels.
const maxFilterDepth = 64

// filter is unset where it is empty.
func (c *checks) filter(condition Filter) *pb.Filter {
	if len(condition) == 0 {
		return nil
	}
	return c.condition(condition, "filter", 0)
}

func (c *checks) condition(condition any, path string, depth int) *pb.Filter {
	entries, ok := asFilter(condition)
	switch {
	case !ok:
		c.fail(path, fmt.Sprintf("a Filter is expected, not %T", condition))
		return nil
	case len(entries) == 0:
		c.fail(path, "is empty")
		return nil
	case depth > maxFilterDepth:
		c.fail(path, "is nested too deep")
		return nil
	}
	var parts []*pb.Filter
	for _, key := range sortedKeys(entries) {
		parts = append(parts, c.entry(key, entries[key], path, depth))
	}
	return allOf(parts)
}

func (c *checks) entry(key string, value any, path string, depth int) *pb.Filter {
	here := path + "." + key
	switch {
	case key == "$not":
		return negated(c.condition(value, here, depth+1))
	case key == "$and":
		return allOf(c.parts(value, here, depth))
	case key == "$or":
		parts := c.parts(value, here, depth)
		if len(parts) == 1 {
			return parts[0]
		}
		return &pb.Filter{Filter: &pb.Filter_Any{Any: &pb.FilterList{Filters: parts}}}
	case strings.HasPrefix(key, "$"):
		hint := "use one of $and $or $not"
		if slices.Contains(fieldOperators, key) {
			hint = "it belongs to a field"
		}
		c.fail(here, fmt.Sprintf("unknown operator %q here; %s", key, hint))
		return nil
	case !slices.Contains(filterFields, key) && (!strings.HasPrefix(key, "metadata.") || key == "metadata."):
		hint := fmt.Sprintf("did you mean %q?", similarField(key))
		if key == "metadata" || key == "metadata." {
			hint = "name a key of it, \"metadata.KEY\"."
		}
		c.fail(here, fmt.Sprintf("unknown field %q; %s Fields are %s and metadata.KEY",
			key, hint, strings.Join(filterFields, ", ")))
		return nil
	}
	return c.onField(key, value, here, depth)
}

// similarField is the field that a key is probably meant for: one whose name differs by case, underscores and at most one
// other character, else a key of the metadata.
func similarField(key string) string {
	plain := strings.NewReplacer("_", "", "-", "")
	given := strings.ToLower(plain.Replace(key))
	for _, field := range filterFields {
		if differByOne(given, plain.Replace(field)) {
			return field
		}
	}
	return "metadata." + key
}

// differByOne tells whether two words are equal but for one character that is more, less or another one, or two of which
// each stands in the place of the other.
func differByOne(a, b string) bool {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	a, b = a[head:len(a)-tail], b[head:len(b)-tail]
	return len(a) <= 1 && len(b) <= 1 || len(a) == 2 && len(b) == 2 && a[0] == b[1] && a[1] == b[0]
}

func (c *checks) onField(field string, value any, path string, depth int) *pb.Filter {
	operations, ok := asFilter(value)
	if !ok {
		return c.comparison(field, pb.Operator_OPERATOR_EQ, value, path)
	}
	if len(operations) == 0 {
		c.fail(path, "has no operator")
		return nil
	}
	var parts []*pb.Filter
	for _, operator := range sortedKeys(operations) {
		parts = append(parts, c.operation(field, operator, operations[operator], path+"."+operator, depth))
	}
	return allOf(parts)
}

func (c *checks) operation(field, operator string, value any, path string, depth int) *pb.Filter {
	if comparison, ok := comparisons[operator]; ok {
		return c.comparison(field, comparison, value, path)
	}
	switch operator {
	case "$in", "$nin":
		switch values := value.(type) {
		case []any:
			for _, each := range values {
				c.scalar(each, path)
			}
		case []string, []int, []int64, []float64:
		default:
			c.fail(path, fmt.Sprintf("a list is expected, not %T", value))
			return nil
		}
		among := c.operand(field, pb.Operator_OPERATOR_IN, value, path)
		if operator == "$in" {
			return among
		}
		return negated(among)
	case "$exists":
		if _, ok := value.(bool); !ok {
			c.fail(path, fmt.Sprintf("true or false is expected, not %v", value))
			return nil
		}
		return c.operand(field, pb.Operator_OPERATOR_EXISTS, value, path)
	case "$not":
		if depth > maxFilterDepth {
			c.fail(path, "is nested too deep")
			return nil
		}
		return negated(c.onField(field, value, path, depth+1))
	}
	c.fail(path, fmt.Sprintf("unknown operator %q; use one of %s", operator, strings.Join(fieldOperators, " ")))
	return nil
}

func (c *checks) comparison(field string, operator pb.Operator, value any, path string) *pb.Filter {
	c.scalar(value, path)
	if c.err != nil {
		return nil
	}
	return c.operand(field, operator, value, path)
}

func (c *checks) operand(field string, operator pb.Operator, value any, path string) *pb.Filter {
	condition := &pb.Condition{Field: c.text(field, path), Operator: operator, Value: c.value(value, path, 0)}
	return &pb.Filter{Filter: &pb.Filter_Condition{Condition: condition}}
}

func (c *checks) scalar(value any, path string) {
	switch value.(type) {
	case nil:
		c.fail(path, "nil is no value; use {\"$exists\": false} for a field that is not set")
	case []any, []string, []int, []int64, []float64, []Filter, []map[string]any:
		c.fail(path, "a list is no value; use {\"$in\": ...}")
	case map[string]any, Filter:
		c.fail(path, "a map is no value; join the keys of metadata by dots")
	}
}

func (c *checks) parts(value any, path string, depth int) []*pb.Filter {
	var conditions []any
	switch values := value.(type) {
	case []any:
		conditions = values
	case []Filter:
		for _, each := range values {
			conditions = append(conditions, each)
		}
	case []map[string]any:
		for _, each := range values {
			conditions = append(conditions, each)
		}
	default:
		c.fail(path, fmt.Sprintf("a list of filters is expected, not %T", value))
		return nil
	}
	if len(conditions) == 0 {
		c.fail(path, "is empty")
	}
	var parts []*pb.Filter
	for index, each := range conditions {
		parts = append(parts, c.condition(each, fmt.Sprintf("%s[%d]", path, index), depth+1))
	}
	return parts
}

func asFilter(value any) (map[string]any, bool) {
	switch value := value.(type) {
	case Filter:
		return value, true
	case map[string]any:
		return value, true
	}
	return nil, false
}

func negated(part *pb.Filter) *pb.Filter {
	return &pb.Filter{Filter: &pb.Filter_Negated{Negated: part}}
}

func allOf(parts []*pb.Filter) *pb.Filter {
	if len(parts) == 1 {
		return parts[0]
	}
	return &pb.Filter{Filter: &pb.Filter_All{All: &pb.FilterList{Filters: parts}}}
}

func sortedKeys(entries map[string]any) []string {
	keys := make([]string, 0, len(entries))
	for key := range entries {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
