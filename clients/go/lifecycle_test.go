package adamem_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/adamem/adamem/clients/go"
	"github.com/adamem/adamem/clients/go/internal/testserver"
)

func TestNamespaces(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	made := must(client.CreateNamespace(ctx, adamem.CreateNamespaceRequest{
		Name:            t.Name() + "/a",
		Description:     "of a test",
		Dim:             16,
		Metric:          adamem.MetricDot,
		IndexKind:       adamem.IndexQGCompact,
		IndexParams:     &adamem.IndexParams{EfSearch: 99},
		VectorType:      adamem.VectorFloat16,
		ExternalVectors: true,
		Duplicates:      &adamem.DuplicatePolicy{OnDuplicate: adamem.DuplicateSkip, Scope: []adamem.DuplicateScope{adamem.ScopeUserID}},
		DefaultTTL:      time.Hour,
		HistoryVersions: new(3),
		Supersede:       true,
	}))(t)
	if made.Dim != 16 || made.Metric != adamem.MetricDot || made.IndexKind != adamem.IndexQGCompact ||
		made.IndexParams.EfSearch != 99 || made.VectorType != adamem.VectorFloat16 || made.DefaultTTL != time.Hour ||
		made.HistoryVersions != 3 || !made.Supersede || made.Duplicates.OnDuplicate != adamem.DuplicateSkip ||
		len(made.Duplicates.Scope) != 1 || made.Duplicates.Scope[0] != adamem.ScopeUserID || made.CreatedAt.IsZero() {
		t.Fatalf("%+v", made)
	}
	if _, err := client.CreateNamespace(ctx, adamem.CreateNamespaceRequest{Name: made.Name}); !errors.Is(err, adamem.ErrNamespaceExists) {
		t.Fatal(err)
	}
	changed := must(client.UpdateNamespace(ctx, adamem.UpdateNamespaceRequest{
		Name: made.Name, Description: new("other"), EfSearch: new(50), Ranking: adamem.Ranking{"recency": 2},
		AdapterEnabled: new(false), DefaultTTL: new(time.Duration(0)), HistoryVersions: new(0), Supersede: new(false),
	}))(t)
	if changed.Description != "other" || changed.IndexParams.EfSearch != 50 || changed.Ranking["recency"] != 2 ||
		changed.AdapterEnabled || changed.DefaultTTL != 0 || changed.HistoryVersions != 0 || changed.Supersede {
		t.Fatalf("%+v", changed)
	}
	must(client.CreateNamespace(ctx, adamem.CreateNamespaceRequest{Name: t.Name() + "/b"}))(t)
	listed := collect(t, client.ListNamespaces(ctx, adamem.ListNamespacesRequest{Prefix: t.Name(), Page: adamem.PageOptions{Size: 1}}))
	if len(listed) != 2 || listed[1].Name != t.Name()+"/b" {
		t.Fatalf("%+v", listed)
	}
	must(client.DeleteNamespace(ctx, adamem.DeleteNamespaceRequest{Name: made.Name, Erase: true}))(t)
	if _, err := client.GetNamespace(ctx, adamem.InNamespace(made.Name)); !errors.Is(err, adamem.ErrNamespaceNotFound) {
		t.Fatal(err)
	}
	info := must(client.ServerInfo(ctx))(t)
	if info.Dim != 384 || info.Limits.MaxTopK != 1000 || info.Uptime <= 0 || info.DefaultNamespace != "global" {
		t.Fatalf("%+v", info)
	}
}

