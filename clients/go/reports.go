package adamem

import (
	"context"
	"iter"
	"time"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// FindingKind is something of which a namespace may have too much; the protocol describes each.
type FindingKind string

// The kinds of findings.
const (
	FindingExactDuplicates     FindingKind = "exact_duplicates"
	FindingNearDuplicates      FindingKind = "near_duplicates"
	FindingRecallLoops         FindingKind = "recall_loops"
	FindingStale               FindingKind = "stale"
	FindingNeverUsed           FindingKind = "never_used"
	FindingSecrets             FindingKind = "secrets"
	FindingExpired             FindingKind = "expired"
	FindingSuperseded          FindingKind = "superseded"
	FindingOtherModel          FindingKind = "other_model"
	FindingOtherModelSnapshots FindingKind = "other_model_snapshots"
	FindingOldSnapshots        FindingKind = "old_snapshots"
	FindingDeletedInIndex      FindingKind = "deleted_in_index"
	FindingFreePages           FindingKind = "free_pages"
)

// FindingExample is one of the things that a finding counts.
type FindingExample struct {
	// ID of a slot, or the name of a snapshot.
	ID string
	// Note is what is known of it, never a secret itself. Empty: nothing.
	Note string
}

// Finding is one line of a report.
type Finding struct {
	Kind FindingKind
	// N of them.
	N uint64
	// Share of the namespace's slots that they are, of its snapshots or, of free pages, of the data file; 0 to 1.
	Share float64
	// NBytes that they take. Zero: not known.
	NBytes uint64
	// Examples of them, the first ones.
	Examples []FindingExample
	// Command mends it, in a shell.
	Command string
	// Detail in words. Empty: the kind says all.
	Detail string
}

// StructureSize is how much of a namespace is in one table of the data file, or in an index file, which has no records.
type StructureSize struct {
	Name             string
	NRecords, NBytes uint64
}

// DataFileSize is the server's data file, which all namespaces share.
type DataFileSize struct {
	// NBytes of the file; NUsedBytes of them are pages of tables, NFreeBytes the rest.
	NBytes, NUsedBytes, NFreeBytes uint64
}

// HealthReport is what a job "report" found. What is written meanwhile may or may not be in it.
type HealthReport struct {
	Namespace, JobID string
	// CreatedAt is the time as of which slots are stale or expired.
	CreatedAt time.Time
	StaleDays int
	// NSlots that were looked at, the expired ones included.
	NSlots uint64
	// Findings that there are.
	Findings []Finding
	// Sizes of the structures that hold anything.
	Sizes    []StructureSize
	DataFile DataFileSize
}

// ReportRequest says what a report looks for.
type ReportRequest struct {
	// StaleDays after which what was neither used nor written is stale, 1 to 36500. Nil: 90.
	StaleDays *int
	// NExamples of each finding at most, 0 to 20. Nil: 5.
	NExamples *int
}

// Report looks for what is wrong with a namespace or too much of it, waits until that is done, and returns it. Nothing is
// changed. It is a job, as StartReport starts it, and goes on where ctx ends before it.
func (l *Lifecycle) Report(ctx context.Context, report ReportRequest, options ...WriteOption) (HealthReport, error) {
	job, err := l.StartReport(ctx, report, options...)
	if err != nil {
		return HealthReport{}, err
	}
	if job, err = l.client.Jobs.Wait(ctx, job.ID); err != nil {
		return HealthReport{}, err
	}
	return l.GetReport(ctx, job.ID)
}

// StartReport starts the job of a report; GetReport reads it when it has succeeded.
func (l *Lifecycle) StartReport(ctx context.Context, report ReportRequest, options ...WriteOption) (Job, error) {
	var check checks
	of := l.client.writing(options)
	request := &pb.ReportNamespaceRequest{
		Namespace: of.namespace,
		StaleDays: check.int32Pointer(report.StaleDays, "stale_days"),
		NExamples: check.int32Pointer(report.NExamples, "n_examples"),
		RequestId: of.requestID,
	}
	if check.err != nil {
		return Job{}, check.err
	}
	return started(mutate(ctx, l.client, l.stub.ReportNamespace, request))
}

// GetReport is the report that a job made; it is kept as long as the job is listed. ErrFailedPrecondition: the job is no
// report, or has not succeeded.
func (l *Lifecycle) GetReport(ctx context.Context, jobID string) (HealthReport, error) {
	response, err := read(ctx, l.client, l.stub.GetHealthReport, &pb.GetHealthReportRequest{JobId: jobID})
	if err != nil {
		return HealthReport{}, err
	}
	return reportFromProto(response.GetReport()), nil
}

// FindingSlotsRequest says which slots are listed.
type FindingSlotsRequest struct {
	// Kind is FindingRecallLoops, FindingStale, FindingNeverUsed, FindingSecrets, FindingExpired or FindingSuperseded.
	Kind FindingKind
	// StaleDays as in ReportRequest.
	StaleDays *int
	// Page says which part.
	Page PageOptions
}

// FindingSlots are the slots of one kind of finding as they are now, without a job, fetched page by page.
func (l *Lifecycle) FindingSlots(
	ctx context.Context, list FindingSlotsRequest, options ...NamespaceOption,
) iter.Seq2[FindingExample, error] {
	return pages(list.Page, func(part PageOptions) (Page[FindingExample], error) {
		list.Page = part
		return l.FindingSlotsPage(ctx, list, options...)
	})
}

// FindingSlotsPage reads one page of FindingSlots, which may have fewer slots than asked for and is the last one only
// without NextPageToken.
func (l *Lifecycle) FindingSlotsPage(
	ctx context.Context, list FindingSlotsRequest, options ...NamespaceOption,
) (Page[FindingExample], error) {
	var check checks
	request := &pb.ListFindingSlotsRequest{
		Namespace: l.client.reading(options),
		Kind:      enum[pb.FindingKind](&check, list.Kind, "FINDING_KIND_", "kind", pb.FindingKind_value),
		StaleDays: check.int32Pointer(list.StaleDays, "stale_days"),
		PageSize:  list.Page.size(),
		PageToken: list.Page.Token,
	}
	if check.err != nil {
		return Page[FindingExample]{}, check.err
	}
	response, err := read(ctx, l.client, l.stub.ListFindingSlots, request)
	if err != nil {
		return Page[FindingExample]{}, err
	}
	return Page[FindingExample]{mapped(response.GetSlots(), exampleFromProto), response.GetNextPageToken()}, nil
}

func exampleFromProto(m *pb.FindingExample) FindingExample {
	return FindingExample{m.GetId(), m.GetNote()}
}

func findingFromProto(m *pb.Finding) Finding {
	return Finding{
		Kind:     enumFrom[FindingKind](m.GetKind(), "FINDING_KIND_", pb.FindingKind_name),
		N:        m.GetN(),
		Share:    m.GetShare(),
		NBytes:   m.GetNBytes(),
		Examples: mapped(m.GetExamples(), exampleFromProto),
		Command:  m.GetCommand(),
		Detail:   m.GetDetail(),
	}
}

func reportFromProto(m *pb.HealthReport) HealthReport {
	file := m.GetDataFile()
	return HealthReport{
		Namespace: m.GetNamespace(),
		JobID:     m.GetJobId(),
		CreatedAt: timeFromProto(m.GetCreatedAt()),
		StaleDays: int(m.GetStaleDays()),
		NSlots:    m.GetNSlots(),
		Findings:  mapped(m.GetFindings(), findingFromProto),
		Sizes: mapped(m.GetSizes(), func(size *pb.StructureSize) StructureSize {
			return StructureSize{size.GetName(), size.GetNRecords(), size.GetNBytes()}
		}),
		DataFile: DataFileSize{file.GetNBytes(), file.GetNUsedBytes(), file.GetNFreeBytes()},
	}
}
