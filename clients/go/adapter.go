package adamem

import (
	"context"
	"time"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// TrainingOutcome is how a training of an adapter ended.
type TrainingOutcome string

// The outcomes.
const (
	// TrainingPromoted: a new version serves.
	TrainingPromoted TrainingOutcome = "promoted"
	// TrainingNotBetter: the new adapter was not clearly better than none, and all stays as it was.
	TrainingNotBetter TrainingOutcome = "not_better"
	// TrainingWithdrawn: so it was, and the version that served did harm on pairs younger than it: none serves.
	TrainingWithdrawn TrainingOutcome = "withdrawn"
	// TrainingTooFewPairs: there are too few pairs to tell.
	TrainingTooFewPairs TrainingOutcome = "too_few_pairs"
	// TrainingFailed: an error, which the server's log tells.
	TrainingFailed TrainingOutcome = "failed"
)

// AdapterQuality are means of nDCG at 20 of the whole ranking, 0 to 1, on pairs that the adapter judged had not seen.
type AdapterQuality struct {
	// NJudged is the number of pairs it was judged by.
	NJudged int
	// Baseline is the quality without an adapter, Candidate that with one.
	Baseline, Candidate float64
	// Probability that the adapter is better, by the bootstrap, 0 to 1.
	Probability float64
}

// TrainingReport says what a training found.
type TrainingReport struct {
	Outcome    TrainingOutcome
	FinishedAt time.Time
	// Duration from its begin to its end, CPUTime of its thread.
	Duration, CPUTime time.Duration
	// NPairs is the number of pairs it learned from.
	NPairs  int
	Quality AdapterQuality
	// Version that was promoted. Zero: none.
	Version int
}

// AdapterStatus is what a namespace has learned.
type AdapterStatus struct {
	Namespace string
	// Enabled tells that queries use it, and that trainings start by themselves.
	Enabled bool
	// Version that serves. Zero: none.
	Version int
	// NPairs are the pairs of question and slots that are kept to learn from, NNewPairs those since the last training.
	NPairs, NNewPairs int
	// Training tells that one is under way or asked for.
	Training bool
	// LastTraining is how the last one ended. Nil: there was none.
	LastTraining *TrainingReport
	// LearnedWeights are what the version that serves has learned of the ranking: by the name of a signal what is added to a
	// hybrid score per unit of it, the part "learned" of a hit. Nil: nothing.
	LearnedWeights map[string]float64
}

// AdapterVersion is one stored adapter.
type AdapterVersion struct {
	// Version counts the adapters of a namespace from 1.
	Version   int
	CreatedAt time.Time
	// NPairs is the number of pairs it learned from, Rank that of its matrices.
	NPairs, Rank int
	// DenseShift is what it adds to the dense side's share of the ranking.
	DenseShift float64
	Quality    AdapterQuality
	// NBytes is the size of its safetensors file.
	NBytes int
	// Serving tells that queries use it.
	Serving bool
}

// GetAdapter tells what a namespace has learned.
func (c *Client) GetAdapter(ctx context.Context, options ...NamespaceOption) (AdapterStatus, error) {
	response, err := read(ctx, c, c.admin.GetAdapter, &pb.GetAdapterRequest{Namespace: c.reading(options)})
	if err != nil {
		return AdapterStatus{}, err
	}
	return adapterFromProto(response.GetAdapter()), nil
}

// ListAdapterVersions are the versions of a namespace's adapter that are kept, oldest first.
func (c *Client) ListAdapterVersions(ctx context.Context, options ...NamespaceOption) ([]AdapterVersion, error) {
	request := &pb.ListAdapterVersionsRequest{Namespace: c.reading(options)}
	response, err := read(ctx, c, c.admin.ListAdapterVersions, request)
	if err != nil {
		return nil, err
	}
	return mapped(response.GetVersions(), adapterVersionFromProto), nil
}

// TrainAdapterRequest says how an adapter is trained.
type TrainAdapterRequest struct {
	// Wait answers after the training; mind the deadline.
	Wait bool
}

// TrainAdapter starts a training now; the new version serves only if it ranks held-out pairs better than none. Never
// repeated: it has no request id.
func (c *Client) TrainAdapter(
	ctx context.Context, train TrainAdapterRequest, options ...NamespaceOption,
) (AdapterStatus, error) {
	request := &pb.TrainAdapterRequest{Namespace: c.reading(options), Wait: train.Wait}
	response, err := mutate(ctx, c, c.admin.TrainAdapter, request)
	if err != nil {
		return AdapterStatus{}, err
	}
	return adapterFromProto(response.GetAdapter()), nil
}

// RollbackAdapter makes another version of the adapter serve, or none: 0. Never repeated: it has no request id. A later
// training may serve a new version; UpdateNamespaceRequest.AdapterEnabled keeps all off.
func (c *Client) RollbackAdapter(
	ctx context.Context, version int, options ...NamespaceOption,
) (AdapterStatus, error) {
	var check checks
	request := &pb.RollbackAdapterRequest{Namespace: c.reading(options), Version: check.uint32(version, "version")}
	if check.err != nil {
		return AdapterStatus{}, check.err
	}
	response, err := mutate(ctx, c, c.admin.RollbackAdapter, request)
	if err != nil {
		return AdapterStatus{}, err
	}
	return adapterFromProto(response.GetAdapter()), nil
}

func adapterFromProto(m *pb.AdapterStatus) AdapterStatus {
	status := AdapterStatus{
		Namespace:      m.GetNamespace(),
		Enabled:        m.GetEnabled(),
		Version:        int(m.GetVersion()),
		NPairs:         int(m.GetNPairs()),
		NNewPairs:      int(m.GetNNewPairs()),
		Training:       m.GetTraining(),
		LearnedWeights: m.GetLearnedWeights(),
	}
	if last := m.GetLastTraining(); last != nil {
		status.LastTraining = &TrainingReport{
			Outcome:    enumFrom[TrainingOutcome](last.GetOutcome(), "TRAINING_OUTCOME_", pb.TrainingOutcome_name),
			FinishedAt: timeFromProto(last.GetFinishedAt()),
			Duration:   durationFromProto(last.GetDuration()),
			CPUTime:    durationFromProto(last.GetCpuTime()),
			NPairs:     int(last.GetNPairs()),
			Quality:    qualityFromProto(last),
			Version:    int(last.GetVersion()),
		}
	}
	return status
}

func adapterVersionFromProto(m *pb.AdapterVersion) AdapterVersion {
	return AdapterVersion{
		Version:    int(m.GetVersion()),
		CreatedAt:  timeFromProto(m.GetCreatedAt()),
		NPairs:     int(m.GetNPairs()),
		Rank:       int(m.GetRank()),
		DenseShift: m.GetDenseShift(),
		Quality:    qualityFromProto(m),
		NBytes:     int(m.GetNBytes()),
		Serving:    m.GetServing(),
	}
}

// judged is what a report and a version say of an adapter's quality.
type judged interface {
	GetNJudged() uint32
	GetBaseline() float64
	GetCandidate() float64
	GetProbability() float64
}

func qualityFromProto(m judged) AdapterQuality {
	return AdapterQuality{int(m.GetNJudged()), m.GetBaseline(), m.GetCandidate(), m.GetProbability()}
}