func TestJobs(t *testing.T) {
	ctx, client := timeout(t, time.Minute), connected(t)
	must(client.Update(ctx, adamem.SlotInput{Content: "something"}))(t)
	job := must(client.Lifecycle.Verify(ctx))(t)
	ended := must(client.Jobs.Wait(ctx, job.ID))(t)
	if ended.State != adamem.JobSucceeded || !ended.Ended() || ended.Result["n_slots"] != 1.0 || ended.Namespace != t.Name() {
		t.Fatalf("%+v", ended)
	}
	must(client.Jobs.Wait(ctx, must(client.Lifecycle.Compact(ctx))(t).ID))(t)
	must(client.Jobs.Wait(ctx, must(client.Lifecycle.CompactData(ctx))(t).ID))(t)
	if got := must(client.Jobs.Get(ctx, job.ID))(t); got.ID != job.ID {
		t.Fatalf("%+v", got)
	}
	if got := must(client.Jobs.Cancel(ctx, job.ID))(t); got.State != adamem.JobSucceeded {
		t.Fatalf("%+v", got)
	}
	listed := collect(t, client.Jobs.List(ctx, adamem.ListJobsRequest{
		Namespace: t.Name(), Kind: "verify", States: []adamem.JobState{adamem.JobSucceeded},
	}))
	if len(listed) == 0 || listed[0].ID != job.ID {
		t.Fatalf("%+v", listed)
	}
	if _, err := client.Jobs.Wait(ctx, "01HZZZZZZZZZZZZZZZZZZZZZZZ"); !errors.Is(err, adamem.ErrJobNotFound) {
		t.Fatal(err)
	}
	if _, err := client.Lifecycle.Reembed(ctx, adamem.ReembedRequest{Rollback: true}); !errors.Is(err, adamem.ErrFailedPrecondition) {
		t.Fatal(err)
	}
}

func TestConsolidation(t *testing.T) {
	ctx, client := timeout(t, time.Minute), connected(t)
	made := must(client.CreateNamespace(ctx, adamem.CreateNamespaceRequest{
		Name: t.Name(), Consolidation: &adamem.ConsolidationPolicy{MaxChars: new(500), Every: new(48 * time.Hour)},
	}))(t)
	if *made.Consolidation.MaxChars != 500 || *made.Consolidation.Every != 48*time.Hour || made.Consolidation.Method != adamem.ConsolidationAuto {
		t.Fatalf("%+v", made.Consolidation)
	}
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	var id string
	for n, text := range []string{
		"Ann moved to Riga in May with her dog", "Her new flat is near the central market", "She works at the harbour office now",
		"The harbour office pays for her Latvian course", "Her dog likes the park behind the market", "She will visit Oslo in December",
	} {
		id = must(client.Update(ctx, adamem.SlotInput{
			Content: text, Kind: adamem.KindMessage, ConversationID: "c1", CreatedAt: at.Add(time.Duration(n) * time.Minute),
		}))(t).SlotID
	}
	planned := collect(t, client.Lifecycle.PreviewConsolidation(ctx, adamem.ConsolidateRequest{Method: adamem.ConsolidationExtractive}))
	job := must(client.Lifecycle.Consolidate(ctx, adamem.ConsolidateRequest{Method: adamem.ConsolidationExtractive}))(t)
	ended := must(client.Jobs.Wait(ctx, job.ID))(t)
	if len(planned) != 1 || planned[0].MadeBy != "extractive" || len(planned[0].Sources) != 6 || ended.Result["n_summaries"] != 1.0 {
		t.Fatalf("%+v %+v", planned, ended)
	}
	slot := must(client.GetSlot(ctx, id))(t)
	summaries := collect(t, client.ListSlots(ctx, adamem.ListSlotsRequest{Filter: adamem.Filter{"sources": adamem.Filter{"$exists": true}}}))
	if len(summaries) != 1 || len(summaries[0].Sources) != 6 || len(slot.Summaries) != 1 || slot.Summaries[0] != summaries[0].ID {
		t.Fatalf("%+v %+v", slot, summaries)
	}
}

func TestReports(t *testing.T) {
	ctx, client := timeout(t, time.Minute), connected(t)
	id := must(client.Update(ctx, adamem.SlotInput{Content: "The token is ghp_0123456789abcdefghijABCDEFGHIJ012345"}))(t).SlotID
	report := must(client.Lifecycle.Report(ctx, adamem.ReportRequest{StaleDays: new(30), NExamples: new(2)}))(t)
	if report.Namespace != t.Name() || report.NSlots != 1 || report.StaleDays != 30 || report.CreatedAt.IsZero() ||
		len(report.Sizes) == 0 || report.DataFile.NBytes == 0 || len(report.Findings) != 1 {
		t.Fatalf("%+v", report)
	}
	if found := report.Findings[0]; found.Kind != adamem.FindingSecrets || found.N != 1 || found.Share != 1 ||
		found.Command == "" || len(found.Examples) != 1 || found.Examples[0].ID != id {
		t.Fatalf("%+v", found)
	}
	slots := collect(t, client.Lifecycle.FindingSlots(ctx, adamem.FindingSlotsRequest{Kind: adamem.FindingSecrets}))
	if len(slots) != 1 || slots[0].ID != id || slots[0].Note == "" {
		t.Fatalf("%+v", slots)
	}
	if _, err := client.Lifecycle.GetReport(ctx, "01HZZZZZZZZZZZZZZZZZZZZZZZ"); !errors.Is(err, adamem.ErrJobNotFound) {
		t.Fatal(err)
	}
}

