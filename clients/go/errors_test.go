package adamem

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// Each reason that the Python client has a class for has a sentinel here.
func TestEveryReasonHasASentinel(t *testing.T) {
	source, err := os.ReadFile("../python/src/adamem/errors.py")
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	ast.Inspect(file, func(node ast.Node) bool {
		call, ok := node.(*ast.CallExpr)
		if !ok {
			return true
		}
		switch name, _ := call.Fun.(*ast.Ident); {
		case name == nil:
		case name.Name == "ofReason":
			known[strings.Trim(call.Args[0].(*ast.BasicLit).Value, `"`)] = true
		case name.Name == "ofCode":
			known[strings.ToUpper(call.Args[0].(*ast.SelectorExpr).Sel.Name)] = true
		}
		return true
	})
	reasons := regexp.MustCompile(`default_reason(?:: \S+)? = "([A-Z_]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(reasons) < 30 {
		t.Fatal(reasons)
	}
	known["UNKNOWN"], known["DATA_CORRUPT"] = true, true // Of the parent of all, and of DATALOSS.
	for _, reason := range reasons {
		if !known[reason[1]] && !known[strings.ReplaceAll(reason[1], "_", "")] {
			t.Errorf("%s has no sentinel", reason[1])
		}
	}
}

func TestAnErrorOfTheStatusAlone(t *testing.T) {
	err := error(errorFromRPC(status.Error(codes.PermissionDenied, "a proxy says no")))
	var failure *Error
	if !errors.As(err, &failure) || failure.Reason != "PERMISSION_DENIED" || status.Code(err) != codes.PermissionDenied ||
		err.Error() != "adamem: PERMISSION_DENIED: a proxy says no" {
		t.Fatalf("%#v", err)
	}
	described := &spb.Status{Code: int32(codes.NotFound), Details: []*anypb.Any{{TypeUrl: "type.googleapis.com/of.tomorrow"}}}
	if err := errorFromStatus(described); !errors.Is(err, ErrNotFound) || errors.Is(err, ErrSlotNotFound) {
		t.Fatal(err)
	}
}

func TestAnEnumOfTomorrow(t *testing.T) {
	if kind := enumFrom[SlotKind](int32(99), "SLOT_KIND_", map[int32]string{}); kind != unknown {
		t.Fatal(kind)
	}
	var check checks
	enum[int32](&check, SlotKind(unknown), "SLOT_KIND_", "kind", map[string]int32{"SLOT_KIND_FACT": 1})
	if check.err == nil || !strings.Contains(check.err.Error(), `"unknown" is none of fact`) {
		t.Fatal(check.err)
	}
}
