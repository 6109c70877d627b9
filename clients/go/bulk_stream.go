package adamem

import (
	"context"
	"errors"
	"io"
	"slices"

	"google.golang.org/grpc"

	pb "github.com/adamem/adamem/clients/go/gen/adamem/v1"
)

// bulkLoad is the sending side of a BulkWriter: one goroutine that has the streams and what is unanswered.
type bulkLoad struct {
	writer     *BulkWriter
	stub       pb.MemoryServiceClient
	tries      *attempts
	unanswered []*bulkBatch
	exhausted  bool
}

type bulkStream = grpc.BidiStreamingClient[pb.BulkUpdateRequest, pb.BulkUpdateResponse]

// run opens a stream when there is something to send, and another one when it breaks.
func (l *bulkLoad) run(ctx context.Context) error {
	for broken := false; ; broken = true {
		if len(l.unanswered) == 0 {
			if err := l.next(ctx); err != nil || l.exhausted {
				return err
			}
		}
		err := l.stream(ctx, broken)
		if err == nil {
			return nil
		}
		if err = l.tries.wait(ctx, err); err != nil {
			return err
		}
	}
}

// next takes one batch from the writer, or learns that there are no more.
func (l *bulkLoad) next(ctx context.Context) error {
	select {
	case batch, more := <-l.writer.batches:
		l.take(batch, more)
		return nil
	case <-ctx.Done():
		return errorFromContext(ctx)
	}
}

func (l *bulkLoad) take(batch *bulkBatch, more bool) {
	if more {
		l.unanswered = append(l.unanswered, batch)
	} else {
		l.exhausted = true
	}
}

// stream sends over one stream: first what is unanswered, after a broken stream one by one, then as far ahead as the window
// allows. It returns nil when everything is answered.
func (l *bulkLoad) stream(ctx context.Context, afterBroken bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := l.stub.BulkUpdate(ctx)
	if err != nil {
		return err
	}
	answers := make(chan *pb.BulkUpdateResponse, maxUnanswered)
	broken := make(chan error, 1)
	go receiveAnswers(ctx, stream, answers, broken)
	for _, batch := range slices.Clone(l.unanswered) {
		if err := send(stream, batch, broken); err != nil {
			return l.drained(answers, err)
		}
		if !afterBroken {
			continue
		}
		if err := l.answer(answers, broken); err != nil {
			return err
		}
	}
	for !l.exhausted || len(l.unanswered) > 0 {
		batches := l.writer.batches
		if l.exhausted || len(l.unanswered) == maxUnanswered {
			batches = nil
		}
		select {
		case batch, more := <-batches:
			if l.take(batch, more); !more {
				continue
			}
			if err := send(stream, batch, broken); err != nil {
				return l.drained(answers, err)
			}
		case response := <-answers:
			if err := l.receive(response); err != nil {
				return err
			}
		case err := <-broken:
			return l.drained(answers, err)
		}
	}
	return stream.CloseSend()
}

// receiveAnswers reads ahead of the loop, so that the server is never kept from answering while the client sends.
func receiveAnswers(
	ctx context.Context, stream bulkStream, answers chan<- *pb.BulkUpdateResponse, broken chan<- error,
) {
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			err = fault("the server did not answer a batch of the bulk load as agreed")
		}
		if err != nil {
			broken <- err
			return
		}
		select {
		case answers <- response:
		case <-ctx.Done():
			return
		}
	}
}

// send fails with what broke the stream, of which gRPC tells the sender only that it has ended.
func send(stream bulkStream, batch *bulkBatch, broken <-chan error) error {
	err := stream.Send(batch.request)
	if errors.Is(err, io.EOF) {
		return <-broken
	}
	return err
}

func (l *bulkLoad) answer(answers <-chan *pb.BulkUpdateResponse, broken <-chan error) error {
	select {
	case response := <-answers:
		return l.receive(response)
	case err := <-broken:
		return l.drained(answers, err)
	}
}

// drained takes the answers that came before the stream broke.
func (l *bulkLoad) drained(answers <-chan *pb.BulkUpdateResponse, broken error) error {
	for {
		select {
		case response := <-answers:
			if err := l.receive(response); err != nil {
				return err
			}
		default:
			return broken
		}
	}
}

// receive takes the answer of the oldest batch.
func (l *bulkLoad) receive(response *pb.BulkUpdateResponse) error {
	if len(l.unanswered) == 0 {
		return fault("the server answered a batch that was not sent")
	}
	if err := l.writer.receive(l.unanswered[0], response); err != nil {
		return err
	}
	l.unanswered[0] = nil
	l.unanswered = l.unanswered[1:]
	l.tries.succeed()
	return nil
}
