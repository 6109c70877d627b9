package adamem_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/adamem/adamem/clients/go"
	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// methods are all of the protocol, by full name.
func methods() map[string]protoreflect.MethodDescriptor {
	found := map[string]protoreflect.MethodDescriptor{}
	protoregistry.GlobalFiles.RangeFilesByPackage("adamem.v1", func(file protoreflect.FileDescriptor) bool {
		for n := range file.Services().Len() {
			service := file.Services().Get(n)
			for m := range service.Methods().Len() {
				method := service.Methods().Get(m)
				found[fmt.Sprintf("/%s/%s", service.FullName(), method.Name())] = method
			}
		}
		return true
	})
	return found
}

func last[T any](_ T, err error) error { return err }

// calls are calls of the client that carry out each method.
func calls(folder string) map[string]func(context.Context, *adamem.Client) error {
	first := func(n int) string { return filepath.Join(folder, fmt.Sprint("backup", n)) }
	nBackups := 0
	type call = func(context.Context, *adamem.Client) error
	return map[string]call{
		pb.MemoryService_Query_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Query(ctx, adamem.QueryRequest{Text: "x"}))
		},
		pb.MemoryService_Update_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Update(ctx, adamem.SlotInput{Content: "x"}))
		},
		pb.MemoryService_BatchUpdate_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.BatchUpdate(ctx, []adamem.SlotInput{{Content: "x"}}))
		},
		pb.MemoryService_BulkUpdate_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			slots := slices.Values([]adamem.SlotInput{{Content: "x"}, {Content: "y"}})
			result, err := c.BulkUpdate(ctx, slots, adamem.BulkOptions{BatchSize: 1})
			if err == nil && result.NCreated != 2 {
				return fmt.Errorf("%+v", result)
			}
			return err
		},
		pb.MemoryService_GetSlot_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.GetSlot(ctx, "x"))
		},
		pb.MemoryService_ListSlots_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.ListSlots(ctx, adamem.ListSlotsRequest{}))
		},
		pb.MemoryService_DeleteSlots_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.DeleteSlots(ctx, adamem.DeleteSlotsRequest{SlotIDs: []string{"x"}}))
		},
		pb.MemoryService_TouchSlots_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.TouchSlots(ctx, adamem.TouchSlotsRequest{SlotIDs: []string{"x"}}))
		},
		pb.MemoryService_Feedback_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Feedback(ctx, adamem.FeedbackRequest{Text: "x", HelpedSlotIDs: []string{"x"}}))
		},
		pb.AdminService_CreateNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.CreateNamespace(ctx, adamem.CreateNamespaceRequest{Name: "x"}))
		},
		pb.AdminService_GetNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.GetNamespace(ctx))
		},
		pb.AdminService_ListNamespaces_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.ListNamespaces(ctx, adamem.ListNamespacesRequest{}))
		},
		pb.AdminService_UpdateNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.UpdateNamespace(ctx, adamem.UpdateNamespaceRequest{Name: "x"}))
		},
		pb.AdminService_DeleteNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.DeleteNamespace(ctx, adamem.DeleteNamespaceRequest{Name: "x"}))
		},
		pb.AdminService_GetAdapter_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.GetAdapter(ctx))
		},
		pb.AdminService_ListAdapterVersions_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.ListAdapterVersions(ctx))
		},
		pb.AdminService_TrainAdapter_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.TrainAdapter(ctx, adamem.TrainAdapterRequest{}))
		},
		pb.AdminService_RollbackAdapter_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.RollbackAdapter(ctx, 0))
		},
		pb.AdminService_GetServerInfo_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.ServerInfo(ctx))
		},
		pb.JobService_GetJob_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Jobs.Get(ctx, "x"))
		},
		pb.JobService_ListJobs_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.Jobs.List(ctx, adamem.ListJobsRequest{States: []adamem.JobState{adamem.JobRunning}}))
		},
		pb.JobService_CancelJob_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Jobs.Cancel(ctx, "x"))
		},
		pb.JobService_WatchJob_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Jobs.Wait(ctx, "x"))
		},
		pb.LifecycleService_VerifyNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Lifecycle.Verify(ctx))
		},
		pb.LifecycleService_CompactNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Lifecycle.Compact(ctx))
		},
		pb.LifecycleService_CompactData_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Lifecycle.CompactData(ctx))
		},
		pb.LifecycleService_ReembedNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Lifecycle.Reembed(ctx, adamem.ReembedRequest{}))
		},
		pb.LifecycleService_ConsolidateNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Lifecycle.Consolidate(ctx, adamem.ConsolidateRequest{}))
		},
		pb.LifecycleService_PreviewConsolidation_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.Lifecycle.PreviewConsolidation(ctx, adamem.ConsolidateRequest{}))
		},
		pb.LifecycleService_ReportNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Lifecycle.StartReport(ctx, adamem.ReportRequest{}))
		},
		pb.LifecycleService_GetHealthReport_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Lifecycle.GetReport(ctx, "x"))
		},
		pb.LifecycleService_ListFindingSlots_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.Lifecycle.FindingSlots(ctx, adamem.FindingSlotsRequest{Kind: adamem.FindingStale}))
		},
		pb.LifecycleService_DeduplicateNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Duplicates.Merge(ctx, adamem.MergeRequest{DryRun: true}))
		},
		pb.LifecycleService_UndoDeduplication_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Duplicates.Undo(ctx, adamem.UndoRequest{SlotID: "x"}))
		},
		pb.LifecycleService_ListDuplicatePairs_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.Duplicates.Pairs(ctx, "x", adamem.PageOptions{}))
		},
		pb.LifecycleService_ListAbsorbedSlots_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.Duplicates.Absorbed(ctx, "x", adamem.PageOptions{}))
		},
		pb.ArchiveService_ArchiveNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Archive.Run(ctx, adamem.RunArchiveRequest{}))
		},
		pb.ArchiveService_RestoreArchived_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Archive.Restore(ctx, adamem.MarkRequest{SlotIDs: []string{"x"}}))
		},
		pb.ArchiveService_PinSlots_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Archive.Pin(ctx, adamem.MarkRequest{SlotIDs: []string{"x"}}))
		},
		pb.VersionService_ListSlotVersions_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.History.List(ctx, adamem.ListSlotVersionsRequest{SlotID: "x"}))
		},
		pb.VersionService_RestoreSlotVersion_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.History.Restore(ctx, adamem.RestoreSlotVersionRequest{SlotID: "x"}))
		},
		pb.VersionService_CreateSnapshot_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Snapshots.Create(ctx, adamem.CreateSnapshotRequest{Name: "x"}))
		},
		pb.VersionService_ListSnapshots_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.Snapshots.List(ctx, adamem.PageOptions{}))
		},
		pb.VersionService_DiffSnapshots_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return failed(c.Snapshots.Diff(ctx, adamem.DiffSnapshotsRequest{Name: "x"}))
		},
		pb.VersionService_DeleteSnapshot_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Snapshots.Delete(ctx, "x"))
		},
		pb.VersionService_RestoreSnapshot_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Snapshots.Restore(ctx, "x"))
		},
		pb.VersionService_CloneNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Snapshots.Clone(ctx, adamem.CloneNamespaceRequest{Target: "x"}))
		},
		pb.PackageService_ExportNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Packages.ExportNamespace(ctx, &bytes.Buffer{}, adamem.ExportNamespaceRequest{}))
		},
		pb.PackageService_ImportNamespace_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			return last(c.Packages.ImportNamespace(ctx, strings.NewReader("x"), adamem.ImportNamespaceRequest{}))
		},
		pb.BackupService_Backup_FullMethodName: func(ctx context.Context, c *adamem.Client) error {
			nBackups++
			return last(c.Backups.Save(ctx, first(nBackups), adamem.SaveBackupRequest{}))
		},
	}
}

