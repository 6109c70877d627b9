package adamem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"google.golang.org/grpc/codes"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// Jobs are the long work of the server. They are started by the call whose work they do, and survive a restart.
type Jobs struct {
	client *Client
	stub   pb.JobServiceClient
}

// JobState is where a job stands.
type JobState string

// The states.
const (
	// JobQueued: it waits for its turn, or to go on after a restart of the server.
	JobQueued    JobState = "queued"
	JobRunning   JobState = "running"
	JobSucceeded JobState = "succeeded"
	JobFailed    JobState = "failed"
	JobCancelled JobState = "cancelled"
)

// Job is a piece of long work, as it was when it was asked for.
type Job struct {
	// ID is a ULID; later jobs have greater ones.
	ID string
	// Kind of its work, such as "verify".
	Kind string
	// Namespace that it works on. Empty: the server.
	Namespace string
	State     JobState
	// NDone of NTotal units are done; both may grow. NTotal zero: not known.
	NDone, NTotal uint64
	// Unit that is counted, such as "slots".
	Unit string
	// Params of its start, by name.
	Params map[string]any
	// Result of its work, by name. Nil: it has not succeeded.
	Result map[string]any
	// Err is what it failed of, an *Error. Nil: it has not failed.
	Err error
	// Cancelling tells that it was asked to stop.
	Cancelling bool
	// CreatedAt is when it was asked for, StartedAt when it first began, FinishedAt when it ended; zero: it has not.
	CreatedAt, StartedAt, FinishedAt time.Time
	// NResumes is how often it went on after a restart of the server.
	NResumes int
}

// Ended tells that nothing more will come of it.
func (job Job) Ended() bool { return !job.FinishedAt.IsZero() }

func jobFromProto(m *pb.Job) Job {
	job := Job{
		ID:         m.GetId(),
		Kind:       m.GetKind(),
		Namespace:  m.GetNamespace(),
		State:      enumFrom[JobState](m.GetState(), "JOB_STATE_", pb.JobState_name),
		NDone:      m.GetNDone(),
		NTotal:     m.GetNTotal(),
		Unit:       m.GetUnit(),
		Cancelling: m.GetCancelling(),
		CreatedAt:  timeFromProto(m.GetCreatedAt()),
		StartedAt:  timeFromProto(m.GetStartedAt()),
		FinishedAt: timeFromProto(m.GetFinishedAt()),
		NResumes:   int(m.GetNResumes()),
	}
	if m.GetParams() != nil {
		job.Params = m.GetParams().AsMap()
	}
	if m.GetResult() != nil {
		job.Result = m.GetResult().AsMap()
	}
	if m.GetError() != nil {
		job.Err = errorFromStatus(m.GetError())
	}
	return job
}

// Get is a job as it is now. ErrJobNotFound: there is none of this id, or it ended long ago.
func (j *Jobs) Get(ctx context.Context, jobID string) (Job, error) {
	response, err := read(ctx, j.client, j.stub.GetJob, &pb.GetJobRequest{JobId: jobID})
	if err != nil {
		return Job{}, err
	}
	return jobFromProto(response.GetJob()), nil
}

// ListJobsRequest says which jobs are read.
type ListJobsRequest struct {
	// Namespace keeps the jobs of one namespace. Empty: of all, and of the server.
	Namespace string
	// Kind keeps the jobs of one kind.
	Kind string
	// States keeps the jobs that are in one of them.
	States []JobState
	// Page says which part.
	Page PageOptions
}

// List are jobs, the newest first, fetched page by page.
func (j *Jobs) List(ctx context.Context, list ListJobsRequest) iter.Seq2[Job, error] {
	return pages(list.Page, func(part PageOptions) (Page[Job], error) {
		list.Page = part
		return j.ListPage(ctx, list)
	})
}

// ListPage reads one page of List.
func (j *Jobs) ListPage(ctx context.Context, list ListJobsRequest) (Page[Job], error) {
	var check checks
	request := &pb.ListJobsRequest{
		Namespace: list.Namespace, Kind: list.Kind, PageSize: list.Page.size(), PageToken: list.Page.Token,
	}
	for _, state := range list.States {
		request.States = append(request.States, enum[pb.JobState](&check, state, "JOB_STATE_", "states", pb.JobState_value))
	}
	if check.err != nil {
		return Page[Job]{}, check.err
	}
	response, err := read(ctx, j.client, j.stub.ListJobs, request)
	if err != nil {
		return Page[Job]{}, err
	}
	return Page[Job]{mapped(response.GetJobs(), jobFromProto), response.GetNextPageToken()}, nil
}

// Cancel asks a job to stop at its next step; it leaves what it did. One that has ended stays as it is.
func (j *Jobs) Cancel(ctx context.Context, jobID string) (Job, error) {
	response, err := read(ctx, j.client, j.stub.CancelJob, &pb.CancelJobRequest{JobId: jobID})
	if err != nil {
		return Job{}, err
	}
	return jobFromProto(response.GetJob()), nil
}

// Watch is a job as it is now, then on each change, a few times a second at most, until it has ended. A restart of the
// server is waited for as long as Config.MaxAttempts says; only ctx limits the whole.
func (j *Jobs) Watch(ctx context.Context, jobID string) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		tries := j.client.streamAttempts()
		for {
			done, err := j.watchOnce(ctx, jobID, tries, yield)
			if done {
				return
			}
			if err = tries.wait(ctx, err); err != nil {
				yield(Job{}, err)
				return
			}
		}
	}
}

// watchOnce yields what one stream tells; it is done when the job has ended, or the caller wants no more.
func (j *Jobs) watchOnce(
	ctx context.Context, jobID string, tries *attempts, yield func(Job, error) bool,
) (bool, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := j.stub.WatchJob(ctx, &pb.WatchJobRequest{JobId: jobID})
	if err != nil {
		return false, err
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return false, &Error{
				Code: codes.Unavailable, Reason: "UNAVAILABLE", Message: "the watch ended before the job had",
			}
		}
		if err != nil {
			return false, err
		}
		told := jobFromProto(answer.GetJob())
		tries.succeed()
		if !yield(told, nil) || told.Ended() {
			return true, nil
		}
	}
}

// Wait waits until a job has succeeded, and returns it. It fails with what the job failed of, or ErrJobCancelled; the job is
// returned beside these errors too.
func (j *Jobs) Wait(ctx context.Context, jobID string) (Job, error) {
	var last Job
	for told, err := range j.Watch(ctx, jobID) {
		if err != nil {
			return last, err
		}
		last = told
	}
	if last.Err != nil {
		return last, last.Err
	}
	if last.State == JobCancelled {
		return last, &Error{
			Code:     codes.Aborted,
			Reason:   "JOB_CANCELLED",
			Message:  fmt.Sprintf("job %q was cancelled", jobID),
			Metadata: map[string]string{"job_id": jobID},
		}
	}
	return last, nil
}

// started is the job that an answer describes.
func started[Response interface{ GetJob() *pb.Job }](response Response, err error) (Job, error) {
	if err != nil {
		return Job{}, err
	}
	return jobFromProto(response.GetJob()), nil
}