func TestDuplicates(t *testing.T) {
	ctx, client := timeout(t, time.Minute), connected(t)
	kept := must(client.Update(ctx, adamem.SlotInput{Content: "The gate code is 4711"}))(t).SlotID
	must(client.Update(ctx, adamem.SlotInput{Content: "the gate code is 4711!"}))(t)
	for _, dry := range []bool{true, false} {
		job := must(client.Duplicates.Merge(ctx, adamem.MergeRequest{DryRun: dry}))(t)
		if ended := must(client.Jobs.Wait(ctx, job.ID))(t); ended.Result["n_duplicates"] != 1.0 {
			t.Fatalf("%+v", ended)
		}
		pairs := collect(t, client.Duplicates.Pairs(ctx, job.ID, adamem.PageOptions{}))
		if len(pairs) != 1 || pairs[0].SurvivorID != kept || pairs[0].Match != adamem.MatchExact || pairs[0].Survivor == nil {
			t.Fatalf("%+v", pairs)
		}
	}
	slot := must(client.GetSlot(ctx, kept))(t)
	absorbed := collect(t, client.Duplicates.Absorbed(ctx, kept, adamem.PageOptions{}))
	if len(slot.Absorbed) != 1 || len(absorbed) != 1 || absorbed[0].Slot.Content != "the gate code is 4711!" {
		t.Fatalf("%+v %+v", slot, absorbed)
	}
	undone := must(client.Duplicates.Undo(ctx, adamem.UndoRequest{SlotID: kept}))(t)
	if ended := must(client.Jobs.Wait(ctx, undone.ID))(t); ended.Result["n_restored"] != 1.0 {
		t.Fatalf("%+v", ended)
	}
	if _, err := client.Duplicates.Undo(ctx, adamem.UndoRequest{}); !errors.Is(err, adamem.ErrInvalidArgument) {
		t.Fatal(err)
	}
}

func TestHistoryAndSnapshots(t *testing.T) {
	ctx, client := timeout(t, time.Minute), connected(t)
	id := must(client.Update(ctx, adamem.SlotInput{Content: "The code is 1"}))(t).SlotID
	snapshot := must(client.Snapshots.Create(ctx, adamem.CreateSnapshotRequest{Name: "monday", Description: "first"}))(t)
	if snapshot.NSlots != 1 || snapshot.CreatedAt.IsZero() {
		t.Fatalf("%+v", snapshot)
	}
	if _, err := client.Snapshots.Create(ctx, adamem.CreateSnapshotRequest{Name: "monday"}); !errors.Is(err, adamem.ErrSnapshotExists) {
		t.Fatal(err)
	}
	must(client.Update(ctx, adamem.SlotInput{ID: id, Content: "The code is 2"}))(t)
	versions := collect(t, client.History.List(ctx, adamem.ListSlotVersionsRequest{SlotID: id, IncludeVectors: true}))
	if len(versions) != 2 || versions[0].Ending != adamem.EndingUpdated || versions[1].Ending != "" ||
		versions[0].Slot.Content != "The code is 1" || versions[0].Validity.To.IsZero() || len(versions[0].Slot.Vector) != 384 {
		t.Fatalf("%+v", versions)
	}
	diffs := collect(t, client.Snapshots.Diff(ctx, adamem.DiffSnapshotsRequest{Name: "monday"}))
	if len(diffs) != 1 || diffs[0].Kind != adamem.DiffChanged || diffs[0].Before.Content != "The code is 1" {
		t.Fatalf("%+v", diffs)
	}
	restored := must(client.History.Restore(ctx, adamem.RestoreSlotVersionRequest{SlotID: id, Version: 1}))(t)
	if restored.Slot.Content != "The code is 1" || restored.Created {
		t.Fatalf("%+v", restored)
	}
	if _, err := client.History.Restore(ctx, adamem.RestoreSlotVersionRequest{SlotID: id, Version: 99}); !errors.Is(err, adamem.ErrSlotVersionNotFound) {
		t.Fatal(err)
	}
	must(client.Update(ctx, adamem.SlotInput{Content: "another"}))(t)
	job := must(client.Jobs.Wait(ctx, must(client.Snapshots.Restore(ctx, "monday"))(t).ID))(t)
	if job.Result["n_removed"] != 1.0 {
		t.Fatalf("%+v", job)
	}
	must(client.Jobs.Wait(ctx, must(client.Snapshots.Clone(ctx, adamem.CloneNamespaceRequest{Target: t.Name() + "/copy"}))(t).ID))(t)
	if copied := must(client.GetSlot(ctx, id, adamem.InNamespace(t.Name()+"/copy")))(t); copied.Content != "The code is 1" {
		t.Fatalf("%+v", copied)
	}
	if names := collect(t, client.Snapshots.List(ctx, adamem.PageOptions{})); len(names) != 1 || names[0].Name != "monday" {
		t.Fatalf("%+v", names)
	}
	must(client.Snapshots.Delete(ctx, "monday"))(t)
	if _, err := client.Snapshots.Delete(ctx, "monday"); !errors.Is(err, adamem.ErrSnapshotNotFound) {
		t.Fatal(err)
	}
}

