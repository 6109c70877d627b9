package adamem_test

import (
	"bytes"
	"context"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/adamem/adamem/clients/go"
	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// replay carries out calls of the list through the client; files are packages by the names that cases give them.
type replay struct {
	client *adamem.Client
	files  map[string][]byte
}

// contractCall is a call of the list: its request is a message of the protocol, its answer the fields of the response.
type contractCall func(ctx context.Context, t *testing.T, c *adamem.Client, request proto.Message) (map[string]any, error)

func (r *replay) call(t *testing.T, name string, request map[string]any) (map[string]any, error) {
	t.Helper()
	ctx := t.Context()
	file, _ := request["file"].(string)
	delete(request, "file")
	switch name {
	case "ExportNamespace":
		message := &pb.ExportNamespaceRequest{}
		parse(t, request, message)
		var target bytes.Buffer
		export := made[adamem.ExportNamespaceRequest](t, message)
		_, err := r.client.Packages.ExportNamespace(ctx, &target, export, reading(message)...)
		r.files[file] = target.Bytes()
		return nil, err
	case "ImportNamespace":
		message := &pb.ImportOptions{}
		parse(t, request, message)
		how := made[adamem.ImportNamespaceRequest](t, message)
		result, err := r.client.Packages.ImportNamespace(ctx, bytes.NewReader(r.files[file]), how)
		return answer(t, "result", result, err, &pb.ImportResult{})
	}
	carryOut, known := contractCalls[name]
	if !known {
		t.Fatalf("no call %s", name)
	}
	message := requestOf(t, name)
	parse(t, request, message)
	return carryOut(ctx, t, r.client, message)
}

// requestOf is an empty request of a call.
func requestOf(t *testing.T, call string) proto.Message {
	t.Helper()
	name := protoreflect.FullName("adamem.v1." + call + "Request")
	return must(protoregistry.GlobalTypes.FindMessageByName(name))(t).New().Interface()
}

// text is a field of a request.
func text(message proto.Message, field protoreflect.Name) string {
	own := message.ProtoReflect()
	return own.Get(own.Descriptor().Fields().ByName(field)).String()
}

// reading and writing are the options that a request's namespace and request id come to.
func reading(message proto.Message) []adamem.NamespaceOption {
	return []adamem.NamespaceOption{adamem.InNamespace(text(message, "namespace"))}
}

func writing(message proto.Message) []adamem.WriteOption {
	return []adamem.WriteOption{adamem.InNamespace(text(message, "namespace")), identified(message)}
}

func identified(message proto.Message) adamem.RequestIDOption {
	return adamem.WithRequestID(text(message, "request_id"))
}

// answer has the value as one field of the response; whole has it as the response.
func answer(t *testing.T, field string, value any, err error, message proto.Message) (map[string]any, error) {
	t.Helper()
	if err != nil {
		return nil, err
	}
	return map[string]any{field: canonical(t, value, message)}, nil
}

func whole(t *testing.T, value any, err error, message proto.Message) (map[string]any, error) {
	t.Helper()
	if err != nil {
		return nil, err
	}
	return canonical(t, value, message), nil
}

func list[T any](t *testing.T, items []T, message proto.Message) []any {
	t.Helper()
	told := make([]any, len(items))
	for n, item := range items {
		told[n] = canonical(t, item, message)
	}
	return told
}

func page[T any](
	t *testing.T, field string, got adamem.Page[T], err error, message proto.Message,
) (map[string]any, error) {
	t.Helper()
	if err != nil {
		return nil, err
	}
	return map[string]any{field: list(t, got.Items, message), "next_page_token": got.NextPageToken}, nil
}

func job(t *testing.T, started adamem.Job, err error) (map[string]any, error) {
	t.Helper()
	return answer(t, "job", started, err, &pb.Job{})
}

var contractCalls = map[string]contractCall{
	"Query": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		result, err := c.Query(ctx, made[adamem.QueryRequest](t, m))
		return whole(t, result, err, &pb.QueryResponse{})
	},
	"Update": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		slot := made[adamem.SlotInput](t, m.(*pb.UpdateRequest).GetSlot())
		result, err := c.Update(ctx, slot, writing(m)...)
		if err != nil {
			return nil, err
		}
		told := canonical(t, result, &pb.UpdateResult{})
		return map[string]any{"result": told, "sequence": float64(result.Sequence)}, nil
	},
	"BatchUpdate": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		results, err := c.BatchUpdate(ctx, slots(t, m.(*pb.BatchUpdateRequest).GetSlots()), writing(m)...)
		if err != nil {
			return nil, err
		}
		told := list(t, results, &pb.UpdateResult{})
		return map[string]any{"results": told, "sequence": float64(results[0].Sequence)}, nil
	},
	"BulkUpdate": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		items := slices.Values(slots(t, m.(*pb.BulkUpdateRequest).GetSlots()))
		result, err := c.BulkUpdate(ctx, items, adamem.BulkOptions{}, reading(m)...)
		if err != nil {
			return nil, err
		}
		failures := []any{}
		for _, each := range result.Failures {
			failures = append(failures, map[string]any{
				"index": float64(each.Index), "error": canonicalError(t, each.Err),
			})
		}
		return map[string]any{
			"n_items": float64(result.NItems), "n_created": float64(result.NCreated),
			"n_replaced": float64(result.NReplaced), "n_failed": float64(result.NFailed),
			"n_duplicates": float64(result.NDuplicates), "sequence": float64(result.Sequence), "failures": failures,
		}, nil
	},
	"GetSlot": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		options := []adamem.GetSlotOption{adamem.InNamespace(text(m, "namespace"))}
		if m.(*pb.GetSlotRequest).GetIncludeVector() {
			options = append(options, adamem.WithVector())
		}
		slot, err := c.GetSlot(ctx, text(m, "slot_id"), options...)
		if err != nil {
			return nil, err
		}
		summaries := []any{}
		for _, each := range slot.Summaries {
			summaries = append(summaries, each)
		}
		return map[string]any{
			"slot":      canonical(t, slot, &pb.Slot{}),
			"absorbed":  list(t, slot.Absorbed, &pb.AbsorbedSlot{}),
			"summaries": summaries,
		}, nil
	},
	"ListSlots": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.ListSlotsPage(ctx, made[adamem.ListSlotsRequest](t, m), reading(m)...)
		return page(t, "slots", got, err, &pb.Slot{})
	},
	"DeleteSlots": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		result, err := c.DeleteSlots(ctx, made[adamem.DeleteSlotsRequest](t, m), writing(m)...)
		return whole(t, result, err, &pb.DeleteSlotsResponse{})
	},
	"TouchSlots": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		result, err := c.TouchSlots(ctx, made[adamem.TouchSlotsRequest](t, m), writing(m)...)
		return whole(t, result, err, &pb.TouchSlotsResponse{})
	},
	"Feedback": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		result, err := c.Feedback(ctx, made[adamem.FeedbackRequest](t, m), writing(m)...)
		return whole(t, result, err, &pb.FeedbackResponse{})
	},
	"CreateNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		made, err := c.CreateNamespace(ctx, made[adamem.CreateNamespaceRequest](t, m), identified(m))
		return answer(t, "namespace", made, err, &pb.Namespace{})
	},
	"GetNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.GetNamespace(ctx, adamem.InNamespace(text(m, "name")))
		return answer(t, "namespace", got, err, &pb.Namespace{})
	},
	"ListNamespaces": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.ListNamespacesPage(ctx, made[adamem.ListNamespacesRequest](t, m))
		return page(t, "namespaces", got, err, &pb.Namespace{})
	},
	"UpdateNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		changed, err := c.UpdateNamespace(ctx, made[adamem.UpdateNamespaceRequest](t, m))
		return answer(t, "namespace", changed, err, &pb.Namespace{})
	},
	"DeleteNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		result, err := c.DeleteNamespace(ctx, made[adamem.DeleteNamespaceRequest](t, m))
		return whole(t, result, err, &pb.DeleteNamespaceResponse{})
	},
	"GetAdapter": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.GetAdapter(ctx, reading(m)...)
		return answer(t, "adapter", got, err, &pb.AdapterStatus{})
	},
	"ListAdapterVersions": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		versions, err := c.ListAdapterVersions(ctx, reading(m)...)
		return map[string]any{"versions": list(t, versions, &pb.AdapterVersion{})}, err
	},
	"TrainAdapter": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.TrainAdapter(ctx, made[adamem.TrainAdapterRequest](t, m), reading(m)...)
		return answer(t, "adapter", got, err, &pb.AdapterStatus{})
	},
	"RollbackAdapter": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.RollbackAdapter(ctx, int(m.(*pb.RollbackAdapterRequest).GetVersion()), reading(m)...)
		return answer(t, "adapter", got, err, &pb.AdapterStatus{})
	},
	"GetServerInfo": func(ctx context.Context, t *testing.T, c *adamem.Client, _ proto.Message) (map[string]any, error) {
		info, err := c.ServerInfo(ctx)
		return whole(t, info, err, &pb.GetServerInfoResponse{})
	},
	"VerifyNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Lifecycle.Verify(ctx, writing(m)...)
		return job(t, started, err)
	},
	"CompactNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Lifecycle.Compact(ctx, writing(m)...)
		return job(t, started, err)
	},
	"ReembedNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Lifecycle.Reembed(ctx, made[adamem.ReembedRequest](t, m), writing(m)...)
		return job(t, started, err)
	},
	"CompactData": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Lifecycle.CompactData(ctx, identified(m))
		return job(t, started, err)
	},
	"ConsolidateNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Lifecycle.Consolidate(ctx, made[adamem.ConsolidateRequest](t, m), writing(m)...)
		return job(t, started, err)
	},
	"PreviewConsolidation": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		summaries := []any{}
		how := made[adamem.ConsolidateRequest](t, m)
		for planned, err := range c.Lifecycle.PreviewConsolidation(ctx, how, reading(m)...) {
			if err != nil {
				return nil, err
			}
			summaries = append(summaries, canonical(t, planned, &pb.PlannedSummary{}))
		}
		return map[string]any{"summaries": summaries}, nil
	},
	"ReportNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Lifecycle.StartReport(ctx, made[adamem.ReportRequest](t, m), writing(m)...)
		return job(t, started, err)
	},
	"GetHealthReport": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		report, err := c.Lifecycle.GetReport(ctx, text(m, "job_id"))
		return answer(t, "report", report, err, &pb.HealthReport{})
	},
	"ListFindingSlots": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.Lifecycle.FindingSlotsPage(ctx, made[adamem.FindingSlotsRequest](t, m), reading(m)...)
		return page(t, "slots", got, err, &pb.FindingExample{})
	},
	"DeduplicateNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Duplicates.Merge(ctx, made[adamem.MergeRequest](t, m), writing(m)...)
		return job(t, started, err)
	},
	"UndoDeduplication": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Duplicates.Undo(ctx, made[adamem.UndoRequest](t, m), writing(m)...)
		return job(t, started, err)
	},
	"ListDuplicatePairs": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		part := made[paged](t, m).Page
		got, err := c.Duplicates.PairsPage(ctx, text(m, "job_id"), part, reading(m)...)
		return page(t, "pairs", got, err, &pb.DuplicatePair{})
	},
	"ListAbsorbedSlots": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		part := made[paged](t, m).Page
		got, err := c.Duplicates.AbsorbedPage(ctx, text(m, "slot_id"), part, reading(m)...)
		return page(t, "absorbed", got, err, &pb.AbsorbedSlot{})
	},
	"ArchiveNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Archive.Run(ctx, made[adamem.RunArchiveRequest](t, m), writing(m)...)
		return job(t, started, err)
	},
	"RestoreArchived": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		result, err := c.Archive.Restore(ctx, made[adamem.MarkRequest](t, m), writing(m)...)
		return whole(t, result, err, &pb.RestoreArchivedResponse{})
	},
	"PinSlots": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		pin := c.Archive.Pin
		if m.(*pb.PinSlotsRequest).GetUnpin() {
			pin = c.Archive.Unpin
			m.(*pb.PinSlotsRequest).Unpin = false
		}
		result, err := pin(ctx, made[adamem.MarkRequest](t, m), writing(m)...)
		return whole(t, result, err, &pb.PinSlotsResponse{})
	},
	"ListSlotVersions": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.History.ListPage(ctx, made[adamem.ListSlotVersionsRequest](t, m), reading(m)...)
		return page(t, "versions", got, err, &pb.SlotVersion{})
	},
	"RestoreSlotVersion": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		restored, err := c.History.Restore(ctx, made[adamem.RestoreSlotVersionRequest](t, m), writing(m)...)
		return whole(t, restored, err, &pb.RestoreSlotVersionResponse{})
	},
	"CreateSnapshot": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		snapshot, err := c.Snapshots.Create(ctx, made[adamem.CreateSnapshotRequest](t, m), writing(m)...)
		return answer(t, "snapshot", snapshot, err, &pb.Snapshot{})
	},
	"ListSnapshots": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.Snapshots.ListPage(ctx, made[paged](t, m).Page, reading(m)...)
		return page(t, "snapshots", got, err, &pb.Snapshot{})
	},
	"DiffSnapshots": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.Snapshots.DiffPage(ctx, made[adamem.DiffSnapshotsRequest](t, m), reading(m)...)
		return page(t, "diffs", got, err, &pb.SlotDiff{})
	},
	"DeleteSnapshot": func(ctx context.Context, _ *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		nVersions, err := c.Snapshots.Delete(ctx, text(m, "name"), reading(m)...)
		return map[string]any{"n_versions": float64(nVersions)}, err
	},
	"RestoreSnapshot": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Snapshots.Restore(ctx, text(m, "name"), writing(m)...)
		return job(t, started, err)
	},
	"CloneNamespace": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		started, err := c.Snapshots.Clone(ctx, made[adamem.CloneNamespaceRequest](t, m), writing(m)...)
		return job(t, started, err)
	},
	"GetJob": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.Jobs.Get(ctx, text(m, "job_id"))
		return job(t, got, err)
	},
	"ListJobs": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.Jobs.ListPage(ctx, made[adamem.ListJobsRequest](t, m))
		return page(t, "jobs", got, err, &pb.Job{})
	},
	"CancelJob": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		got, err := c.Jobs.Cancel(ctx, text(m, "job_id"))
		return job(t, got, err)
	},
	"WatchJob": func(ctx context.Context, t *testing.T, c *adamem.Client, m proto.Message) (map[string]any, error) {
		var last adamem.Job
		for told, err := range c.Jobs.Watch(ctx, text(m, "job_id")) {
			if err != nil {
				return nil, err
			}
			last = told
		}
		return job(t, last, nil)
	},
}

// paged is a request of which only the page is left when its ids and namespace are told apart.
type paged struct{ Page adamem.PageOptions }

func slots(t *testing.T, inputs []*pb.SlotInput) []adamem.SlotInput {
	t.Helper()
	items := make([]adamem.SlotInput, len(inputs))
	for n, input := range inputs {
		items[n] = made[adamem.SlotInput](t, input)
	}
	return items
}
