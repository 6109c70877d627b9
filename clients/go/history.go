package adamem

import (
	"context"
	"iter"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// History is the former versions of slots. How many are kept is the namespace's: HistoryVersions.
type History struct {
	client *Client
	stub   pb.VersionServiceClient
}

// Ending is what ended a version of a slot.
type Ending string

// An update took its place, it was deleted, a newer fact took over, or an older version or a snapshot came back.
const (
	EndingUpdated    Ending = "updated"
	EndingDeleted    Ending = "deleted"
	EndingSuperseded Ending = "superseded"
	EndingRestored   Ending = "restored"
)

// SlotVersion is one state of a slot.
type SlotVersion struct {
	// Version counts the states of a slot from 1; the numbers of those that are not kept any more are missing.
	Version uint64
	// Slot as it was, or is.
	Slot Slot
	// Validity is when it was valid.
	Validity Validity
	// Ending is what ended it. Empty: nothing did, it is the present one.
	Ending Ending
}

func versionFromProto(m *pb.SlotVersion) SlotVersion {
	return SlotVersion{
		Version:  m.GetVersion(),
		Slot:     slotFromProto(m.GetSlot()),
		Validity: validityFromProto(m.GetValidity()),
		Ending:   enumFrom[Ending](m.GetEnding(), "SLOT_VERSION_ENDING_", pb.SlotVersionEnding_name),
	}
}

// ListSlotVersionsRequest says which versions are read.
type ListSlotVersionsRequest struct {
	// SlotID of a slot that is present, was superseded, or was deleted with KeepHistory; required.
	SlotID string
	// IncludeVectors returns the vectors too; those of another encoder are left out.
	IncludeVectors bool
	// Page says which part.
	Page PageOptions
}

// List are the versions of a slot that are kept, oldest first, the present one last, fetched page by page.
func (h *History) List(
	ctx context.Context, list ListSlotVersionsRequest, options ...NamespaceOption,
) iter.Seq2[SlotVersion, error] {
	return pages(list.Page, func(part PageOptions) (Page[SlotVersion], error) {
		list.Page = part
		return h.ListPage(ctx, list, options...)
	})
}

// ListPage reads one page of List.
func (h *History) ListPage(
	ctx context.Context, list ListSlotVersionsRequest, options ...NamespaceOption,
) (Page[SlotVersion], error) {
	response, err := read(ctx, h.client, h.stub.ListSlotVersions, &pb.ListSlotVersionsRequest{
		Namespace:      h.client.reading(options),
		SlotId:         list.SlotID,
		IncludeVectors: list.IncludeVectors,
		PageSize:       list.Page.size(),
		PageToken:      list.Page.Token,
	})
	if err != nil {
		return Page[SlotVersion]{}, err
	}
	return Page[SlotVersion]{mapped(response.GetVersions(), versionFromProto), response.GetNextPageToken()}, nil
}

// RestoreSlotVersionRequest names a former version.
type RestoreSlotVersionRequest struct {
	// SlotID of the slot; required.
	SlotID string
	// Version to bring back. Zero: the last former one.
	Version uint64
}

// RestoredSlot is a slot after an older version of it came back.
type RestoredSlot struct {
	// Slot as it is now.
	Slot Slot
	// Created tells that it was not present before.
	Created bool
	// Sequence is the namespace's journal sequence number after it.
	Sequence uint64
}

// Restore makes a former version of a slot the present one: what was changed, deleted with KeepHistory, or superseded.
// What was present joins the history. ErrSlotVersionNotFound: there is no such version, or it is not kept any more.
func (h *History) Restore(
	ctx context.Context, restore RestoreSlotVersionRequest, options ...WriteOption,
) (RestoredSlot, error) {
	of := h.client.writing(options)
	response, err := mutate(ctx, h.client, h.stub.RestoreSlotVersion, &pb.RestoreSlotVersionRequest{
		Namespace: of.namespace, SlotId: restore.SlotID, Version: restore.Version, RequestId: of.requestID,
	})
	if err != nil {
		return RestoredSlot{}, err
	}
	return RestoredSlot{slotFromProto(response.GetSlot()), response.GetCreated(), response.GetSequence()}, nil
}