func TestNewerFactsSupersede(t *testing.T) {
	ctx, client := t.Context(), connected(t)
	must(client.CreateNamespace(ctx, adamem.CreateNamespaceRequest{Name: t.Name(), Supersede: true}))(t)
	cue, old := "Where does Ann live?", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	first := must(client.Update(ctx, adamem.SlotInput{Content: "Ann lives in Riga", Cue: cue, CreatedAt: old}))(t)
	second := must(client.Update(ctx, adamem.SlotInput{Content: "Ann lives in Oslo", Cue: cue, CreatedAt: old.AddDate(0, 2, 0)}))(t)
	now := must(client.Query(ctx, adamem.QueryRequest{Text: cue}))(t)
	then := must(client.Query(ctx, adamem.QueryRequest{Text: cue, AsOf: old.AddDate(0, 1, 0)}))(t)
	if len(now.Hits) != 1 || now.Hits[0].Slot.ID != second.SlotID || len(then.Hits) != 1 || then.Hits[0].Slot.ID != first.SlotID {
		t.Fatalf("%+v %+v", now, then)
	}
	if validity := must(client.GetSlot(ctx, first.SlotID))(t).Validity; validity == nil || validity.SupersededBy != second.SlotID {
		t.Fatalf("%+v", validity)
	}
}

func TestAdapter(t *testing.T) {
	ctx, client := timeout(t, time.Minute), connected(t)
	id := must(client.Update(ctx, adamem.SlotInput{Content: "Reimbursements go to Marta by the tenth"}))(t).SlotID
	taught := must(client.Feedback(ctx, adamem.FeedbackRequest{
		Text: "Who pays my taxi back?", HelpedSlotIDs: []string{id}, UnhelpfulSlotIDs: []string{"01HZZZZZZZZZZZZZZZZZZZZZZZ"},
	}))(t)
	if taught.NTaught != 1 || taught.NNotFound != 1 {
		t.Fatalf("%+v", taught)
	}
	status := must(client.TrainAdapter(ctx, adamem.TrainAdapterRequest{Wait: true}))(t)
	if status.NPairs != 1 || status.LastTraining == nil || status.LastTraining.Outcome != adamem.TrainingTooFewPairs {
		t.Fatalf("%+v", status)
	}
	if versions := must(client.ListAdapterVersions(ctx))(t); len(versions) != 0 {
		t.Fatalf("%+v", versions)
	}
	if _, err := client.RollbackAdapter(ctx, 7); !errors.Is(err, adamem.ErrAdapterVersionNotFound) {
		t.Fatal(err)
	}
	if status = must(client.GetAdapter(ctx))(t); !status.Enabled || status.Version != 0 {
		t.Fatalf("%+v", status)
	}
}

