package adamem_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/adamem/adamem/clients/go"
)

func slotIDs(slots []adamem.Slot) []string {
	var ids []string
	for _, slot := range slots {
		ids = append(ids, slot.ID)
	}
	return ids
}

// found are the ids of a query's hits, sorted: two that are made within a millisecond have no order of time.
func found(result adamem.QueryResult) []string {
	var ids []string
	for _, hit := range result.Hits {
		ids = append(ids, hit.Slot.ID)
	}
	return sorted(ids)
}

func sorted(ids []string) []string { return slices.Sorted(slices.Values(ids)) }

func TestArchive(t *testing.T) {
	ctx, client := timeout(t, time.Minute), connected(t)
	made := must(client.CreateNamespace(ctx, adamem.CreateNamespaceRequest{
		Name: t.Name(), Archive: &adamem.ArchivePolicy{MaxSlots: new(uint64(3)), HalfLife: new(time.Hour)},
	}))(t)
	if *made.Archive.MaxSlots != 3 || *made.Archive.MaxBytes != 0 || *made.Archive.MinImportance != 0 || *made.Archive.HalfLife != time.Hour {
		t.Fatalf("%+v", made.Archive)
	}
	var ids []string
	for n := range 5 {
		ids = append(ids, must(client.Update(ctx, adamem.SlotInput{
			Content: fmt.Sprint("Ann likes tea number ", n), Importance: new(float32(n) / 10),
		}))(t).SlotID)
	}

	told := must(client.Jobs.Wait(ctx, must(client.Archive.Run(ctx, adamem.RunArchiveRequest{DryRun: true}))(t).ID))(t)
	first, _ := told.Result["slots"].([]any)[0].(map[string]any)
	if told.Kind != "archive" || told.Result["n_archived"] != 2.0 || first["id"] != ids[0] {
		t.Fatalf("%+v", told)
	}
	if left := must(client.GetNamespace(ctx))(t); left.NArchived != 0 {
		t.Fatalf("%+v", left)
	}
	once := adamem.WithRequestID("once")
	job := must(client.Archive.Run(ctx, adamem.RunArchiveRequest{}, once))(t)
	if ended := must(client.Jobs.Wait(ctx, job.ID))(t); ended.Result["n_archived"] != 2.0 || ended.Result["limits_met"] != true {
		t.Fatalf("%+v", ended)
	}
	if again := must(client.Archive.Run(ctx, adamem.RunArchiveRequest{}, once))(t); again.ID != job.ID {
		t.Fatalf("%+v", again)
	}
	described := must(client.GetNamespace(ctx))(t)
	if described.NSlots != 5 || described.NArchived != 2 || described.ArchivedBytes == 0 || described.ArchivedBytes >= described.NBytes {
		t.Fatalf("%+v", described)
	}

	for which, want := range map[adamem.ArchivedSlots][]string{
		"": ids[2:], adamem.ArchivedExclude: ids[2:], adamem.ArchivedInclude: ids, adamem.ArchivedOnly: ids[:2],
	} {
		list := adamem.ListSlotsRequest{Archived: which, Page: adamem.PageOptions{Size: 1}}
		if got := slotIDs(collect(t, client.ListSlots(ctx, list))); !slices.Equal(got, want) {
			t.Fatalf("%q: %v, not %v", which, got, want)
		}
	}
	if got := found(must(client.Query(ctx, adamem.QueryRequest{Text: "tea", TopK: 9}))(t)); !slices.Equal(got, sorted(ids[2:])) {
		t.Fatal(got)
	}
	all := adamem.QueryRequest{Text: "tea", TopK: 9, IncludeArchived: true}
	if got := found(must(client.Query(ctx, all))(t)); !slices.Equal(got, sorted(ids)) {
		t.Fatal(got)
	}
	if slot := must(client.GetSlot(ctx, ids[0]))(t); slot.ArchivedAt.IsZero() {
		t.Fatalf("%+v", slot)
	}

	restored := must(client.Archive.Restore(ctx, adamem.MarkRequest{
		SlotIDs: []string{ids[0], ids[4], "01HZZZZZZZZZZZZZZZZZZZZZZZ"},
	}))(t)
	if restored.NChanged != 1 || restored.NUnchanged != 1 || restored.NNotFound != 1 || restored.Sequence <= described.Sequence {
		t.Fatalf("%+v", restored)
	}
	if slot := must(client.GetSlot(ctx, ids[0]))(t); !slot.ArchivedAt.IsZero() {
		t.Fatalf("%+v", slot)
	}
	restored = must(client.Archive.Restore(ctx, adamem.MarkRequest{Filter: adamem.Filter{"kind": "fact"}}))(t)
	if restored.NChanged != 1 {
		t.Fatalf("%+v", restored)
	}
	if _, err := client.Archive.Run(ctx, adamem.RunArchiveRequest{}, adamem.InNamespace("nowhere")); !errors.Is(err, adamem.ErrNamespaceNotFound) {
		t.Fatal(err)
	}
}