func failed[T any](items func(func(T, error) bool)) error {
	for _, err := range items {
		if err != nil {
			return err
		}
	}
	return nil
}

// Each method of the protocol is carried out by a call of the client, once, and again after UNAVAILABLE exactly where that
// is safe: reads, and mutations with a request id. A new method fails here until the client has it.
func TestEveryMethodIsCoveredAndRepeatedOnlyWhereSafe(t *testing.T) {
	server := &stub{calls: map[string]int{}}
	client := connect(t, adamem.Config{Endpoint: serve(t, server.handle), MaxAttempts: 3})
	covered := calls(t.TempDir())
	known := methods()
	if names := slices.Sorted(maps.Keys(known)); !slices.Equal(names, slices.Sorted(maps.Keys(covered))) {
		for _, name := range names {
			if covered[name] == nil {
				t.Errorf("the client has no call of %s", name)
			}
		}
		t.Fatal("calls() and the protocol differ")
	}
	for name, call := range covered {
		server.nRefused = 0
		if err := call(t.Context(), client); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := server.counts(); !maps.Equal(got, map[string]int{name: 1}) {
			t.Errorf("%s was asked for, and called were %v", name, got)
		}
		server.nRefused = 2
		want := 1
		if repeatable(known[name]) {
			want = 3
		}
		err := call(t.Context(), client)
		if (err == nil) != (want == 3) || err != nil && !errors.Is(err, adamem.ErrShuttingDown) {
			t.Errorf("%s: %v", name, err)
		}
		if got := server.counts(); got[name] != want {
			t.Errorf("%s was sent %d times, not %d", name, got[name], want)
		}
	}
}

func repeatable(method protoreflect.MethodDescriptor) bool {
	if method.Input().Fields().ByName("request_id") != nil {
		return true
	}
	for _, prefix := range []string{"Get", "List", "Query", "Diff", "Watch", "Cancel"} {
		if strings.HasPrefix(string(method.Name()), prefix) {
			return true
		}
	}
	return false
}

func TestAMutationWithoutRequestIDIsNotRepeated(t *testing.T) {
	server := &stub{calls: map[string]int{}, nRefused: 1}
	client := connect(t, adamem.Config{Endpoint: serve(t, server.handle)})
	_, err := client.Update(t.Context(), adamem.SlotInput{Content: "x"}, adamem.WithRequestID(""))
	if !errors.Is(err, adamem.ErrUnavailable) {
		t.Fatal(err)
	}
	if got := server.counts()[pb.MemoryService_Update_FullMethodName]; got != 1 {
		t.Fatal(got)
	}
}