func TestPackages(t *testing.T) {
	ctx, client := timeout(t, time.Minute), connected(t)
	id := must(client.Update(ctx, adamem.SlotInput{Content: "The gate code is 4711"}))(t).SlotID
	var stages []string
	var file bytes.Buffer
	info := must(client.Packages.ExportNamespace(ctx, &file, adamem.ExportNamespaceRequest{
		Author: "ann", License: "CC-BY-4.0", Tags: []string{"house"}, Description: new("codes"),
		OnProgress: func(progress adamem.PackageProgress) { stages = append(stages, progress.Stage) },
	}))(t)
	if info.NSlots != 1 || info.Author != "ann" || info.Description != "codes" || info.NBytes != uint64(file.Len()) || len(stages) == 0 {
		t.Fatalf("%+v %v", info, stages)
	}
	imported := must(client.Packages.ImportNamespace(ctx, bytes.NewReader(file.Bytes()), adamem.ImportNamespaceRequest{
		Namespace: t.Name() + "/copy",
	}))(t)
	if imported.NCreated != 1 || imported.Package.PackageID != info.PackageID {
		t.Fatalf("%+v", imported)
	}
	if slot := must(client.GetSlot(ctx, id, adamem.InNamespace(t.Name()+"/copy")))(t); slot.Content != "The gate code is 4711" {
		t.Fatalf("%+v", slot)
	}
	path := filepath.Join(t.TempDir(), "blue.zip")
	must(client.Packages.ExportNamespaceFile(ctx, path, adamem.ExportNamespaceRequest{}))(t)
	_, err := client.Packages.ImportNamespaceFile(ctx, path, adamem.ImportNamespaceRequest{})
	if !errors.Is(err, adamem.ErrNamespaceExists) {
		t.Fatal(err)
	}
	merged := must(client.Packages.ImportNamespaceFile(ctx, path, adamem.ImportNamespaceRequest{Mode: adamem.ImportMerge}))(t)
	if merged.NKept != 1 {
		t.Fatalf("%+v", merged)
	}
	_, err = client.Packages.ImportNamespace(ctx, strings.NewReader(strings.Repeat("no package", 1<<20)), adamem.ImportNamespaceRequest{})
	if !errors.Is(err, adamem.ErrPackageInvalid) {
		t.Fatal(err)
	}
	_, err = client.Packages.ImportNamespace(ctx, failing{}, adamem.ImportNamespaceRequest{Namespace: "half"})
	if !errors.Is(err, fs.ErrClosed) {
		t.Fatal(err)
	}
	folder := t.TempDir()
	_, err = client.Packages.ExportNamespaceFile(ctx, filepath.Join(folder, "x.zip"), adamem.ExportNamespaceRequest{}, adamem.InNamespace("nowhere"))
	if !errors.Is(err, adamem.ErrNamespaceNotFound) {
		t.Fatal(err)
	}
	left(t, folder)
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, fs.ErrClosed }

func left(t *testing.T, folder string, names ...string) {
	t.Helper()
	entries := must(os.ReadDir(folder))(t)
	if len(entries) != len(names) {
		t.Fatalf("%v", entries)
	}
	for n, name := range names {
		if entries[n].Name() != name {
			t.Fatalf("%v", entries)
		}
	}
}

func TestBackups(t *testing.T) {
	ctx, client, folder := timeout(t, time.Minute), connected(t), t.TempDir()
	must(client.Update(ctx, adamem.SlotInput{Content: "something"}))(t)
	var nBytes uint64
	refused, cancel := context.WithCancel(ctx)
	cancel()
	saved := must(client.Backups.Save(ctx, filepath.Join(folder, "a"), adamem.SaveBackupRequest{
		OnProgress: func(n, total uint64) {
			// Another one to the same path fails meanwhile, and leaves this one alone.
			if _, err := client.Backups.Save(refused, filepath.Join(folder, "a"), adamem.SaveBackupRequest{}); err == nil {
				t.Error("it is whole already")
			}
			if nBytes = n; n > total {
				t.Errorf("%d of %d", n, total)
			}
		},
	}))(t)
	if saved.NBytes != nBytes || saved.NSlots == 0 || saved.NNamespaces == 0 || saved.CreatedAt.IsZero() || saved.ServerVersion == "" {
		t.Fatalf("%+v", saved)
	}
	left(t, filepath.Join(folder, "a"), "data.mdb", "manifest.json")
	single := must(client.Backups.Save(ctx, filepath.Join(folder, "b"), adamem.SaveBackupRequest{SingleFile: true}))(t)
	if size := must(os.Stat(single.Path))(t).Size(); uint64(size) <= single.NBytes {
		t.Fatal(size)
	}
	if _, err := client.Backups.Save(ctx, filepath.Join(folder, "b"), adamem.SaveBackupRequest{}); !errors.Is(err, fs.ErrExist) {
		t.Fatal(err)
	}
	left(t, folder, "a", "b")
	for _, path := range []string{"a", "b"} {
		if output, err := testserver.Command("verify", filepath.Join(folder, path)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
	}
}
