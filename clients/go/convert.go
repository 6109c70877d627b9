package adamem

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"sort"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

const (
	// Struct holds numbers as float64: integers beyond this are not all exact.
	maxExactInt = 1 << 53
	// Protobuf reads messages nested 100 deep; a level of JSON takes three, the rest of an answer some more.
	maxJSONDepth = 30
	// unknown is an enum's value that a newer server knows and this client does not.
	unknown = "unknown"
)

// checks translates the values of one request; its err is the first that cannot be sent.
type checks struct{ err error }

func (c *checks) fail(field, problem string) {
	if c.err == nil {
		c.err = invalid(field, problem)
	}
}

func (c *checks) uint32(value int, field string) uint32 {
	if value < 0 || int64(value) > math.MaxUint32 {
		c.fail(field, fmt.Sprintf("0 to %d is expected, not %d", uint32(math.MaxUint32), value))
		return 0
	}
	return uint32(value)
}

func (c *checks) uint32Pointer(value *int, field string) *uint32 {
	if value == nil {
		return nil
	}
	number := c.uint32(*value, field)
	return &number
}

func (c *checks) int32Pointer(value *int, field string) *int32 {
	if value == nil {
		return nil
	}
	if *value < math.MinInt32 || *value > math.MaxInt32 {
		c.fail(field, fmt.Sprintf("%d is beyond 32 bits", *value))
	}
	number := int32(*value)
	return &number
}

// optional is unset where the value is zero.
func (c *checks) optional(value int, field string) *uint32 {
	if value == 0 {
		return nil
	}
	number := c.uint32(value, field)
	return &number
}

func (c *checks) text(value, field string) string {
	if !utf8.ValidString(value) {
		c.fail(field, "is not valid UTF-8")
		return ""
	}
	return value
}

func (c *checks) texts(values []string, field string) []string {
	for _, value := range values {
		c.text(value, field)
	}
	return values
}

// time is unset where the value is zero.
func (c *checks) time(value time.Time, field string) *timestamppb.Timestamp {
	if value.IsZero() {
		return nil
	}
	timestamp := timestamppb.New(value)
	if !timestamp.IsValid() {
		c.fail(field, value.Format(time.RFC3339)+" is outside the years 1 to 9999 in UTC")
	}
	return timestamp
}

// vector is unset where there is none. Length, NaN and infinity are the server's to check.
func (c *checks) vector(values []float32) *pb.Vector {
	if values == nil {
		return nil
	}
	encoded := make([]byte, 0, 4*len(values))
	for _, value := range values {
		encoded = binary.LittleEndian.AppendUint32(encoded, math.Float32bits(value))
	}
	return &pb.Vector{Values: encoded}
}

func (c *checks) object(values map[string]any, field string, depth int) *structpb.Struct {
	if values == nil {
		return nil
	}
	fields := make(map[string]*structpb.Value, len(values))
	for key, value := range values {
		fields[c.text(key, field)] = c.value(value, field+"."+key, depth)
	}
	return &structpb.Struct{Fields: fields}
}

// value is a JSON value; times become RFC 3339 text in UTC. depth is how deep it stands in another one.
func (c *checks) value(value any, field string, depth int) *structpb.Value {
	if depth > maxJSONDepth {
		c.fail(field, fmt.Sprintf("is nested deeper than %d levels", maxJSONDepth))
		return nil
	}
	switch value := value.(type) {
	case nil:
		return structpb.NewNullValue()
	case bool:
		return structpb.NewBoolValue(value)
	case string:
		return structpb.NewStringValue(c.text(value, field))
	case SlotKind:
		return structpb.NewStringValue(c.text(string(value), field))
	case time.Time:
		return structpb.NewStringValue(value.UTC().Format(time.RFC3339Nano))
	case map[string]any:
		return structpb.NewStructValue(c.object(value, field, depth+1))
	case []any:
		return list(c, value, field, depth)
	case []string:
		return list(c, value, field, depth)
	case []int:
		return list(c, value, field, depth)
	case []int64:
		return list(c, value, field, depth)
	case []float64:
		return list(c, value, field, depth)
	case []map[string]any:
		return list(c, value, field, depth)
	}
	return structpb.NewNumberValue(c.number(value, field))
}

