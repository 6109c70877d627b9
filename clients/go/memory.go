package adamem

import (
	"context"
	"iter"
	"time"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// UpdateResult says what became of a slot.
type UpdateResult struct {
	// SlotID is the id of the slot stored; empty where it failed.
	SlotID string
	// Created is true for a new slot, false for one that was replaced.
	Created bool
	// Sequence is the namespace's journal sequence number after the write.
	Sequence uint64
	// DuplicateOf is the slot there already that stands for this one, as the namespace's policy says; or empty.
	DuplicateOf string
	// Err says why this item of a batch was not stored; an *Error. Nil: it was.
	Err error
}

// Update stores one slot. When it returns, the slot is on disk and can be found. The namespace is created when it is
// missing, unless the server is set not to.
func (c *Client) Update(ctx context.Context, slot SlotInput, options ...WriteOption) (UpdateResult, error) {
	var check checks
	to := c.writing(options)
	request := &pb.UpdateRequest{Namespace: to.namespace, Slot: check.slot(slot), RequestId: to.requestID}
	if check.err != nil {
		return UpdateResult{}, check.err
	}
	response, err := mutate(ctx, c, c.memory.Update, request)
	if err != nil {
		return UpdateResult{}, err
	}
	return updateResultFromProto(response.GetResult(), response.GetSequence()), nil
}

// BatchUpdate stores many slots in one call and one transaction; each item succeeds or fails by itself. For more than some
// hundred use [Client.BulkWriter].
//
// It returns one result for each item, in order. An error means that nothing was stored.
func (c *Client) BatchUpdate(ctx context.Context, slots []SlotInput, options ...WriteOption) ([]UpdateResult, error) {
	to := c.writing(options)
	request := &pb.BatchUpdateRequest{Namespace: to.namespace, RequestId: to.requestID}
	for index, slot := range slots {
		var check checks
		request.Slots = append(request.Slots, check.slot(slot))
		if check.err != nil {
			return nil, itemError(index, check.err)
		}
	}
	response, err := mutate(ctx, c, c.memory.BatchUpdate, request)
	if err != nil {
		return nil, err
	}
	return mapped(response.GetResults(), func(m *pb.UpdateResult) UpdateResult {
		return updateResultFromProto(m, response.GetSequence())
	}), nil
}

func updateResultFromProto(m *pb.UpdateResult, sequence uint64) UpdateResult {
	result := UpdateResult{
		SlotID: m.GetSlotId(), Created: m.GetCreated(), Sequence: sequence, DuplicateOf: m.GetDuplicateOf(),
	}
	if m.GetStatus() != nil {
		result.Err = errorFromStatus(m.GetStatus())
	}
	return result
}

// GetSlot reads one slot, also one that is archived, or that a newer fact superseded. ErrSlotNotFound and ErrNamespaceNotFound say what is
// missing.
func (c *Client) GetSlot(ctx context.Context, slotID string, options ...GetSlotOption) (Slot, error) {
	of := scope{namespace: c.namespace}
	for _, option := range options {
		option.applyGet(&of)
	}
	response, err := read(ctx, c, c.memory.GetSlot, &pb.GetSlotRequest{
		Namespace: of.namespace, SlotId: slotID, IncludeVector: of.vector,
	})
	if err != nil {
		return Slot{}, err
	}
	slot := slotFromProto(response.GetSlot())
	slot.Summaries = response.GetSummaries()
	slot.Absorbed = mapped(response.GetAbsorbed(), absorbedFromProto)
	return slot, nil
}

// ListSlotsRequest says which slots are read.
type ListSlotsRequest struct {
	// Filter is a condition that every slot meets. Empty: all.
	Filter Filter
	// IncludeVectors returns their vectors too.
	IncludeVectors bool
	// Archived says which slots are meant. Empty: those that are not archived.
	Archived ArchivedSlots
	// Page says which part.
	Page PageOptions
}

// ListSlots are the slots of a namespace in the order in which they were first stored, fetched page by page.
func (c *Client) ListSlots(
	ctx context.Context, list ListSlotsRequest, options ...NamespaceOption,
) iter.Seq2[Slot, error] {
	return pages(list.Page, func(part PageOptions) (Page[Slot], error) {
		list.Page = part
		return c.ListSlotsPage(ctx, list, options...)
	})
}

// ListSlotsPage reads one page of ListSlots.
func (c *Client) ListSlotsPage(
	ctx context.Context, list ListSlotsRequest, options ...NamespaceOption,
) (Page[Slot], error) {
	var check checks
	request := &pb.ListSlotsRequest{
		Namespace:      c.reading(options),
		Filter:         check.filter(list.Filter),
		PageSize:       list.Page.size(),
		PageToken:      list.Page.Token,
		IncludeVectors: list.IncludeVectors,
		Archived:       check.archived(list.Archived),
	}
	if check.err != nil {
		return Page[Slot]{}, check.err
	}
	response, err := read(ctx, c, c.memory.ListSlots, request)
	if err != nil {
		return Page[Slot]{}, err
	}
	return Page[Slot]{mapped(response.GetSlots(), slotFromProto), response.GetNextPageToken()}, nil
}

// DeleteSlotsRequest names slots to delete: exactly one of SlotIDs and Filter is given.
type DeleteSlotsRequest struct {
	// SlotIDs to delete; unknown ones are counted, not an error.
	SlotIDs []string
	// Filter deletes every slot that passes it.
	Filter Filter
	// KeepHistory keeps them for History.Restore, until they expire; not with Erase. Else their history goes too, but for
	// what snapshots hold.
	KeepHistory bool
	// Erase waits until no byte of the slots is left in the files of the data directory: a pass over all of it, some
	// seconds for a gigabyte. The server forgets the requests that stored them: one that is sent again stores them again.
	Erase bool
}

// DeleteSlotsResult says what a deletion did.
type DeleteSlotsResult struct {
	// NDeleted is how many slots were deleted, NNotFound how many ids are unknown.
	NDeleted, NNotFound uint64
	// Sequence is the namespace's journal sequence number after it.
	Sequence uint64
	// Receipt says what was left.
	Receipt DeletionReceipt
}

// DeletionReceipt says what a deletion left.
type DeletionReceipt struct {
	// Structures are the tables, indexes and files that records of the namespace are in. Without Erase those alone whose
	// count is known without reading. What others write meanwhile shows in them too.
	Structures []StructureCount
	// ErasedAt is when no byte of what was deleted was left in the files of the data directory. Zero: the bytes remain until
	// the pages that they are on are used again.
	ErasedAt time.Time
	// NBytesErased are bytes that were overwritten: of this deletion, and what others before it had left.
	NBytesErased uint64
}

// StructureCount is how many records a namespace had in a structure before a deletion, and has after it.
type StructureCount struct {
	Name            string
	NBefore, NAfter uint64
}

func receiptFromProto(m *pb.DeletionReceipt) DeletionReceipt {
	return DeletionReceipt{
		Structures: mapped(m.GetStructures(), func(each *pb.StructureCount) StructureCount {
			return StructureCount{each.GetName(), each.GetNBefore(), each.GetNAfter()}
		}),
		ErasedAt:     timeFromProto(m.GetErasedAt()),
		NBytesErased: m.GetNBytesErased(),
	}
}

// chosen translates what names slots: ids, or a filter that is not empty, since that would be all of them.
func (c *checks) chosen(ids []string, condition Filter) *pb.Filter {
	switch {
	case (ids == nil) == (condition == nil):
		c.fail("slot_ids", "exactly one of SlotIDs and Filter is expected")
	case ids != nil && len(ids) == 0:
		c.fail("slot_ids", "holds no id")
	case condition != nil && len(condition) == 0:
		c.fail("filter", "is empty")
	}
	return c.filter(condition)
}

// DeleteSlots deletes slots by id, or all that pass a filter; also superseded and archived ones.
func (c *Client) DeleteSlots(
	ctx context.Context, which DeleteSlotsRequest, options ...WriteOption,
) (DeleteSlotsResult, error) {
	var check checks
	of := c.writing(options)
	request := &pb.DeleteSlotsRequest{
		Namespace:   of.namespace,
		SlotIds:     which.SlotIDs,
		Filter:      check.chosen(which.SlotIDs, which.Filter),
		RequestId:   of.requestID,
		Erase:       which.Erase,
		KeepHistory: which.KeepHistory,
	}
	if check.err != nil {
		return DeleteSlotsResult{}, check.err
	}
	response, err := mutate(ctx, c, c.memory.DeleteSlots, request)
	if err != nil {
		return DeleteSlotsResult{}, err
	}
	return DeleteSlotsResult{
		NDeleted:  response.GetNDeleted(),
		NNotFound: response.GetNNotFound(),
		Sequence:  response.GetSequence(),
		Receipt:   receiptFromProto(response.GetReceipt()),
	}, nil
}

// TouchSlotsRequest renews slots: exactly one of SlotIDs and Filter is given. With none of ExpiresAt, TTL and NoExpiry
// each slot that expires does so again after the time to live that it was given, else after the namespace's.
type TouchSlotsRequest struct {
	// SlotIDs to renew; unknown and expired ones are counted, not an error.
	SlotIDs []string
	// Filter renews every slot that passes it.
	Filter Filter
	// ExpiresAt is a time in the future.
	ExpiresAt time.Time
	// TTL is the time from now, and what later renewals go by.
	TTL time.Duration
	// NoExpiry says that they never expire.
	NoExpiry bool
}

// TouchSlotsResult says what became of a renewal.
type TouchSlotsResult struct {
	// NTouched is how many slots expire at another time now.
	NTouched uint64
	// NUnchanged is how many had nothing to renew, or nothing to renew it by.
	NUnchanged uint64
	// NNotFound is how many ids are unknown, or of slots that have expired.
	NNotFound uint64
	// Sequence is the namespace's journal sequence number after it.
	Sequence uint64
}

// TouchSlots changes when slots expire, by id or all that pass a filter, and nothing else of them. What has expired stays
// so.
func (c *Client) TouchSlots(
	ctx context.Context, which TouchSlotsRequest, options ...WriteOption,
) (TouchSlotsResult, error) {
	var check checks
	of := c.writing(options)
	request := &pb.TouchSlotsRequest{
		Namespace: of.namespace,
		SlotIds:   which.SlotIDs,
		Filter:    check.chosen(which.SlotIDs, which.Filter),
		RequestId: of.requestID,
	}
	if check.oneExpiry(which.ExpiresAt, which.TTL, which.NoExpiry) {
		switch {
		case which.NoExpiry:
			request.Expiry = &pb.TouchSlotsRequest_NoExpiry{NoExpiry: true}
		case which.TTL != 0:
			request.Expiry = &pb.TouchSlotsRequest_Ttl{Ttl: durationToProto(which.TTL)}
		default:
			request.Expiry = &pb.TouchSlotsRequest_ExpiresAt{ExpiresAt: check.time(which.ExpiresAt, "expires_at")}
		}
	}
	if check.err != nil {
		return TouchSlotsResult{}, check.err
	}
	response, err := mutate(ctx, c, c.memory.TouchSlots, request)
	if err != nil {
		return TouchSlotsResult{}, err
	}
	return TouchSlotsResult{
		NTouched:   response.GetNTouched(),
		NUnchanged: response.GetNUnchanged(),
		NNotFound:  response.GetNNotFound(),
		Sequence:   response.GetSequence(),
	}, nil
}

// FeedbackRequest tells which slots helped with a question and which did not. At least one is named, and none twice.
type FeedbackRequest struct {
	// Text is the question, as it was or would be asked.
	Text string
	// HelpedSlotIDs are slots that answer it. Unknown ones are counted, not an error.
	HelpedSlotIDs []string
	// UnhelpfulSlotIDs are slots that were found and do not answer it.
	UnhelpfulSlotIDs []string
}

// FeedbackResult says how many slots the question was joined with, and how many of the ids did not exist.
type FeedbackResult struct {
	NTaught, NNotFound int
}

// Feedback tells which slots helped with a question and which did not; the namespace learns from it in the background.
func (c *Client) Feedback(
	ctx context.Context, feedback FeedbackRequest, options ...WriteOption,
) (FeedbackResult, error) {
	of := c.writing(options)
	response, err := mutate(ctx, c, c.memory.Feedback, &pb.FeedbackRequest{
		Namespace:        of.namespace,
		Text:             feedback.Text,
		HelpedSlotIds:    feedback.HelpedSlotIDs,
		UnhelpfulSlotIds: feedback.UnhelpfulSlotIDs,
		RequestId:        of.requestID,
	})
	if err != nil {
		return FeedbackResult{}, err
	}
	return FeedbackResult{int(response.GetNTaught()), int(response.GetNNotFound())}, nil
}
