package adamem

import (
	"context"
	"errors"
	"io"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// ConsolidationMethod is what writes summaries.
type ConsolidationMethod string

// The server's language model where it has one, else sentences; sentences of the sources; the language model.
const (
	ConsolidationAuto       ConsolidationMethod = "auto"
	ConsolidationExtractive ConsolidationMethod = "extractive"
	ConsolidationLLM        ConsolidationMethod = "llm"
)

// ConsolidationPolicy is when a namespace is consolidated by itself, and how it is whenever it is. What is left out stays as
// it is.
type ConsolidationPolicy struct {
	// AfterSlots lets it happen when so many slots were stored since the last time. Zero: not for that reason.
	AfterSlots *int
	// Every lets it happen when so much time has passed since the last time, up to 366 days. Zero: not for that reason.
	Every *time.Duration
	// Method writes the summaries.
	Method ConsolidationMethod
	// MaxChars is the most characters of a summary, 100 to 10000; of a new namespace 1000.
	MaxChars *int
	// Threshold is the least cosine, 0 to 1, of a slot that is in no conversation to the mean of those that it is summed up
	// with; of a new namespace 0.5.
	Threshold *float32
}

func (c *checks) method(method ConsolidationMethod, field string) pb.ConsolidationMethod {
	return enum[pb.ConsolidationMethod](c, method, "CONSOLIDATION_METHOD_", field, pb.ConsolidationMethod_value)
}

func (c *checks) consolidation(policy *ConsolidationPolicy) *pb.ConsolidationPolicy {
	if policy == nil {
		return nil
	}
	m := &pb.ConsolidationPolicy{
		AfterSlots: c.uint32Pointer(policy.AfterSlots, "consolidation.after_slots"),
		Method:     c.method(policy.Method, "consolidation.method"),
		MaxChars:   c.uint32Pointer(policy.MaxChars, "consolidation.max_chars"),
		Threshold:  policy.Threshold,
	}
	if policy.Every != nil {
		m.Every = durationpb.New(*policy.Every)
	}
	return m
}

func consolidationFromProto(m *pb.ConsolidationPolicy) ConsolidationPolicy {
	return ConsolidationPolicy{
		AfterSlots: new(int(m.GetAfterSlots())),
		Every:      new(durationFromProto(m.GetEvery())),
		Method:     enumFrom[ConsolidationMethod](m.GetMethod(), "CONSOLIDATION_METHOD_", pb.ConsolidationMethod_name),
		MaxChars:   new(int(m.GetMaxChars())),
		Threshold:  new(m.GetThreshold()),
	}
}

// ConsolidateRequest says how summaries are written; what is left out is as the namespace's policy says.
type ConsolidateRequest struct {
	// Method, MaxChars and Threshold as in ConsolidationPolicy.
	Method    ConsolidationMethod
	MaxChars  *int
	Threshold *float32
}

// PlannedSummary is a summary that a consolidation would write now.
type PlannedSummary struct {
	Content string
	// MadeBy is "extractive", or the name of the language model.
	MadeBy string
	// Sources are the ids of the slots that it sums up, Replaces those of the summaries whose place it takes.
	Sources, Replaces []string
	// Problem is why the language model did not write it. Empty: it did, or was not to.
	Problem string
}

// Consolidate starts a job that writes summaries of slots that belong together; slots stay as they are. Its result has
// "n_slots", "n_summaries", "n_replaced", "n_left_out", "n_fallbacks" and "language_model_problem".
func (l *Lifecycle) Consolidate(ctx context.Context, how ConsolidateRequest, options ...WriteOption) (Job, error) {
	var check checks
	of := l.client.writing(options)
	request := &pb.ConsolidateNamespaceRequest{
		Namespace: of.namespace,
		RequestId: of.requestID,
		Method:    check.method(how.Method, "method"),
		MaxChars:  check.uint32Pointer(how.MaxChars, "max_chars"),
		Threshold: how.Threshold,
	}
	if check.err != nil {
		return Job{}, check.err
	}
	return started(mutate(ctx, l.client, l.stub.ConsolidateNamespace, request))
}

// PreviewConsolidation are the summaries that Consolidate would write now, as they are made; nothing is stored. Only ctx
// limits it, and it is not repeated by itself.
func (l *Lifecycle) PreviewConsolidation(
	ctx context.Context, how ConsolidateRequest, options ...NamespaceOption,
) iter.Seq2[PlannedSummary, error] {
	return func(yield func(PlannedSummary, error) bool) {
		var check checks
		request := &pb.PreviewConsolidationRequest{
			Namespace: l.client.reading(options),
			Method:    check.method(how.Method, "method"),
			MaxChars:  check.uint32Pointer(how.MaxChars, "max_chars"),
			Threshold: how.Threshold,
		}
		if check.err != nil {
			yield(PlannedSummary{}, check.err)
			return
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := l.stub.PreviewConsolidation(ctx, request)
		for err == nil {
			var answer *pb.PreviewConsolidationResponse
			if answer, err = stream.Recv(); err == nil && !yield(plannedFromProto(answer.GetSummary()), nil) {
				return
			}
		}
		if !errors.Is(err, io.EOF) {
			yield(PlannedSummary{}, errorFromRPC(err))
		}
	}
}

func plannedFromProto(m *pb.PlannedSummary) PlannedSummary {
	return PlannedSummary{m.GetContent(), m.GetMadeBy(), m.GetSources(), m.GetReplaces(), m.GetProblem()}
}
