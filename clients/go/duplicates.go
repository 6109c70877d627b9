package adamem

import (
	"context"
	"iter"
	"time"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// Duplicates are merged, listed and brought back. What is long is a job, which [Jobs] watches.
type Duplicates struct {
	client *Client
	stub   pb.LifecycleServiceClient
}

// DuplicateAction is what a write does with a duplicate.
type DuplicateAction string

// It is stored too, left out, or absorbed by the stored one.
const (
	DuplicateKeep  DuplicateAction = "keep"
	DuplicateSkip  DuplicateAction = "skip"
	DuplicateMerge DuplicateAction = "merge"
)

// RecalledAction is what a write does with what a query returned within the last ten minutes.
type RecalledAction string

// It is stored with a mark, or left out.
const (
	RecalledMark RecalledAction = "mark"
	RecalledSkip RecalledAction = "skip"
)

// DuplicateScope is something that must agree between duplicates; the protocol says how source and time do.
type DuplicateScope string

// The scopes.
const (
	ScopeNamespace      DuplicateScope = "namespace"
	ScopeUserID         DuplicateScope = "user_id"
	ScopeAgentID        DuplicateScope = "agent_id"
	ScopeConversationID DuplicateScope = "conversation_id"
	ScopeKind           DuplicateScope = "kind"
	ScopeRole           DuplicateScope = "role"
	ScopeSource         DuplicateScope = "source"
	ScopeTime           DuplicateScope = "time"
)

// DuplicateMatch is how much two slots are alike.
type DuplicateMatch string

// Equal up to case, punctuation and white space, or up to a few words besides.
const (
	MatchExact DuplicateMatch = "exact"
	MatchNear  DuplicateMatch = "near"
)

// DuplicatePolicy is what a namespace does with duplicates on write, and which slots are some. What is left out stays as
// it is.
type DuplicatePolicy struct {
	// OnDuplicate is what happens to a duplicate; a new namespace keeps it.
	OnDuplicate DuplicateAction
	// OnRecalled is what happens to what a query returned shortly before; a new namespace marks it.
	OnRecalled RecalledAction
	// Threshold is the least cosine of near duplicates, 0 to 1; of a new namespace 0.7.
	Threshold *float32
	// Scope is what must agree; of a new namespace everything.
	Scope []DuplicateScope
}

func (c *checks) policy(policy *DuplicatePolicy) *pb.DuplicatePolicy {
	if policy == nil {
		return nil
	}
	return &pb.DuplicatePolicy{
		OnDuplicate: enum[pb.DuplicateAction](
			c, policy.OnDuplicate, "DUPLICATE_ACTION_", "duplicates.on_duplicate", pb.DuplicateAction_value),
		OnRecalled: enum[pb.RecalledAction](
			c, policy.OnRecalled, "RECALLED_ACTION_", "duplicates.on_recalled", pb.RecalledAction_value),
		Threshold: policy.Threshold,
		Scope:     c.scopes(policy.Scope, "duplicates.scope"),
	}
}

func (c *checks) scopes(scopes []DuplicateScope, field string) []pb.DuplicateScope {
	return mapped(scopes, func(scope DuplicateScope) pb.DuplicateScope {
		return enum[pb.DuplicateScope](c, scope, "DUPLICATE_SCOPE_", field, pb.DuplicateScope_value)
	})
}

func policyFromProto(m *pb.DuplicatePolicy) DuplicatePolicy {
	policy := DuplicatePolicy{
		OnDuplicate: enumFrom[DuplicateAction](m.GetOnDuplicate(), "DUPLICATE_ACTION_", pb.DuplicateAction_name),
		OnRecalled:  enumFrom[RecalledAction](m.GetOnRecalled(), "RECALLED_ACTION_", pb.RecalledAction_name),
		Scope: mapped(m.GetScope(), func(scope pb.DuplicateScope) DuplicateScope {
			return enumFrom[DuplicateScope](scope, "DUPLICATE_SCOPE_", pb.DuplicateScope_name)
		}),
	}
	if m != nil {
		policy.Threshold = m.Threshold
	}
	return policy
}

// AbsorbedSlot is a duplicate that another slot absorbed, as it was.
type AbsorbedSlot struct {
	Slot Slot
	// Match with the survivor.
	Match DuplicateMatch
	// Similarity is the cosine of both vectors, -1 to 1.
	Similarity float32
	// JobID of the job that merged them. Empty: a write did.
	JobID      string
	AbsorbedAt time.Time
}

func absorbedFromProto(m *pb.AbsorbedSlot) AbsorbedSlot {
	return AbsorbedSlot{
		Slot:       slotFromProto(m.GetSlot()),
		Match:      enumFrom[DuplicateMatch](m.GetMatch(), "DUPLICATE_MATCH_", pb.DuplicateMatch_name),
		Similarity: m.GetSimilarity(),
		JobID:      m.GetJobId(),
		AbsorbedAt: timeFromProto(m.GetAbsorbedAt()),
	}
}

// DuplicatePair are two slots that a job merged, or would merge.
type DuplicatePair struct {
	// SurvivorID absorbs DuplicateID.
	SurvivorID, DuplicateID string
	Match                   DuplicateMatch
	// Similarity is the cosine of their vectors, -1 to 1.
	Similarity float32
	// Survivor as it is, Duplicate as it is or was. Nil: it was deleted since.
	Survivor, Duplicate *Slot
}

func pairFromProto(m *pb.DuplicatePair) DuplicatePair {
	return DuplicatePair{
		SurvivorID:  m.GetSurvivorId(),
		DuplicateID: m.GetDuplicateId(),
		Match:       enumFrom[DuplicateMatch](m.GetMatch(), "DUPLICATE_MATCH_", pb.DuplicateMatch_name),
		Similarity:  m.GetSimilarity(),
		Survivor:    slotOrNil(m.GetSurvivor()),
		Duplicate:   slotOrNil(m.GetDuplicate()),
	}
}

// MergeRequest says what is merged.
type MergeRequest struct {
	// DryRun lists what would be merged and changes nothing.
	DryRun bool
	// ExactOnly leaves near duplicates alone.
	ExactOnly bool
	// Threshold is the least cosine of near duplicates, 0 to 1. Nil: as the namespace's policy says.
	Threshold *float32
	// Scope is what must agree. Empty: as the namespace's policy says.
	Scope []DuplicateScope
}

// Merge starts a job that merges duplicates without loss, or lists what it would merge; Pairs reads the list. Its result
// has "n_slots", "n_duplicates", "n_exact", "n_near" and "n_left_out" (changed or deleted meanwhile).
func (d *Duplicates) Merge(ctx context.Context, merge MergeRequest, options ...WriteOption) (Job, error) {
	var check checks
	of := d.client.writing(options)
	request := &pb.DeduplicateNamespaceRequest{
		Namespace: of.namespace,
		DryRun:    merge.DryRun,
		ExactOnly: merge.ExactOnly,
		Threshold: merge.Threshold,
		Scope:     check.scopes(merge.Scope, "scope"),
		RequestId: of.requestID,
	}
	if check.err != nil {
		return Job{}, check.err
	}
	return started(mutate(ctx, d.client, d.stub.DeduplicateNamespace, request))
}

// UndoRequest names what is brought back: exactly one of JobID and SlotID is given.
type UndoRequest struct {
	// JobID of a merge: all that it merged.
	JobID string
	// SlotID of a survivor: all that it absorbed.
	SlotID string
}

// Undo starts a job that brings absorbed slots back, with their ids, times and vectors. Its result has "n_restored", and
// "n_left_out": slots whose survivor was deleted, or whose id is in use again.
func (d *Duplicates) Undo(ctx context.Context, undo UndoRequest, options ...WriteOption) (Job, error) {
	if (undo.JobID == "") == (undo.SlotID == "") {
		return Job{}, invalid("job_id", "exactly one of JobID and SlotID is expected")
	}
	of := d.client.writing(options)
	return started(mutate(ctx, d.client, d.stub.UndoDeduplication, &pb.UndoDeduplicationRequest{
		Namespace: of.namespace, JobId: undo.JobID, SlotId: undo.SlotID, RequestId: of.requestID,
	}))
}

// Pairs are what a job merged or, in a dry run, would merge, in the order in which it found it, fetched page by page. What
// a dry run found is kept until the next one in the namespace, what was merged until it is undone.
func (d *Duplicates) Pairs(
	ctx context.Context, jobID string, from PageOptions, options ...NamespaceOption,
) iter.Seq2[DuplicatePair, error] {
	return pages(from, func(part PageOptions) (Page[DuplicatePair], error) {
		return d.PairsPage(ctx, jobID, part, options...)
	})
}

// PairsPage reads one page of Pairs.
func (d *Duplicates) PairsPage(
	ctx context.Context, jobID string, part PageOptions, options ...NamespaceOption,
) (Page[DuplicatePair], error) {
	response, err := read(ctx, d.client, d.stub.ListDuplicatePairs, &pb.ListDuplicatePairsRequest{
		Namespace: d.client.reading(options), JobId: jobID, PageSize: part.size(), PageToken: part.Token,
	})
	if err != nil {
		return Page[DuplicatePair]{}, err
	}
	return Page[DuplicatePair]{mapped(response.GetPairs(), pairFromProto), response.GetNextPageToken()}, nil
}

// Absorbed are the slots that a slot has absorbed, in the order in which it did, fetched page by page.
func (d *Duplicates) Absorbed(
	ctx context.Context, slotID string, from PageOptions, options ...NamespaceOption,
) iter.Seq2[AbsorbedSlot, error] {
	return pages(from, func(part PageOptions) (Page[AbsorbedSlot], error) {
		return d.AbsorbedPage(ctx, slotID, part, options...)
	})
}

// AbsorbedPage reads one page of Absorbed.
func (d *Duplicates) AbsorbedPage(
	ctx context.Context, slotID string, part PageOptions, options ...NamespaceOption,
) (Page[AbsorbedSlot], error) {
	response, err := read(ctx, d.client, d.stub.ListAbsorbedSlots, &pb.ListAbsorbedSlotsRequest{
		Namespace: d.client.reading(options), SlotId: slotID, PageSize: part.size(), PageToken: part.Token,
	})
	if err != nil {
		return Page[AbsorbedSlot]{}, err
	}
	return Page[AbsorbedSlot]{mapped(response.GetAbsorbed(), absorbedFromProto), response.GetNextPageToken()}, nil
}