func list[T any](c *checks, values []T, field string, depth int) *structpb.Value {
	items := make([]*structpb.Value, len(values))
	for index, value := range values {
		items[index] = c.value(value, fmt.Sprintf("%s[%d]", field, index), depth+1)
	}
	return structpb.NewListValue(&structpb.ListValue{Values: items})
}

func (c *checks) number(value any, field string) float64 {
	var number float64
	switch value := value.(type) {
	case float64:
		number = value
	case float32:
		number = float64(value)
	case int:
		return c.integer(int64(value), field)
	case int8:
		return float64(value)
	case int16:
		return float64(value)
	case int32:
		return float64(value)
	case int64:
		return c.integer(value, field)
	case uint8:
		return float64(value)
	case uint16:
		return float64(value)
	case uint32:
		return float64(value)
	case uint:
		return c.unsigned(uint64(value), field)
	case uint64:
		return c.unsigned(value, field)
	case json.Number:
		if whole, err := value.Int64(); err == nil {
			return c.integer(whole, field)
		}
		parsed, err := value.Float64()
		if err != nil {
			c.fail(field, fmt.Sprintf("%s is no number", value))
		}
		number = parsed
	default:
		c.fail(field, fmt.Sprintf("%T is no JSON value", value))
		return 0
	}
	if math.IsNaN(number) || math.IsInf(number, 0) {
		c.fail(field, fmt.Sprintf("%v is no JSON number", number))
	}
	return number
}

func (c *checks) integer(value int64, field string) float64 {
	if value > maxExactInt || value < -maxExactInt {
		c.fail(field, fmt.Sprintf("%d is beyond 2**53 and would be rounded; send it as text", value))
	}
	return float64(value)
}

func (c *checks) unsigned(value uint64, field string) float64 {
	if value > maxExactInt {
		c.fail(field, fmt.Sprintf("%d is beyond 2**53 and would be rounded; send it as text", value))
	}
	return float64(value)
}

// enum is the protocol's number of a name such as "fact"; zero where the name is empty.
func enum[N ~int32, S ~string](c *checks, name S, prefix, field string, values map[string]int32) N {
	if name == "" {
		return 0
	}
	for known, number := range values {
		if number != 0 && enumName(known, prefix) == string(name) {
			return N(number)
		}
	}
	var known []string
	for each, number := range values {
		if number != 0 {
			known = append(known, enumName(each, prefix))
		}
	}
	sort.Strings(known)
	c.fail(field, fmt.Sprintf("%q is none of %s", string(name), strings.Join(known, ", ")))
	return 0
}

// enumFrom is the name of a number of the protocol: empty for zero, "unknown" where this client does not know it.
func enumFrom[S ~string, N ~int32](number N, prefix string, names map[int32]string) S {
	if number == 0 {
		return ""
	}
	name, known := names[int32(number)]
	if !known {
		return unknown
	}
	return S(enumName(name, prefix))
}

func enumName(name, prefix string) string {
	name = strings.ToLower(strings.TrimPrefix(name, prefix))
	if prefix == "INDEX_KIND_" {
		return strings.ReplaceAll(name, "_", "-")
	}
	return name
}

// durationToProto is unset where the duration is zero.
func durationToProto(duration time.Duration) *durationpb.Duration {
	if duration == 0 {
		return nil
	}
	return durationpb.New(duration)
}

// durationFromProto is zero where it is unset, and 292 years where it is longer than that.
func durationFromProto(duration *durationpb.Duration) time.Duration { return duration.AsDuration() }

// timeFromProto is in UTC; the zero time where it is unset.
func timeFromProto(timestamp *timestamppb.Timestamp) time.Time {
	if timestamp == nil {
		return time.Time{}
	}
	return timestamp.AsTime()
}

func vectorFromProto(vector *pb.Vector) []float32 {
	encoded := vector.GetValues()
	if vector == nil {
		return nil
	}
	values := make([]float32, len(encoded)/4)
	for index := range values {
		values[index] = math.Float32frombits(binary.LittleEndian.Uint32(encoded[4*index:]))
	}
	return values
}

// mapped translates each item; nil where there are none.
func mapped[From, To any](items []From, translate func(From) To) []To {
	if len(items) == 0 {
		return nil
	}
	translated := make([]To, len(items))
	for index, item := range items {
		translated[index] = translate(item)
	}
	return translated
}
