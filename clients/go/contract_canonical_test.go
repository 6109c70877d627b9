package adamem_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/code"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/adamem/adamem/clients/go"
	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// goNames are fields of the client's types whose names are not those of the protocol in Go's spelling.
var goNames = map[protoreflect.FullName]string{
	"adamem.v1.Validity.valid_from": "From",
	"adamem.v1.Validity.valid_to":   "To",
	"adamem.v1.UpdateResult.status": "Err",
	"adamem.v1.Job.error":           "Err",
}

// canonicalError is the form in which errors are compared.
func canonicalError(t *testing.T, err error) map[string]any {
	t.Helper()
	var failure *adamem.Error
	if !errors.As(err, &failure) {
		t.Fatalf("%v is no *adamem.Error", err)
	}
	fields, metadata := []any{}, map[string]any{}
	for _, each := range failure.Violations {
		fields = append(fields, each.Field)
	}
	for key, value := range failure.Metadata {
		metadata[key] = value
	}
	return map[string]any{
		"code": code.Code(failure.Code).String(), "reason": failure.Reason, "fields": fields, "metadata": metadata,
	}
}

// canonical is a value of the client as the JSON of the message that it stands for. A field of the protocol that the client's
// type has nothing for is an error.
func canonical(t *testing.T, value any, message protoreflect.ProtoMessage) map[string]any {
	t.Helper()
	return fieldsOf(t, reflect.ValueOf(value), message.ProtoReflect().Descriptor())
}

func fieldsOf(t *testing.T, value reflect.Value, message protoreflect.MessageDescriptor) map[string]any {
	t.Helper()
	found := map[string]any{}
	for n := range message.Fields().Len() {
		field := message.Fields().Get(n)
		if isMessage(field, &pb.Scope{}) {
			found["scope"] = fieldsOf(t, value, field.Message())
			continue
		}
		own := structField(value, field)
		if !own.IsValid() {
			t.Fatalf("%s has nothing for %s", value.Type(), field.FullName())
		}
		if told := valueOf(t, own, field); told != nil {
			found[string(field.Name())] = told
		}
	}
	return found
}

// structField is the field of a struct that stands for one of a message; in Quality of an adapter, where it has one.
func structField(value reflect.Value, field protoreflect.FieldDescriptor) reflect.Value {
	name := goNames[field.FullName()]
	if name == "" {
		name = strings.ReplaceAll(string(field.Name()), "_", "")
	}
	same := func(other string) bool { return strings.EqualFold(other, name) }
	if own := value.FieldByNameFunc(same); own.IsValid() {
		return own
	}
	if quality := value.FieldByName("Quality"); quality.IsValid() {
		return quality.FieldByNameFunc(same)
	}
	return reflect.Value{}
}

// valueOf is a field's value as JSON; nil where it is not set.
func valueOf(t *testing.T, value reflect.Value, field protoreflect.FieldDescriptor) any {
	t.Helper()
	if value.Kind() == reflect.Pointer || value.Kind() == reflect.Interface {
		if value.IsNil() {
			return nil
		}
		if err, ok := value.Interface().(error); ok {
			return canonicalError(t, err)
		}
		return valueOf(t, value.Elem(), field)
	}
	switch own := value.Interface().(type) {
	case time.Time:
		if own.IsZero() {
			return nil
		}
		return jsonOf(t, timestamppb.New(own))
	case time.Duration:
		return jsonOf(t, durationpb.New(own))
	case []byte:
		return base64.StdEncoding.EncodeToString(own)
	}
	switch {
	case field.IsMap(), isMessage(field, &structpb.Struct{}), isMessage(field, &pb.Ranking{}):
		return objectOf(t, value)
	case field.Kind() == protoreflect.EnumKind && value.Kind() == reflect.String:
		return enumName(value.String(), field)
	}
	switch value.Kind() {
	case reflect.Slice:
		items := make([]any, value.Len())
		for n := range items {
			items[n] = valueOf(t, value.Index(n), field)
		}
		if isMessage(field, &pb.Vector{}) && value.IsNil() {
			return nil
		}
		return items
	case reflect.Struct:
		return fieldsOf(t, value, field.Message())
	}
	return scalar(t, value)
}

func scalar(t *testing.T, value reflect.Value) any {
	t.Helper()
	switch {
	case value.Kind() == reflect.String:
		return value.String()
	case value.Kind() == reflect.Bool:
		return value.Bool()
	case value.CanInt():
		return float64(value.Int())
	case value.CanUint():
		return float64(value.Uint())
	case value.Kind() == reflect.Float32:
		// The shortest number that is the same as float32.
		shortest, _ := strconv.ParseFloat(strconv.FormatFloat(value.Float(), 'g', -1, 32), 64)
		return shortest
	case value.Kind() == reflect.Float64:
		return value.Float()
	}
	t.Fatalf("%s is no scalar", value.Type())
	return nil
}

// objectOf is a map of the client as encoding/json has it.
func objectOf(t *testing.T, value reflect.Value) any {
	t.Helper()
	var object any
	if err := json.Unmarshal(must(json.Marshal(value.Interface()))(t), &object); err != nil {
		t.Fatal(err)
	}
	return object
}

func enumName(short string, field protoreflect.FieldDescriptor) any {
	if short == "" {
		return nil
	}
	return enumPrefix(field) + strings.ToUpper(strings.ReplaceAll(short, "-", "_"))
}

func enumPrefix(field protoreflect.FieldDescriptor) string {
	return strings.TrimSuffix(string(field.Enum().Values().ByNumber(0).Name()), "UNSPECIFIED")
}

func isMessage(field protoreflect.FieldDescriptor, message proto.Message) bool {
	return field.Kind() == protoreflect.MessageKind &&
		field.Message().FullName() == message.ProtoReflect().Descriptor().FullName()
}

// jsonOf is the JSON mapping of a time or a duration, which is a text.
func jsonOf(t *testing.T, message proto.Message) string {
	t.Helper()
	var text string
	if err := json.Unmarshal(must(protojson.Marshal(message))(t), &text); err != nil {
		t.Fatal(err)
	}
	return text
}
