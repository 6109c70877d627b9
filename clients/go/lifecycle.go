package adamem

import (
	"context"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// Lifecycle starts work on what a namespace keeps. Each call starts a job, which [Jobs] watches, waits for and cancels.
// ErrJobRunning: the namespace has an unfinished one of this kind.
type Lifecycle struct {
	client *Client
	stub   pb.LifecycleServiceClient
}

// Verify starts a check of every slot: that its records are whole and agree. Changes nothing. The result has "n_slots",
// "n_problems" and "problems", the first 100 in words.
func (l *Lifecycle) Verify(ctx context.Context, options ...WriteOption) (Job, error) {
	of := l.client.writing(options)
	return started(mutate(ctx, l.client, l.stub.VerifyNamespace, &pb.VerifyNamespaceRequest{
		Namespace: of.namespace, RequestId: of.requestID,
	}))
}

// Compact starts taking deleted slots out of the index, and saves it; else that is done where queries leave time. The
// result has "n_tombstones" and "memory_bytes" of the index, each with "before" and "after".
func (l *Lifecycle) Compact(ctx context.Context, options ...WriteOption) (Job, error) {
	of := l.client.writing(options)
	return started(mutate(ctx, l.client, l.stub.CompactNamespace, &pb.CompactNamespaceRequest{
		Namespace: of.namespace, RequestId: of.requestID,
	}))
}

// CompactData starts writing the server's data file anew, without the pages that deletions freed. Writes wait meanwhile,
// some seconds for a gigabyte of live data; reads go on. The disk needs room for a second file. The result has
// "data_bytes", with "before" and "after".
func (l *Lifecycle) CompactData(ctx context.Context, options ...RequestIDOption) (Job, error) {
	request := &pb.CompactDataRequest{RequestId: requestID(options)}
	return started(mutate(ctx, l.client, l.stub.CompactData, request))
}

// ReembedRequest says whose vectors shall serve.
type ReembedRequest struct {
	// Model is bundled, or pulled on the server's machine. Empty: the server's own.
	Model string
	// Rollback takes the last change back; what was written since is embedded by the former model.
	Rollback bool
}

// Reembed starts giving a namespace the vectors of another model; those that serve go on to serve until all are there.
// The result has "model", "model_fingerprint" and "dim" that serve now, "n_slots", "n_embedded" of them in this job,
// "former_model", and "former_kept_s", for how many seconds its vectors are kept.
func (l *Lifecycle) Reembed(ctx context.Context, reembed ReembedRequest, options ...WriteOption) (Job, error) {
	of := l.client.writing(options)
	return started(mutate(ctx, l.client, l.stub.ReembedNamespace, &pb.ReembedNamespaceRequest{
		Namespace: of.namespace, RequestId: of.requestID, Model: reembed.Model, Rollback: reembed.Rollback,
	}))
}
