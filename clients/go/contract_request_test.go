package adamem_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/adamem/adamem/clients/go"
	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// parse is a request of the list as a message of the protocol.
func parse(t *testing.T, request map[string]any, message proto.Message) {
	t.Helper()
	if err := protojson.Unmarshal(must(json.Marshal(withBytes(request)))(t), message); err != nil {
		t.Fatalf("%v: %v", request, err)
	}
}

// withBytes has vectors as bytes, as the JSON mapping has them.
func withBytes(value any) any {
	switch value := value.(type) {
	case []any:
		items := make([]any, len(value))
		for n, item := range value {
			items[n] = withBytes(item)
		}
		return items
	case map[string]any:
		fields := map[string]any{}
		for key, each := range value {
			if numbers, ok := each.([]any); ok && key == "vector" {
				var encoded []byte
				for _, each := range numbers {
					encoded = binary.LittleEndian.AppendUint32(encoded, math.Float32bits(float32(number(each))))
				}
				each = map[string]any{"values": base64.StdEncoding.EncodeToString(encoded)}
			}
			fields[key] = withBytes(each)
		}
		return fields
	}
	return value
}

// made is a request of the client with the fields that a message has set; those that options say are left out.
func made[Request any](t *testing.T, message proto.Message) Request {
	t.Helper()
	var request Request
	fill(t, reflect.ValueOf(&request).Elem(), message.ProtoReflect())
	return request
}

func fill(t *testing.T, target reflect.Value, message protoreflect.Message) {
	t.Helper()
	message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		page := target.FieldByName("Page")
		switch name := field.Name(); {
		case isMessage(field, &pb.Scope{}):
			fill(t, target, value.Message())
			return true
		case name == "page_size" && page.IsValid():
			page.FieldByName("Size").SetInt(value.Int())
			return true
		case name == "page_token" && page.IsValid():
			page.FieldByName("Token").SetString(value.String())
			return true
		}
		own := structField(target, field)
		switch {
		case own.IsValid():
			set(t, own, field, value)
		case field.Name() != "namespace" && field.Name() != "request_id" && field.Name() != "slot_id" && field.Name() != "job_id":
			t.Fatalf("%s has nothing for %s", target.Type(), field.FullName())
		}
		return true
	})
}

func set(t *testing.T, target reflect.Value, field protoreflect.FieldDescriptor, value protoreflect.Value) {
	t.Helper()
	if field.IsList() {
		list := value.List()
		items := reflect.MakeSlice(target.Type(), list.Len(), list.Len())
		for n := range list.Len() {
			setOne(t, items.Index(n), field, list.Get(n))
		}
		target.Set(items)
		return
	}
	if target.Kind() == reflect.Pointer {
		target.Set(reflect.New(target.Type().Elem()))
		target = target.Elem()
	}
	setOne(t, target, field, value)
}

func setOne(t *testing.T, target reflect.Value, field protoreflect.FieldDescriptor, value protoreflect.Value) {
	t.Helper()
	switch field.Kind() {
	case protoreflect.EnumKind:
		name := strings.TrimPrefix(string(field.Enum().Values().ByNumber(value.Enum()).Name()), enumPrefix(field))
		short := strings.ToLower(name)
		if field.Name() == "index_kind" {
			short = strings.ReplaceAll(short, "_", "-")
		}
		target.SetString(short)
		return
	case protoreflect.MessageKind:
		setMessage(t, target, value.Message())
		return
	}
	target.Set(reflect.ValueOf(value.Interface()).Convert(target.Type()))
}

func setMessage(t *testing.T, target reflect.Value, message protoreflect.Message) {
	t.Helper()
	switch own := message.Interface().(type) {
	case *timestamppb.Timestamp:
		target.Set(reflect.ValueOf(own.AsTime()))
	case *durationpb.Duration:
		target.Set(reflect.ValueOf(own.AsDuration()))
	case *structpb.Struct:
		target.Set(reflect.ValueOf(own.AsMap()))
	case *pb.Vector:
		numbers := make([]float32, len(own.GetValues())/4)
		for n := range numbers {
			numbers[n] = math.Float32frombits(binary.LittleEndian.Uint32(own.GetValues()[4*n:]))
		}
		target.Set(reflect.ValueOf(numbers))
	case *pb.Filter:
		target.Set(reflect.ValueOf(filterOf(t, own)))
	case *pb.Ranking:
		weights := adamem.Ranking{}
		message.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
			weights[string(field.Name())] = float32(value.Float())
			return true
		})
		target.Set(reflect.ValueOf(weights))
	default:
		fill(t, target, message)
	}
}

var contractOperators = map[pb.Operator]string{
	pb.Operator_OPERATOR_EQ: "$eq", pb.Operator_OPERATOR_NE: "$ne", pb.Operator_OPERATOR_LT: "$lt",
	pb.Operator_OPERATOR_LE: "$lte", pb.Operator_OPERATOR_GT: "$gt", pb.Operator_OPERATOR_GE: "$gte",
	pb.Operator_OPERATOR_IN: "$in", pb.Operator_OPERATOR_EXISTS: "$exists",
}

// filterOf is a filter as the client's map.
func filterOf(t *testing.T, message *pb.Filter) adamem.Filter {
	t.Helper()
	parts := func(list *pb.FilterList) []any {
		var all []any
		for _, each := range list.GetFilters() {
			all = append(all, filterOf(t, each))
		}
		return all
	}
	switch own := message.GetFilter().(type) {
	case *pb.Filter_All:
		return adamem.Filter{"$and": parts(own.All)}
	case *pb.Filter_Any:
		return adamem.Filter{"$or": parts(own.Any)}
	case *pb.Filter_Negated:
		return adamem.Filter{"$not": filterOf(t, own.Negated)}
	case *pb.Filter_Condition:
		var value any = true
		if own.Condition.GetValue() != nil {
			value = own.Condition.GetValue().AsInterface()
		}
		operation := map[string]any{contractOperators[own.Condition.GetOperator()]: value}
		return adamem.Filter{own.Condition.GetField(): operation}
	}
	return adamem.Filter{}
}
