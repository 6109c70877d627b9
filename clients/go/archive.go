package adamem

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// Archive keeps a namespace within the limits of its [ArchivePolicy], and brings back what was archived. An archived slot is
// stored whole, in no index and in no answer of a query that does not ask for it.
type Archive struct {
	client *Client
	stub   pb.ArchiveServiceClient
}

// ArchivedSlots says which slots are listed.
type ArchivedSlots string

// Those that are not archived, all, or those that are.
const (
	ArchivedExclude ArchivedSlots = "exclude"
	ArchivedInclude ArchivedSlots = "include"
	ArchivedOnly    ArchivedSlots = "only"
)

// ArchivePolicy is what a namespace keeps found: what falls under its limits is archived, the least important first. What
// counts is the importance left of a slot's own: it decays since the slot was last used or written, the more slowly the
// more often it was used. What is left out stays as it is.
type ArchivePolicy struct {
	// MaxSlots is the most slots that are not archived; where there are more, a twentieth less is kept. Zero: no limit, as
	// of a new namespace.
	MaxSlots *uint64
	// MaxBytes is the most bytes of them with their vectors, likewise; up to 2**53. Zero: no limit, as of a new namespace.
	MaxBytes *uint64
	// MinImportance is the least importance left, 0 to 1. Zero: no limit, as of a new namespace.
	MinImportance *float64
	// HalfLife is the time after which the importance of a slot that was never used is halved; of a new namespace 30 days.
	// Zero: it does not decay.
	HalfLife *time.Duration
}

func (c *checks) archived(which ArchivedSlots) pb.ArchivedSlots {
	return enum[pb.ArchivedSlots](c, which, "ARCHIVED_SLOTS_", "archived", pb.ArchivedSlots_value)
}

func archivePolicyToProto(policy *ArchivePolicy) *pb.ArchivePolicy {
	if policy == nil {
		return nil
	}
	m := &pb.ArchivePolicy{MaxSlots: policy.MaxSlots, MaxBytes: policy.MaxBytes, MinImportance: policy.MinImportance}
	if policy.HalfLife != nil {
		m.HalfLife = durationpb.New(*policy.HalfLife)
	}
	return m
}

func archivePolicyFromProto(m *pb.ArchivePolicy) ArchivePolicy {
	return ArchivePolicy{
		MaxSlots:      new(m.GetMaxSlots()),
		MaxBytes:      new(m.GetMaxBytes()),
		MinImportance: new(m.GetMinImportance()),
		HalfLife:      new(durationFromProto(m.GetHalfLife())),
	}
}

// RunArchiveRequest says how slots are archived.
type RunArchiveRequest struct {
	// DryRun changes nothing; the result tells what would be archived.
	DryRun bool
}

// Run starts a job that archives what falls under the limits of a namespace; the server does so by itself from time to
// time. ErrFailedPrecondition: it has no limits. ErrJobRunning: it is being archived from.
//
// The result has "n_slots" and "n_bytes" that were not archived before it, "n_archived" and "archived_bytes" of them,
// "n_pinned", "limits_met" (false: pinned slots are too many) and "slots", the first 100 that were archived, each with its
// "id" and the "importance" that was left of its own.
func (a *Archive) Run(ctx context.Context, run RunArchiveRequest, options ...WriteOption) (Job, error) {
	of := a.client.writing(options)
	return started(mutate(ctx, a.client, a.stub.ArchiveNamespace, &pb.ArchiveNamespaceRequest{
		Namespace: of.namespace, DryRun: run.DryRun, RequestId: of.requestID,
	}))
}

// MarkRequest names slots to restore, pin or unpin: exactly one of SlotIDs and Filter is given.
type MarkRequest struct {
	// SlotIDs are counted where they are unknown; that is no error.
	SlotIDs []string
	// Filter names every slot that passes it: to restore, those that are archived; to pin, archived ones too.
	Filter Filter
}

// MarkResult says what became of slots that were restored, pinned or unpinned.
type MarkResult struct {
	// NChanged is how many slots are so now.
	NChanged uint64
	// NUnchanged is how many were so already.
	NUnchanged uint64
	// NNotFound is how many ids are unknown, or of slots that have expired.
	NNotFound uint64
	// Sequence is the namespace's journal sequence number after it.
	Sequence uint64
}

// Restore lets archived slots be found again. That counts as a use: they are not what is archived next.
func (a *Archive) Restore(ctx context.Context, which MarkRequest, options ...WriteOption) (MarkResult, error) {
	var check checks
	of := a.client.writing(options)
	request := &pb.RestoreArchivedRequest{
		Namespace: of.namespace,
		SlotIds:   which.SlotIDs,
		Filter:    check.chosen(which.SlotIDs, which.Filter),
		RequestId: of.requestID,
	}
	if check.err != nil {
		return MarkResult{}, check.err
	}
	return marked(mutate(ctx, a.client, a.stub.RestoreArchived, request))
}

// Pin lets slots never be archived; one that is archived already stays so.
func (a *Archive) Pin(ctx context.Context, which MarkRequest, options ...WriteOption) (MarkResult, error) {
	return a.pin(ctx, which, false, options)
}

// Unpin lets pinned slots be archived again.
func (a *Archive) Unpin(ctx context.Context, which MarkRequest, options ...WriteOption) (MarkResult, error) {
	return a.pin(ctx, which, true, options)
}

func (a *Archive) pin(
	ctx context.Context, which MarkRequest, unpin bool, options []WriteOption,
) (MarkResult, error) {
	var check checks
	of := a.client.writing(options)
	request := &pb.PinSlotsRequest{
		Namespace: of.namespace,
		SlotIds:   which.SlotIDs,
		Filter:    check.chosen(which.SlotIDs, which.Filter),
		Unpin:     unpin,
		RequestId: of.requestID,
	}
	if check.err != nil {
		return MarkResult{}, check.err
	}
	return marked(mutate(ctx, a.client, a.stub.PinSlots, request))
}

// marks are the answers of RestoreArchived and PinSlots.
type marks interface {
	GetNChanged() uint64
	GetNUnchanged() uint64
	GetNNotFound() uint64
	GetSequence() uint64
}

func marked[M marks](response M, err error) (MarkResult, error) {
	if err != nil {
		return MarkResult{}, err
	}
	return MarkResult{
		response.GetNChanged(), response.GetNUnchanged(), response.GetNNotFound(), response.GetSequence(),
	}, nil
}
