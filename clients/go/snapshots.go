package adamem

import (
	"context"
	"iter"
	"time"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// Snapshots are named states of namespaces. Making one is a small write; what changes behind it costs the space of its
// past.
type Snapshots struct {
	client *Client
	stub   pb.VersionServiceClient
}

// Snapshot is a named state of a namespace.
type Snapshot struct {
	// Name is unique in the namespace, Description free text.
	Name, Description string
	CreatedAt         time.Time
	// Sequence is the number of the newest change that it has.
	Sequence uint64
	// NSlots is how many slots there were, NBytes their size with their vectors.
	NSlots, NBytes uint64
}

func snapshotFromProto(m *pb.Snapshot) Snapshot {
	return Snapshot{
		Name:        m.GetName(),
		Description: m.GetDescription(),
		CreatedAt:   timeFromProto(m.GetCreatedAt()),
		Sequence:    m.GetSequence(),
		NSlots:      m.GetNSlots(),
		NBytes:      m.GetNBytes(),
	}
}

// DiffKind is how a slot differs between two states.
type DiffKind string

// The kinds of difference.
const (
	DiffAdded   DiffKind = "added"
	DiffChanged DiffKind = "changed"
	DiffRemoved DiffKind = "removed"
)

// SlotDiff is one slot that differs between two states of a namespace.
type SlotDiff struct {
	SlotID string
	Kind   DiffKind
	// Before is the slot in the state that was compared; nil: it was added. After is that in the state that it was compared
	// with; nil: it was removed.
	Before, After *Slot
}

func diffFromProto(m *pb.SlotDiff) SlotDiff {
	return SlotDiff{
		SlotID: m.GetSlotId(),
		Kind:   enumFrom[DiffKind](m.GetKind(), "DIFF_KIND_", pb.DiffKind_name),
		Before: slotOrNil(m.GetBefore()),
		After:  slotOrNil(m.GetAfter()),
	}
}

// CreateSnapshotRequest describes a new snapshot.
type CreateSnapshotRequest struct {
	// Name is 1 to 128 characters of A-Z a-z 0-9 . _ : / @ + -, the first a letter or a digit.
	Name string
	// Description is free text.
	Description string
}

// Create names the present state of a namespace. ErrSnapshotExists: it has one of this name.
func (s *Snapshots) Create(
	ctx context.Context, create CreateSnapshotRequest, options ...WriteOption,
) (Snapshot, error) {
	of := s.client.writing(options)
	response, err := mutate(ctx, s.client, s.stub.CreateSnapshot, &pb.CreateSnapshotRequest{
		Namespace: of.namespace, Name: create.Name, Description: create.Description, RequestId: of.requestID,
	})
	if err != nil {
		return Snapshot{}, err
	}
	return snapshotFromProto(response.GetSnapshot()), nil
}

// List are the snapshots of a namespace in the order of their names, fetched page by page.
func (s *Snapshots) List(
	ctx context.Context, from PageOptions, options ...NamespaceOption,
) iter.Seq2[Snapshot, error] {
	return pages(from, func(part PageOptions) (Page[Snapshot], error) { return s.ListPage(ctx, part, options...) })
}

// ListPage reads one page of List.
func (s *Snapshots) ListPage(
	ctx context.Context, part PageOptions, options ...NamespaceOption,
) (Page[Snapshot], error) {
	response, err := read(ctx, s.client, s.stub.ListSnapshots, &pb.ListSnapshotsRequest{
		Namespace: s.client.reading(options), PageSize: part.size(), PageToken: part.Token,
	})
	if err != nil {
		return Page[Snapshot]{}, err
	}
	return Page[Snapshot]{mapped(response.GetSnapshots(), snapshotFromProto), response.GetNextPageToken()}, nil
}

// DiffSnapshotsRequest says what is compared.
type DiffSnapshotsRequest struct {
	// Name of the snapshot that is compared; required.
	Name string
	// Other is the snapshot that it is compared with. Empty: the present state, which may change between pages.
	Other string
	// Page says which part.
	Page PageOptions
}

// Diff are the slots that differ between a snapshot and another state, in no particular order, fetched page by page.
func (s *Snapshots) Diff(
	ctx context.Context, diff DiffSnapshotsRequest, options ...NamespaceOption,
) iter.Seq2[SlotDiff, error] {
	return pages(diff.Page, func(part PageOptions) (Page[SlotDiff], error) {
		diff.Page = part
		return s.DiffPage(ctx, diff, options...)
	})
}

// DiffPage reads one page of Diff.
func (s *Snapshots) DiffPage(
	ctx context.Context, diff DiffSnapshotsRequest, options ...NamespaceOption,
) (Page[SlotDiff], error) {
	response, err := read(ctx, s.client, s.stub.DiffSnapshots, &pb.DiffSnapshotsRequest{
		Namespace: s.client.reading(options),
		Name:      diff.Name,
		Other:     diff.Other,
		PageSize:  diff.Page.size(),
		PageToken: diff.Page.Token,
	})
	if err != nil {
		return Page[SlotDiff]{}, err
	}
	return Page[SlotDiff]{mapped(response.GetDiffs(), diffFromProto), response.GetNextPageToken()}, nil
}

// Delete deletes a snapshot and what it alone held: how many former versions. Never repeated: it has no request id.
func (s *Snapshots) Delete(ctx context.Context, name string, options ...NamespaceOption) (uint64, error) {
	request := &pb.DeleteSnapshotRequest{Namespace: s.client.reading(options), Name: name}
	response, err := mutate(ctx, s.client, s.stub.DeleteSnapshot, request)
	if err != nil {
		return 0, err
	}
	return response.GetNVersions(), nil
}

// Restore starts a job that makes a namespace what it was, for all readers at once; what is there joins the history of its
// slots. The result has "n_added", "n_changed" and "n_removed" slots.
func (s *Snapshots) Restore(ctx context.Context, name string, options ...WriteOption) (Job, error) {
	of := s.client.writing(options)
	return started(mutate(ctx, s.client, s.stub.RestoreSnapshot, &pb.RestoreSnapshotRequest{
		Namespace: of.namespace, Name: name, RequestId: of.requestID,
	}))
}

// CloneNamespaceRequest says what is copied where.
type CloneNamespaceRequest struct {
	// Target is the name of the new namespace; required.
	Target string
	// Snapshot to copy. Empty: the state when the job begins.
	Snapshot string
}

// Clone starts a job that copies a namespace to a new one, which appears when it is whole. It gets the slots, vectors,
// adapter and properties, but neither the history nor the snapshots. ErrNamespaceExists: there is one of this name.
func (s *Snapshots) Clone(ctx context.Context, clone CloneNamespaceRequest, options ...WriteOption) (Job, error) {
	of := s.client.writing(options)
	return started(mutate(ctx, s.client, s.stub.CloneNamespace, &pb.CloneNamespaceRequest{
		Namespace: of.namespace, Target: clone.Target, Snapshot: clone.Snapshot, RequestId: of.requestID,
	}))
}