func TestPinnedSlotsStay(t *testing.T) {
	ctx, client := timeout(t, time.Minute), connected(t)
	pinned := must(client.Update(ctx, adamem.SlotInput{Content: "Ann is allergic to nuts", Importance: new(float32(0)), Pinned: true}))(t).SlotID
	other := must(client.Update(ctx, adamem.SlotInput{Content: "Ann likes tea", Importance: new(float32(0.5))}))(t).SlotID
	least := must(client.Update(ctx, adamem.SlotInput{Content: "Ann saw rain", Importance: new(float32(0.1))}))(t).SlotID
	if _, err := client.Archive.Run(ctx, adamem.RunArchiveRequest{}); !errors.Is(err, adamem.ErrFailedPrecondition) {
		t.Fatal("it has no limits:", err)
	}
	if slot := must(client.GetSlot(ctx, pinned))(t); !slot.Pinned {
		t.Fatalf("%+v", slot)
	}
	if marked := must(client.Archive.Pin(ctx, adamem.MarkRequest{SlotIDs: []string{pinned, least}}))(t); marked.NChanged != 1 || marked.NUnchanged != 1 {
		t.Fatalf("%+v", marked)
	}
	marked := must(client.Archive.Unpin(ctx, adamem.MarkRequest{Filter: adamem.Filter{"importance": adamem.Filter{"$gt": 0.05}}}))(t)
	if slot := must(client.GetSlot(ctx, least))(t); marked.NChanged != 1 || marked.NUnchanged != 1 || slot.Pinned {
		t.Fatalf("%+v %+v", marked, slot)
	}

	set := func(policy adamem.ArchivePolicy) adamem.Namespace {
		t.Helper()
		return must(client.UpdateNamespace(ctx, adamem.UpdateNamespaceRequest{Name: t.Name(), Archive: &policy}))(t)
	}
	set(adamem.ArchivePolicy{MinImportance: new(0.3), MaxBytes: new(uint64(1 << 40))})
	changed := set(adamem.ArchivePolicy{HalfLife: new(time.Duration(0))})
	if policy := changed.Archive; *policy.MinImportance != 0.3 || *policy.MaxBytes != 1<<40 || *policy.HalfLife != 0 || *policy.MaxSlots != 0 {
		t.Fatalf("%+v", policy)
	}
	ended := must(client.Jobs.Wait(ctx, must(client.Archive.Run(ctx, adamem.RunArchiveRequest{}))(t).ID))(t)
	if ended.Result["n_archived"] != 1.0 || ended.Result["n_pinned"] != 1.0 {
		t.Fatalf("%+v", ended)
	}
	if got := slotIDs(collect(t, client.ListSlots(ctx, adamem.ListSlotsRequest{}))); !slices.Equal(got, []string{pinned, other}) {
		t.Fatal(got)
	}

	for field, policy := range map[string]adamem.ArchivePolicy{
		"archive.max_bytes":      {MaxBytes: new(uint64(1 << 60))},
		"archive.min_importance": {MinImportance: new(1.5)},
		"archive.half_life":      {HalfLife: new(-time.Second)},
	} {
		_, err := client.UpdateNamespace(ctx, adamem.UpdateNamespaceRequest{Name: t.Name(), Archive: &policy})
		var failure *adamem.Error
		if !errors.As(err, &failure) || !errors.Is(err, adamem.ErrInvalidArgument) || failure.Violations[0].Field != field {
			t.Errorf("%s: %#v", field, err)
		}
	}
}
